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
from search.export.scores import Evaluate, Scores, score
from search.files.records import Files
from search.studies.winner import Winner


def export(
    storage: FencedStorage,
    winner: Winner,
    files: Files,
    target: Path,
    evaluate: Evaluate | None,
    *,
    test: bool,
) -> dict[str, Any]:
    """Writes the folder anew and returns its report. Without ``evaluate`` only what the database itself knows.

    ``test``: looks at the test set, unless that was done for this model.
    """
    shown = winner.study.shown
    _refuse_strangers(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        folder = Path(scratch) / "export"
        folder.mkdir()
        scores = score(winner, files, folder, evaluate, shown=shown, test=test) if evaluate else Scores()
        looks = Looks(files, winner.study, folder).count()
        found = report(storage.engine, winner, scores, looks)
        _write(folder, found, shown)
        if target.exists():
            shutil.rmtree(target)
        folder.rename(target)
    return found


def _refuse_strangers(target: Path) -> None:
    """An export replaces an earlier one, and nothing else."""
    ours = target.is_dir() and ((target / "report.json").is_file() or not any(target.iterdir()))
    if target.exists() and not ours:
        raise SearchError(f"{target} holds something else than an export. Give another folder: --to DIR")


def _write(folder: Path, found: Mapping[str, Any], shown: Shown) -> None:
    for name in shown.private:
        (folder / name).unlink(missing_ok=True)
    (folder / "report.json").write_text(json.dumps(found, indent=2) + "\n")
    (folder / "report.md").write_text(markdown(found, shown, sorted(path.name for path in folder.iterdir())))
    (folder / "hyperparameters.json").write_text(json.dumps(found["hyperparameters"], indent=2) + "\n")
