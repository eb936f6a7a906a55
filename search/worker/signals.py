"""What a signal does to a worker."""

from __future__ import annotations

import os
import signal
import time
from types import FrameType

from search.worker.loop import Worker

ONE_EVENT = 0.5
"""Seconds. A terminal that is closed sends SIGHUP by way of its shell and of the kernel; that is not "again"."""


def take_signals(worker: Worker) -> None:
    """The first Ctrl-C, SIGTERM or SIGHUP hands over, the second ends at once.

    What was to be ignored from the start stays so: SIGHUP under ``nohup``, Ctrl-C for a script's background command.
    """

    first = 0.0

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal first
        now = time.monotonic()
        if worker.interrupted and now - first < ONE_EVENT:
            return
        if worker.interrupted:
            worker.screen.end()
            worker.end_children()  # the database may be silent
            os._exit(130)
        first = now
        worker.interrupt()
        if not worker.working:
            # During an evaluation, say: nothing is held that could be handed over. Where a garbage collector swallows
            # it, the next work ends as it begins.
            raise KeyboardInterrupt
        worker.screen.say("stopping: trials are handed over at their last checkpoint (again to stop at once)")

    signal.signal(signal.SIGTERM, handle)
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handle)
