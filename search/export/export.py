"""``exports/STUDY``: written whole beside its place, then put there; it replaces an earlier export and nothing else."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.contract import Shown
from search.database.fence import FencedStorage
from search.errors import SearchError
from search.export.looks_at_test import Looks
from search.export.report_json import report
from search.export.report_md import markdown
from search.export.scores import Evaluate, Scores, kept_by_a_function, score
from search.files.paths import is_key
from search.files.records import Files
from search.rules.readable import finite
from search.studies.study import Study
from search.studies.winner import Winner

MARK = ".search-export"
"""The file in each export that says of which study it is: only such a folder is replaced."""


def export(
    storage: FencedStorage,
    winner: Winner,
    files: Files,
    target: Path,
    evaluate: Evaluate | None,
    *,
    test: bool,
    model: bool = True,
) -> dict[str, Any]:
    """Writes the folder anew and returns its report. Without ``model`` only what the database itself knows.

    ``evaluate``: None for a plain function, which has said what it is worth. ``test``: looks at the test set, unless
    that was done for this model.
    """
    shown, target = winner.study.shown, target.resolve()
    _earlier_export(winner.study, target)
    with _scratch_beside(target) as scratch:
        folder = Path(scratch) / "export"
        folder.mkdir()
        looks = Looks(storage.engine, files, winner.study, folder.parent / "look")
        if not model:
            scores = Scores()
        elif evaluate is None:
            scores = kept_by_a_function(winner, files, folder)
        else:
            scores = score(winner, files, looks, folder, evaluate, test=test)
        found = report(storage.engine, winner, scores, looks.by_study())
        _write(folder, found, shown)
        (folder / MARK).write_text(json.dumps({"study": winner.study.name, "key": winner.study.key}) + "\n")
        # Asked again: meanwhile a model was scored, which takes minutes.
        if (earlier := _earlier_export(winner.study, target)) is not None:
            target.rename(earlier)
        elif target.exists():
            shutil.rmtree(target)
        folder.rename(target)
    return found


def _scratch_beside(target: Path) -> tempfile.TemporaryDirectory[str]:
    """On the same file system, and before anything is computed: SearchError where nothing can be written."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-")
    except OSError as error:
        raise SearchError(f"{target} cannot be written: {error.strerror}. Give another folder: TO=DIR") from None


def _earlier_export(study: Study, target: Path) -> Path | None:
    """Where an export goes that lies at ``target`` and is of a study that had the same name; None: it is replaced.

    SearchError where something else lies there, or the export of another study.
    """
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return None
    marked = _marked(target)
    if marked is None:
        raise SearchError(
            f"{target} holds something else than an export, which has a file {MARK}. Give another folder: TO=DIR"
        )
    name, key = marked
    if name != study.name:
        raise SearchError(f"{target} is an export of {name!r}, not of {study.name!r}. Give another folder: TO=DIR")
    return None if key == study.key else _free(target.with_name(f"{target.name}.{key[:8]}"))


def earlier_report(study: Study, target: Path) -> dict[str, Any] | None:
    """The report of this study's export that lies at ``target``; None where there is none."""
    marked = _marked(target)
    report = _read_json(target / "report.json") if marked and marked[1] == study.key else {}
    return report or None


def _marked(folder: Path) -> tuple[str, str] | None:
    """Name and key of the study that this folder is an export of."""
    mark = _read_json(folder / MARK)
    return (mark["study"], mark["key"]) if isinstance(mark.get("study"), str) and is_key(mark.get("key")) else None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _free(path: Path) -> Path:
    if path.exists():
        raise SearchError(f"{path} is in the way of an earlier export. Move it, or give another folder: TO=DIR")
    return path


def _write(folder: Path, found: Mapping[str, Any], shown: Shown) -> None:
    for name in shown.private:
        (folder / name).unlink(missing_ok=True)
    (folder / "report.json").write_text(json.dumps(finite(found), indent=2, allow_nan=False) + "\n")
    (folder / "report.md").write_text(markdown(found, shown, sorted(path.name for path in folder.iterdir())))
    (folder / "hyperparameters.json").write_text(json.dumps(found["hyperparameters"], indent=2) + "\n")
