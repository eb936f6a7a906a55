"""One trial under its lease: from the claim to the tell, whatever dies on the way.

Each message can be handled again after the database was away: what was done before is found done. The order is report,
record, store, tell; a death anywhere leaves a lease that the next holder goes on with.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Collection
from pathlib import Path

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import TrialState

from search.child import protocol as said
from search.child.hardware import peak_memory
from search.child.process import Child
from search.contract import Devices
from search.database.leases import Entry, Lease, LeaseLost
from search.errors import SearchError
from search.rules import failures, pruning, waiting
from search.rules.content import what_changed
from search.rules.failures import Verdict
from search.rules.pruning import PrunedBy
from search.rules.readable import counted, readable
from search.studies.limits import stop_growing
from search.studies.patience import search_on
from search.studies.stop import stop
from search.studies.study import still_there
from search.trial_run import StopReason
from search.worker.checkpoints import Checkpoints
from search.worker.epoch_times import EpochTimes
from search.worker.inbox import Begin, Broken, Died, TimeUp
from search.worker.joined_study import JoinedStudy
from search.worker.keep_at_end import keep_log, keep_model
from search.worker.outage import DatabaseBrokenError
from search.worker.reports import Reports
from search.worker.start_trial import order
from search.worker.trial_folder import LocalCheckpoint, TrialFolder

TRIED_AGAIN = "; it is tried once more"


class LeasedTrial:
    """A claimed lease, its trial and the child that trains it."""

    def __init__(
        self,
        joined: JoinedStudy,
        lease: Lease,
        child: Child,
        devices: Devices,
        kernel_kills: Callable[[], int],
        *,
        alone: bool,
    ) -> None:
        self.joined, self.lease, self.child, self.devices = joined, lease, child, devices
        self.is_alone = alone
        """Nothing is to run beside it."""
        self.folder = TrialFolder(joined.folder, lease.number, lease.token, lease.nonce)
        self.reports = Reports(joined, lease)
        self.checkpoints = Checkpoints(joined, lease, self.folder)
        self.inbox: deque[said.Message] = deque([Begin()])
        self._done: dict[str, bool] = {}
        """What of the message at hand is done already, should it be handled again."""
        self.over = False
        """The lease is closed, handed over or lost; only the child's last message is waited for."""
        self.free = False
        """The child can take another trial, or is gone."""
        self.training = False
        self.can_stop = not joined.study.is_plain
        """Whether it ends well when it is told to; of a plain function it is known once that asks for its run."""
        self.handing_over = False
        self.reported = False
        """Whether an epoch, or a plain function's value, was reported here."""
        self.outcome: str | None = None
        self.reason = ""
        self.raised = False
        """Whether its objective's code did."""
        self.announced = False
        self._killed_on_purpose = False
        self.epoch = lease.epoch
        self.value: float | None = None
        self.rate: float | None = None
        """Images a second, where they are reported."""
        self.training_seconds: float | None = None
        """Of the last epoch, likewise."""
        self.times = EpochTimes()
        self._ended = 0.0
        self._went: float | None = None
        """When its training was begun here; None: not yet, or its time is up."""
        self._unsaid: Collection[str] = joined.limits.of_the_network.keys()
        """What is limited of its network, and was not said yet."""
        self._kernel_kills, self._killed_before = kernel_kills, kernel_kills()

    # -- what the worker calls ----------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Handles what has come. An unreachable database raises; the message stays and is handled again later."""
        while self.inbox:
            message = self.inbox[0]
            if not self.over and not self._was_killed_before(message):
                self._handle_or_end(message)
            self.inbox.popleft()
            self._done.clear()
            self.free = self.free or isinstance(message, said.Last)

    def renew(self) -> None:
        """Keeps the lease for another while; finds out that it is lost."""
        if not self.over:
            try:
                self.joined.storage.leases.renew(self.lease)
            except LeaseLost as reason:
                self._lost(reason)

    def ask_hand_over(self) -> None:
        """The worker is to stop: end the epoch if little is left of it, else the batch."""
        self.handing_over = True
        if not waiting.ends_its_epoch(self.joined.settings, self.times.left_of_epoch()):
            self._stop("handed over")

    def break_off(self, bug: str) -> None:
        """This process has a bug, and what it was doing for the trial is not done. Its child is gone."""
        if self.inbox and isinstance(self.inbox[0], Broken):  # not even that can be said: its lease runs out
            self._end("lost", "a bug, see above")
            self.free = True
            self.inbox.clear()
        else:
            self.inbox = deque([Broken(bug)])

    def watch_time(self) -> None:
        """Whether it has taken as long as it may: it learns of that as of any other message."""
        limit = self.joined.limits.trial_timeout
        if not limit or self._went is None or not self.training or self.over or self.joined.study.refit:
            return
        if self.lease.seconds + time.monotonic() - self._went > limit:
            self._went = None
            self.inbox.append(TimeUp())

    def is_silent(self) -> bool:
        """Whether the child should be killed: without a word while training, or too long when told to end."""
        settings = self.joined.settings
        if self.over:
            return time.monotonic() - self._ended > settings.grace
        allowed = waiting.silence_allowed(settings, self.times.longest, plain=self.joined.study.is_plain)
        return not self.inbox and time.monotonic() - self.child.heard > allowed

    @property
    def waits_to_be_alone(self) -> bool:
        """Whether it is to begin once nothing else runs here."""
        return self.is_alone and not self.training and not self.over and not self.handing_over

    @property
    def number(self) -> int | None:
        """The trial's number, once it is known."""
        return self.reports.number

    def sentence(self) -> str:
        """How it ended, in a line."""
        what = f"{self.joined.study.name} trial {self.number if self.number is not None else '?'}"
        value = ""
        if self.value is not None and self.outcome in {"complete", "pruned"}:
            value = f", {self.joined.study.shown_metric} {readable(self.value)}"
        return f"{what}: {self.outcome}{value}{': ' if self.reason else ''}{self.reason}"

    # -- messages -----------------------------------------------------------------------------------------------------

    def _handle_or_end(self, message: said.Message) -> None:
        try:
            self._handle(message)
        except (LeaseLost, UpdateFinishedTrialError) as reason:
            self._lost(reason)
        except StorageInternalError:
            self.reports.forget()
            raise
        except DatabaseBrokenError:
            raise
        except SearchError as reason:
            if self.over:  # given back already
                raise
            self._give_back_for(str(reason))
        except OSError as error:
            self._give_back_for(f"trial {self.number} cannot go on here: {error}")
        except KeyError:
            gone = not still_there(self.joined.storage.engine, self.joined.study)
            if not gone and self.joined.storage.leases.current(self.lease) is not None:
                raise
            self._end("lost", "the study was deleted" if gone else "the database is an older one by now")
            self._stop("lost")

    def _handle(self, message: said.Message) -> None:  # noqa: PLR0912, PLR0915 - a line a message
        match message:
            case Begin():
                self._begin()
            case said.Suggest():
                self.child.send(self.reports.suggest(message))
            case said.ShouldPrune():
                self.child.send(self.reports.should_prune())
            case said.Report():
                self.reports.report(message)
                self.value, self.reported = message.value, True
            case said.UserAttr():
                self.reports.user_attr(message)
            case said.SystemAttr():
                self.reports.system_attr(message)
            case said.AskTrials():
                self.child.send(self.reports.trials(message))
            case said.AskStudyAttrs():
                self.child.send(self.reports.study_attrs(message))
            case said.EndStudy():
                self.reports.end_study()
            case said.Constraint():
                self.reports.constraint(message)
            case said.Network():
                self._unsaid = self._unsaid - message.said().keys()
                self.reports.network(message)
            case said.Resumable():
                self.can_stop = True
            case said.Epoch():
                self._finish_epoch(message)
            case said.Done():
                self._complete(message.value)
            case said.Pruned():
                self._tell(TrialState.PRUNED, message.why or pruning.why_pruned(self.epoch), by="objective")
            case said.TooLarge():
                self._turn_down(message.why)
            case TimeUp():
                if limit := self.joined.limits.trial_timeout:  # it may have been lifted meanwhile
                    self._stop("out of time")
                    self._tell(TrialState.PRUNED, pruning.took_too_long(limit), by="time")
            case said.Stopped():
                self._hand_over()
            case said.Failed():
                self._failed(message)
            case Died():
                self._died(message)
            case Broken():
                self._broken(message.bug)
            case said.Beat():
                pass
            case _:
                raise TypeError(f"a child says {message}")

    def _begin(self) -> None:
        """Birth, adoption or continuation; then the child is told to go."""
        if self.handing_over:  # it was told to stop while the database was away
            self._hand_over()
            return
        frozen = self.reports.begin()
        self.checkpoints.trial_number = self.number
        used_up = failures.attempts_used_up(self.lease.attempts, self.joined.settings.attempts)
        if frozen.state.is_finished():
            self.joined.storage.leases.close(self.lease, frozen.state.name.lower())
            self._end(frozen.state.name.lower(), "ended by somebody else")
        elif used_up:
            self._tell(TrialState.FAIL, used_up)
        elif self.reports.is_pruned_at(self.epoch):
            self._tell(TrialState.PRUNED, pruning.why_pruned(self.epoch), by="pruner")
        else:
            checkpoint = self.checkpoints.find(self.epoch)
            if self.lease.trial_id is not None:
                resumed = [*self.lease.resumed_from, checkpoint.step if checkpoint else 0]
                self.joined.storage.leases.renew(self.lease, resumed_from=resumed)
            self._go(checkpoint)

    def _go(self, checkpoint: LocalCheckpoint | None) -> None:
        self.folder.path.mkdir(parents=True, exist_ok=True)
        self.child.heard = time.monotonic()
        self.times.begin()
        self.reports.note(what_changed(self.joined.study.definition))
        self.training, self._killed_before = True, self._kernel_kills()
        self._went = time.monotonic()
        self.child.send(order(self.joined, self.reports.trial(), self.folder, self.devices, checkpoint))

    def _finish_epoch(self, message: said.Epoch) -> None:
        if not self._done.setdefault("timed", False):
            self.times.epoch()
            self._done["timed"] = True
        self.value = message.values.get(self.joined.study.definition["metric"], self.value)
        self.rate = message.values.get("images_per_second", self.rate)
        self.training_seconds = message.values.get("training_seconds", self.training_seconds)
        self.reported = True
        is_new = self._done.setdefault("is new", message.step > self.epoch)
        if message.step > self.epoch:
            self.reports.epoch(message.step, message.values, self._spent(message))
            self.epoch = message.step
            self.times.account()
        elif not is_new and not self._done.get("counted"):
            repeated: Entry = {**self._spent(message), "repeated": 1}
            self.joined.storage.leases.renew(self.lease, **repeated)
            self._done["counted"] = True
            self.times.account()
        if message.checkpoint:
            self.checkpoints.take(message.step, Path(message.checkpoint))
            if self.joined.kill_at is not None and message.step >= self.joined.kill_at:
                self.joined.kill_at, self.joined.killed_at, self._killed_on_purpose = None, message.step, True
                os.kill(self.child.pid, signal.SIGKILL)
                return
        self.joined.turned_down_in_a_row = 0
        if self._unsaid and not self.joined.study.refit:
            self._stop_unlimited()
        elif self.handing_over:
            self._stop("handed over")
        elif is_new and self.reports.is_pruned_at(message.step):
            self._stop("pruned")
            self._tell(TrialState.PRUNED, pruning.why_pruned(self.epoch), by="pruner")
        elif not self._was_its_last(message.step) and self._study_has_ended():
            self.handing_over = True
            self._stop("handed over")

    def _was_killed_before(self, message: said.Message) -> bool:
        """What a fast child said before it died is as if it had not; of its death the worker says so, in either way."""
        is_death = isinstance(message, Died) or (isinstance(message, said.Stopped) and self.child.gone())
        return self._killed_on_purpose and not is_death

    def _was_its_last(self, step: int) -> bool:
        """Nobody knows how many steps a plain function takes."""
        return not self.joined.study.is_plain and step >= self.joined.study.epochs

    def _study_has_ended(self) -> bool:
        """Asked where a limit may have been reached, and now and then where somebody may have set one."""
        joined = self.joined
        limited = joined.limits.hours is not None or joined.limits.until is not None
        is_due = time.monotonic() - joined.limits_read > joined.settings.look_again
        return (limited or is_due) and joined.what_ended() is not None

    def _stop_unlimited(self) -> None:
        """A limit that nobody checks would be none."""
        why = (
            f"{' and '.join(self._unsaid)} of the network are limited, and {self.joined.study.objective} does not say "
            "them: let its train call context.built(), or lift the limit with MAX_PARAMS=none or MAX_FLOPS=none"
        )
        stop(self.joined.storage, self.joined.study, why)
        self._stop("pruned")
        self._give_back(counted=False)
        self._end("waiting", why)

    # -- ends ---------------------------------------------------------------------------------------------------------

    def _turn_down(self, why: str) -> None:
        """Costs nothing of the budget, but for what was trained before the limit was set, and what the study was given
        to try first, which would come again."""
        if self.joined.study.is_first(self.lease.number) or self.epoch or self.checkpoints.in_use:
            self._tell(TrialState.PRUNED, why, by="size")
            return
        if not self.reports.frozen().state.is_finished():  # else it was turned down, and the answer was lost
            self.reports.turn_down(why, self._spent())
        self._close_unbegun()
        self._end("turned down", why)
        self.folder.clear()
        self.joined.turned_down_in_a_row += 1
        if self.joined.turned_down_in_a_row >= self.joined.settings.turned_down:
            stop(
                self.joined.storage,
                self.joined.study,
                f"{self.joined.turned_down_in_a_row} networks of {self.joined.study.name!r} in a row were too large, "
                f"last: {why}. Allow more with MAX_PARAMS or MAX_FLOPS, or search a space of smaller ones",
            )

    def _complete(self, value: float) -> None:
        if self._is_told():
            return
        if nowhere := pruning.leads_nowhere(value):
            self._tell(TrialState.PRUNED, nowhere, by="hyperparameters")
            return
        try:
            keep_model(self.joined, self.lease, self.folder, value, feasible=self.reports.is_feasible())
        except OSError as error:
            self._give_back_for(f"the model of trial {self.number} cannot be stored: {error.strerror or error}")
        self._tell(TrialState.COMPLETE, "", value)

    def _hand_over(self) -> None:
        """The child ended its batch: checkpoint and lease go to whoever claims next. Not an attempt."""
        self.checkpoints.upload(last=True)
        self._give_back(counted=False)
        self._end("handed over", f"after epoch {self.epoch}")

    def _failed(self, message: said.Failed) -> None:
        # Without a checkpoint to blame it is an exception like any.
        cause = "error" if message.cause == "checkpoint" and not self.checkpoints.in_use else message.cause
        verdict = failures.after_failure(cause, errors=self.lease.errors)
        self.raised = cause == "error"
        if verdict == Verdict.PRUNED:
            self._tell(TrialState.PRUNED, message.why, by="hyperparameters")
        elif verdict == Verdict.FAILED and self._may_be_the_machine():
            self._leave_to_others(counted=False)
            self._end("raised", f"{message.why}; it is left to others, as nothing has gone well here yet")
        elif verdict == Verdict.FAILED:
            self._tell(TrialState.FAIL, message.why)
        elif verdict == Verdict.STOPS_THE_STUDY:
            stop(self.joined.storage, self.joined.study, message.why)
            self._give_back(counted=False)
            self._end("waiting", message.why)
        elif verdict == Verdict.ELSEWHERE_AGAIN:
            self._leave_to_others(counted=False, error=True)
            self._end("raised", message.why + TRIED_AGAIN)
        elif verdict == Verdict.FROM_EARLIER:
            self.checkpoints.discard_used()
            self._give_back(counted=False)
            self._end("waiting", f"{message.why}; it was removed, the one before it is next")
        else:
            self._give_back_for(message.why)

    def _may_be_the_machine(self) -> bool:
        """Two broken machines together would otherwise use up what a third could run."""
        return not self.joined.proven and self.joined.has_others()

    def _died(self, message: Died) -> None:
        for_memory = pruning.was_killed_for_memory(
            message.status,
            killed_by_us=bool(message.silent or message.wrote),
            kernel_killed=self._kernel_kills() > self._killed_before,
        )
        if for_memory and (memory := pruning.why_pruned_for_memory(alone=self.lease.alone)):
            self._tell(TrialState.PRUNED, memory, by="hyperparameters")
            return
        self.checkpoints.upload(last=True)
        self._leave_to_others(counted=True, alone=for_memory)
        how = failures.how_it_died(message.status, message.silent, message.wrote)
        again = ", perhaps for memory; nothing is to run beside it when" if for_memory else ";"
        then = f"goes on from epoch {self.epoch}" if self.epoch else "begins again"
        self._end("waiting", f"its process {how}{again} it {then}")

    def _broken(self, bug: str) -> None:
        """An attempt, for which others may have better luck."""
        with contextlib.suppress(OSError):
            self.folder.add_to_log(bug)
        self._leave_to_others(counted=True)
        self._end("waiting", f"a bug, {bug.strip().splitlines()[-1]}; the traceback is in {self.folder.log}")

    def _tell(self, state: TrialState, reason: str, value: float | None = None, *, by: PrunedBy | None = None) -> None:
        """The last word on the trial: its log, its reason, then the state that closes the lease with it.

        ``by``: who pruned it.
        """
        if self._is_told():
            return
        joined, name = self.joined, state.name.lower()
        keep_log(joined, self.lease, self.folder, self.number)
        if not self.reports.is_last and (grown := search_on(joined.storage, joined.study, self.lease, name, value)):
            joined.say(f"trial {grown[0].number} would be the winner: the budget is {grown[1]} trials now")
        self.reports.tell(state, reason, value, self._spent(), by)
        if value is not None:
            self.value = value
        self._close(name, reason)

    def _is_told(self) -> bool:
        state = self.reports.ended_as()
        if state is not None:
            self._close(state, "")
        return state is not None

    def _close_unbegun(self) -> None:
        if not self.reports.is_last:
            return
        left = self.joined.storage.leases.close_unbegun(self.joined.study.key)
        stop_growing(self.joined.storage.engine, self.joined.study)
        if left:
            self.joined.say(f"nothing more is to be tried; left of the budget: {counted(left, 'trial')}")

    def _close(self, outcome: str, reason: str) -> None:
        self._close_unbegun()
        self._end(outcome, reason)
        self.joined.files.sweep_lease(self.lease)
        self.folder.clear()

    def _give_back_for(self, why: str) -> None:
        """This machine's fault, not the trial's: somebody else goes on with it, and this worker ends with one line."""
        self._give_back(counted=False)
        self._end("waiting", why)
        raise SearchError(why)

    def _give_back(self, *, counted: bool) -> None:
        self.joined.storage.leases.give_back(self.lease, counted=counted, **self._spent())

    def _leave_to_others(self, *, counted: bool, error: bool = False, alone: bool = False) -> None:
        """What failed here may go well elsewhere."""
        self.joined.storage.leases.leave_to_others(
            self.lease,
            counted=counted,
            pause=self.joined.settings.retry,
            error=error,
            alone=alone,
            **self._spent(),
        )
        self.joined.left_to_others = True

    def _lost(self, reason: Exception) -> None:
        if isinstance(reason, UpdateFinishedTrialError) and self.reports.trial_id is not None:
            state = self.joined.cached.get_trial(self.reports.trial_id).state.name.lower()
            self.joined.storage.leases.close(self.lease, state)
            self._end(state, "ended by somebody else")
        else:
            self._end("lost", "another worker goes on with it")
        self._stop("lost")

    def _end(self, outcome: str, reason: str) -> None:
        self.over, self.outcome, self.reason, self._ended = True, outcome, reason, time.monotonic()
        self.free = self.free or not self.training
        self.reports.release()

    # -- small parts --------------------------------------------------------------------------------------------------

    def _spent(self, epoch: said.Epoch | None = None) -> Entry:
        """What is not in the lease's row yet: time, with an epoch's training steps, and memory at its peak."""
        trained = epoch.values.get("training_seconds", 0.0) if epoch else 0.0
        return {
            "seconds": self.times.unaccounted(),
            "trained": trained if math.isfinite(trained) else 0.0,
            "memory": 0 if self.child.gone() else peak_memory(self.child.pid),
            "worker_memory": peak_memory(),
        }

    def _stop(self, reason: StopReason) -> None:
        if self.training:
            self.child.send(said.Stop(self.folder.path.name, reason))
