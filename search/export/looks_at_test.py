"""Looks at the test set: one a model, each recorded before it is taken, so that one that crashed was a look.

They are counted per test set over the whole database. What a look left, the scores and the files that ``evaluate``
added, is kept with the study and shown again.
"""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from search.database import looks
from search.database.looks import Look, UnderWay
from search.errors import SearchError
from search.files.packing import packed
from search.files.records import Files
from search.settings import LOOK
from search.studies.study import Study
from search.studies.winner import FileRecord

_KIND = "test-"
"""Kinds of the records of looks begin so; the model's checksum and the look's name follow."""
_SCORES = "test.json"
_NAME = 8
"""So much of a look's name."""

Opened = Callable[[str | None], None]
"""Told the SHA-256 of the test data, None where their objective gives none, before anything is scored on them."""


class Looks:
    """Those at the test set of one study. ``kept`` is a folder to work in."""

    def __init__(self, engine: sa.Engine, files: Files, study: Study, kept: Path) -> None:
        self._engine, self._files, self._study, self._kept = engine, files, study, kept

    def by_study(self) -> dict[str, int]:
        """How often each study has looked at what this one looked at, by its name; empty where this one never did."""
        found = looks.by_study(self._engine, self._study.key)
        counted = {name[:_NAME] for name in looks.names(self._engine, self._study.key)}
        # Version 0.1 knew a look by the record of its scores alone.
        old = [one for one in self._files.of_kind(self._study.key, _KIND) if one.kind[-_NAME:] not in counted]
        if old:
            found[self._study.name] = found.get(self._study.name, 0) + len(old)
        return found

    def earlier(self, model: FileRecord) -> Mapping[str, Any] | None:
        """The scores of the look that was taken for this model; None: none was finished."""
        for record in self._files.of_kind(self._study.key, _kind(model)):
            shutil.rmtree(self._kept, ignore_errors=True)
            self._files.fetch(record, self._kept)
            if (self._kept / _SCORES).is_file():
                return dict(json.loads((self._kept / _SCORES).read_text()))
        return None

    def take(
        self, model: FileRecord, folder: Path, evaluate: Callable[[Opened], Mapping[str, Any]]
    ) -> Mapping[str, Any]:
        """The scores of a new look at the model that lies in ``folder``. What ``evaluate`` adds there is kept too.

        SearchError where somebody else is at it, or has been meanwhile.
        """
        taken: list[str] = []
        before = _times(folder)
        try:
            scores = evaluate(lambda test: taken.append(self._begin(model, test)))
            if not taken:
                raise TypeError("the test set was scored before the look at it was recorded")
            self._keep(model, taken[0], folder, before, scores)
        finally:
            for name in taken:
                looks.end(self._engine, name)
        return dict(json.loads((self._kept / _SCORES).read_text()))

    def _begin(self, model: FileRecord, test: str | None) -> str:
        key = self._study.key
        look = Look(key, self._study.name, test or key, model.sha256, socket.gethostname())
        begun = looks.begin(self._engine, look, timeout=LOOK)
        if isinstance(begun, UnderWay):
            raise SearchError(
                f"{begun.host} began to score this model of {self._study.name!r} on the test set {begun.seconds:.0f} s "
                "ago. Type the command again once that is done: its scores are shown then"
            )
        if self.earlier(model) is not None:  # between our looking for it and our turn
            looks.withdraw(self._engine, begun)
            raise SearchError(
                f"this model of {self._study.name!r} was scored on the test set meanwhile. "
                "Type the command again: those scores are shown then"
            )
        return begun

    def _keep(
        self, model: FileRecord, look: str, folder: Path, before: Mapping[Path, int], scores: Mapping[str, Any]
    ) -> None:
        shutil.rmtree(self._kept, ignore_errors=True)
        self._kept.mkdir()
        (self._kept / _SCORES).write_text(json.dumps(scores))
        for name, time in _times(folder).items():
            if before.get(name) != time:
                _copy(folder, name, self._kept)
        with closing(packed(self._kept)) as content:
            self._files.keep_for_study(self._study.key, f"{_kind(model)}-{look[:_NAME]}", content)

    def add_files(self, folder: Path) -> None:
        """What the last look that was found or taken left beside its scores."""
        for name in _times(self._kept):
            if name != Path(_SCORES):
                _copy(self._kept, name, folder)


def _times(folder: Path) -> dict[Path, int]:
    """When each file of a tree was written, by its name in it."""
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def _copy(folder: Path, name: Path, target: Path) -> None:
    (target / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(folder / name, target / name)


def _kind(model: FileRecord) -> str:
    return f"{_KIND}{model.sha256[:12]}"
