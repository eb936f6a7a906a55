"""The benchmarks run, in their shortest form, and go on from their tables."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

from tests.commands import ROOT


def test_the_service_beside_optuna(tmp_path: Path) -> None:
    table = tmp_path / "service.csv"
    short = ["--finished", "20", "--workers", "2", "--databases", "sqlite", "--seconds", "1", "--table", str(table)]
    command = [sys.executable, "-m", "benchmarks.service", *short]
    first = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(first.stdout.splitlines())
    found = {(row["side"], row["what"]) for row in rows}
    assert found >= {("ours", "claim"), ("ours", "status"), ("ours", "report and decision"), ("optuna", "birth")}
    assert all(float(row["median_ms"]) > 0 and row["finished"] == "20" for row in rows)
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert again.stdout == "", "what is there is not measured again"
