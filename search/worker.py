"""One process a machine: claims leases, gives them to its children, and keeps both alive. No Keras in it."""

from __future__ import annotations

import math
import os
import secrets
import select
import selectors
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import optuna
import sqlalchemy as sa

from search.children import Child, Launch, out_of_memory_kills
from search.contract import Devices
from search.errors import SearchError
from search.fence import FencedStorage
from search.pipe import Message
from search.running import Place, Running, Settings
from search.sources import source_folder
from search.studies import (
    ATTRIBUTE,
    STOPPED,
    Joined,
    files_of,
    forget_deleted,
    refuse_difference,
)
from search.workdir import clear

ERRORS_BEFORE_STOP = 3
_BROKEN = ("disk I/O error", "disk is full", "readonly database", "malformed", "no such table")
"""SQLite's words, under the same class as a lock that is held, for what no waiting mends."""
_AWAY = (
    sa.exc.OperationalError,
    sa.exc.InternalError,
    sa.exc.InterfaceError,
    sa.exc.TimeoutError,
    sa.exc.ResourceClosedError,
)


class Screen(Protocol):
    """Where a worker shows what it does."""

    def say(self, text: str) -> None:
        """A line that stays."""

    def tick(self, worker: Worker) -> None:
        """Called a few times a second."""

    def wait(self, seconds: float) -> None:
        """Called while an objective is loaded or a model evaluated, with how long that takes already."""

    def end(self) -> None:
        """Nothing is drawn any more."""


@dataclass
class Seat:
    """One training process's place: its devices, its child while one is warm, the trial in it."""

    devices: Devices
    child: Child | None = None
    reference: str = ""
    running: Running | None = None
    trials: int = 0


