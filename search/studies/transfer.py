"""Transfer: the model that a study begins from, copied from another study when it is created."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.database.fence import FencedStorage
from search.errors import SearchError
from search.files.paths import below
from search.files.records import OF_THE_STUDY, Files
from search.files.stores import store_at
from search.studies.study import Study, find
from search.studies.study_files import files_of
from search.studies.winner import Winner, find_winner

FROM_SCRATCH = "none"
"""What SOURCE says for no source at all."""


def wanted_source(declared: Mapping[str, Any], asked: str | None) -> str | None:
    """The study that a new one of this definition begins from; None: from scratch. ``asked`` is what SOURCE says."""
    needed = declared.get("needs")
    if asked == FROM_SCRATCH or (needed is None and asked is None):
        return None
    if needed is None:
        raise SearchError(f"this objective takes no source, {asked!r} was given. Leave SOURCE out.")
    return asked or str(needed)


def find_source(storage: FencedStorage, name: str) -> tuple[Study | None, Winner | None]:
    """The study of this name, and its winner if there is a model of it; None for what is not there yet."""
    study = find(storage.engine, name)
    winner = find_winner(storage, study) if study else None
    return study, winner if winner and winner.record is not None else None


def refuse_other_width(source: Study, declared: Mapping[str, Any], size_name: str) -> None:
    """SearchError where the source's network is wider or narrower than this definition's."""
    has, wants = source.size.width, declared["size"]["width"]
    if has == wants:
        return
    name, objective = source.name, source.objective
    if source.size_name == size_name:  # that objective has no such network
        name = objective = declared["needs"]
    raise SearchError(
        f"the source study {source.name!r} has networks of width {has}, size {size_name} here has {wants}. "
        f"Search one of that size: make search STUDY={name}_{size_name} OBJECTIVE={objective} SIZE={size_name}, "
        f"then name it: SOURCE={name}_{size_name}"
    )


def copy_source(storage: FencedStorage, source: Winner, key: str, place: str | None) -> dict[str, Any]:
    """The source's model among the files of the study with this key. Returns what the definition says of it."""
    if source.record is None:
        raise SearchError(
            f"the source study {source.study.name!r} has no model yet. Build it first: "
            f"make search STUDY={source.study.name}, or train from scratch: SOURCE={FROM_SCRATCH}"
        )
    files = Files(storage.engine, store_at(place, storage.engine), storage.leases)
    with files_of(storage, source.study).open(source.record) as content:
        digest = files.keep_for_study(key, "source", content)
    refitted = source.refitted is not None
    return {
        "study": source.study.name,
        "trial": source.trial.number if source.trial else None,
        "refit": refitted,
        "sha256": digest,
    }


def source_folder(study: Study, files: Files, workroot: Path) -> Path | None:
    """The source's model on this machine's disk, fetched once."""
    source = study.definition.get("source")
    if not source:
        return None
    folder = below(workroot, f"{study.key}/source-{source['sha256'][:16]}")
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
