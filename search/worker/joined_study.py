"""A study as this machine takes part in it: its files, its folder, the source model on this disk."""

from __future__ import annotations

import math
import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from optuna.storages import BaseStorage

from search.database.fence import FencedStorage
from search.files.paths import below
from search.files.records import Files
from search.files.stores import Between
from search.settings import Settings
from search.studies.data_folder import remember
from search.studies.ended import End, what_ended
from search.studies.forget import forget_deleted
from search.studies.limits import Limits, limits_of
from search.studies.study import Study
from search.studies.study_files import files_of
from search.studies.transfer import source_folder
from search.worker.trial_folder import clear, numbers_in


@dataclass
class JoinedStudy:
    """What a study's trials need here."""

    study: Study
    holder: str
    """This worker's name in leases."""
    storage: FencedStorage
    cached: BaseStorage
    """The same storage behind Optuna's cache."""
    files: Files
    folder: Path
    data_dir: Path
    source: Path | None
    settings: Settings
    say: Callable[[str], None]
    limits: Limits = field(default_factory=Limits)
    """As they were at the last claim, or since then at the end of an epoch."""
    limits_read: float = -math.inf
    """When, by this machine's monotonic clock."""
    turned_down_in_a_row: int = 0
    """Trials here whose network was too large."""
    failures_in_a_row: int = 0
    """Trials that raised here before any report, since the last that did not."""
    proven: bool = False
    """Whether a trial has come so far here that this machine is not what is broken."""
    left_to_others: bool = False
    """Whether a trial was, that failed here."""
    checkpoints_taken: int = 0
    """So many were handed over by trials here."""
    kill_at: int | None = None
    """To see whether a trial goes on: its process is killed once, with the first checkpoint of this epoch or later."""
    killed_at: int | None = None
    """In which epoch that was."""

    def what_ended(self) -> End | None:
        """As in ``ended.py``; the limits are read anew."""
        if self.study.refit:
            return None
        self.limits, self.limits_read = limits_of(self.storage.engine, self.study), time.monotonic()
        return what_ended(self.storage.engine, self.study, self.limits)

    def has_others(self) -> bool:
        """Whether other workers are there that have not given the study up."""
        return bool(self.storage.workers.others(self.study.key, self.holder, self.settings.lease))


def join(
    study: Study,
    storage: FencedStorage,
    cached: BaseStorage,
    *,
    holder: str,
    workroot: Path,
    data_dir: Path,
    files_place: str | None,
    settings: Settings,
    say: Callable[[str], None],
    between: Between,
) -> JoinedStudy:
    """Takes part from here on, after what dead workers left was tidied away. ``between`` as in ``Files``."""
    files = files_of(storage, study, files_place)
    files.between = between
    joined = JoinedStudy(
        study=study,
        holder=holder,
        storage=storage,
        cached=cached,
        files=files,
        folder=below(workroot, study.key),
        data_dir=data_dir,
        source=source_folder(study, files, workroot),
        settings=settings,
        say=say,
    )
    _tidy(joined, workroot, files_place)
    remember(workroot, study, data_dir)
    storage.workers.join(study.key, holder, socket.gethostname())
    return joined


def _tidy(joined: JoinedStudy, workroot: Path, files_place: str | None) -> None:
    """What dead workers and deleted studies left on this machine and in the database."""
    for key in forget_deleted(joined.storage, files_place):
        shutil.rmtree(below(workroot, key), ignore_errors=True)
    tokens = joined.storage.leases.tokens(joined.study.key)
    for number in numbers_in(joined.folder):
        if number in tokens and not tokens[number][1]:
            clear(joined.folder, number)
    joined.files.sweep(joined.study.key)
