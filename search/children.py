"""The worker's side of a training process: start it, talk to it, end it, keep its log within bounds."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import search
from search.contract import Devices
from search.pipe import Message, Pipe

_SECRET = ("SEARCH_STORAGE", "STORAGE", "MAKEFLAGS", "MFLAGS", "PGPASSWORD", "PGPASSFILE", "PGSERVICEFILE")
_CAPS = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH")


class Child:
    """One training process at the other end of a pipe."""

    def __init__(self, end: socket.socket, pid: int, wait: Callable[[float], int | None]) -> None:
        self.pipe = Pipe(end)
        self.pid = pid
        self._wait = wait
        self.heard = time.monotonic()

    def send(self, kind: str, **fields: Any) -> None:
        """A message; one to a child that has died is dropped, as the end of its pipe says so next."""
        try:
            self.pipe.send(kind, **fields)
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
        [sys.executable, "-m", "search.child", str(theirs.fileno()), reference],
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
    kept["OMP_NUM_THREADS"] = str(devices.cores)
    kept.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if devices.gpus:
        kept["CUDA_VISIBLE_DEVICES"] = ",".join(devices.gpus)
    return kept


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that an NVIDIA driver shows and CUDA_VISIBLE_DEVICES leaves visible; none without a driver."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return tuple(part for part in chosen.split(",") if part.strip() and part.strip() != "-1")
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(str(index) for index, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU "))


def share(children: int | None, gpus: Sequence[str], cores: int) -> list[Devices]:
    """This machine's cores and GPUs divided between its children: by default one a GPU, else one in all."""
    count = children or max(1, len(gpus))
    each = max(1, cores // count)
    return [
        Devices(each, tuple(gpus[index::count]) or tuple(gpus[index % len(gpus) :][:1] if gpus else ()))
        for index in range(count)
    ]


def out_of_memory_kills(cgroups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """How often the kernel has killed for memory in this process's control group; 0 where it does not tell."""
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        lines = []
    paths = [path.lstrip("/") for _, controllers, path in lines if controllers in {"", "memory"}]
    for path in [*paths, ""]:  # inside a container the group's own path may be hidden: its root is ours
        for file in (cgroups / path / "memory.events", cgroups / "memory" / path / "memory.oom_control"):
            try:
                words = dict(line.split(" ", 1) for line in file.read_text().splitlines() if " " in line)
            except OSError:
                continue
            if "oom_kill" in words:
                return int(words["oom_kill"])
    return 0
