"""How long a search takes: before it begins, by its size's guide; while it runs, by the epochs seen here."""

from __future__ import annotations

import math
from collections.abc import Sequence

from search.contract import Size
from search.database.leases import Progress
from search.rules.pruning import rungs_before_the_end
from search.settings import IMAGES_PER_SECOND
from search.studies.study import Study
from search.worker.loop import Worker
from search.worker.trial import LeasedTrial

_START, _TRIAL = 20.0, 5.0
"""Seconds to load Keras once, and to build and trace a network for each trial."""


def estimate(size: Size, study: Study, cores: int) -> float:
    """Seconds, by the size's guide for two cores. Two trials in three are pruned at the first rung, if there is one."""
    train, refit = images(size, study)
    rung = next(iter(rungs_before_the_end(size)), size.epochs)
    epochs = size.budget * (size.epochs / 3 + rung * 2 / 3)
    rate = (size.images_per_second or IMAGES_PER_SECOND) * min(cores, 8) / 2
    return _START + _TRIAL * size.budget + (epochs * train + size.refit_epochs * refit) / rate


def images(size: Size, study: Study) -> tuple[int, int]:
    """Those of a trial, and those of the refit; no more than there are, where it is known how many."""
    data = study.definition.get("data") or {}
    every = int(data.get("images", 0))
    if not every:
        return size.train_images or 0, size.refit_images or 0
    # The study's own cut may have found fewer to validate on than its size asks for.
    own = size.validation_images == study.size.validation_images
    held_out = int(data.get("validation", size.validation_images)) if own else size.validation_images
    others = max(0, every - held_out)
    return min(size.train_images or others, others), min(size.refit_images or every, every)


def seconds_left(study: Study, progress: Progress, running: Sequence[LeasedTrial]) -> float | None:
    """If nothing more were pruned, by the last epochs seen here; None before one was."""
    mine = [one.times.last for one in running if one.joined.study.key == study.key and one.times.last]
    if not mine:
        return None
    return float(sum(mine) / len(mine) * progress.epochs_left(study.epochs) / len(running))


class TimeOfRefit:
    """The seconds of a time limit that are to be kept for the refit, by what is measured while the search runs.

    0 until a trial has said how many images a second it does, and where the refit would take more than ``AT_MOST`` of
    the ``whole`` time: then it is not begun.
    """

    AT_MOST = 0.75

    def __init__(self, worker: Worker, study: Study, whole: float | None) -> None:
        self._worker, self._study, self._whole = worker, study, whole or math.inf
        self._rate = 0.0

    def __call__(self) -> float:
        mine = [one for one in self._worker.trials.values() if one.joined.study.key == self._study.key]
        rates = [one.rate for one in mine if one.rate]
        if rates:
            self._rate = sum(rates) / len(rates) * len(self._worker.seats)
        if not self._rate:
            return 0.0
        _, refit = images(self._study.size, self._study)
        needed = self._study.size.refit_epochs * refit / self._rate
        return needed if needed <= self.AT_MOST * self._whole else 0.0


def duration(seconds: float) -> str:
    """``40 s``, ``25 min``, ``3.5 h``, ``2.1 days``."""
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 3600:.1f} h" if seconds < 86400 else f"{seconds / 86400:.1f} days"
