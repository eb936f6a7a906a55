"""One trial under its lease: from the claim to the tell, whatever dies on the way.

Each handler of a message can be run again after the database was away: what it did before is found done. The order is
report, record, store, tell; a death anywhere leaves a lease that the next holder goes on with.
"""

from __future__ import annotations

import dataclasses
import json
import math
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, distribution_to_json, json_to_distribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import Trial, TrialState, create_trial

from search.children import Child
from search.contract import Devices
from search.errors import SearchError
from search.fence import FencedStorage
from search.files import Files
from search.leases import Lease, LeaseLost
from search.pipe import Message
from search.pruning import rungs_before_the_end
from search.studies import Joined, code_hash, revision, still_there
from search.tables import LEASES
from search.workdir import Checkpoint, Workdir

LAST = frozenset({"done", "pruned", "stopped", "failed", "died"})
"""Kinds of a child's message after which it is free for another trial."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Times in seconds. ``upload_share``: of a trial's time, what uploading its checkpoints may cost."""

    lease: float = 60.0
    renew: float = 15.0
    silence: float | None = None
    """Without a message for so long, a child is killed; None: 600, and never for a plain function, which may say
    nothing until its end. A training that asks ``stopping()`` after each batch is heard from all the time."""
    grace: float = 20.0
    upload_share: float = 0.02
    trials_per_child: int = 20
    attempts: int = 3
    """So many claims without a new checkpoint, and the trial is ended as FAIL."""
    poll: float = 0.5


@dataclass
class Place:
    """What a study's trials need on this machine."""

    study: Joined
    storage: FencedStorage
    cached: BaseStorage
    files: Files
    workroot: Path
    data_dir: Path
    source: Path | None
    settings: Settings
    say: Callable[[str], None]
    checkpoints: int = 0
    """So many were handed over by trials here."""


