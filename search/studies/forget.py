"""What is left of studies that were deleted with Optuna's tools."""

from __future__ import annotations

from search.database.fence import FencedStorage
from search.errors import SearchError
from search.files.paths import is_key
from search.files.records import Files, places, study_keys
from search.files.stores import reading_store
from search.settings import ORPHANED
from search.studies.study import all_studies


def forget_deleted(storage: FencedStorage, files_place: str | None = None) -> set[str]:
    """Removes their leases, records and files; returns their keys. Their looks at test sets stay counted.

    Files go from the database's own place, from ``files_place`` and from wherever they are on record; what lies where
    this machine does not get to is left on record for one that does. A key that is none of ours is somebody else's.
    """
    keys = storage.leases.study_keys()
    keys |= study_keys(
        storage.engine, recorded_before=storage.leases.now() - ORPHANED
    )  # a new one has its source's model first
    # In this order: a study that is created meanwhile has its attribute and its leases at once.
    gone = {key for key in keys if is_key(key)} - {study.key for study in all_studies(storage.engine)}
    for key in gone:
        for place in {None, files_place, *places(storage.engine, key)}:
            _forget_files(storage, key, place)
    if gone:
        storage.leases.forget(gone)
        storage.workers.forget(gone)
    return gone


def _forget_files(storage: FencedStorage, key: str, place: str | None) -> None:
    try:
        store = reading_store(place, storage.engine)
        if place is None or store.folder is None or store.folder.is_dir():
            Files(storage.engine, store, storage.leases).forget(key)
    except (SearchError, OSError):  # a kind of store that is not known here, a share that cannot be read
        return
