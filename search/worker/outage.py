"""While the database is away nothing is asked of it: training goes on, reports wait, and it is tried again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from search.database.errors import is_away, is_broken, reason
from search.errors import SearchError
from search.settings import Settings


class DatabaseBrokenError(SearchError):
    """It is there and no waiting makes it usable."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the database cannot be used any more: {why}. Make room, or put it back, then type the command again; "
            "trials go on from their last checkpoints."
        )


class Outage:
    """Whether the database is away. Everything that a worker asks of it goes through ``attempt``.

    ``back`` is called before the first thing that is tried after a pause.
    """

    def __init__(self, say: Callable[[str], None], settings: Settings, back: Callable[[], None]) -> None:
        self._say, self._settings, self._back = say, settings, back
        self._since: float | None = None
        self._retry_at = 0.0

    @property
    def lasts(self) -> bool:
        """Nothing is tried now."""
        return time.monotonic() < self._retry_at

    @property
    def is_known(self) -> bool:
        """It was away when it was last asked, or is broken."""
        return self._since is not None or self.lasts

    def attempt(self, action: Callable[[], Any]) -> None:
        """Does it, or nothing while the database is away. Raises DatabaseBrokenError, after which nothing is tried."""
        if self.lasts:
            return
        try:
            if self._since is not None:
                self._back()
            action()
        except Exception as error:
            if is_broken(error):
                self._retry_at = math.inf
                raise DatabaseBrokenError(reason(error)) from error
            if not is_away(error):
                raise
            self._wait(reason(error))
        else:
            if self._since is not None:
                self._say(f"the database is back after {time.monotonic() - self._since:.0f} s")
                self._since = None

    def _wait(self, why: str) -> None:
        now = time.monotonic()
        if self._since is None:
            self._since = now
            self._say(f"the database is away ({why}): training goes on, reports wait")
        self._retry_at = now + min(self._settings.longest_pause, self._settings.first_pause + (now - self._since))
