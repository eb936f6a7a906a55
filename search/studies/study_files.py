"""A study's files: in the store that it says, or on this machine another."""

from __future__ import annotations

from search.database.fence import FencedStorage
from search.files.records import Files
from search.files.stores import reading_store, store_at
from search.studies.study import Study


def files_of(storage: FencedStorage, study: Study, place: str | None = None) -> Files:
    """Where the study says or, on this machine, ``place``. SearchError where nothing can be written there."""
    store = store_at(place or study.files_place, storage.engine)
    return Files(storage.engine, store, storage.leases, maximize=study.maximize)


def reading_files_of(storage: FencedStorage, study: Study, place: str | None = None) -> Files:
    """The same for who only reads: nothing is made or tried out."""
    store = reading_store(place or study.files_place, storage.engine)
    return Files(storage.engine, store, storage.leases, maximize=study.maximize)
