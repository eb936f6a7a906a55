"""A refit: the best trial's hyperparameters trained again on all data, as a study of one trial, ``STUDY.refit``.

A study with a budget of no trials has no best one: what its objective would train unsearched takes its place.
"""

from __future__ import annotations

import contextlib

from search.database.fence import FencedStorage
from search.errors import SearchError
from search.studies.attributes import own
from search.studies.create import create
from search.studies.ended import nothing_is_complete
from search.studies.stop import let_go_on
from search.studies.study import REFIT, Study, find, still_there
from search.studies.trials import TrialRow, all_trials, attributes, chosen_trial, history, parameters


def ensure_refit(storage: FencedStorage, study: Study, epochs: int | None = None) -> Study:
    """The refit of the best trial, ready to be worked on; an earlier best's makes way. SearchError without a best.

    A new one has as many ``epochs``; None: its size's, or those of one that failed.
    """
    best = chosen_trial(storage.engine, study)
    if best is None and is_searched(storage, study):
        raise nothing_is_complete(storage.engine, study)
    refit = refit_of(storage, study, best)
    if refit is None:
        refit = _create(storage, study, best, find(storage.engine, study.name + REFIT), epochs)
    elif why_failed(storage, refit):
        refit = _create(storage, study, best, refit, refit.epochs if epochs is None else epochs)
    let_go_on(storage, refit)
    return refit


def is_searched(storage: FencedStorage, study: Study) -> bool:
    """Whether it has a budget, or was made to be trained without any search."""
    return storage.leases.budget(study.key) > 0


def is_complete(storage: FencedStorage, refit: Study) -> bool:
    """Whether it has a model to show."""
    return any(lease["state"] == "complete" for lease in storage.leases.rows(refit.key))


def refuse_without_run(storage: FencedStorage, study: Study) -> None:
    """SearchError for a plain function that would train again what it has trained, and keep nothing of it."""
    best = chosen_trial(storage.engine, study)
    if study.is_plain and best is not None and not history(storage.engine, study, best):
        raise SearchError(
            f"{study.name!r} is of a plain function whose trials report nothing through search.run(trial), so that "
            f"there is nothing to train again. Its best parameters: make export STUDY={study.name}"
        )


def why_failed(storage: FencedStorage, refit: Study) -> str | None:
    """How a refit ended that has no model to show for it; None: it is done, or on its way."""
    lease = next(iter(storage.leases.rows(refit.key)), None)
    if lease is None or lease["state"] in {"open", "complete"}:
        return None
    trial = next((one for one in all_trials(storage.engine, refit) if one.lease == lease["number"]), None)
    reason = own(attributes(storage.engine, trial), "reason", old=refit.is_old) if trial else None
    return f"{lease['state']}: {reason}" if reason else str(lease["state"])


def refit_of(storage: FencedStorage, study: Study, trial: TrialRow | None) -> Study | None:
    """The refit of this very trial, or without one of what was trained unsearched, which may be the same; not that of
    another trial, nor of a deleted study that had the same name."""
    refit = find(storage.engine, study.name + REFIT)
    if refit is None or not refit.refit:
        return None
    if refit.refit["key"] != study.key:
        return None
    if refit.refit["trial"] is None and trial is not None:
        # A trial has those parameters only that it asked for.
        same = parameters(storage.engine, trial).items() <= refit.refit["params"].items()
        return refit if same else None
    return refit if refit.refit["trial"] == (trial.number if trial else None) else None


def _create(
    storage: FencedStorage, study: Study, best: TrialRow | None, old: Study | None, epochs: int | None
) -> Study:
    """In place of an ``old`` one and of no other: what somebody else made meanwhile is then the refit."""
    if old is not None and still_there(storage.engine, old):
        with contextlib.suppress(KeyError):
            storage.delete_study(old.study_id)
    again = {
        "study": study.name,
        "key": study.key,
        "trial": best.number if best else None,
        "value": best.value if best else None,
        "params": parameters(storage.engine, best) if best else study.fixed(0),
    }
    size = dict(study.definition["size"]) | ({"refit_epochs": epochs} if epochs else {})
    return create(
        storage,
        study.name + REFIT,
        study.objective,
        {**study.definition, "size": size},
        size_name=study.size_name,
        files_place=study.files_place,
        refit=again,
    )
