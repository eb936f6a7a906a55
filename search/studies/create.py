"""A new study: its attribute and its leases in one transaction, once whoever races; its budget may be raised later."""

from __future__ import annotations

import json
import re
import secrets
import uuid
import warnings
from collections.abc import Mapping
from typing import Any

import optuna

from search.database.fence import FencedStorage
from search.database.study_attributes import is_set
from search.database.url import without_secrets
from search.errors import SearchError
from search.rules.readable import counted
from search.rules.sampling import startup_trials
from search.settings import SIZE
from search.studies.provenance import code_hash
from search.studies.study import ATTRIBUTE, REFIT, Study, existing

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def refuse_name(name: str) -> None:
    """SearchError for what cannot name a study."""
    if not _NAME.fullmatch(name) or name.endswith(REFIT):
        raise SearchError(
            f"{without_secrets(name)!r} cannot name a study: use letters, digits, '.', '_' and '-', "
            f"not ending in {REFIT}."
        )


def new_key() -> str:
    """A study's key: SQLite re-uses ids, and names are people's."""
    return str(uuid.uuid4())


def create(
    storage: FencedStorage,
    name: str,
    reference: str,
    definition: Mapping[str, Any],
    *,
    key: str | None = None,
    size_name: str = SIZE,
    files_place: str | None = None,
    refit: Mapping[str, Any] | None = None,
    seed: int | None = None,
) -> Study:
    """The study of this name, made if nobody made it meanwhile.

    ``definition`` is what its objective's file declares, and for a transfer the ``source``, whose model was copied to
    the files of the study with this ``key``. ``seed``: of its trials, 31 bits; None: any.
    """
    budget = 1 if refit else int(definition["size"]["budget"])
    record = {
        "key": key or new_key(),
        "objective": reference,
        "seed": secrets.randbelow(2**31) if seed is None else seed,
        # A budget of none may be raised later: then as usual.
        "startup": startup_trials(budget or int(definition["sizes"][size_name]["budget"])),
        "files_place": files_place,
        "code": code_hash(),
        "size_name": size_name,
        "refit": refit,
    }
    study = _optuna_study(storage, name, definition["direction"])
    if _insert_record(storage, study._study_id, {**record, "definition": dict(definition)}, budget):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([existing(storage.engine, name).shown_metric])
    return existing(storage.engine, name)


def _optuna_study(storage: FencedStorage, name: str, direction: Any) -> optuna.Study:
    study = optuna.create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True)
    if len(study.directions) > 1:
        raise SearchError(
            f"the Optuna study {name!r} exists and has {len(study.directions)} objectives, the search is for one. "
            "Give another STUDY name."
        )
    if study.direction.name.lower() != direction:
        raise SearchError(
            f"the Optuna study {name!r} exists and is to {study.direction.name.lower()}, the objective is to "
            f"{direction}. Give another STUDY name."
        )
    return study


def _insert_record(storage: FencedStorage, study_id: int, record: Mapping[str, Any], budget: int) -> bool:
    with storage.engine.begin() as connection:
        won = is_set(connection, study_id, ATTRIBUTE, None, json.dumps(record))
        if won:
            storage.leases.raise_budget(connection, record["key"], budget)
    return won


def raise_budget(storage: FencedStorage, study: Study, trials: int) -> None:
    """A higher budget adds leases; a lower one is refused."""
    have = storage.leases.budget(study.key)
    if trials < have:
        raise SearchError(
            f"the study {study.name!r} has a budget of {counted(have, 'trial')}, which cannot be lowered to {trials}. "
            "Go on without TRIALS, or give a new STUDY."
        )
    if trials > have:
        with storage.engine.begin() as connection:
            storage.leases.raise_budget(connection, study.key, trials)
