"""The worker's loop: while there is budget, claim a lease, give it to a child, and handle what the children say."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import select
import selectors
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import optuna
import sqlalchemy as sa

from search.child.hardware import out_of_memory_kills
from search.child.protocol import Stopped
from search.child.seat import Seat
from search.database.fence import FencedStorage
from search.database.leases import Lease
from search.errors import SearchError
from search.rules.devices import is_better_alone
from search.rules.failures import gives_up
from search.rules.readable import Foreign
from search.rules.waiting import is_late
from search.settings import DEFAULTS, Settings
from search.studies.data_folder import data_folder
from search.studies.stop import give_up
from search.studies.study import Study
from search.worker.claims import Claims
from search.worker.inbox import Died, drop_stale_checkpoints, what_a_trial_says
from search.worker.joined_study import JoinedStudy, join
from search.worker.outage import DatabaseBrokenError, Outage
from search.worker.trial import TRIED_AGAIN, LeasedTrial


class Screen(Protocol):
    """Where a worker shows what it does."""

    def say(self, text: str) -> None:
        """A line that stays."""

    def tick(self, worker: Worker) -> None:
        """Called a few times a second."""

    def end(self) -> None:
        """Nothing is drawn any more."""


class Worker:
    """This machine's part in some studies."""

    def __init__(
        self,
        storage: FencedStorage,
        seats: Sequence[Seat],
        *,
        workroot: Path,
        data_dir: Path,
        data_dir_is_typed: bool = False,
        files_place: str | None = None,
        settings: Settings = DEFAULTS,
        screen: Screen,
        cores: int = 1,
        kernel_kills: Callable[[], int] = out_of_memory_kills,
    ) -> None:
        self.storage, self.seats, self.settings, self.screen = storage, list(seats), settings, screen
        self.cores = cores
        """The machine's, for what runs alone."""
        storage.leases.seconds = settings.lease
        self.cached = optuna.storages.get_storage(storage)
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self.joined: dict[str, JoinedStudy] = {}
        """By the study's key."""
        self.trials: dict[Seat, LeasedTrial] = {}
        """What runs; a seat that is not in it is free."""
        self.outage = Outage(screen.say, settings, back=self._forget_cached)
        self.working = False
        self.stopping = False
        """Told to stop by a signal or a time limit: nothing new is claimed, trials are handed over."""
        self.interrupted = False
        """A signal, not a time limit."""
        self.deadline: float | None = None
        self._reserve: Callable[[], float] | None = None
        self._workroot, self._data_dir, self._files_place = workroot, data_dir, files_place
        self._data_dir_is_typed = data_dir_is_typed
        self._kernel_kills = kernel_kills
        self._stop_asked = 0.0
        self._renewed = self._looked_for_more = 0.0
        self._more: Callable[[], Sequence[str]] | None = None
        self.claims = Claims(storage, self.holder, settings)

    # -- what a command calls -----------------------------------------------------------------------------------------

    def join(self, study: Study) -> None:
        """Takes part in a study from here on."""
        if study.key not in self.joined:
            self.joined[study.key] = join(
                study,
                self.storage,
                self.cached,
                holder=self.holder,
                workroot=self._workroot,
                data_dir=self.data_dir(study),
                files_place=self._files_place,
                settings=self.settings,
                say=self.screen.say,
                between=self.renew_due,
            )

    def data_dir(self, study: Study) -> Path:
        """Where its data lie here: as it was typed now, else last."""
        return data_folder(self._workroot, study, self._data_dir, is_typed=self._data_dir_is_typed)

    def work(self, keys: Sequence[str], more: Callable[[], Sequence[str]] | None = None) -> None:
        """Until the budgets of these joined studies are used up, or this worker is told to stop.

        ``more`` joins those that there are by then, and gives their keys: it is asked now and then, and at the end.

        Raises SearchError where a study was stopped or deleted, or this machine cannot go on; what was running is
        handed over first.
        """
        error: SearchError | None = None
        keys, self._more = list(keys), more
        self.claims.look_soon()
        self.working = True
        while True:
            try:
                self._check_time()
                if not self.outage.lasts and not self.stopping:
                    self._fill(keys)
                if not self.trials and (self.stopping or (self.claims.used_up(keys) and not self._find_more(keys))):
                    break
                self._look_for_more(keys)
                self._read()
                self._advance()
                self._look_after()
                self.screen.tick(self)
            except DatabaseBrokenError as reason:
                error = error or (None if self.stopping else reason)
                self._abandon()
            except SearchError as reason:
                error = error or reason
                self.stop()
        self.working = False
        if error is None and not self.stopping:
            error = next((self.claims.closed[key] for key in keys if key in self.claims.closed), None)
        if error is not None:
            raise error

    def stop(self) -> None:
        """Hands over what is running and claims nothing more."""
        if self.stopping:
            return
        self.stopping, self._stop_asked = True, self._stop_asked or time.monotonic()
        for seat, trial in self.trials.items():
            if trial.over:
                continue
            if trial.can_stop:
                trial.ask_hand_over()
            else:
                self._bury(seat, silent=0.0)  # it has no batches to stop between

    def interrupt(self) -> None:
        """A signal: stops at the next turn, which a silent database may put off; time counts from here."""
        self.deadline, self.interrupted, self._stop_asked = 0.0, True, time.monotonic()

    def limit(self, seconds: float | None, *, reserve: Callable[[], float] | None = None) -> None:
        """From now on so long, less the seconds that ``reserve`` says by then: what is running is handed over."""
        self._reserve = reserve
        if seconds is not None and not self.interrupted:
            self.deadline = time.monotonic() + seconds

    def take_up(self) -> None:
        """What its time limit left a reserve for may begin, within it."""
        self.stopping, self._stop_asked, self._reserve = False, 0.0, None

    def close(self) -> None:
        """Ends the children, and this worker's part in its studies."""
        self.end_children()
        if self.joined and not self.outage.is_known:
            with contextlib.suppress(sa.exc.SQLAlchemyError):  # nobody waits for who is not seen any more
                self.storage.workers.leave(self.holder)

    def end_children(self) -> None:
        """Waits for nothing else."""
        for seat in self.seats:
            seat.dismiss()

    # -- claiming -----------------------------------------------------------------------------------------------------

    def _check_time(self) -> None:
        if self.stopping:
            return
        kept = self._reserve() if self._reserve and not self.interrupted else 0.0
        if self.deadline is not None and time.monotonic() >= self.deadline - kept:
            self.stop()

    def _look_for_more(self, keys: list[str]) -> None:
        now = time.monotonic()
        if self._more is not None and not self.stopping and now - self._looked_for_more > self.settings.look_again:
            self._looked_for_more = now
            self._take_new(keys)

    def _find_more(self, keys: list[str]) -> bool:
        """At the end: whether a study came while this worker lingered."""
        if self._more is None:
            return False
        end = time.monotonic() + self.settings.linger
        while time.monotonic() < end and not self.stopping:
            if self._take_new(keys):
                return True
            if math.isinf(end):  # who waits looks at what it has done already, too: somebody may give it more
                self.claims.look_soon()
                self._fill(keys)
                if self.trials:
                    return True
            time.sleep(self.settings.poll)
            self._check_time()
        return False

    def _take_new(self, keys: list[str]) -> bool:
        before = len(keys)
        self.outage.attempt(lambda: keys.extend(self._new(keys)))
        if len(keys) == before:
            return False
        self.claims.look_soon()
        return True

    def _new(self, keys: Sequence[str]) -> list[str]:
        return [key for key in (self._more() if self._more else ()) if key not in keys]

    def _fill(self, keys: Sequence[str]) -> None:
        for seat in self.seats:
            if seat not in self.trials and self.claims.are_due() and not self._somebody_is_alone():
                self.outage.attempt(lambda seat=seat: self._claim(seat, keys))  # type: ignore[misc]

    def _somebody_is_alone(self) -> bool:
        """Whether a trial runs, or waits to run, that nothing is to run beside."""
        return any(trial.is_alone for trial in self.trials.values())

    def _is_to_be_alone(self, lease: Lease, seat: Seat) -> bool:
        """What ran out of memory beside others; and a refit, or another that is its study's only trial."""
        others = bool(self.trials)
        only = not others and self.storage.leases.budget(lease.study_key) == 1  # asked only where it matters
        return lease.alone or is_better_alone(seat.devices, only_trial=only, others_run=others)

    def _claim(self, seat: Seat, keys: Sequence[str]) -> None:
        lease = self.claims.claim(seat, self.joined, keys)
        if lease is not None:
            joined, alone = self.joined[lease.study_key], self._is_to_be_alone(lease, seat)
            devices = replace(seat.devices, cores=self.cores) if alone else seat.devices
            try:
                child = seat.child_for_trial(joined.study.objective, devices)
                trial = LeasedTrial(joined, lease, child, devices, self._kernel_kills, alone=alone)
            except OSError as error:
                self.storage.leases.give_back(lease, counted=False)
                raise SearchError(f"no training process can be started here: {error}") from error
            except SearchError:  # a sampler that is not here any more
                self.storage.leases.give_back(lease, counted=False)
                raise
            self.trials[seat] = trial
            self.claims.begun(seat)

    # -- listening ----------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        with selectors.DefaultSelector() as selector:
            for seat in self.seats:
                if seat.child is not None:
                    selector.register(seat.child.pipe, selectors.EVENT_READ, seat)
            wait = 0.0 if self._is_something_to_begin() else min(self.settings.poll, 0.2)
            if not selector.get_map():
                time.sleep(wait)
                return
            for key, _ in selector.select(wait):
                self._receive(key.data)

    def _is_something_to_begin(self) -> bool:
        """Whether a trial was claimed that need not wait for anything."""
        begin = (trial.inbox and not trial.training for trial in self.trials.values())
        return any(begin) and not self.outage.lasts and not self._somebody_is_alone()

    def _receive(self, seat: Seat) -> None:
        if seat.child is None:
            return
        messages, trial = seat.child.receive(), self.trials.get(seat)
        if messages is None:
            self._bury(seat, silent=0.0)
        elif trial is not None:
            heard, wrong = what_a_trial_says(messages)
            trial.inbox.extend(heard)
            drop_stale_checkpoints(trial.inbox)
            if wrong:
                self._bury(seat, silent=0.0, wrote=wrong)

    def _bury(self, seat: Seat, silent: float, wrote: str = "") -> None:
        """The child is gone or must go: its trial learns of it as of any other message."""
        child, trial = seat.give_up(), self.trials.get(seat)
        if child is None:
            return
        status = None if silent or wrote or self.stopping else child.ended()
        if status is None:
            child.kill()
        if trial is not None:
            trial.inbox.append(Stopped() if self.stopping else Died(status, silent, wrote))

    def _drain(self, seat: Seat) -> None:
        """What a child said before it went, then that it is gone."""
        while seat.child is not None and select.select([seat.child.pipe], [], [], 0)[0]:
            self._receive(seat)
        self._bury(seat, silent=0.0)

    # -- what runs ----------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        for seat, trial in list(self.trials.items()):
            if trial.inbox and self._may_begin(seat, trial):
                self._handle(seat, trial)
            if trial.over and trial.outcome is not None:
                self._announce(trial)
            if trial.free and trial.over and trial.announced:
                del self.trials[seat]
                self.claims.look_soon()

    def _handle(self, seat: Seat, trial: LeasedTrial) -> None:
        """A bug that one trial's message shows is that trial's: the others go on."""
        try:
            self.outage.attempt(trial.advance)
        except SearchError:
            raise
        except Exception:  # noqa: BLE001 - logged with its traceback, counted as an attempt
            text = traceback.format_exc()
            print(text, file=sys.stderr, flush=True)
            seat.dismiss()
            trial.break_off(text)

    def _may_begin(self, seat: Seat, trial: LeasedTrial) -> bool:
        """A trial that is to run alone waits for the others, holding its lease; then what is warm beside it goes."""
        if not trial.waits_to_be_alone or self.stopping:
            return True
        if len(self.trials) > 1:
            return False
        for other in self.seats:
            if other is not seat:
                other.dismiss()
        return True

    def _announce(self, trial: LeasedTrial) -> None:
        if trial.announced or self.outage.lasts:
            return
        trial.announced = True
        self.screen.say(Foreign(trial.sentence()))
        joined = trial.joined
        if trial.reported or trial.outcome in {"complete", "pruned"}:
            joined.failures_in_a_row, joined.proven = 0, True
        elif trial.raised and not (trial.lease.errors and joined.proven):
            # What raised elsewhere before, and raises on a machine that is not broken, is at fault itself.
            joined.failures_in_a_row += 1
            if gives_up(joined.failures_in_a_row, self.settings.failures):
                self.outage.attempt(lambda: self._give_up(trial))

    def _give_up(self, last: LeasedTrial) -> None:
        """The study is left to the others, its budget with it."""
        study = last.joined.study
        reason = last.reason.removesuffix(TRIED_AGAIN)
        why = (
            f"{last.joined.failures_in_a_row} trials of {study.name!r} in a row raised on {socket.gethostname()} "
            f"before any reported, last: {reason}. The traceback is in {last.folder.log}; mend the objective (where "
            "only some hyperparameters raise: raise optuna.TrialPruned) or this machine, then type the command again"
        )
        give_up(self.storage, study, self.holder, why=why, seconds=self.settings.lease)
        self.claims.closed[study.key] = SearchError(why)
        for trial in self.trials.values():
            if trial.joined is last.joined and not trial.over:
                trial.ask_hand_over()

    def _look_after(self) -> None:
        now = time.monotonic()
        self.renew_due()
        late = self.stopping and is_late(self.settings, now - self._stop_asked)
        for seat, trial in list(self.trials.items()):
            trial.watch_time()
            if seat.child is not None and not trial.free and seat.child.gone():
                self._drain(seat)
            if seat.child is not None and (late or trial.is_silent()):
                self._bury(seat, silent=now - seat.child.heard)
            if late and self.outage.lasts:
                self.screen.say(f"the database is away: trial {trial.number} goes on when its lease has expired")
                del self.trials[seat]

    def renew_due(self) -> None:
        """All leases held here, if it is time; also called between the pieces of a long transfer."""
        now = time.monotonic()
        if now - self._renewed < self.settings.renew_every or self.outage.lasts:
            return
        self._renewed = now
        self.outage.attempt(lambda: self.storage.workers.be_seen(self.holder))
        for trial in list(self.trials.values()):
            self.outage.attempt(trial.renew)
            trial.folder.bound_log(self.settings.log_bytes)

    def _forget_cached(self) -> None:
        """After an outage the database may be an older one: what Optuna's cache holds of it may never have been."""
        self.cached = optuna.storages.get_storage(self.storage)
        for joined in self.joined.values():
            joined.cached = self.cached
        for trial in self.trials.values():
            trial.reports.forget()

    def _abandon(self) -> None:
        """Nothing can be handed over to a database that is broken: the leases run out by themselves."""
        self.stopping, self._stop_asked = True, -math.inf
