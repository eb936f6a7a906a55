"""How long a search takes: before it begins, by its size's guide; while it runs, by the epochs seen here."""

from __future__ import annotations

from collections.abc import Sequence

from search.contract import Size
from search.database.leases import Progress
from search.rules.durations import OF_A_TRIAL, TO_LOAD
from search.rules.pruning import rungs_before_the_end
from search.settings import IMAGES_PER_SECOND
from search.studies.study import Study
from search.worker.trial import LeasedTrial


def estimate(size: Size, study: Study, cores: int) -> float:
    """Seconds, by the size's guide for two cores. Two trials in three are pruned at the first rung, if there is one."""
    train, refit = study.images(size)
    rung = next(iter(rungs_before_the_end(size)), size.epochs)
    epochs = size.budget * (size.epochs / 3 + rung * 2 / 3)
    rate = (size.images_per_second or IMAGES_PER_SECOND) * min(cores, 8) / 2
    return TO_LOAD + OF_A_TRIAL * size.budget + (epochs * train + size.refit_epochs * refit) / rate


def seconds_left(study: Study, progress: Progress, running: Sequence[LeasedTrial]) -> float | None:
    """If nothing more were pruned, by the last epochs seen here; None before one was."""
    mine = [one.times.last for one in running if one.joined.study.key == study.key and one.times.last]
    if not mine:
        return None
    return float(sum(mine) / len(mine) * progress.epochs_left(study.epochs) / len(running))
