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
from search.studies.winner import Record

_KIND = "test-"
"""Kinds of the records of looks begin so; the model's checksum follows."""
_SCORES = "test.json"


def count(files: Files, study: Study) -> int:
    """How often the test set was looked at in this study."""
    return len(files.of_kind(study.key, _KIND))


def earlier(files: Files, study: Study, model: Record, folder: Path) -> Mapping[str, Any] | None:
    """The scores of the look that was taken for this model, its files then in ``folder``; None: none was finished."""
    for record in files.of_kind(study.key, _kind(model)):
        shutil.rmtree(folder, ignore_errors=True)
        files.fetch(record, folder)
        if (folder / _SCORES).is_file():
            return dict(json.loads((folder / _SCORES).read_text()))
    return None


def take(
    files: Files, study: Study, model: Record, folder: Path, kept: Path, evaluate: Callable[[], Mapping[str, Any]]
) -> Mapping[str, Any]:
    """A new look at the model that lies in ``folder``; what ``evaluate`` adds there is copied to ``kept`` and stored."""
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir()
    kind = f"{_kind(model)}-{secrets.token_hex(4)}"
    _record(files, study, kind, kept)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    scores = evaluate()
    (kept / _SCORES).write_text(json.dumps(scores))
    for path in folder.iterdir():
        if before.get(path) != path.stat().st_mtime_ns:
            shutil.copy2(path, kept)
    _record(files, study, kind, kept)
    return dict(json.loads((kept / _SCORES).read_text()))


def add_files(kept: Path, folder: Path) -> None:
    """What a look left beside its scores."""
    for path in kept.iterdir():
        if path.name != _SCORES:
            shutil.copy2(path, folder)


def _kind(model: Record) -> str:
    return f"{_KIND}{model.sha256[:12]}"


def _record(files: Files, study: Study, kind: str, kept: Path) -> None:
    with closing(packed(kept)) as content:
        files.keep_for_study(study.key, kind, content)
