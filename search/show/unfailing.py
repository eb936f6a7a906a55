"""Standard output that may lose its reader: a terminal that was closed, a pipe whose other end has gone."""

from __future__ import annotations

import os
from typing import TextIO


class Unfailing:
    """A stream whose writes do not fail. Once one has, all that is written to its descriptor is dropped.

    Trials are worth more than what is said of them: they must not be lost with the terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Returns the length, written or not."""
        try:
            self._stream.write(text)
        except OSError:
            self._drop()
        except RuntimeError:
            pass  # said by a signal's handler, in the middle of another write
        return len(text)

    def flush(self) -> None:
        """Where the failure mostly shows."""
        try:
            self._stream.flush()
        except OSError:
            self._drop()
        except RuntimeError:
            pass

    def _drop(self) -> None:
        """What is buffered goes the same way, and so does what others write: a traceback, the flush at the end."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, self._stream.fileno())
        finally:
            os.close(nowhere)
