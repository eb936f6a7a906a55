"""Studies: created once whoever races, joined by any machine, compared with what is stored.

A study is Optuna's, with one attribute of ours (``search``) that holds its key, seed and definition. A joiner whose own
definition differs is refused with both values.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import secrets
import subprocess
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.storages._rdb.models import StudyModel, StudyUserAttributeModel
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.dialects import postgresql, sqlite

from search.contract import Size, seed_for, size_from_json
from search.errors import SearchError, unknown_study
from search.fence import FencedStorage
from search.files import Files, reading_store, store_at
from search.pruning import make_pruner, make_sampler
from search.tables import FILES, LEASES

ATTRIBUTE = "search"
STOPPED = "stopped"
ROOT = Path(__file__).resolve().parents[1]
_NOT_COMPARED = {"references", "sizes"}


@dataclass(frozen=True)
class Joined:
    """One study as its database describes it. ``definition`` is what the objective's file said when it was created."""

    name: str
    study_id: int
    key: str
    objective: str
    definition: Mapping[str, Any]
    seed: int
    startup: int
    files_place: str | None
    code: str
    size_name: str
    refit: Mapping[str, Any] | None = field(default=None)
    """For a refit: study, key, trial, value and params of what is trained again."""

    @property
    def size(self) -> Size:
        """The stored size; its budget is the one at creation."""
        return size_from_json(self.definition["size"])

    @property
    def epochs(self) -> int:
        """What one whole trial of this study takes; 0 for a plain function."""
        return self.size.refit_epochs if self.refit else self.size.epochs

    @property
    def maximize(self) -> bool:
        """The direction."""
        return bool(self.definition["direction"] == "maximize")

    @property
    def shown_metric(self) -> str:
        """What the value of a trial is; a refit has no validation images left."""
        return "accuracy on the training images" if self.refit else str(self.definition["metric"])

    def fixed(self, number: int) -> dict[str, Any]:
        """The parameters that lease ``number`` does not ask the sampler for."""
        if self.refit:
            return dict(self.refit["params"])
        always = {} if self.definition.get("source") else dict(self.definition.get("without_source", {}))
        first = self.definition["first"]
        return {**(first[number] if number < len(first) else {}), **always}

    def is_first(self, number: int) -> bool:
        """Whether lease ``number`` is never stopped."""
        return bool(self.refit) or number < len(self.definition["first"])

    def trial_seed(self, trial_number: int) -> int:
        """For data order and weights; the sampler has its own."""
        return seed_for(self.seed, "trial", trial_number)

    def optuna_study(self, storage: optuna.storages.BaseStorage, number: int) -> Study:
        """Optuna's study with the sampler of lease ``number``: its own seed, the same whoever runs it."""
        spec = self.definition.get("sampler")
        return Study(
            study_name=self.name,
            storage=storage,
            sampler=make_sampler(spec, self.startup, seed_for(self.seed, "sampler", number)),
            pruner=make_pruner(self.definition.get("pruner"), self.size),
        )


def all_studies(engine: sa.Engine) -> list[Joined]:
    """Every study of ours, oldest first."""
    query = (
        sa.select(StudyModel.study_id, StudyModel.study_name, StudyUserAttributeModel.value_json)
        .join(StudyUserAttributeModel, StudyUserAttributeModel.study_id == StudyModel.study_id)
        .where(StudyUserAttributeModel.key == ATTRIBUTE)
        .order_by(StudyModel.study_id)
    )
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    return [Joined(name=row.study_name, study_id=row.study_id, **json.loads(row.value_json)) for row in rows]


def find(engine: sa.Engine, name: str) -> Joined | None:
    """The study of this name, if it is one of ours."""
    return next((study for study in all_studies(engine) if study.name == name), None)


def still_there(engine: sa.Engine, study: Joined) -> bool:
    """False once somebody deleted it with Optuna's tools, even if SQLite has given its id to another."""
    return any(other.key == study.key for other in all_studies(engine))


