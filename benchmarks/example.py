"""Makes ``studies.db.example``: a real search on real CIFAR-10, a worker of which is killed with -9 in mid-trial.

    python -m benchmarks.example        or: make example; a few minutes on two cores

The search runs through the command line as anybody's would, in a folder of its own. Afterwards two things are edited in
its database, and nothing else: this machine's name becomes ``worker-1``, and the records of models, logs and pictures
go, since the files themselves are not part of the example. The record that the test set was looked at stays.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from search.database.engine import open_readonly
from search.errors import SearchError
from search.show import status

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "studies.db.example"
STUDY = "cnn_cifar10"
BUDGET = 12
SETTINGS = ("--trials", str(BUDGET), "--epochs", "5", "--train-size", "4000", "--children", "1", "--lease", "10s")
KILLED = 1  # of `first`, so that it is never pruned and has epochs left to go on with
KILLED_AFTER = 2  # epochs
PATIENCE = 900.0  # seconds until that trial must have got so far
HOST = "worker-1"


def main() -> int:
    """Writes the file. Exit status 1 and one line where the search did not come to its end."""
    try:
        with tempfile.TemporaryDirectory(prefix="search-example-") as scratch:
            folder = Path(scratch)
            kill_in_mid_trial(folder)
            print(f"killed the worker (-9) in trial {KILLED}; the same command goes on", flush=True)
            subprocess.run(command(), cwd=folder, env=environment(), check=True)
            refuse_unfinished(found(folder))
            publish(folder / "studies.db", TARGET)
    except (SearchError, subprocess.CalledProcessError) as error:
        print(f"example: {error}", file=sys.stderr)
        return 1
    print(f"{TARGET.name}: {TARGET.stat().st_size:,} bytes")
    return 0


def command() -> list[str]:
    """The search, as one types it; the data lie where every other command finds them."""
    data = Path(os.environ.get("SEARCH_DATA_DIR") or ROOT / "data").resolve()
    return [sys.executable, "-m", "search", "run", STUDY, *SETTINGS, "--data-dir", str(data)]


def environment() -> dict[str, str]:
    """Ours, but for a storage of somebody's own: the example is written to the folder that the search runs in."""
    kept = {name: value for name, value in os.environ.items() if name not in {"SEARCH_STORAGE", "SEARCH_FILES"}}
    return {**kept, "PYTHONPATH": str(ROOT)}


def kill_in_mid_trial(folder: Path) -> None:
    """Starts the search and kills its worker once the trial has finished some of its epochs."""
    deadline = time.monotonic() + PATIENCE
    with subprocess.Popen(command(), cwd=folder, env=environment()) as worker:
        try:
            while not in_mid_trial(folder):
                if worker.poll() is not None or time.monotonic() > deadline:
                    raise SearchError(f"trial {KILLED} never got to epoch {KILLED_AFTER}. See above why.")
                time.sleep(0.1)
        finally:
            worker.send_signal(signal.SIGKILL)


def in_mid_trial(folder: Path) -> bool:
    """Whether the trial that is to be interrupted runs and has got far enough."""
    if not (folder / "studies.db").is_file():
        return False
    try:
        leases = found(folder)["leases"]
    except SearchError:  # the tables or the study are still being made
        return False
    return any(
        lease["trial"] == KILLED and lease["state"] == "running" and lease["epoch"] >= KILLED_AFTER for lease in leases
    )


def found(folder: Path) -> dict[str, Any]:
    """What ``status STUDY --json`` says."""
    engine = open_readonly(f"sqlite:///{folder / 'studies.db'}")
    try:
        return status.study(engine, STUDY)
    finally:
        engine.dispose()


def refuse_unfinished(search: dict[str, Any]) -> None:
    """SearchError unless the search shows what the example is there to show."""
    killed = next(lease for lease in search["leases"] if lease["trial"] == KILLED)
    refit = search["refit"] or {"state": "missing"}
    if search["state"] != "finished" or refit["state"] != "finished":
        raise SearchError(f"the search is {search['state']}, its refit {refit['state']}. See above why.")
    if search["trials"]["complete"] + search["trials"]["pruned"] != BUDGET or not search["trials"]["pruned"]:
        raise SearchError(f"not an example to look at: {search['trials']}. Type again: make example")
    if not killed["resumed_from"] or killed["resumed_from"][0] < KILLED_AFTER:
        raise SearchError(f"trial {KILLED} went on from {killed['resumed_from']}, not from epoch {KILLED_AFTER}.")


def publish(database: Path, target: Path) -> None:
    """A compact copy in rollback mode, which needs no file beside it to be read, and in which no machine is named."""
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        connection.execute("UPDATE leases SET host = ?", (HOST,))
        connection.execute("UPDATE leases SET holder = ? || substr(holder, instr(holder, ':'))", (HOST,))
        connection.execute("UPDATE trial_user_attributes SET value_json = ? WHERE key = 'search:host'", (f'"{HOST}"',))
        connection.execute("DELETE FROM files WHERE kind NOT LIKE 'test-%'")
        connection.execute("DELETE FROM study_system_attributes WHERE key LIKE 'artifacts:%'")
        connection.execute("VACUUM INTO ?", (str(part),))
    finally:
        connection.close()
    part.replace(target)


if __name__ == "__main__":
    sys.exit(main())
