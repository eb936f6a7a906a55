"""The best model of a study as a folder: the model, ``report.json``, and what reads from them.

The test set is scored once per model, when a refit is done or on request; every look is recorded before it is taken.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import secrets
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from optuna.trial import FrozenTrial

from search.contract import Split, seed_for
from search.errors import SearchError
from search.fence import FencedStorage
from search.files import Files, packed
from search.report import markdown
from search.sources import model_of, refit_model
from search.studies import Joined, best_trial, refit_of, revision

LOOK = "test-"
"""Kinds of the records of looks at the test set begin so; the model's checksum follows."""
_TEST_SCORES = "test.json"

Evaluate = Callable[[Path, Split], Mapping[str, Any]]
"""(what train left, split) -> metrics, computed in a child."""


@dataclass(frozen=True)
class Winner:
    """What is exported: the best trial of the search and, where one is done for it, its refit."""

    study: Joined
    trial: FrozenTrial
    searched: sa.Row[Any] | None
    """The record of the best trial's own model."""
    refit: Joined | None
    refitted: sa.Row[Any] | None


def winner(storage: FencedStorage, study: Joined) -> Winner:
    """The best complete trial and its models. SearchError where no trial is complete."""
    if study.refit:
        raise SearchError(f"{study.name!r} is a refit. Export its study: make export STUDY={study.refit['study']}")
    best = best_trial(storage, study)
    if best is None:
        raise SearchError(f"no trial of {study.name!r} is complete yet. See how far: make status STUDY={study.name}")
    refit = refit_of(storage, study, best)
    refitted = refit_model(storage, refit) if refit else None
    return Winner(study, best, model_of(storage, study, best), refit, refitted)


