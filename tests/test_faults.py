"""Whatever dies, and whenever: the budget is exact, nothing is lost and nothing is there twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.commands import ROOT


def started(mode: str, url: str, folder: Path) -> subprocess.Popen[str]:
    folder.mkdir()
    command = [sys.executable, "-m", "tests.faults", mode, url, str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate()
    assert process.returncode == 0, err
    return dict(json.loads(out))


@pytest.mark.timeout(900)
def test_random_kills_and_a_death_at_every_point(storage_url: str, tmp_path: Path) -> None:
    """Both at once, in one database: the workers of the one mostly wait while those of the other mostly compute."""
    points = started("points", storage_url, tmp_path / "points")
    kills = started("random", storage_url, tmp_path / "random")
    killed, died = result(kills), result(points)
    assert killed["wrong"] == []
    assert killed["killed"] >= 40
    assert any(step > 0 for step in killed["resumed_from"]), "no trial went on from a checkpoint"
    assert died["wrong"] == []
    assert died["deaths"] >= 150


@pytest.mark.soak
@pytest.mark.timeout(5400)
def test_a_death_at_every_statement(storage_url: str, tmp_path: Path) -> None:
    died = result(started("statements", storage_url, tmp_path / "statements"))
    assert died["wrong"] == []
    assert died["deaths"] >= 500
