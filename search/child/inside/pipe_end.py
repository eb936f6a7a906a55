"""The training process's end of the pipe."""

from __future__ import annotations

import os
import queue
import signal
import threading
from typing import Any, NoReturn

from search.child.pipe import Pipe
from search.child.protocol import Answer, Message, Stop
from search.trial_run import StopReason


def end_all() -> NoReturn:
    """Ends this process and what it has started, where it leads a session of its own."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


class Line:
    """The child's end of the pipe, read by a thread so that a stop is seen while the main thread trains."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._stopped: Stop | None = None
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for message in self._pipe.messages():
            if isinstance(message, Stop):
                self._stopped = message
            else:
                self._inbox.put(message)
        end_all()

    def stopped(self, run: str) -> StopReason | None:
        """Why this run was told to stop, if it was; a stop that comes late is for an earlier one."""
        stop = self._stopped
        return stop.reason if stop is not None and stop.run == run else None

    def send(self, message: Message) -> None:
        """Where the worker is gone, this process ends."""
        try:
            self._pipe.send(message)
        except OSError:
            end_all()

    def receive(self) -> Message:
        """The next that is no stop."""
        return self._inbox.get()

    def ask(self, message: Message) -> Any:
        """Sends and waits for the answer; an error there is raised here."""
        self.send(message)
        answer = self.receive()
        if not isinstance(answer, Answer):
            raise TypeError(f"{answer} is no answer")
        if answer.error is not None:
            raise ValueError(answer.error)
        return answer.value
