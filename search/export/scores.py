"""Which of the winner's models is exported, and what it is worth."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.contract import Shown, Split
from search.errors import SearchError
from search.export.looks_at_test import Looks, Opened
from search.files.records import Files
from search.studies.winner import Winner

Evaluate = Callable[[Path, Split, Opened], Mapping[str, Any]]
"""(what train left, split, who must hear of the test data before they are scored) -> metrics, computed in a child."""


@dataclass
class Scores:
    """What was measured for a report; None where it was not."""

    validation: Mapping[str, Any] | None = None
    test: Mapping[str, Any] | None = None
    model: Mapping[str, Any] | None = None
    training: Mapping[str, Any] | None = None
    """How the exported model came to be, in its objective's own words."""
    refit: bool = False
    """Whether the exported model is the refit."""

    @property
    def exported(self) -> str:
        """What the export holds, in words."""
        if self.model is None:
            return "without a model"
        return "refit" if self.refit else "chosen trial"


def score(winner: Winner, files: Files, looks: Looks, folder: Path, evaluate: Evaluate, *, test: bool) -> Scores:
    """The model that is exported lies in ``folder`` afterwards: with its test scores the refit, else the best trial's.

    A refit has seen the validation data, so that without a look at the test set there is no figure of its own.
    """
    if test and winner.refit_failed and winner.refitted is None:
        raise SearchError(
            f"the refit of {winner.study.name!r} ended as {winner.refit_failed}, and the test set is not looked at for "
            f"another model. Again: make refit STUDY={winner.study.name}, or export without TEST"
        )
    scores, shown = Scores(), winner.study.shown
    refitted, searched = winner.refitted, winner.searched
    seen = None if refitted is None else looks.earlier(refitted)
    scores.refit = refitted is not None and (test or seen is not None or searched is None)
    if searched is not None:
        own = folder.parent / "searched" if scores.refit else folder
        files.fetch(searched, own)
        scores.validation = dict(evaluate(own, "validation", _unheard))
    exported = refitted if scores.refit else searched
    if exported is None:
        return scores
    if scores.refit:
        files.fetch(exported, folder)
    else:
        seen = looks.earlier(exported)
    if seen is None and test:
        seen = looks.take(exported, folder, lambda opened: evaluate(folder, "test", opened))
    if seen is not None:
        looks.add_files(folder)
    scores.test = seen
    scores.training = _training(folder, shown)
    scores.model = (seen or (None if scores.refit else scores.validation) or {}).get("model")
    scores.model = scores.model or _unevaluated(folder, shown, scores.training)
    return scores


def kept_by_a_function(winner: Winner, files: Files, folder: Path) -> Scores:
    """What a plain function left in its run's ``model`` lies in ``folder`` afterwards: the refit's, where there is one.

    What that is worth only the function can say, which has reported it.
    """
    scores = Scores(refit=winner.refitted is not None)
    if winner.record is not None:
        files.fetch(winner.record, folder)
        scores.model = _unevaluated(folder, winner.study.shown, None) or {"file": "", "sha256": winner.record.sha256}
    return scores


def _unheard(_test: str | None) -> None:
    """Validation data are nobody's secret."""


def _training(folder: Path, shown: Shown) -> Mapping[str, Any] | None:
    path = folder / shown.training
    return dict(json.loads(path.read_text())) if shown.training and path.is_file() else None


def _unevaluated(folder: Path, shown: Shown, training: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The identity of a model that no child has loaded for this report."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    model = next(folder.glob(shown.model or "model.*"), files[0] if len(files) == 1 else None)
    if model is None:
        return None
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    return {
        "file": model.relative_to(folder).as_posix(),
        "sha256": digest,
        "parameters": (training or {}).get("parameters"),
    }
