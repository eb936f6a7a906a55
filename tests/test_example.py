"""The example that comes along: a real search that everything can look at and nothing changes."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from benchmarks.example import BUDGET, HOST, KILLED, KILLED_AFTER, ROOT, STUDY, TARGET
from tests.test_dashboard import ask

URL = f"sqlite:///{TARGET}"


@pytest.fixture(autouse=True)
def _nothing_changes() -> Iterator[None]:
    """Holds for each test here: the same content, the same time, and nothing new beside it."""

    def seen() -> tuple[str, int, list[str]]:
        beside = sorted(path.name for path in TARGET.parent.glob(f"{TARGET.name}*"))
        return hashlib.sha256(TARGET.read_bytes()).hexdigest(), TARGET.stat().st_mtime_ns, beside

    before = seen()
    yield
    assert seen() == before
    assert before[2] == [TARGET.name]


def search(folder: Path, *arguments: str) -> str:
    """What ``python -m search`` prints about the example, from another folder."""
    command = [sys.executable, "-m", "search", *arguments, "--storage", URL]
    done = subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_small_and_in_one_file() -> None:
    content = TARGET.read_bytes()
    assert len(content) < 1 << 20
    assert content[18:20] == b"\x01\x01", "in WAL mode, a reader makes files beside it"
    with sqlite3.connect(f"file:{TARGET}?mode=ro", uri=True) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_names_no_machine() -> None:
    connection = sqlite3.connect(f"file:{TARGET}?mode=ro", uri=True)
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    texts = [
        cell
        for table in tables
        for row in connection.execute(f'SELECT * FROM "{table}"')  # noqa: S608 - the table's own name
        for cell in row
        if isinstance(cell, str)
    ]
    hosts = set(connection.execute("SELECT host FROM leases")) | {
        (json.loads(value),)
        for (value,) in connection.execute(
            "SELECT value_json FROM trial_user_attributes WHERE key IN ('host', 'search:host')"
        )
    }
    holders = [holder for (holder,) in connection.execute("SELECT holder FROM leases") if holder]
    kinds = [kind for (kind,) in connection.execute("SELECT kind FROM files")]
    assert connection.execute("SELECT count(*) FROM chunks").fetchone() == (0,)
    connection.close()
    assert len(texts) > 10 * BUDGET
    assert [text for text in texts if re.search(r"(?<![\w.])/\w[\w.-]*/\w", text)] == [], "an absolute path"
    assert hosts == {(HOST,)}
    assert holders and all(holder.startswith(f"{HOST}:") for holder in holders)
    assert [kind for kind in kinds if not kind.startswith("test-")] == []


def test_status_tells_of_the_kill(tmp_path: Path) -> None:
    every = search(tmp_path, "status").splitlines()
    assert len(every) == 2 and every[1].startswith(STUDY) and "finished, refit finished" in every[1]
    found: dict[str, Any] = json.loads(search(tmp_path, "status", STUDY, "--json"))
    trials = found["trials"]
    assert trials["complete"] + trials["pruned"] == found["budget"] == BUDGET
    assert trials["pruned"] > 0 and found["epochs"]["saved_by_pruning"] > 0
    assert trials["running"] == trials["waiting"] == 0
    assert found["refit"]["trials"]["complete"] == 1
    resumed = {lease["trial"]: lease["resumed_from"] for lease in found["leases"] if lease["resumed_from"]}
    assert list(resumed) == [KILLED] and resumed[KILLED][0] >= KILLED_AFTER
    lines = search(tmp_path, "status", STUDY)
    assert f"of {BUDGET}" in lines and f"{found['best']['value']:.4f}" in lines and f"{STUDY}.refit: finished" in lines
    row = next(line.split() for line in lines.splitlines() if line.startswith(f"{KILLED} "))
    assert row[-2:] == [HOST, str(resumed[KILLED][0])]
    assert f"{STUDY} trial {KILLED}: complete" in search(tmp_path, "status", STUDY, str(KILLED))
    assert list(tmp_path.iterdir()) == []


def test_exports_what_the_database_knows(tmp_path: Path) -> None:
    search(tmp_path, "export", STUDY, "--no-model", "--to", "out")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    best = json.loads(search(tmp_path, "status", STUDY, "--json"))["best"]
    assert (report["trial"], report["value"], report["hyperparameters"]) == tuple(best.values())
    assert report["cost"]["interruptions"] >= 1 and report["test_openings"] == 1 and report["test"] is None
    assert str(best["number"]) in (tmp_path / "out" / "report.md").read_text().splitlines()[0]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_dashboard_shows_it(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "search", "dashboard", "--storage", URL, "--port", str(port)]
    environment = {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert f"http://127.0.0.1:{port}" in server.stdout.readline()
            status, page = ask(port, "/dashboard")
            assert status == 200 and b"<html" in page.lower()
            summaries = json.loads(ask(port, "/api/studies")[1])["study_summaries"]
            ids = {summary["study_name"]: summary["study_id"] for summary in summaries}
            assert set(ids) == {STUDY, f"{STUDY}.refit"}
            shown = json.loads(ask(port, f"/api/studies/{ids[STUDY]}")[1])
            assert len(shown["trials"]) == BUDGET and shown["artifacts"] == []
        finally:
            server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0
    assert list(tmp_path.iterdir()) == []


def test_optuna_reads_it(tmp_path: Path) -> None:
    copy = shutil.copy(TARGET, tmp_path / "copy.db")
    study = optuna.load_study(study_name=STUDY, storage=f"sqlite:///{copy}")
    assert [trial.number for trial in study.trials] == list(range(BUDGET))
    assert study.best_value > 0.3 and set(study.best_params) >= {"learning_rate", "weight_decay"}
    assert study.metric_names == ["val_accuracy"]
