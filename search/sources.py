"""Transfer: the model that a study begins from, copied from another study when it is created."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from optuna.trial import FrozenTrial

from search.errors import SearchError
from search.fence import FencedStorage
from search.files import OF_THE_STUDY, Files, store_at
from search.studies import Joined, best_trial, files_of, lease_numbers, reading_files_of, refit_of


class NoSourceError(SearchError):
    """Transfer is wanted, and its source has no model yet."""

    def __init__(self, name: str, objective: str) -> None:
        super().__init__(
            f"the source study {name!r} has no model yet. Build it first: make search STUDY={name}, "
            "or train from scratch: SOURCE=none"
        )
        self.name, self.objective = name, objective


def copy_source(storage: FencedStorage, source: Joined, key: str, place: str | None) -> dict[str, Any]:
    """The source's model among the files of the study with this key. Returns what the definition says of it."""
    record, trial, refitted = source_model(storage, source)
    files = Files(storage.engine, store_at(place or storage.files_place, storage.engine), storage.leases)
    with files_of(storage, source).open(record) as content:
        digest = files.keep_for_study(key, "source", content)
    return {"study": source.name, "trial": trial, "refit": refitted, "sha256": digest}


def source_model(storage: FencedStorage, source: Joined) -> tuple[sa.Row[Any], int, bool]:
    """The refitted, else the own model of a study's best trial: its record, the trial's number, whether it is refitted.

    Raises NoSourceError where there is neither.
    """
    best = best_trial(storage, source)
    if best is not None:
        refit = refit_of(storage, source, best)
        again = refit_model(storage, refit) if refit else None
        record = again or model_of(storage, source, best)
        if record is not None:
            return record, best.number, again is not None
    raise NoSourceError(source.name, source.objective)


def model_of(storage: FencedStorage, study: Joined, trial: FrozenTrial) -> sa.Row[Any] | None:
    """The record of what this trial's training left, if it is kept."""
    number = lease_numbers(storage, study).get(trial._trial_id)
    return None if number is None else reading_files_of(storage, study).find(study.key, number, "model")


def refit_model(storage: FencedStorage, refit: Joined) -> sa.Row[Any] | None:
    """The record of a refit's model, once it is complete."""
    trial = best_trial(storage, refit)
    return None if trial is None else model_of(storage, refit, trial)


def source_folder(study: Joined, files: Files, workroot: Path) -> Path | None:
    """The source's model on this machine's disk, fetched once."""
    source = study.definition.get("source")
    if not source:
        return None
    folder = workroot / study.key / f"source-{source['sha256'][:16]}"
    if not folder.is_dir():
        owner = study.refit["key"] if study.refit else study.key
        record = files.find(owner, OF_THE_STUDY, "source")
        if record is None:
            raise SearchError(f"the source model of {study.name!r} is gone from its files. Restore them.")
        part = folder.with_name(f"{folder.name}.part-{secrets.token_hex(4)}")
        files.fetch(record, part)
        try:
            part.rename(folder)
        except OSError:  # another worker of this machine was first
            if not folder.is_dir():
                raise
    return folder
