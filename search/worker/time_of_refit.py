"""How much of a time limit the refit needs, and what it makes of the rest, as the search's own trials say."""

from __future__ import annotations

import math
import time

from search.contract import Size, size_from_json
from search.rules.durations import REFIT_AT_MOST, seconds_of_refit
from search.studies.study import Study
from search.studies.winner import Speed
from search.worker.loop import Worker

AT_MOST = 0.75
"""Of the whole time: one that would take more has fewer epochs, if at least a trial's have room."""
USED = 0.9
"""Of the time that is left when the search has ended."""


class TimeOfRefit:
    """The seconds to be kept: 0 where they are not known yet, too few for anything, or others search on."""

    def __init__(self, worker: Worker, study: Study, whole: float | None) -> None:
        """``whole``: the time limit, in seconds from here; None: the size's minutes, which end nothing."""
        self._worker, self._study, self._whole = worker, study, whole or math.inf
        minutes = study.size.minutes
        self._end = time.monotonic() + (60 * minutes if whole is None and minutes is not None else self._whole)
        sizes = study.definition.get("sizes", {})  # a plain function has none
        declared = size_from_json(sizes[study.size_name]) if study.size_name in sizes else study.size
        self._length_is_given = _length(study.size) != _length(declared)
        """Whether somebody said how many epochs, or images, and means as many."""
        self._last_epoch, self._rate, self._busy = 0.0, 0.0, 0
        self._rates: dict[int, float] = {}
        self._asked, self._others = -math.inf, False

    def __call__(self) -> float:
        self._look()
        if math.isinf(self._whole) or self._are_others_there() or not self._rate:
            return 0.0
        most = AT_MOST * self._whole
        usual, least = (self._last_epoch + self._seconds(epochs, self._rate) for epochs in (self._usual, self._least))
        if usual <= most:
            return usual
        return most if least <= most and not self._length_is_given else 0.0

    @property
    def _usual(self) -> int:
        return self._study.size.refit_epochs

    @property
    def _least(self) -> int:
        """Fewer would be no better than the trial itself."""
        return min(self._usual, self._study.epochs)

    def epochs(self, winner: Speed | None) -> int | None:
        """As many as there is time for when the search has ended; None: the size's, where nobody knows, or as many as
        somebody asked for. Fewer than the size's only where a time limit ends it, and no fewer than a trial has.

        Some hyperparameters take longer than others: what is trained again has its own speed, here if it was trained
        here, else no more than what was.
        """
        if not self._rate or math.isinf(self._end) or self._length_is_given:
            return None
        rate = self._rate
        if winner is not None:
            rate = self._rates.get(winner.lease) or min(rate, winner.images_per_second or rate)
        begin = self._seconds(0, rate)
        left = USED * (self._end - time.monotonic()) - begin
        room = int(left / (self._seconds(1, rate) - begin))
        least = self._usual if math.isinf(self._whole) else self._least
        return max(least, min(REFIT_AT_MOST * self._usual, room))

    def _look(self) -> None:
        """At what runs: how fast one is beside so many others. With fewer at the end each is faster."""
        mine = [one for one in self._worker.trials.values() if one.joined.study.key == self._study.key]
        searched, _ = self._images
        by_rate = searched > 1
        seconds = [
            one.training_seconds or (searched / one.rate if one.rate and by_rate else one.times.last) for one in mine
        ]
        rates = {
            one.lease.number: searched / took
            for one, took in zip(mine, seconds, strict=True)
            if took and math.isfinite(took)
        }
        if not rates:
            return
        on_cores = not any(seat.devices.gpus for seat in self._worker.seats)
        # What runs ends its epoch first, if little is left of it.
        self._last_epoch = min(self._worker.settings.grace, max(one.times.longest for one in mine))
        busy = len(mine) if on_cores and not any(one.is_alone for one in mine) else 1
        if busy >= self._busy:
            self._rates = {**self._rates, **rates} if busy == self._busy else rates
            self._rate, self._busy = sum(rates.values()) / len(rates), busy

    @property
    def _images(self) -> tuple[int, int]:
        """Of an epoch of a trial and of the refit; where nobody says how many, one: then an epoch takes as long."""
        searched, again = self._study.images(self._study.size)
        return (searched, again) if searched and again else (1, 1)

    def _seconds(self, epochs: int, rate: float) -> float:
        images = epochs * self._images[1]
        return seconds_of_refit(images, rate, children=self._busy)

    def _are_others_there(self) -> bool:
        """Asked now and then: who searches on would have to be waited for."""
        if time.monotonic() - self._asked > self._worker.settings.look_again:
            self._asked = time.monotonic()
            self._worker.outage.attempt(self._ask)
        return self._others

    def _ask(self) -> None:
        self._others = self._worker.joined[self._study.key].has_others()


def _length(size: Size) -> tuple[object, ...]:
    return size.epochs, size.train_images, size.refit_epochs, size.refit_images, size.minutes
