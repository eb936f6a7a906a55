"""A worker whose terminal goes away: handed over, or not disturbed where that was asked for, and never lost."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from search.studies.study import Study, find
from tests.commands import LIGHT, ROOT, search, until
from tests.faults import check, storage_at
from tests.test_worker import rows

RUN = (sys.executable, "-m", "search", "run", "light", "--objective", LIGHT, "--no-refit", "--children", "2")
LONG = (*RUN, "--trials", "2", "--epochs", "100")
SHORT = (*RUN, "--trials", "4", "--epochs", "12")


def ignoring(name: str) -> tuple[str, ...]:
    """Before a command: it starts with this signal ignored."""
    return ("sh", "-c", f"""trap '' {name}; exec "$@" """, "sh")


OWN = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
"""Takes the terminal that it reads from for its session's own."""


class Window:
    """A terminal with a command in it."""

    def __init__(self, folder: Path, command: Sequence[str], **environment: str) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWN, *command],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", **environment},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.said = bytearray()
        self._closing = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def close(self) -> None:
        """As when a window is closed, or a connection breaks."""
        self._closing.set()
        self._reader.join()
        os.close(self._master)

    def _read(self) -> None:
        """Whoever looks at it: else the table fills it up and its writer waits."""
        os.set_blocking(self._master, False)
        while not self._closing.wait(0.02):
            try:
                self.said += os.read(self._master, 1 << 16)
            except BlockingIOError:
                pass
            except OSError:  # nobody has it open
                return


@contextmanager
def window(folder: Path, command: Sequence[str], **environment: str) -> Iterator[Window]:
    one = Window(folder, command, **environment)
    try:
        yield one
    except BaseException:
        print(
            f"exit status {one.process.poll()}; the terminal's last words:\n{one.said[-4000:].decode(errors='replace')}"
        )
        raise
    finally:
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait()
        if not one._closing.is_set():
            one.close()


def both_run(url: str) -> Study:
    """The study, once two of its trials have finished an epoch."""
    file = Path(url.removeprefix("sqlite:///"))
    until("the study is there", lambda: file.exists() and find(storage_at(url).engine, "light"))
    study = find(storage_at(url).engine, "light")
    assert study is not None
    until("two trials run", lambda: all(row["epoch"] >= 1 for row in rows(url, study)[:2]))
    return study


def test_a_terminal_that_is_closed_hands_both_trials_over(tmp_path: Path, sqlite_url: str) -> None:
    with window(tmp_path, LONG, SEARCH_STORAGE=sqlite_url, LIGHT_PAUSE="0.1") as one:
        study = both_run(sqlite_url)
        one.close()
        assert one.process.wait(60) == 0
    for row in rows(sqlite_url, study):
        assert (row["state"], row["expires"], row["attempts"], row["token"]) == ("open", 0.0, 0, 1)
        assert row["epoch"] < 100
    again = search(tmp_path, "run", "light", "--no-refit", SEARCH_STORAGE=sqlite_url)
    assert (again.status, again.err) == (0, "") and check(sqlite_url, study, 2) == []
    assert all(json.loads(row["resumed_from"])[0] >= 1 for row in rows(sqlite_url, study))


@pytest.mark.parametrize("before", [("nohup",), ignoring("HUP")], ids=["nohup", "still to the terminal"])
def test_a_search_that_is_to_outlive_its_terminal_does(
    tmp_path: Path, sqlite_url: str, before: tuple[str, ...]
) -> None:
    """``nohup`` writes to a file; without it all that is still said is dropped."""
    with window(tmp_path, (*before, *SHORT), SEARCH_STORAGE=sqlite_url, LIGHT_PAUSE="0.1") as one:
        study = both_run(sqlite_url)
        one.close()
        assert one.process.wait(120) == 0
    assert check(sqlite_url, study, 4) == []
    assert [row["token"] for row in rows(sqlite_url, study)] == [1] * 4
    assert (tmp_path / "nohup.out").exists() == (before == ("nohup",))


def piped(folder: Path, url: str, *before: str, **more: Any) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SEARCH_STORAGE": url, "LIGHT_PAUSE": "0.1"}
    return subprocess.Popen([*before, *SHORT], cwd=folder, env=environment, stdin=subprocess.DEVNULL, **more)


def test_a_pipe_that_nobody_reads_any_more(tmp_path: Path, sqlite_url: str) -> None:
    with piped(tmp_path, sqlite_url, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        out: IO[bytes] | None = process.stdout
        assert out is not None and process.stderr is not None
        out.readline()
        out.close()
        study = both_run(sqlite_url)
        assert process.stderr.read() == b"" and process.wait(120) == 0
    assert check(sqlite_url, study, 4) == []


def test_a_command_in_the_background_of_a_script_is_not_interrupted(tmp_path: Path, sqlite_url: str) -> None:
    """A shell without job control starts it with Ctrl-C ignored, which is for what runs in front of it."""
    with piped(tmp_path, sqlite_url, *ignoring("INT"), stdout=subprocess.DEVNULL) as process:
        study = both_run(sqlite_url)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
    assert check(sqlite_url, study, 4) == []
