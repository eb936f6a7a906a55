"""What is left of studies that were deleted with Optuna's tools."""

from __future__ import annotations

from search.database.fence import FencedStorage
from search.files.records import Files, study_keys
from search.files.stores import store_at
from search.settings import ORPHANED
from search.studies.study import all_studies


def forget_deleted(storage: FencedStorage) -> set[str]:
    """Removes their leases, records and files at the database's own place; returns their keys."""
    keys = storage.leases.study_keys()
    keys |= study_keys(
        storage.engine, recorded_before=storage.leases.now() - ORPHANED
    )  # a new one has its source's model first
    # In this order: a study that is created meanwhile has its attribute and its leases at once.
    gone = keys - {study.key for study in all_studies(storage.engine)}
    for key in gone:
        Files(storage.engine, store_at(None, storage.engine), storage.leases).forget(key)
    if gone:
        storage.leases.forget(gone)
        storage.workers.forget(gone)
    return gone
