"""Questions to a child that are no trial: what an objective's file declares, and what a model is worth."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from search.child.process import Child
from search.child.protocol import (
    Answer,
    Definition,
    Describe,
    Evaluate,
    Failed,
    Message,
    Metrics,
    TestSet,
    Unreadable,
)
from search.child.seat import Seat
from search.contract import Split
from search.errors import SearchError
from search.rules.failures import how_it_died
from search.settings import DIRECTION, LOGS_KEPT

A = TypeVar("A", Definition, Metrics)


class Listener(Protocol):
    """Where somebody waits for the answer."""

    def say(self, text: str) -> None:
        """A line that stays."""

    def wait(self, seconds: float) -> None:
        """Called every second, with how long it takes already."""


class Asker:
    """Asks the child of one seat, which stays warm. What a child prints meanwhile goes to a log in ``folder``.

    The log is this asker's own, as other workers may share the folder; it goes with the answer, unless that names it.
    """

    def __init__(self, seat: Seat, folder: Path, data_dir: Path, listener: Listener) -> None:
        self._seat, self._folder, self._data_dir, self._listener = seat, folder, data_dir, listener
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"

    def beside(self, seat: Seat, listener: Listener) -> Asker:
        """Another, with a child of its own, for while the first's is at work."""
        return Asker(seat, self._folder, self._data_dir, listener)

    def describe(
        self,
        reference: str,
        *,
        size: Mapping[str, Any] | None = None,
        size_name: str | None = None,
        changes: Mapping[str, int] | None = None,
        direction: str | None = None,
        first: Sequence[str] = (),
        winners: Mapping[str, Mapping[str, Any]] | None = None,
        sampler: Mapping[str, Any] | None = None,
        pruner: Mapping[str, Any] | None = None,
        data_dir: Path | None = None,
    ) -> dict[str, Any]:
        """What the objective's file declares: the part of a study's definition that only it knows, as JSON.

        Give a study's own ``size``, or the name of one and changes to it; ``first``: points by name, of which
        ``winners`` has those that are not the objective's own; ``sampler`` and ``pruner``: instead of the objective's.
        ``data_dir``: where this study's data lie.
        SearchError with the one line where it fails.
        """
        log = self._new_log("describe")
        order = Describe(
            log=str(log),
            data_dir=str(data_dir or self._data_dir),
            size=size,
            size_name=size_name,
            changes=changes or {},
            direction=direction or DIRECTION,
            first=first,
            winners=winners or {},
            sampler=sampler,
            pruner=pruner,
        )
        return dict(self._ask(reference, order, log, Definition).definition)

    def evaluate(
        self,
        reference: str,
        folder: Path,
        split: Split,
        opened: Callable[[str | None], None],
        data_dir: Path | None = None,
    ) -> dict[str, Any]:
        """The metrics of the model in this folder, to which files may be added. SearchError where it fails.

        ``opened`` is told the SHA-256 of the test data before they are scored; a SearchError of its own refuses.
        """
        log = self._new_log("evaluate")
        order = Evaluate(str(log), str(folder.resolve()), str(data_dir or self._data_dir), split)
        return dict(self._ask(reference, order, log, Metrics, opened).metrics)

    def _new_log(self, name: str) -> Path:
        for old in self._folder.glob(f"{name}-*.log"):  # an error has named it, or its process was killed
            with contextlib.suppress(OSError):
                if time.time() - old.stat().st_mtime > LOGS_KEPT:
                    old.unlink()
        log = self._folder / f"{name}-{self._name}.log"
        log.unlink(missing_ok=True)
        return log

    def _ask(
        self,
        reference: str,
        order: Describe | Evaluate,
        log: Path,
        wanted: type[A],
        opened: Callable[[str | None], None] = lambda _: None,
    ) -> A:
        child = self._seat.child_for(reference)
        child.send(order)
        for message in self._heard(child, log):
            if isinstance(message, Failed):
                if message.cause in {"user", "unsupported"}:
                    log.unlink(missing_ok=True)
                    raise SearchError(message.why)
                raise SearchError(f"{message.why}. The traceback is in {log}")
            if isinstance(message, TestSet):
                child.send(_answer(opened, message))
            if isinstance(message, wanted):
                log.unlink(missing_ok=True)
                return message
            if isinstance(message, Unreadable):
                raise self._died(reference, log, message.why)
        raise self._died(reference, log)

    def _died(self, reference: str, log: Path, wrote: str = "") -> SearchError:
        """The child is gone or must go, and what it has started with it."""
        child = self._seat.give_up()
        status = child.ended() if child and not wrote else None
        if child and status is None:
            child.kill()
        how = how_it_died(status, 0.0, wrote)
        return SearchError(f"the process that loads the objective {reference!r} {how}. Its last words are in {log}")

    def _heard(self, child: Child, log: Path) -> Iterator[Message]:
        """Messages of a child with a task; what its log says of a download, which takes minutes, is shown."""
        shown, began = 0, time.monotonic()
        while True:
            self._listener.wait(time.monotonic() - began)
            lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
            for line in lines[shown:]:
                if line.startswith("downloading "):
                    self._listener.say(line)
            shown = len(lines)
            # Asked before the pipe, so that its last words are read: what it has forked may hold the pipe for ever.
            gone = child.gone()
            if select.select([child.pipe], [], [], 0.0 if gone else 1.0)[0]:
                messages = child.pipe.available()
                if messages is None:
                    return
                yield from messages
            elif gone:
                return


def _answer(opened: Callable[[str | None], None], message: TestSet) -> Answer:
    try:
        opened(message.sha256)
    except SearchError as refused:
        return Answer(error=str(refused))
    return Answer()
