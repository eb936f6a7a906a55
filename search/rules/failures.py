"""What becomes of a trial whose training ended early, and when failures stop a study."""

from __future__ import annotations

import enum
import errno
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from search.contract import BadCheckpointError, SearchError, Unusable
from search.rules.pruning import ran_out_of_memory
from search.settings import DEFAULTS

Cause = Literal["unusable", "checkpoint", "user", "error"]
_FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS}


class Verdict(enum.Enum):
    """On a trial whose training ended early."""

    PRUNED = "pruned"
    """Its hyperparameters lead nowhere; that is no failure."""
    FAILED = "fail"
    """Its objective raised: a unit of the budget is used up."""
    AGAIN = "again"
    """Its process died, or its local checkpoint is bad: an attempt, then it goes on from the stored checkpoint."""
    ELSEWHERE = "elsewhere"
    """This machine cannot run it: no attempt; the worker ends with one line."""


def cause_and_reason(error: Exception) -> tuple[Cause, str]:
    """What an exception that left a training means, and the line that says so.

    ``unusable``: its hyperparameters lead nowhere; ``checkpoint``: it cannot go on from this one; ``user``: something
    that a person can mend on this machine; ``error``: the objective's code.
    """
    if isinstance(error, Unusable):
        return "unusable", str(error)
    if memory := ran_out_of_memory(error):
        return "unusable", memory
    if isinstance(error, BadCheckpointError):
        return "checkpoint", str(error)
    if isinstance(error, SearchError):
        return "user", str(error)
    if isinstance(error, OSError):
        return "user" if error.errno in _FULL else "error", f"{error}".splitlines()[0][:500]
    return "error", f"{type(error).__name__}: {error}".splitlines()[0][:500]


def after_failure(cause: Cause, *, resumed_from_local: bool) -> Verdict:
    """For a training that said what went wrong."""
    if cause == "unusable":
        return Verdict.PRUNED
    if cause == "checkpoint":
        # A copy on this machine may be bad where the stored one is not: that one is tried next.
        return Verdict.AGAIN if resumed_from_local else Verdict.ELSEWHERE
    return Verdict.ELSEWHERE if cause == "user" else Verdict.FAILED


def attempts_used_up(attempts: int, at_most: int = DEFAULTS.attempts) -> str | None:
    """Why a trial that was claimed so often without a new checkpoint is failed; None: it has another attempt."""
    return f"{at_most} attempts ended without a new checkpoint" if attempts > at_most else None


def failures_that_stop(leases: Sequence[Mapping[str, Any]], failed_before: int, at_most: int) -> int:
    """So many failed trials stop the study, instead of burning its budget; 0: it goes on.

    Exceptions before any trial has finished an epoch are the objective's. ``leases`` are rows with state and epoch;
    ``failed_before``: those failed at its last stop, since when somebody has mended it.
    """
    failed = count_failed(leases) - failed_before
    progressed = any(row["epoch"] > 0 or row["state"] in {"complete", "pruned"} for row in leases)
    return failed if failed >= at_most and not progressed else 0


def count_failed(leases: Sequence[Mapping[str, Any]]) -> int:
    """Units of the budget that ended in failure; a pruned trial is none."""
    return sum(row["state"] == "fail" for row in leases)


def how_it_died(status: int | None, silent: float) -> str:
    """For who asks; ``status`` as ``subprocess`` gives it, None where the process does not end."""
    if silent:
        return f"was silent for {silent:.0f} s and killed"
    if status is None:
        return "does not answer"
    return f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
