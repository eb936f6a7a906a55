"""What a command has at hand on this machine: database, screen, seats for children, the worker on them."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

import optuna
from rich.console import Console

from search.child import hardware
from search.child.ask import Asker
from search.child.process import launch
from search.child.seat import Seat
from search.commands.options import Options
from search.database.fence import FencedStorage
from search.database.storage import open_readonly_storage, open_storage
from search.rules.content import stored_hash
from search.rules.devices import children_by_default, share
from search.rules.optuna_by_name import refuse_what_cannot_be_made
from search.settings import WORK
from search.show.screen import Terminal
from search.show.unfailing import Unfailing
from search.studies.change_file import accept_file
from search.studies.compare import refuse_changed_file, refuse_difference
from search.studies.study import Study
from search.worker.loop import Worker


@dataclass(frozen=True)
class Machine:
    """Made by ``opened``."""

    storage: FencedStorage
    screen: Terminal
    seats: list[Seat]
    asker: Asker
    """Asks the first seat's child, which then stays for the trials."""
    worker: Worker
    workroot: Path
    """Where this machine's trials write."""
    asked: set[str] = field(default_factory=set)
    """Keys of studies that this machine has joined, or found that it cannot."""

    def checked(self, study: Study, *, changed: bool = False) -> Study:
        """SearchError where the objective's file here is not what the study was made with.

        ``changed``: another content of somebody's own file, that declares the same, is what the study goes by from
        here on. A study from before ``shown`` was stored comes back with what the file declares now.
        """
        declared = self.asker.describe(
            study.objective,
            size=study.definition["size"],
            direction=study.definition["direction"],
            first=study.definition.get("first_named") or (),
            winners=study.definition.get("first_winners") or {},
            data_dir=self.worker.data_dir(study),
        )
        refuse_difference(study, declared)
        refuse_what_cannot_be_made(study.definition.get("sampler"), study.definition.get("pruner"), study.size)
        if changed:
            study = accept_file(self.storage, study, stored_hash(declared))
        refuse_changed_file(study, declared)
        if study.size.precision == "bfloat16" and not hardware.has_bfloat16(self.seats[0].devices.gpus):
            self.screen.say(
                f"{study.name} computes in bfloat16, which this processor has not: its trials are slow here, as the "
                "images a second below will show. Ctrl-C leaves them to others"
            )
        return dataclasses.replace(study, definition={"shown": declared.get("shown"), **study.definition})

    def warm(self, objective: str, trials: int) -> None:
        """The children that are not asked load it meanwhile, if nothing runs, for so many trials to come."""
        if not self.worker.trials:
            for seat in self.seats[1:trials]:
                seat.warm(objective)

    def unfinished(self, study: Study) -> int:
        """Units of its budget that are left."""
        found = self.storage.leases.openings([study.key], self.worker.holder).get(study.key)
        return found.unfinished if found else 0

    @contextmanager
    def asking_beside(self) -> Iterator[Machine]:
        """The same, with a child of its own for questions: those in the seats are at work, and keep their leases."""
        seat = Seat(self.seats[0].devices, launch)
        try:
            yield dataclasses.replace(self, asker=self.asker.beside(seat, _Renewing(self.worker)))
        finally:
            seat.dismiss()

    @property
    def cores(self) -> int:
        """The machine's."""
        return self.worker.cores

    @property
    def has_gpus(self) -> bool:
        """Whether one of the seats has one."""
        return any(seat.devices.gpus for seat in self.seats)


class _Renewing:
    """A listener for while trials run."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def say(self, text: str) -> None:
        self._worker.screen.say(text)

    def wait(self, _seconds: float) -> None:
        self._worker.renew_due()


@contextmanager
def opened(
    options: Options,
    *,
    readonly: bool = False,
    makes_file: bool = True,
    cores: int | None = None,
    workroot: Path = WORK,
) -> Iterator[Machine]:
    """The database, checked, and this machine on it, all its cores unless said; children and screen end with it.

    ``makes_file``: of SQLite, where there is none.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    screen = Terminal(Console(file=cast(IO[str], Unfailing(sys.stdout))), options.typed)
    url = options.storage
    storage = open_readonly_storage(url) if readonly else open_storage(url, makes_file=makes_file)
    gpus, cores = hardware.visible_gpus(), cores or hardware.cores()
    children = options.children or children_by_default(gpus, cores, hardware.memory())
    seats = [Seat(one, launch, options.settings.trials_per_child) for one in share(children, gpus, cores)]
    workroot, data_dir = workroot.resolve(), options.data_dir.resolve()
    worker = Worker(
        storage,
        seats,
        workroot=workroot,
        data_dir=data_dir,
        data_dir_is_typed="DATA_DIR" in options.typed.places,
        files_place=options.files,
        settings=options.settings,
        screen=screen,
        cores=cores,
    )
    try:
        yield Machine(storage, screen, seats, Asker(seats[0], workroot, data_dir, screen), worker, workroot)
    finally:
        screen.end()
        worker.close()
