"""What a trial has yet to hear: its child's messages, and two that the worker adds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

from search.child.protocol import Epoch, Last, Message


@dataclass
class Begin(Message):
    """The worker's own: the first of each trial."""


@dataclass
class Died(Last):
    """The worker's own: the child is gone, or was killed after ``silent`` seconds without a word."""

    status: int | None
    silent: float


def drop_stale_checkpoints(inbox: deque[Message]) -> None:
    """While epochs queue for a database that is away, only the newest checkpoints are worth their space."""
    for message in [one for one in inbox if isinstance(one, Epoch)][:-2]:
        if message.checkpoint:
            Path(message.checkpoint).unlink(missing_ok=True)
            message.checkpoint = None
