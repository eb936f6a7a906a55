"""``report.json``: what was searched, how the winner was chosen, what it is worth, and where it all comes from."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import sqlalchemy as sa

from search.database.leases import Leases, Spent
from search.export.bought import bought
from search.export.scores import Scores
from search.rules.readable import readable
from search.studies.attributes import PRUNED_BY
from search.studies.provenance import revision
from search.studies.study import Study
from search.studies.trials import (
    TrialRow,
    all_trials,
    attribute_by_trial,
    best_trial,
    history,
    of_another_file,
    parameters,
)
from search.studies.winner import Winner


def report(engine: sa.Engine, winner: Winner, scores: Scores, looks: Mapping[str, int]) -> dict[str, Any]:
    """As JSON. ``looks``: how often each study looked at the test set."""
    study, best, refit = winner.study, winner.trial, winner.refit
    leases = Leases(engine).rows(study.key) + (Leases(engine).rows(refit.key) if refit else [])
    size = {**study.definition["size"], "refit_epochs": (refit or study).size.refit_epochs}
    spent = Leases(engine).spent(study.key).and_also(Leases(engine).spent(refit.key) if refit else Spent())
    return {
        "study": study.name,
        "objective": study.objective,
        "kind": study.definition["kind"],
        "size": {"name": study.size_name, **size, "budget": Leases(engine).budget(study.key)},
        "trial": best.number if best else None,
        "metric": study.definition["metric"],
        "direction": study.definition["direction"],
        "value": best.value if best else None,
        "exported": scores.exported,
        "hyperparameters": _hyperparameters(engine, winner),
        "reported": _last_of(engine, winner, scores),
        "validation": _without_model(scores.validation),
        "test": _without_model(scores.test),
        "model": dict(scores.model) if scores.model else None,
        "test_openings": sum(looks.values()),
        "test_openings_by_study": dict(looks),
        "chosen": _chosen(engine, winner),
        "bought": bought(engine, study),
        "data": study.definition.get("data"),
        "source": study.definition.get("source"),
        "references": dict(study.shown.references),
        "curves": {"search": _curve(engine, study, best) if best else None, "refit": _refit_curve(engine, refit)},
        "seeds": {"study": study.seed}
        | ({"trial": study.trial_seed(best.number)} if best else {})
        | ({"refit": refit.trial_seed(0)} if refit else {}),
        "cost": _cost(leases) | spent.as_json(),
        "training": scores.training,
        "environment": environment(),
    }


def _hyperparameters(engine: sa.Engine, winner: Winner) -> dict[str, Any]:
    """Without a search those that the refit was suggested, which may be fewer or more than were fixed."""
    trained = winner.trial or (best_trial(engine, winner.refit) if winner.refit else None)
    return parameters(engine, trained) if trained else {}


def _chosen(engine: sa.Engine, winner: Winner) -> dict[str, Any]:
    study = winner.study
    turned_down = {trial_id for trial_id, by in attribute_by_trial(engine, study, PRUNED_BY).items() if by == "size"}
    every = all_trials(engine, study)
    # What was turned down is no longer its lease's, which has another.
    trials = [trial for trial in every if trial.trial_id not in turned_down or trial.lease is not None]
    states, by_lease = Counter(trial.state for trial in trials), {trial.lease: trial for trial in trials}
    titles = study.definition.get("first_titles") or []
    first = [_brief(engine, by_lease.get(lease)) for lease in range(len(study.definition["first"]))]
    first = [one | {"title": title} if one else None for one, title in zip_longest(first, titles[: len(first)])]
    return {
        "from": len(trials),
        "states": {state: states[state] for state in ("complete", "pruned", "fail")},
        "turned_down": len(every) - len(trials),
        "how": _how(engine, winner),
        "first": first,
        "first_is": study.first_in_words,
        "sampler": study.sampler_in_words,
        "pruner": study.pruner_in_words,
        "control": _control(first, study.definition.get("without_source") or {}),
        "of_another_file": of_another_file(engine, study),
    }


def _how(engine: sa.Engine, winner: Winner) -> str:
    best, metric = best_trial(engine, winner.study), winner.study.definition["metric"]
    if winner.trial is None or best is None:
        return f"not at all, this is {winner.study.first_in_words}"
    if winner.trial.number != best.number:
        is_first = winner.trial.lease == 0
        return (
            f"{winner.study.first_in_words if is_first else 'what was trained again already'}: the best {metric}, "
            f"{readable(best.value or 0.0)} of trial {best.number}, may well be no better, and such a tie goes to what "
            f"was {'there first' if is_first else 'trained again'}"
        )
    of_what = "" if winner.study.is_plain else " of a trial's best epoch,"
    return f"the best {metric}{of_what} among complete trials"


def _control(first: Sequence[Mapping[str, Any] | None], without_source: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The trial from scratch at equal budget: the entry of ``first`` with what goes without a source."""
    if not without_source:
        return None
    return next((one for one in first if one and without_source.items() <= one["params"].items()), None)


def _brief(engine: sa.Engine, trial: TrialRow | None) -> dict[str, Any] | None:
    if trial is None:
        return None
    return {
        "number": trial.number,
        "state": trial.state,
        "value": trial.value,
        "params": parameters(engine, trial),
    }


def _last_of(engine: sa.Engine, winner: Winner, scores: Scores) -> dict[str, Any] | None:
    """What a plain function reported with its last step, under its own names: nothing else is known of its model."""
    study = winner.refit if scores.refit and winner.refit else winner.study
    trial = winner.trial if study is winner.study else best_trial(engine, study)
    if not study.is_plain or trial is None:
        return None
    found = history(engine, study, trial)
    last = max((len(row) for row in found.values()), default=0)
    return {name: row[-1] for name, row in found.items() if len(row) == last} or None


def _curve(engine: sa.Engine, study: Study, trial: TrialRow) -> Any:
    return history(engine, study, trial) or None


def _refit_curve(engine: sa.Engine, refit: Study | None) -> Any:
    trials = all_trials(engine, refit) if refit else []
    return _curve(engine, refit, trials[0]) if refit and trials else None


def _cost(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Seconds as recorded at each epoch and at each end; lost are those of epochs that had to be repeated."""
    lost = sum(r["seconds"] * r["repeated"] / (r["epoch"] + r["repeated"]) for r in rows if r["repeated"])
    return {
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "seconds_lost": round(lost, 1),
        "epochs": sum(row["epoch"] + row["repeated"] for row in rows),
        "epochs_repeated": sum(row["repeated"] for row in rows),
        "interruptions": sum(len(json.loads(row["resumed_from"])) for row in rows),
    }


def _without_model(metrics: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if metrics is None else {key: value for key, value in metrics.items() if key != "model"}


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
