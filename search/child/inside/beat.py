"""A training that asks between batches whether to stop is heard of, however long its epochs are."""

from __future__ import annotations

import time

from search.child.inside.pipe_end import Line
from search.child.protocol import Beat
from search.settings import BEAT


class Heart:
    """Says now and then that it lives."""

    def __init__(self, line: Line) -> None:
        self._line, self._last = line, time.monotonic()

    def beat(self) -> None:
        """Cheap: says so only where that was a while ago."""
        now = time.monotonic()
        if now - self._last > BEAT:
            self._last = now
            self._line.send(Beat())
