"""One training process as its worker sees it: started, talked to, ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import search
from search.child.pipe import Pipe
from search.child.protocol import Message
from search.contract import Devices

_SECRET = ("SEARCH_STORAGE", "STORAGE", "MAKEFLAGS", "MFLAGS", "PGPASSWORD", "PGPASSFILE", "PGSERVICEFILE")
_CAPS = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH")


class Child:
    """One training process at the other end of a pipe."""

    def __init__(self, end: socket.socket, pid: int, wait: Callable[[float], int | None]) -> None:
        self.pipe = Pipe(end)
        self.pid = pid
        self._wait = wait
        self.heard = time.monotonic()

    def send(self, message: Message) -> None:
        """To a child that has died it is dropped, as the end of its pipe says so next."""
        try:
            self.pipe.send(message)
        except OSError:
            pass

    def receive(self) -> list[Message] | None:
        """What has come; None once the child is gone."""
        messages = self.pipe.available()
        self.heard = time.monotonic()
        return messages

    def kill(self) -> None:
        """At once. A child that is gone already is none of our business."""
        for kill in (os.killpg, os.kill):  # with what it has started, where it leads a session of its own
            try:
                kill(self.pid, signal.SIGKILL)
                break
            except ProcessLookupError:
                continue
        self.ended()

    def gone(self) -> bool:
        """Whether the process is no more, even if something that it started still holds the pipe."""
        return self._wait(0.0) is not None

    def ended(self) -> int | None:
        """Closes the pipe and takes the exit status: negative for a signal, None if it does not end in 10 s."""
        self.pipe.close()
        status = self._wait(10.0)
        if status is not None:
            try:
                os.killpg(self.pid, signal.SIGKILL)  # what it has started and left behind
            except ProcessLookupError:
                pass
        return status


Launch = Callable[[str, Devices], Child]


def launch(reference: str, devices: Devices) -> Child:
    """A new process in a session of its own, so that the terminal's Ctrl-C reaches the worker alone."""
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-m", "search.child.inside", str(theirs.fileno()), reference],
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=_environment(devices),
    )
    theirs.close()

    def wait(seconds: float) -> int | None:
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    return Child(ours, process.pid, wait)


def _environment(devices: Devices) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in _SECRET + _CAPS}
    root = str(Path(search.__file__).resolve().parents[1])
    kept["PYTHONPATH"] = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    kept["PYTHONUNBUFFERED"] = "1"
    kept["OMP_NUM_THREADS"] = kept["TF_NUM_INTRAOP_THREADS"] = kept["TF_NUM_INTEROP_THREADS"] = str(devices.cores)
    # Without a GPU, TensorFlow logs as an error that there is none.
    kept.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if devices.gpus else "3")
    if devices.gpus:
        kept["CUDA_VISIBLE_DEVICES"] = ",".join(devices.gpus)
    return kept
