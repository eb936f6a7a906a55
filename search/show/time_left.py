"""How long a search takes: before it begins, by its size's guide; while it runs, by the epochs seen here."""

from __future__ import annotations

from collections.abc import Sequence

from search.contract import Size
from search.database.leases import Progress
from search.rules.durations import OF_A_TRIAL, REFIT_AT_MOST, TO_LOAD
from search.rules.pruning import rungs_before_the_end
from search.settings import IMAGES_PER_SECOND
from search.studies.patience import most_trials
from search.studies.study import Study
from search.worker.joined_study import JoinedStudy
from search.worker.trial import LeasedTrial


def estimate(size: Size, study: Study, cores: int) -> float:
    """Seconds, by the size's guide for two cores, with what can be used of its minutes. Two trials in three are pruned
    at the first rung, if there is one."""
    train, refit = study.images(size)
    rung = next(iter(rungs_before_the_end(size)), size.epochs)
    epochs = size.budget * (size.epochs / 3 + rung * 2 / 3)
    rate = (size.images_per_second or IMAGES_PER_SECOND) * min(cores, 8) / 2
    seconds = TO_LOAD + OF_A_TRIAL * size.budget + (epochs * train + size.refit_epochs * refit) / rate
    more = (REFIT_AT_MOST - 1) * size.refit_epochs * refit / rate if size.budget else 0.0
    return max(seconds, min(seconds + more, 60 * (size.minutes or 0.0)))


def seconds_left(joined: JoinedStudy, progress: Progress, running: Sequence[LeasedTrial]) -> float | None:
    """If nothing more were pruned, the budget grew as far as it can and nobody else trained, by the last epochs seen
    here, no longer than HOURS allow; None before an epoch was, and of a plain function without them."""
    mine = [one.times.last for one in running if one.joined is joined and one.times.last]
    if not mine:
        return None
    epochs = progress.epochs_left(joined.study.epochs)
    if (most := most_trials(joined.study.size, joined.limits)) and not joined.study.refit:
        epochs += max(0, most - progress.budget) * joined.study.epochs
    knows_epochs = joined.study.epochs and not joined.limits.endless
    left = [sum(mine) / len(mine) * epochs] if knows_epochs else []
    if joined.limits.hours is not None:
        left.append(max(0.0, 3600 * joined.limits.hours - progress.seconds))
    return float(min(left) / len(running)) if left else None