def export(
    storage: FencedStorage,
    study: Joined,
    files: Files,
    target: Path,
    evaluate: Evaluate | None,
    *,
    test: bool,
    model: bool = True,
) -> dict[str, Any]:
    """Writes the folder anew and returns its report. ``model`` False: only what the database itself knows."""
    best = winner(storage, study)
    _refuse_strangers(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        folder = Path(scratch) / "export"
        folder.mkdir()
        scores = _scores(best, files, folder, evaluate, test=test) if model and evaluate else Scores()
        report = _report(storage, best, files, scores)
        _write(folder, report)
        if target.exists():
            shutil.rmtree(target)
        folder.rename(target)
    return report


def _refuse_strangers(target: Path) -> None:
    """An export replaces an earlier one, and nothing else."""
    ours = target.is_dir() and ((target / "report.json").is_file() or not any(target.iterdir()))
    if target.exists() and not ours:
        raise SearchError(f"{target} holds something else than an export. Give another folder: --to DIR")


@dataclass
class Scores:
    """What was measured for a report; None where it was not."""

    validation: Mapping[str, Any] | None = None
    test: Mapping[str, Any] | None = None
    model: Mapping[str, Any] | None = None
    training: Mapping[str, Any] | None = None
    refit: bool = False
    """Whether the exported model is the refit."""


def _scores(best: Winner, files: Files, folder: Path, evaluate: Evaluate, *, test: bool) -> Scores:
    """The model that is exported lies in ``folder`` afterwards: with its test scores the refit, else the best trial's.

    A refit has seen the validation images, so that without a look at the test set there is no figure of its own.
    """
    scores = Scores()
    refitted = best.refitted is not None and (test or _look(best, best.refitted, files, folder.parent / "look"))
    if best.searched is not None:
        searched = folder.parent / "searched" if refitted else folder
        files.fetch(best.searched, searched)
        scores.validation = dict(evaluate(searched, "validation"))
    exported = best.refitted if refitted or best.searched is None else best.searched
    if exported is None:
        return scores
    if exported is best.refitted:
        files.fetch(exported, folder)
    scores.refit = exported is best.refitted
    scores.test = _test(best, files, exported, folder, evaluate, look=test)
    training = folder / "training.json"
    scores.training = json.loads(training.read_text()) if training.is_file() else None
    scores.model = (scores.test or (None if scores.refit else scores.validation) or {}).get("model")
    scores.model = scores.model or _unevaluated(folder, scores.training)
    return scores


def _look(best: Winner, exported: sa.Row[Any], files: Files, kept: Path) -> bool:
    """Whether this model was scored on the test set before; what that look left is then in ``kept``."""
    for record in files.of_kind(best.study.key, _look_kind(exported)):
        shutil.rmtree(kept, ignore_errors=True)
        files.fetch(record, kept)
        if (kept / _TEST_SCORES).is_file():
            return True
    return False


def _look_kind(exported: sa.Row[Any]) -> str:
    return f"{LOOK}{exported.sha256[:12]}"


def _test(
    best: Winner, files: Files, exported: sa.Row[Any], folder: Path, evaluate: Evaluate, *, look: bool
) -> Mapping[str, Any] | None:
    """The test scores of the exported model: those of the first look or, if none was taken, of one taken now."""
    kept = folder.parent / "look"
    scored = kept / _TEST_SCORES
    if not _look(best, exported, files, kept):
        if not look:
            return None
        kept.mkdir(exist_ok=True)
        # Each look has a record of its own, made before it is taken: one that crashed was a look.
        kind = f"{_look_kind(exported)}-{secrets.token_hex(4)}"
        _record_look(best, files, kind, kept)
        before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
        scored.write_text(json.dumps(evaluate(folder, "test")))
        for path in folder.iterdir():
            if before.get(path) != path.stat().st_mtime_ns:
                shutil.copy2(path, kept)
        _record_look(best, files, kind, kept)
    for path in kept.iterdir():
        if path != scored:
            shutil.copy2(path, folder)
    return dict(json.loads(scored.read_text()))


def _record_look(best: Winner, files: Files, kind: str, kept: Path) -> None:
    with closing(packed(kept)) as content:
        files.keep_for_study(best.study.key, kind, content)


def _unevaluated(folder: Path, training: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The identity of a model that no child has loaded for this report."""
    model = next(folder.glob("model.*"), None)
    if model is None:
        return None
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    return {"file": model.name, "sha256": digest, "parameters": (training or {}).get("parameters")}


def _report(storage: FencedStorage, best: Winner, files: Files, scores: Scores) -> dict[str, Any]:
    study = best.study
    rows = storage.leases.rows(study.key)
    refit_rows = storage.leases.rows(best.refit.key) if best.refit else []
    trials = storage.get_all_trials(study.study_id, deepcopy=False)
    by_number = {row["number"]: next((t for t in trials if t._trial_id == row["trial_id"]), None) for row in rows}
    first = [_brief(by_number.get(number)) for number in range(len(study.definition["first"]))]
    looks = files.of_kind(study.key, LOOK)
    return {
        "study": study.name,
        "objective": study.objective,
        "size": {"name": study.size_name, **study.definition["size"]},
        "trial": best.trial.number,
        "metric": study.definition["metric"],
        "direction": study.definition["direction"],
        "value": best.trial.value,
        "exported": _exported(scores),
        "hyperparameters": best.trial.params,
        "validation": _without_model(scores.validation),
        "test": _without_model(scores.test),
        "model": _identity(scores.model),
        "test_openings": len(looks),
        "chosen": {
            "from": len(trials),
            "states": {s: sum(t.state.name.lower() == s for t in trials) for s in ("complete", "pruned", "fail")},
            "how": f"the best {study.definition['metric']} of a trial's best epoch, among complete trials",
            "first": first,
            "control": next((one for one in first if one and one["params"].get("init") == "scratch"), None),
        },
        "data": study.definition.get("data"),
        "source": study.definition.get("source"),
        "references": study.definition.get("references", {}),
        "curves": {"search": best.trial.user_attrs.get("epochs"), "refit": _refit_curve(storage, best)},
        "seeds": {"study": study.seed, "trial": study.trial_seed(best.trial.number)}
        | ({"refit": seed_for(best.refit.seed, "trial", 0)} if best.refit else {}),
        "cost": _cost(rows + refit_rows),
        "training": scores.training,
        "environment": environment(),
    }


def _cost(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Seconds as recorded at each epoch and at each end; lost are those of epochs that had to be repeated."""
    lost = sum(r["seconds"] * r["repeated"] / (r["epoch"] + r["repeated"]) for r in rows if r["repeated"])
    return {
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "seconds_lost": round(lost, 1),
        "epochs": sum(row["epoch"] + row["repeated"] for row in rows),
        "epochs_repeated": sum(row["repeated"] for row in rows),
        "interruptions": sum(len(json.loads(row["resumed_from"])) for row in rows),
    }


def _exported(scores: Scores) -> str:
    if scores.model is None:
        return "without a model"
    return "refit" if scores.refit else "best trial"


def _without_model(metrics: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if metrics is None else {key: value for key, value in metrics.items() if key != "model"}


def _identity(model: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if model is None else dict(model)


def _brief(trial: FrozenTrial | None) -> dict[str, Any] | None:
    if trial is None:
        return None
    return {"number": trial.number, "state": trial.state.name.lower(), "value": trial.value, "params": trial.params}


def _refit_curve(storage: FencedStorage, best: Winner) -> Any:
    if best.refit is None:
        return None
    trials = storage.get_all_trials(best.refit.study_id, deepcopy=False)
    return trials[0].user_attrs.get("epochs") if trials else None


def environment() -> dict[str, Any]:
    """Versions, machine and revision, for the record."""
    names = ("optuna", "keras", "tensorflow", "jax", "torch", "numpy", "scikit-learn", "sqlalchemy")
    versions: dict[str, str] = {}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "versions": versions,
        "revision": revision(),
    }


def _write(folder: Path, report: Mapping[str, Any]) -> None:
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    (folder / "report.md").write_text(markdown(report, sorted(path.name for path in folder.iterdir())))
    (folder / "hyperparameters.json").write_text(json.dumps(report["hyperparameters"], indent=2) + "\n")
    for name in ("predictions.npz", "history.json"):
        (folder / name).unlink(missing_ok=True)