def existing(engine: sa.Engine, name: str) -> Joined:
    """The study of this name, or SearchError with the names that there are."""
    study = find(engine, name)
    if study is None:
        raise unknown_study(name, [other.name for other in all_studies(engine)])
    return study


def files_of(storage: FencedStorage, study: Joined, place: str | None = None) -> Files:
    """The study's files, where the study says or, on this machine, where ``place`` says."""
    store = store_at(place or study.files_place or storage.files_place, storage.engine)
    return Files(storage.engine, store, storage.leases, maximize=study.maximize)


def reading_files_of(storage: FencedStorage, study: Joined, place: str | None = None) -> Files:
    """The same for who only reads: nothing is made or tried out."""
    store = reading_store(place or study.files_place or storage.files_place, storage.engine)
    return Files(storage.engine, store, storage.leases, maximize=study.maximize)


def create(
    storage: FencedStorage,
    name: str,
    reference: str,
    definition: Mapping[str, Any],
    *,
    size_name: str = "quick",
    files_place: str | None = None,
    source: Callable[[str], dict[str, Any]] | None = None,
    refit: Mapping[str, Any] | None = None,
) -> Joined:
    """The study of this name, made if nobody made it meanwhile: attribute and leases in one transaction.

    ``source`` is called with the new study's key and copies what the study begins from.
    """
    definition = dict(definition)
    budget = 1 if refit else int(definition["size"]["budget"])
    key = str(uuid.uuid4())
    record = {
        "key": key,
        "objective": reference,
        "seed": secrets.randbelow(2**31),
        "startup": min(10, budget // 3),
        "files_place": files_place,
        "code": code_hash(),
        "size_name": size_name,
        "refit": refit,
    }
    if source is not None:
        definition["source"] = source(key)
    study = _optuna_study(storage, name, definition)
    if _insert_record(storage, study._study_id, {**record, "definition": definition}, budget):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([existing(storage.engine, name).shown_metric])
    return existing(storage.engine, name)


def _optuna_study(storage: FencedStorage, name: str, definition: Mapping[str, Any]) -> Study:
    study = optuna.create_study(
        storage=storage, study_name=name, direction=definition["direction"], load_if_exists=True
    )
    if study.direction.name.lower() != definition["direction"]:
        raise SearchError(
            f"the Optuna study {name!r} exists and is to {study.direction.name.lower()}, the objective is to "
            f"{definition['direction']}. Give another STUDY name."
        )
    return study


def _insert_record(storage: FencedStorage, study_id: int, record: Mapping[str, Any], budget: int) -> bool:
    dialect: Any = postgresql if storage.engine.name == "postgresql" else sqlite
    insert = dialect.insert(StudyUserAttributeModel).values(
        study_id=study_id, key=ATTRIBUTE, value_json=json.dumps(record)
    )
    with storage.engine.begin() as connection:
        # Not by rowcount, which an insert on PostgreSQL has not.
        mine = insert.on_conflict_do_nothing().returning(StudyUserAttributeModel.study_id)
        won = connection.execute(mine).first() is not None
        if won:
            storage.leases.raise_budget(connection, record["key"], budget)
    return won


def ensure_refit(storage: FencedStorage, study: Joined) -> Joined:
    """The study ``NAME.refit`` of the best trial; that of an earlier best makes way. SearchError without a best."""
    best = best_trial(storage, study)
    if best is None:
        raise SearchError(
            f"no trial of {study.name!r} was completed, so there is nothing to train again. "
            f"See why: make status STUDY={study.name}"
        )
    refit = refit_of(storage, study, best)
    if refit is not None:
        return refit
    old = find(storage.engine, f"{study.name}.refit")
    if old is not None:
        storage.delete_study(old.study_id)  # by its id: the name may by now be a newer one's
    what = {"study": study.name, "key": study.key, "trial": best.number, "value": best.value, "params": best.params}
    return create(
        storage,
        f"{study.name}.refit",
        study.objective,
        study.definition,
        size_name=study.size_name,
        files_place=study.files_place,
        refit=what,
    )


def refit_of(storage: FencedStorage, study: Joined, trial: FrozenTrial) -> Joined | None:
    """The refit of this very trial; not that of another, nor of a deleted study that had the same name."""
    refit = find(storage.engine, f"{study.name}.refit")
    if refit is None or not refit.refit:
        return None
    return refit if (refit.refit["key"], refit.refit["trial"]) == (study.key, trial.number) else None


def best_trial(storage: FencedStorage, study: Joined) -> FrozenTrial | None:
    """The best complete trial of a study, or None; among equals the one of the lowest lease, everywhere."""
    lease = lease_numbers(storage, study)
    complete = [
        trial
        for trial in storage.get_all_trials(study.study_id, deepcopy=False, states=(TrialState.COMPLETE,))
        if trial.value is not None and all(value <= 0 for value in trial.constraints.values())
    ]
    sign = -1.0 if study.maximize else 1.0
    return min(
        complete,
        key=lambda trial: (sign * (trial.value or 0.0), lease.get(trial._trial_id, math.inf), trial.number),
        default=None,
    )


def lease_numbers(storage: FencedStorage, study: Joined) -> dict[int, int]:
    """Lease number by trial id. A trial that somebody added with Optuna's tools has none."""
    return {row["trial_id"]: row["number"] for row in storage.leases.rows(study.key) if row["trial_id"] is not None}


def raise_budget(storage: FencedStorage, study: Joined, trials: int) -> None:
    """A higher budget adds leases; a lower one is refused."""
    have = len(storage.leases.rows(study.key))
    if trials < have:
        raise SearchError(
            f"the study {study.name!r} has a budget of {have} trials, which cannot be lowered to {trials}. "
            "Go on without TRIALS, or give a new STUDY."
        )
    if trials > have:
        with storage.engine.begin() as connection:
            storage.leases.raise_budget(connection, study.key, trials)


def refuse_difference(study: Joined, fresh: Mapping[str, Any]) -> None:
    """SearchError with both values where the objective's file here says other than the study's definition."""
    stored = {**study.definition, "size": {**study.definition["size"], "budget": None}}
    own = {**fresh, "size": {**fresh["size"], "budget": None}}
    if "source" in stored:
        own["source"] = stored["source"]
    differences = list(_differences(_plain(stored), _plain(own)))
    if differences:
        path, before, now = differences[0]
        more = f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""
        raise SearchError(
            f"the study {study.name!r} was created with {path} = {before}, here it is {now}{more}. "
            "Go back to what it was, or give a new STUDY."
        )


def _plain(definition: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in definition.items() if key not in _NOT_COMPARED}


def _differences(one: Any, other: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other}):
            yield from _differences(one.get(key), other.get(key), f"{path}.{key}" if path else str(key))
    elif one != other:
        yield path, json.dumps(one)[:80], json.dumps(other)[:80]


def forget_deleted(storage: FencedStorage) -> set[str]:
    """Removes what is left of studies that were deleted with Optuna's tools; returns their keys."""
    hour_ago = storage.leases.now - 3600.0  # a study about to be created has its source's model first
    with storage.engine.connect() as connection:
        keys = set(connection.execute(sa.select(LEASES.c.study_key).distinct()).scalars())
        old = sa.select(FILES.c.study_key).where(FILES.c.created < hour_ago).distinct()
        keys |= set(connection.execute(old).scalars())
    # In this order: a study that is created meanwhile has its attribute and its leases at once.
    gone = keys - {study.key for study in all_studies(storage.engine)}
    for key in gone:
        Files(storage.engine, store_at(storage.files_place, storage.engine), storage.leases).forget(key)
    if gone:
        with storage.engine.begin() as connection:
            storage.leases.forget(connection, gone)
    return gone


@functools.cache
def code_hash() -> str:
    """Of all that trains: the content of ``objectives/**.py``."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "objectives").rglob("*.py")):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


@functools.cache
def revision() -> str | None:
    """The git revision of this checkout, for the record only."""
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
