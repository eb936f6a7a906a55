"""How much of a time limit the refit will need, as the search's own trials say while they run."""

from __future__ import annotations

import math
import time

from search.rules.durations import seconds_of_refit
from search.studies.study import Study
from search.worker.loop import Worker

AT_MOST = 0.75
"""Of the whole time; a refit that would take more is not begun."""


class TimeOfRefit:
    """The seconds to be kept: 0 where they are not known yet, are too many, or others search on."""

    def __init__(self, worker: Worker, study: Study, whole: float | None) -> None:
        self._worker, self._study, self._whole = worker, study, whole or math.inf
        self._seconds, self._asked, self._others = 0.0, -math.inf, False

    def __call__(self) -> float:
        if self._are_others_there():
            return 0.0
        mine = [one for one in self._worker.trials.values() if one.joined.study.key == self._study.key]
        searched, images = self._study.images(self._study.size)
        rates = [rate for one in mine if (rate := one.rate or (one.times.last and searched / one.times.last))]
        if rates and images:
            on_cores = not any(seat.devices.gpus for seat in self._worker.seats)
            # What runs ends its epoch first, if little is left of it.
            epoch = min(self._worker.settings.grace, max(one.times.longest for one in mine))
            self._seconds = epoch + seconds_of_refit(
                self._study.size.refit_epochs * images,
                sum(rates) / len(rates),
                children=len(self._worker.seats) if on_cores and not any(one.is_alone for one in mine) else 1,
            )
        return self._seconds if self._seconds <= AT_MOST * self._whole else 0.0

    def _are_others_there(self) -> bool:
        """Asked now and then: who searches on would have to be waited for."""
        if time.monotonic() - self._asked > self._worker.settings.look_again:
            self._asked = time.monotonic()
            self._worker.outage.attempt(self._ask)
        return self._others

    def _ask(self) -> None:
        self._others = self._worker.joined[self._study.key].has_others()
