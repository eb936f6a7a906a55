"""Transfer: the model that a study begins from, copied from another study when it is created."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from search.errors import SearchError
from search.fence import FencedStorage
from search.files import OF_THE_STUDY, Files, store_at
from search.studies import Joined, files_of, find
from search.tables import FILES, LEASES


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
    """The refitted, else the best model of a study: its record, the trial's number, whether it is the refit's."""
    refit = find(storage.engine, f"{source.name}.refit")
    for study, refitted in ((refit, True), (source, False)):
        record = best_model(storage.engine, study) if study else None
        if study is not None and record is not None:
            trial = (
                int(refit.refit["trial"]) if refitted and refit and refit.refit else trial_of(storage, study, record)
            )
            return record, trial, refitted
    raise NoSourceError(source.name, source.objective)


def best_model(engine: sa.Engine, study: Joined) -> sa.Row[Any] | None:
    """The record of the best complete trial's model."""
    order = FILES.c.value.desc() if study.maximize or study.refit else FILES.c.value.asc()
    query = (
        sa.select(FILES)
        .join(LEASES, sa.and_(LEASES.c.study_key == FILES.c.study_key, LEASES.c.number == FILES.c.number))
        .where(FILES.c.study_key == study.key, FILES.c.kind == "model", LEASES.c.state == "complete")
        .order_by(order, FILES.c.number)
        .limit(1)
    )
    with engine.connect() as connection:
        return connection.execute(query).first()


def trial_of(storage: FencedStorage, study: Joined, record: sa.Row[Any]) -> int:
    """The number of the trial whose file this is."""
    row = next(row for row in storage.leases.rows(study.key) if row["number"] == record.number)
    return storage.get_trial(row["trial_id"]).number


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
