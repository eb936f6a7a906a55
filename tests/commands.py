"""The command line as a person starts it: real processes, in a folder of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from search.database.engine import open_readonly
from search.show import status
from tests import light

ROOT = Path(__file__).resolve().parents[1]
LIGHT = str(Path(light.__file__).resolve())


def changed(file: Path, changes: Mapping[str, str], source: str | Path = LIGHT) -> str:
    """The light objective, or another source, in this file, with other pieces of text; each stood there once."""
    text = Path(source).read_text()
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    file.write_text(text)
    return str(file)


@dataclass(frozen=True)
class Ended:
    """What a command left: its exit status and what it printed."""

    status: int
    out: str
    err: str


@contextmanager
def started(folder: Path, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """``python -m search ARGUMENTS`` in this folder; killed if the test leaves while it runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "search", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


def ended(process: subprocess.Popen[str], timeout: float = 300) -> Ended:
    """Waits for it."""
    out, err = process.communicate(timeout=timeout)
    return Ended(process.returncode, out, err)


def search(folder: Path, *arguments: str, **environment: str) -> Ended:
    """The command from start to end."""
    with started(folder, *arguments, **environment) as process:
        return ended(process)


def until(what: str, condition: Callable[[], object], seconds: float = 60) -> None:
    """Returns once the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds} s still not: {what}"
        time.sleep(0.02)


def first_epoch(url: str, study: str) -> int:
    """How far the study's first trial is, by its status; 0 also before there is one."""
    try:
        leases = status.study(open_readonly(url), study)["leases"]
    except Exception:  # noqa: BLE001 - the file is not there, or its tables are being made
        return 0
    return int(leases[0]["epoch"]) if leases else 0


def children_of(pid: int) -> list[int]:
    """Processes whose parent this is."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
