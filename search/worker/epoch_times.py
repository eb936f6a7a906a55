"""A claim's clock: how long its epochs take, and which seconds are not in the lease's row yet."""

from __future__ import annotations

import math
import time


class EpochTimes:
    """Times in seconds, of this claim only."""

    def __init__(self) -> None:
        self.epochs = 0
        self.longest = self.last = 0.0
        self._epoch_began = self._accounted = time.monotonic()

    def begin(self) -> None:
        """The child is told to go."""
        self._epoch_began = self._accounted = time.monotonic()

    def epoch(self) -> None:
        """One is finished."""
        now = time.monotonic()
        self.last, self.epochs = now - self._epoch_began, self.epochs + 1
        self.longest = max(self.longest, self.last)
        self._epoch_began = now

    def left_of_epoch(self) -> float:
        """Infinite as long as nobody knows."""
        return self.longest - (time.monotonic() - self._epoch_began) if self.epochs else math.inf

    def unaccounted(self) -> float:
        """Seconds that are not in the lease's row yet."""
        return time.monotonic() - self._accounted

    def account(self) -> None:
        """Now they are."""
        self._accounted = time.monotonic()
