"""What a trial has yet to hear: its child's messages, and those that the worker adds."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from search.child.protocol import Epoch, Last, Message, OfTrial, Unreadable
from search.worker.trial_folder import remove


@dataclass
class Begin(Message):
    """The worker's own: the first of each trial."""


@dataclass
class TimeUp(Message):
    """The worker's own: the trial has taken as long as it may."""


@dataclass
class Broken(Last):
    """The worker's own: it has a bug, which a message of this trial has shown; its child is gone."""

    bug: str


@dataclass
class Died(Last):
    """The worker's own: the child is gone, or was killed after ``silent`` seconds or for what it ``wrote``."""

    status: int | None
    silent: float
    wrote: str = ""


def what_a_trial_says(messages: Sequence[Message]) -> tuple[list[Message], str]:
    """Up to the first that no trial has to say; and what that was, or nothing."""
    heard: list[Message] = []
    for message in messages:
        if isinstance(message, Unreadable):
            return heard, message.why
        if not isinstance(message, OfTrial):
            return heard, f"wrote a {type(message).__name__} into its pipe, which is not for a trial to say,"
        heard.append(message)
    return heard, ""


def drop_stale_checkpoints(inbox: deque[Message]) -> None:
    """While epochs queue for a database that is away, only the newest checkpoints are worth their space."""
    for message in [one for one in inbox if isinstance(one, Epoch)][:-2]:
        if message.checkpoint:
            remove(Path(message.checkpoint))
            message.checkpoint = None
