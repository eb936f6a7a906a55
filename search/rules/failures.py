"""What becomes of a trial whose training ended early, and when failures stop a study."""

from __future__ import annotations

import enum
import errno
from typing import Literal

from search.contract import BadCheckpointError, SearchError, Unusable
from search.errors import UnsupportedError
from search.rules.pruning import ran_out_of_memory
from search.settings import DEFAULTS, ERRORS_TRIED_AGAIN

Cause = Literal["unusable", "checkpoint", "user", "unsupported", "error"]
_FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS}


class Verdict(enum.Enum):
    """On a trial whose training ended early."""

    PRUNED = "pruned"
    """Its hyperparameters lead nowhere; that is no failure."""
    FAILED = "fail"
    """Its objective raised, again: a unit of the budget is used up."""
    ELSEWHERE_AGAIN = "elsewhere again"
    """Its objective raised for the first time: another worker tries once more, if there is one."""
    FROM_EARLIER = "from earlier"
    """Its objective refuses the checkpoint: no attempt; it goes on from the one before."""
    ELSEWHERE = "elsewhere"
    """This machine cannot run it: no attempt; the worker ends with one line."""
    STOPS_THE_STUDY = "stops the study"
    """No machine can run this objective: no attempt, and nothing of the budget."""


def cause_and_reason(error: Exception) -> tuple[Cause, str]:
    """What an exception that left a training means, and the line that says so.

    ``unusable``: its hyperparameters lead nowhere; ``checkpoint``: it cannot go on from this one; ``user``: something
    that a person can mend on this machine; ``unsupported``: it asks for what there is not on any; ``error``: the
    objective's code.
    """
    name, text = type(error).__name__, first_line(error)
    if isinstance(error, Unusable):
        return "unusable", text or name
    if isinstance(error, MemoryError):
        return "unusable", ran_out_of_memory(text)
    if isinstance(error, BadCheckpointError):
        return "checkpoint", text or name
    if isinstance(error, SearchError):
        return "unsupported" if isinstance(error, UnsupportedError) else "user", text or name
    if isinstance(error, OSError) and error.errno in _FULL:
        return "user", text
    return "error", f"{name}: {text}" if text else name


def first_line(error: BaseException) -> str:
    """The first line of what an exception says that says anything; empty where none does."""
    try:
        lines = str(error).splitlines()
    except Exception:  # noqa: BLE001 - somebody else's class, and nothing may come in the way of the report
        lines = []
    return next((line.strip() for line in lines if line.strip()), "")[:500]


def after_failure(cause: Cause, *, errors: int) -> Verdict:
    """For a training that said what went wrong. ``errors``: exceptions of this trial before this one."""
    if cause == "unusable":
        return Verdict.PRUNED
    if cause == "checkpoint":
        return Verdict.FROM_EARLIER
    if cause in {"user", "unsupported"}:
        return Verdict.ELSEWHERE if cause == "user" else Verdict.STOPS_THE_STUDY
    return Verdict.FAILED if errors >= ERRORS_TRIED_AGAIN else Verdict.ELSEWHERE_AGAIN


def attempts_used_up(attempts: int, at_most: int = DEFAULTS.attempts) -> str | None:
    """Why a trial that was claimed so often without a new checkpoint is failed; None: it has another attempt."""
    return f"{at_most} attempts ended without a new checkpoint" if attempts > at_most else None


def gives_up(failures_in_a_row: int, at_most: int) -> bool:
    """Whether a worker leaves a study to the others: so many of its trials raised in a row before any report.

    It may be the machine that is broken, so that the budget is left alone.
    """
    return failures_in_a_row >= at_most


def how_it_died(status: int | None, silent: float, wrote: str = "") -> str:
    """For who asks; ``status`` as ``subprocess`` gives it, None where the process does not end.

    ``silent`` and ``wrote`` say why we ended it ourselves.
    """
    if wrote:
        return f"{wrote} and was killed"
    if silent:
        return f"was silent for {silent:.0f} s and killed"
    if status is None:
        return "does not answer"
    return f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
