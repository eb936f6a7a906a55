"""Looks at the test set: one a model, each recorded before it is taken, so that one that crashed was a look.

What a look left, the scores and the files that ``evaluate`` added, is kept with the study and shown again.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from search.files.packing import packed
from search.files.records import Files
from search.studies.study import Study
from search.studies.winner import FileRecord

_KIND = "test-"
"""Kinds of the records of looks begin so; the model's checksum follows."""
_SCORES = "test.json"


class Looks:
    """Those at the test set in one study. ``kept`` is a folder to work in."""

    def __init__(self, files: Files, study: Study, kept: Path) -> None:
        self._files, self._study, self._kept = files, study, kept

    def count(self) -> int:
        """How often it was looked at."""
        return len(self._files.of_kind(self._study.key, _KIND))

    def earlier(self, model: FileRecord) -> Mapping[str, Any] | None:
        """The scores of the look that was taken for this model; None: none was finished."""
        for record in self._files.of_kind(self._study.key, _kind(model)):
            shutil.rmtree(self._kept, ignore_errors=True)
            self._files.fetch(record, self._kept)
            if (self._kept / _SCORES).is_file():
                return dict(json.loads((self._kept / _SCORES).read_text()))
        return None

    def take(self, model: FileRecord, folder: Path, evaluate: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """The scores of a new look at the model that lies in ``folder``. What ``evaluate`` adds there is kept too."""
        shutil.rmtree(self._kept, ignore_errors=True)
        self._kept.mkdir()
        kind = f"{_kind(model)}-{secrets.token_hex(4)}"
        self._record(kind)
        before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
        (self._kept / _SCORES).write_text(json.dumps(evaluate()))
        for path in folder.iterdir():
            if before.get(path) != path.stat().st_mtime_ns:
                shutil.copy2(path, self._kept)
        self._record(kind)
        return dict(json.loads((self._kept / _SCORES).read_text()))

    def add_files(self, folder: Path) -> None:
        """What the last look that was found or taken left beside its scores."""
        for path in self._kept.iterdir():
            if path.name != _SCORES:
                shutil.copy2(path, folder)

    def _record(self, kind: str) -> None:
        with closing(packed(self._kept)) as content:
            self._files.keep_for_study(self._study.key, kind, content)


def _kind(model: FileRecord) -> str:
    return f"{_KIND}{model.sha256[:12]}"
