"""A study's files: in the store that it says, or on this machine another."""

from __future__ import annotations

from search.database.fence import FencedStorage
from search.files.records import Files, recorded_names
from search.files.stores import reading_store, store_again
from search.studies.study import Study


def files_of(storage: FencedStorage, study: Study, place: str | None = None) -> Files:
    """Where the study says or, on this machine, ``place``.

    SearchError where nothing can be written there, or what the study has stored is not there.
    """
    names = recorded_names(storage.engine, study.key)
    is_known = place is None and study.files_place is not None and not study.is_old
    store = store_again(place or study.files_place, storage.engine, names, is_known=is_known)
    return Files(storage.engine, store, storage.leases, maximize=study.maximize)


def reading_files_of(storage: FencedStorage, study: Study, place: str | None = None) -> Files:
    """The same for who only reads: nothing is made or tried out."""
    store = reading_store(place or study.files_place, storage.engine)
    return Files(storage.engine, store, storage.leases, maximize=study.maximize)
