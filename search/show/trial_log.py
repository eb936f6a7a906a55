"""The end of a trial's log: of the one being written on this machine, else of the one stored when it ended."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from search.database.leases import Leases
from search.files.paths import below
from search.files.records import Files
from search.files.stores import reading_store
from search.settings import LOG_LINES
from search.studies.study import Study


def log_end(
    engine: sa.Engine, study: Study, lease: int, *, workroot: Path, files_place: str | None
) -> list[str] | None:
    """Its last lines; None where there is no log."""
    local = sorted(below(workroot, study.key).glob(f"{lease}-*/log.txt"), key=lambda path: path.stat().st_mtime)
    if local:
        return local[-1].read_text(errors="replace").splitlines()[-LOG_LINES:]
    store = reading_store(files_place or study.files_place, engine)
    record = Files(engine, store, Leases(engine)).find(study.key, lease, "log")
    if record is None:
        return None
    try:
        with store.open_reader(record.name) as log:
            return log.read().decode(errors="replace").splitlines()[-LOG_LINES:]
    except FileNotFoundError:
        return None