class Running:
    """A claimed lease, its trial and the child that trains it."""

    def __init__(
        self, place: Place, lease: Lease, child: Child, devices: Devices, oom_kills: Callable[[], int]
    ) -> None:
        self.place, self.lease, self.child, self.devices = place, lease, child, devices
        self.inbox: deque[Message] = deque([{"type": "begin"}])
        self.over = False
        """The lease is closed, handed over or lost; only the child's last message is waited for."""
        self.free = False
        """The child can take another trial, or is gone."""
        self.training = False
        self.closed_at = 0.0
        self.outcome: str | None = None
        self.reason = ""
        self.announced = False
        self.epoch = lease.epoch
        self.value: float | None = None
        self.longest_epoch = self.last_epoch = 0.0
        self.epochs_here = 0
        self.rate: float | None = None
        self.started = self.epoch_began = self._accounted = time.monotonic()
        self.handing_over = False
        self._study = place.study.optuna_study(place.cached, lease.number)
        self._trial: Trial | None = None
        self._number: int | None = None
        self._uploaded_step = 0
        self._resumed_here = False
        self._upload_seconds = 0.0
        self._oom_kills = oom_kills
        self._oom_before = oom_kills()
        self._trial_id = lease.trial_id
        self.folder = Workdir(place.workroot / place.study.key, lease.number, lease.token)

    # -- what the worker calls ------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Handles what has come. An unreachable database raises; the message stays and is handled again later."""
        while self.inbox:
            message = self.inbox[0]
            if not self.over:
                try:
                    getattr(self, f"_on_{message['type']}")(message)
                except (LeaseLost, UpdateFinishedTrialError) as reason:
                    self._lost(reason)
                except optuna.exceptions.StorageInternalError:
                    self._trial = None
                    raise
                except SearchError as reason:
                    if self.over:  # given back already
                        raise
                    self._give_back_for(str(reason))
                except OSError as error:
                    self._give_back_for(f"trial {self.number} cannot go on here: {error}")
                except KeyError:
                    if still_there(self.place.storage.engine, self.place.study):
                        raise
                    self._end("lost", "the study was deleted")
                    self._stop("fenced")
            self.inbox.popleft()
            self.free = self.free or message["type"] in LAST

    def renew(self) -> None:
        """Keeps the lease for another while; finds out that it is lost."""
        if not self.over:
            try:
                self.place.storage.leases.renew(self.lease)
            except LeaseLost as reason:
                self._lost(reason)

    def ask_hand_over(self) -> None:
        """The worker is to stop: end the epoch if little is left of it, else the batch."""
        self.handing_over = True
        left = self.longest_epoch - (time.monotonic() - self.epoch_began)
        if self.longest_epoch == 0.0 or left > self.place.settings.grace:
            self._stop("hand over")

    def hidden_too_long(self) -> bool:
        """Whether the child should be killed: silent while training, or not ending when told to."""
        settings, silent = self.place.settings, time.monotonic() - self.child.heard
        if self.over:
            return time.monotonic() - self.closed_at > settings.grace
        plain = self.place.study.definition["kind"] == "function"
        limit = settings.silence or (math.inf if plain else 600.0)
        return not self.inbox and silent > max(limit, 10 * self.longest_epoch)

    @property
    def number(self) -> int | None:
        """The trial's number, once it is known."""
        return self._number

    def sentence(self) -> str:
        """How it ended, in a line."""
        what = f"{self.place.study.name} trial {self.number if self.number is not None else '?'}"
        outcome = "fail" if self.outcome == "error" else self.outcome
        value = ""
        if self.value is not None and outcome in {"complete", "pruned"}:
            value = f", {self.place.study.shown_metric} {self.value:.4f}"
        return f"{what}: {outcome}{value}{': ' if self.reason else ''}{self.reason}"

    # -- handlers -------------------------------------------------------------------------------------------------

    def _on_begin(self, _message: Message) -> None:
        """Birth, adoption or continuation; then the child is told to go."""
        storage, study = self.place.storage, self.place.study
        if self.handing_over:  # it was told to stop while the database was away
            self._on_stopped({})
            return
        self._trial_id = self._trial_id or self._birth()
        storage.hold(self._trial_id, self.lease)
        trial = self._real_trial()
        frozen = self.place.cached.get_trial(self._trial_id)
        if frozen.state.is_finished():
            storage.leases.close(self.lease, frozen.state.name.lower())
            self._end(frozen.state.name.lower(), "ended by somebody else")
        elif self.lease.attempts > self.place.settings.attempts:
            self._tell(TrialState.FAIL, f"{self.place.settings.attempts} attempts ended without a new checkpoint")
        elif self._should_stop_at(self.epoch, trial):
            self._tell(TrialState.PRUNED, self._why_pruned())
        else:
            checkpoint = self._find_checkpoint()
            if self.lease.trial_id is not None:
                resumed = [*self.lease.resumed_from, checkpoint.step if checkpoint else 0]
                storage.leases.renew(self.lease, resumed_from=json.dumps(resumed))
            self._go(study, trial, checkpoint)

    def _birth(self) -> int:
        storage, study, lease = self.place.storage, self.place.study, self.lease
        row = storage.leases.current(lease)
        if row is not None and row.trial_id is not None:
            return int(row.trial_id)  # born already; the answer was lost
        fixed = study.fixed(lease.number)
        if not study.is_first(lease.number):
            adopted = storage.adopt_waiting(study.study_id, lease)
            if adopted is not None:
                return adopted
        facts = {"lease": lease.number, "host": socket.gethostname(), "revision": revision()}
        if code_hash() != study.code:
            facts["code"] = f"objectives/ is {code_hash()} here, {study.code} where the study was created"
        template = create_trial(state=TrialState.RUNNING, user_attrs=facts, system_attrs={"fixed_params": fixed})
        with storage.newborn(lease):
            return self.place.cached.create_new_trial(study.study_id, template_trial=template)

    def _go(self, study: Joined, trial: Trial, checkpoint: Checkpoint | None) -> None:
        self.folder.path.mkdir(parents=True, exist_ok=True)
        frozen = trial._cached_frozen_trial
        self.started = self.epoch_began = self._accounted = self.child.heard = time.monotonic()
        self.training = True
        self.child.send(
            "go",
            run=self.folder.path.name,
            log=str(self.folder.log),
            number=trial.number,
            seed=study.trial_seed(trial.number),
            workdir=str(self.folder.path),
            data_dir=str(self.place.data_dir),
            source=str(self.place.source) if self.place.source else None,
            resume=str(checkpoint.path) if checkpoint else None,
            size=dataclasses.asdict(study.size),
            cores=self.devices.cores,
            gpus=list(self.devices.gpus),
            refit=bool(study.refit),
            params=trial.params,
            distributions={name: distribution_to_json(value) for name, value in trial.distributions.items()},
            user_attrs=trial.user_attrs,
            constraints=trial.constraints,
            reported=list(frozen.intermediate_values),
            datetime_start=(frozen.datetime_start).isoformat() if frozen.datetime_start else None,
        )

    def _on_beat(self, _message: Message) -> None:
        """It lives."""

    def _on_suggest(self, message: Message) -> None:
        distribution = json_to_distribution(message["distribution"])
        trial = self._real_trial()
        keywords = dict(distribution._asdict())
        suggest: Any = {
            "FloatDistribution": trial.suggest_float,
            "IntDistribution": trial.suggest_int,
            "CategoricalDistribution": trial.suggest_categorical,
        }[type(distribution).__name__]
        try:
            if isinstance(distribution, CategoricalDistribution):
                value = suggest(message["name"], distribution.choices)
            else:
                low, high = keywords.pop("low"), keywords.pop("high")
                value = suggest(message["name"], low, high, **keywords)
        except ValueError as error:
            self.child.send("answer", error=str(error))
        else:
            self.child.send("answer", value=value)

    def _on_should_prune(self, _message: Message) -> None:
        verdict = bool(self._real_trial().should_prune())  # a pruner may answer in NumPy
        self.child.send("answer", value=verdict)

    def _on_report(self, message: Message) -> None:
        self._real_trial().report(message["value"], message["step"])
        self.value = message["value"]

    def _on_user_attr(self, message: Message) -> None:
        self._real_trial().set_user_attr(message["key"], message["value"])

    def _on_constraint(self, message: Message) -> None:
        trial = self._real_trial()
        if message["key"] not in trial.constraints:
            trial.set_constraint(message["key"], message["value"])

    def _on_epoch(self, message: Message) -> None:
        now, step, values = time.monotonic(), message["step"], message["values"]
        self.last_epoch, self.epochs_here = now - self.epoch_began, self.epochs_here + 1
        self.longest_epoch = max(self.longest_epoch, self.last_epoch)
        self.epoch_began = now
        self.value = values.get(self.place.study.definition["metric"], self.value)
        self.rate = values.get("images_per_second", self.rate)
        new = message.setdefault("new", step > self.epoch)
        if step > self.epoch:
            self._record_epoch(step, values)
        elif not new and not message.get("counted"):
            spent = LEASES.c.seconds + self._unaccounted()
            self.place.storage.leases.renew(self.lease, repeated=LEASES.c.repeated + 1, seconds=spent)
            message["counted"], self._accounted = True, time.monotonic()
        if message["checkpoint"]:
            self.folder.take(step, Path(message["checkpoint"]))
            self.place.checkpoints += 1
            self._upload()
        if self.handing_over:
            self._stop("hand over")
        elif new and self._should_stop_at(step, self._real_trial()):
            self._stop("pruned")
            self._tell(TrialState.PRUNED, self._why_pruned())

    def _record_epoch(self, step: int, values: dict[str, float]) -> None:
        trial, metric = self._real_trial(), self.place.study.definition["metric"]
        if metric in values and step not in trial._cached_frozen_trial.intermediate_values:
            trial.report(values[metric], step)
        history = {name: list(row) for name, row in trial.user_attrs.get("epochs", {}).items()}
        for name, value in values.items():
            row = history.setdefault(name, [])
            row += [None] * (step - len(row))
            row[step - 1] = value
        with self.place.storage.recording(epoch=step, seconds=LEASES.c.seconds + self._unaccounted()):
            trial.set_user_attr("epochs", history)
        self.epoch, self._accounted = step, time.monotonic()

    def _on_done(self, message: Message) -> None:
        if self._told():
            return
        value = message["value"]
        if math.isnan(value):
            self._tell(TrialState.PRUNED, "the objective's value is not a number")
            return
        model = self.folder.path / "model"
        feasible = all(limit <= 0.0 for limit in self._real_trial().constraints.values())
        if model.is_dir() and feasible and self.place.files.worth_keeping(self.place.study.key, value):
            try:
                self.place.files.keep(self.lease, "model", model, value=value)
            except OSError as error:
                self._give_back_for(f"the model of trial {self.number} cannot be stored: {error.strerror or error}")
        self._tell(TrialState.COMPLETE, "", value)

    def _on_pruned(self, message: Message) -> None:
        self._tell(TrialState.PRUNED, message["why"] or self._why_pruned())

    def _on_stopped(self, _message: Message) -> None:
        """The child ended its batch: checkpoint and lease go to whoever claims next. Not an attempt."""
        self._upload(force=True)
        self.place.storage.leases.give_back(self.lease, counted=False, seconds=self._unaccounted())
        self._end("handed over", f"after epoch {self.epoch}")

    def _on_failed(self, message: Message) -> None:
        if message["cause"] == "unusable":
            self._tell(TrialState.PRUNED, message["why"])
        elif message["cause"] == "checkpoint" and self._resumed_here:
            # Never the stored one's fault: that one is tried next.
            self.folder.clear()
            self.place.storage.leases.give_back(self.lease, counted=True, seconds=self._unaccounted())
            self._end("waiting", f"{message['why']}; it was removed, the stored one is next")
        elif message["cause"] in {"user", "checkpoint"}:
            self._give_back_for(message["why"])
        else:
            self._tell(TrialState.FAIL, message["why"])
            self.outcome = "error"

    def _on_died(self, message: Message) -> None:
        if message["status"] == -9 and not message["silent"] and self._oom_kills() > self._oom_before:
            self._tell(TrialState.PRUNED, "out of memory: the kernel killed the training process")
            return
        self._upload(force=True)
        self.place.storage.leases.give_back(self.lease, counted=True, seconds=self._unaccounted())
        how = f"was silent for {message['silent']:.0f} s and killed" if message["silent"] else _how(message["status"])
        self._end("waiting", f"its process {how}; it goes on from epoch {self.epoch}")

    # -- checkpoints ----------------------------------------------------------------------------------------------

    def _upload(self, *, force: bool = False) -> None:
        """To where other machines find it: after the first epoch, then as long as it costs little, and at the end."""
        newest, began = self.folder.newest(), time.monotonic()
        if newest is None or newest.step <= self._uploaded_step:
            return
        cheap = self._upload_seconds <= self.place.settings.upload_share * (began - self.started)
        if not (force or self._uploaded_step == 0 or cheap):
            return
        try:
            self.place.files.keep(self.lease, "checkpoint", newest.path, step=newest.step, attempts=0)
        except OSError as error:
            self.place.say(f"the checkpoint of trial {self.number} cannot be stored: {error.strerror or error}")
        else:
            self._uploaded_step = newest.step
        self._upload_seconds += time.monotonic() - began

    def _find_checkpoint(self) -> Checkpoint | None:
        """The newest whose epoch is recorded: of an earlier claim on this machine, or the stored one."""
        stored = self.place.files.find(self.place.study.key, self.lease.number, "checkpoint")
        self._uploaded_step = stored.step if stored else 0
        earlier = self.folder.of_earlier_claims(self.epoch)
        self._resumed_here = earlier is not None and earlier.step >= self._uploaded_step
        if earlier is not None and self._resumed_here:
            return self.folder.copy_in(earlier)
        if stored is None:
            return None
        target = self.folder.path_for(stored.step, Path(stored.name).suffix)
        return Checkpoint(stored.step, self.place.files.fetch(stored, target))

    # -- ends -----------------------------------------------------------------------------------------------------

    def _should_stop_at(self, step: int, trial: Trial) -> bool:
        """Asha is asked at rungs only, others after each epoch; for ``first`` the answer is not taken."""
        study = self.place.study
        if study.refit or study.definition["kind"] == "function" or not 0 < step < study.epochs:
            return False
        if study.definition["pruner"]["name"] == "asha" and step not in rungs_before_the_end(study.size):
            return False
        return bool(trial.should_prune()) and not study.is_first(self.lease.number)

    def _why_pruned(self) -> str:
        return f"not among the best at epoch {self.epoch}" if self.epoch else "pruned by the objective"

    def _tell(self, state: TrialState, reason: str, value: float | None = None) -> None:
        """The last word on the trial: its log, its reason, then the state that closes the lease with it."""
        if self._told():
            return
        trial = self._real_trial()
        self._keep_log()
        if reason:
            trial.set_user_attr("reason", reason)
        with self.place.storage.recording(seconds=LEASES.c.seconds + self._unaccounted()):
            self._study.tell(trial, value, state=state)
        if value is not None:
            self.value = value
        self._close(state.name.lower(), reason)

    def _told(self) -> bool:
        """Whether the trial is finished already: by somebody else, or by us and the database's answer was lost."""
        trial = self._real_trial()
        state = self.place.cached.get_trial(trial._trial_id).state
        row = self.place.storage.leases.current(self.lease)
        if not state.is_finished() or row is None:
            return False
        if row.state == "open":
            raise UpdateFinishedTrialError
        self._close(state.name.lower(), "")
        return True

    def _close(self, outcome: str, reason: str) -> None:
        self._end(outcome, reason)
        self.place.files.sweep(self.place.study.key)
        self.folder.clear()

    def _keep_log(self) -> None:
        try:
            tail = self.folder.log_tail()
            if tail is not None:
                self.place.files.keep(self.lease, "log", tail)
        except OSError as error:
            self.place.say(f"the log of trial {self.number} cannot be stored: {error.strerror or error}")

    def _give_back_for(self, why: str) -> None:
        """This machine's fault, not the trial's: somebody else goes on with it, and this worker ends with one line."""
        self.place.storage.leases.give_back(self.lease, counted=False, seconds=self._unaccounted())
        self._end("waiting", why)
        raise SearchError(why)

    def _lost(self, reason: Exception) -> None:
        if isinstance(reason, UpdateFinishedTrialError) and self._trial_id is not None:
            state = self.place.cached.get_trial(self._trial_id).state
            self.place.storage.leases.close(self.lease, state.name.lower())
            self._end(state.name.lower(), "ended by somebody else")
        else:
            self._end("lost", "another worker goes on with it")
        self._stop("fenced")

    def _end(self, outcome: str, reason: str) -> None:
        self.over, self.outcome, self.reason, self.closed_at = True, outcome, reason, time.monotonic()
        self.free = self.free or not self.training
        if self._trial_id is not None:
            self.place.storage.release(self._trial_id)

    def _stop(self, reason: str) -> None:
        if self.training:
            self.child.send("stop", run=self.folder.path.name, reason=reason)

    def _unaccounted(self) -> float:
        """Seconds of this claim that are not in the lease's row yet."""
        return time.monotonic() - self._accounted

    def _real_trial(self) -> Trial:
        """Optuna's own Trial, read anew after the database was away, since its cache may know less than is stored."""
        if self._trial is None:
            if self._trial_id is None:
                raise LeaseLost("no trial yet")
            self._study.get_trials(deepcopy=False)  # Optuna's cache must have seen the trial
            self._trial = Trial(self._study, self._trial_id)
            self._number = self._trial.number
        return self._trial


def _how(status: int | None) -> str:
    if status is None:
        return "does not answer"
    return f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
