"""What a signal does to a worker."""

from __future__ import annotations

import os
import signal
from types import FrameType

from search.worker.loop import Worker


def take_signals(worker: Worker) -> None:
    """The first Ctrl-C, SIGTERM or SIGHUP hands over, the second ends at once.

    What was to be ignored from the start stays so: SIGHUP under ``nohup``, Ctrl-C for a script's background command.
    """

    def handle(_number: int, _frame: FrameType | None) -> None:
        if worker.interrupted:
            worker.screen.end()
            worker.end_children()  # the database may be silent
            os._exit(130)
        if not worker.working:
            raise KeyboardInterrupt  # during an evaluation, say: nothing is held that could be handed over
        worker.interrupt()
        worker.screen.say("stopping: trials are handed over at their last checkpoint (again to stop at once)")

    signal.signal(signal.SIGTERM, handle)
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handle)