class Worker:
    """This machine's part in some studies."""

    def __init__(
        self,
        storage: FencedStorage,
        *,
        launch: Launch,
        devices: Sequence[Devices],
        workroot: Path,
        data_dir: Path,
        files_place: str | None = None,
        settings: Settings | None = None,
        screen: Screen,
        oom_kills: Callable[[], int] = out_of_memory_kills,
    ) -> None:
        self.storage = storage
        self.settings = settings or Settings()
        storage.seconds = self.settings.lease
        self.cached = optuna.storages.get_storage(storage)
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self.seats = [Seat(one) for one in devices]
        self.places: dict[str, Place] = {}
        self.screen = screen
        self.stopping = False
        """Told to stop by a signal or a time limit: nothing new is claimed, trials are handed over."""
        self.deadline: float | None = None
        self.interrupted = False
        """A signal, not a time limit."""
        self._launch, self._oom_kills = launch, oom_kills
        self._workroot, self._data_dir, self._files_place = workroot, data_dir, files_place
        self._stop_asked = 0.0
        self._working = False
        self._away_since: float | None = None
        self._retry_at = self._renewed = self._looked = self._claim_at = 0.0
        self._errors: dict[str, SearchError] = {}

    # -- joining --------------------------------------------------------------------------------------------------

    def describe(self, reference: str, **order: Any) -> dict[str, Any]:
        """What the objective's file says: the part of a study's definition that only it knows."""
        return self.ask(reference, "describe", "definition", data_dir=str(self._data_dir), **order)

    def ask(self, reference: str, kind: str, answer: str, **fields: Any) -> dict[str, Any]:
        """One task for this machine's first child, which stays warm. SearchError with its one line where it fails."""
        child = self._child_for(self.seats[0], reference)
        log = self._workroot / f"{kind}.log"
        log.unlink(missing_ok=True)
        child.send(kind, log=str(log), **fields)
        for message in self._heard(child, log):
            if message["type"] == answer:
                return dict(message[answer])
            if message["type"] == "failed":
                where = "" if message["cause"] == "user" else f". The traceback is in {log}"
                raise SearchError(f"{message['why']}{where}")
        self._dismiss(self.seats[0])
        raise SearchError(f"the process that loads the objective {reference!r} died. Its last words are in {log}")

    def _heard(self, child: Child, log: Path) -> Iterator[Message]:
        """Messages of a child with a task; what its log says of a download, which takes minutes, is shown."""
        shown, began = 0, time.monotonic()
        while True:
            self.screen.wait(time.monotonic() - began)
            lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
            for line in lines[shown:]:
                if line.startswith("downloading "):
                    self.screen.say(line)
            shown = len(lines)
            if select.select([child.pipe], [], [], 1.0)[0]:
                messages = child.pipe.available()
                if messages is None:
                    return
                yield from messages

    def join(self, study: Joined, definition: Mapping[str, Any] | None = None) -> None:
        """Takes part in a study from here on, if the objective's file says here what it said there."""
        if study.key in self.places:
            return
        if definition is None:
            definition = self.describe(
                study.objective,
                size=study.definition["size"],
                size_name=None,
                changes={},
                direction=study.definition["direction"],
            )
        refuse_difference(study, definition)
        files = files_of(self.storage, study, self._files_place)
        files.beat = self._renew_due
        self.places[study.key] = Place(
            study=study,
            storage=self.storage,
            cached=self.cached,
            files=files,
            workroot=self._workroot,
            data_dir=self._data_dir,
            source=source_folder(study, files, self._workroot),
            settings=self.settings,
            say=self.screen.say,
        )
        self._tidy(study)
        files.sweep(study.key)

    def _tidy(self, study: Joined) -> None:
        """What dead workers and deleted studies left on this machine and in the database."""
        for key in forget_deleted(self.storage):
            shutil.rmtree(self._workroot / key, ignore_errors=True)
        for row in self.storage.leases.rows(study.key):
            if row["state"] != "open":
                clear(self._workroot / study.key, row["number"])

    # -- the loop -------------------------------------------------------------------------------------------------

    def work(self, keys: Sequence[str]) -> None:
        """Until the budgets of these joined studies are used up, or this worker is told to stop.

        Raises SearchError where a study was stopped or deleted, or this machine cannot go on; what was running is
        handed over first.
        """
        error: SearchError | None = None
        self._working = True
        while True:
            try:
                self._check_stop()
                if not self._away() and not self.stopping:
                    self._fill(keys)
                if not any(seat.running for seat in self.seats) and (self.stopping or self._done(keys)):
                    break
                self._read()
                self._advance()
                self._look_after()
                self.screen.tick(self)
            except SearchError as reason:
                error = error or reason
                self.stop()
        self._working = False
        if error is None and not self.stopping:
            error = next((self._errors[key] for key in keys if key in self._errors), None)
        if error is not None:
            raise error

    def stop(self) -> None:
        """Hands over what is running and claims nothing more."""
        if not self.stopping:
            self.stopping, self._stop_asked = True, time.monotonic()
            for seat in self.seats:
                if seat.running is None or seat.running.over:
                    continue
                if seat.running.place.study.definition["kind"] == "function":
                    self._bury(seat, silent=0.0)  # it has no batches to stop between
                else:
                    seat.running.ask_hand_over()

    def close(self) -> None:
        """Ends the children."""
        for seat in self.seats:
            self._dismiss(seat)

    def limit(self, seconds: float | None) -> None:
        """From now on so long: what is running then is handed over."""
        if seconds is not None:
            self.deadline = time.monotonic() + seconds

    def take_signals(self) -> None:
        """The first Ctrl-C, SIGTERM or SIGHUP hands over, the second ends at once."""

        def handle(_number: int, _frame: FrameType | None) -> None:
            if self.interrupted:
                self.screen.end()
                self.close()
                os._exit(130)
            if not self._working:
                raise KeyboardInterrupt  # during an evaluation, say: nothing is held that could be handed over
            self.deadline, self.interrupted = 0.0, True
            self.screen.say("stopping: trials are handed over at their last checkpoint (again to stop at once)")

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, handle)

    def _check_stop(self) -> None:
        if self.deadline is not None and time.monotonic() >= self.deadline:
            self.stop()

    def _done(self, keys: Sequence[str]) -> bool:
        """Whether nothing is left to wait for: a lease of a dead worker comes back when it expires."""
        now = time.monotonic()
        if now - self._looked < self.settings.poll:
            return False
        self._looked = now
        left: list[bool] = []
        self.reaching(
            lambda: left.append(any(self.storage.leases.unfinished(key) for key in keys if key not in self._errors))
        )
        return left == [False]

    def _fill(self, keys: Sequence[str]) -> None:
        if time.monotonic() < self._claim_at:
            return
        for seat in self.seats:
            if seat.running is None:
                self.reaching(lambda seat=seat: self._claim(seat, keys))  # type: ignore[misc]

    def _claim(self, seat: Seat, keys: Sequence[str]) -> None:
        for key in keys:
            place = self.places[key]
            if key in self._errors or not self._goes_on(place):
                continue
            lease = self.storage.leases.claim(key, self.holder, socket.gethostname())
            if lease is not None:
                child = self._child_for(seat, place.study.objective)
                seat.running = Running(place, lease, child, seat.devices, self._oom_kills)
                seat.trials += 1
                return
        self._claim_at = time.monotonic() + self.settings.poll

    def _goes_on(self, place: Place) -> bool:
        """False, and the reason kept, where the study was deleted or stopped."""
        study = place.study
        try:
            attributes = self.storage.get_study_user_attrs(study.study_id)
        except KeyError:
            attributes = {}
        if attributes.get(ATTRIBUTE, {}).get("key") != study.key:
            self._errors[study.key] = SearchError(
                f"the study {study.name!r} was deleted. Begin anew: make search STUDY={study.name}"
            )
        elif (attributes.get(STOPPED) or {}).get("why"):
            self._errors[study.key] = SearchError(attributes[STOPPED]["why"])
        return study.key not in self._errors

    def _read(self) -> None:
        with selectors.DefaultSelector() as selector:
            for seat in self.seats:
                if seat.child is not None:
                    selector.register(seat.child.pipe, selectors.EVENT_READ, seat)
            wait = min(self.settings.poll, 0.2)
            if not selector.get_map():
                time.sleep(wait)
                return
            for key, _ in selector.select(wait):
                self._receive(key.data)

    def _receive(self, seat: Seat) -> None:
        child = seat.child
        if child is None:
            return
        messages = child.receive()
        if messages is None:
            self._bury(seat, silent=0.0)
        elif seat.running is not None:
            seat.running.inbox.extend(messages)
            _drop_stale_checkpoints(seat.running.inbox)

    def _bury(self, seat: Seat, silent: float) -> None:
        """The child is gone or must go: its trial learns of it as of any other message."""
        child, seat.child = seat.child, None
        if child is None:
            return
        status = None if silent or self.stopping else child.ended()
        if status is None:
            child.kill()
        if seat.running is not None:
            kind = "stopped" if self.stopping else "died"
            seat.running.inbox.append({"type": kind, "status": status, "silent": silent})

    def _advance(self) -> None:
        for seat in self.seats:
            running = seat.running
            if running is None:
                continue
            if running.inbox:
                self.reaching(running.advance)
            if running.over and running.outcome is not None:
                self._announce(running)
            if running.free and running.over and running.announced:
                seat.running = None

    def _announce(self, running: Running) -> None:
        if running.announced or self._away():
            return
        running.announced = True
        self.screen.say(running.sentence())
        if running.outcome == "error":
            self.reaching(lambda: self._stop_if_broken(running))

    def _stop_if_broken(self, running: Running) -> None:
        """Exceptions in the first trials are the objective's: the study stops instead of burning its budget."""
        place = running.place
        rows = self.storage.leases.rows(place.study.key)
        fails = sum(row["state"] == "fail" for row in rows)
        known = (self.storage.get_study_user_attrs(place.study.study_id).get(STOPPED) or {}).get("fails", 0)
        progressed = any(row["epoch"] > 0 or row["state"] in {"complete", "pruned"} for row in rows)
        if fails - known >= ERRORS_BEFORE_STOP and not progressed:
            why = (
                f"the study {place.study.name!r} is stopped: {fails - known} trials failed before any finished "
                f"an epoch, last: {running.reason}. The traceback is in {running.folder.log}; mend the objective, then "
                "type the command again"
            )
            self.storage.set_study_user_attr(place.study.study_id, STOPPED, {"why": why, "fails": fails})

    def _look_after(self) -> None:
        now = time.monotonic()
        self._renew_due()
        for seat in self.seats:
            running = seat.running
            if running is None:
                continue
            if seat.child is not None and not running.free and seat.child.gone():
                self._drain(seat)
            late = self.stopping and now - self._stop_asked > 2 * self.settings.grace
            if seat.child is not None and (late or running.hidden_too_long()):
                self._bury(seat, silent=now - seat.child.heard)
            if late and self._away():
                self.screen.say(f"the database is away: trial {running.number} goes on when its lease has expired")
                seat.running = None

    def _renew_due(self) -> None:
        """All leases held here, if it is time; also called between the pieces of a long transfer."""
        now = time.monotonic()
        if now - self._renewed < self.settings.renew or self._away():
            return
        self._renewed = now
        for seat in self.seats:
            if seat.running is not None:
                self.reaching(seat.running.renew)
                seat.running.folder.bound_log()

    def _drain(self, seat: Seat) -> None:
        """What a child said before it went, then that it is gone."""
        while seat.child is not None and select.select([seat.child.pipe], [], [], 0)[0]:
            self._receive(seat)
        self._bury(seat, silent=0.0)

    # -- children and the database --------------------------------------------------------------------------------

    def _child_for(self, seat: Seat, reference: str) -> Child:
        worn = seat.trials >= self.settings.trials_per_child
        if seat.child is not None and (seat.reference != reference or worn):
            self._dismiss(seat)
        if seat.child is None:
            seat.child, seat.reference, seat.trials = self._launch(reference, seat.devices), reference, 0
        return seat.child

    @staticmethod
    def _dismiss(seat: Seat) -> None:
        if seat.child is not None:
            seat.child.kill()
            seat.child = None

    def _give_up(self, reason: str) -> None:
        """The database is there and cannot be used: nothing can be handed over, the leases run out by themselves."""
        again = self.stopping
        self._retry_at = math.inf
        self._stop_asked = -math.inf
        if not again:
            self.stopping = True
            raise SearchError(
                f"the database cannot be used any more: {reason}. Make room or mend it, then type the command again; "
                "trials go on from their last checkpoints."
            )

    def _away(self) -> bool:
        return time.monotonic() < self._retry_at

    def reaching(self, action: Callable[[], Any]) -> None:
        """Does it, or, while the database is away, nothing: training goes on and messages queue."""
        if self._away():
            return
        try:
            action()
        except (optuna.exceptions.StorageInternalError, *_AWAY) as error:
            cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
            reason = str(getattr(cause, "orig", None) or cause).splitlines()[0]
            if not isinstance(cause, _AWAY):
                raise
            if any(text in reason for text in _BROKEN):
                self._give_up(reason)
                return
            now = time.monotonic()
            if self._away_since is None:
                self._away_since = now
                self.screen.say(f"the database is away ({reason}): training goes on, reports wait")
            self._retry_at = now + min(15.0, 0.5 + (now - self._away_since))
        else:
            if self._away_since is not None:
                self.screen.say(f"the database is back after {time.monotonic() - self._away_since:.0f} s")
                self._away_since = None


def _drop_stale_checkpoints(inbox: Sequence[Message]) -> None:
    """While epochs queue for a database that is away, only the newest checkpoints are worth their space."""
    for message in [one for one in inbox if one["type"] == "epoch"][:-2]:
        if message["checkpoint"]:
            Path(message["checkpoint"]).unlink(missing_ok=True)
            message["checkpoint"] = None
