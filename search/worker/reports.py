"""What a child says of its trial, written into the database: each write fenced by the lease.

Optuna's own Trial does the writing: suggest, report, should_prune and tell are what they are under ``study.optimize``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import CategoricalDistribution, json_to_distribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from search.child.frozen import to_json
from search.child.protocol import (
    Answer,
    AskStudyAttrs,
    AskTrials,
    Constraint,
    Network,
    Report,
    Suggest,
    SystemAttr,
    UserAttr,
)
from search.database.leases import Entry, Lease, LeaseLost
from search.rules import pruning
from search.rules.best import is_feasible
from search.rules.pruning import PrunedBy
from search.studies.attributes import NETWORK, OTHER_FILE, PRUNED_BY, SPARED_AT, named, own
from search.studies.optuna_study import as_optuna
from search.trial_run import add_to_history
from search.worker.joined_study import JoinedStudy
from search.worker.new_trial import trial_of


class Reports:
    """One lease's trial in the database."""

    def __init__(self, joined: JoinedStudy, lease: Lease) -> None:
        self.trial_id = lease.trial_id
        self.number: int | None = None
        """Optuna's, once it is known."""
        self._joined, self._lease = joined, lease
        self._study = as_optuna(joined.study, joined.cached, lease.number, turned_down=lease.turned_down)
        self._trial: Trial | None = None
        self._judged = lease.judged

    # -- its life -----------------------------------------------------------------------------------------------------

    def begin(self) -> FrozenTrial:
        """Born, adopted or taken over, and held from here on. Can be done again."""
        self.trial_id = self.trial_id or trial_of(self._joined, self._lease)
        self._joined.storage.hold(self.trial_id, self._lease)
        self.trial()  # so that its number is known
        return self.frozen()

    def trial(self) -> Trial:
        """Optuna's Trial."""
        if self._trial is None:
            if self.trial_id is None:
                raise LeaseLost("no trial yet")
            self._study.get_trials(deepcopy=False)  # Optuna's cache must have seen the trial
            self._trial = Trial(self._study, self.trial_id)
            self.number = self._trial.number
        return self._trial

    def frozen(self) -> FrozenTrial:
        """The trial as it is stored."""
        return self._joined.cached.get_trial(self.trial()._trial_id)

    def note(self, change: str | None) -> None:
        """Beside the trial: its objective's file is not what the study was created with. Can be done again."""
        if change and self.trial().user_attrs.get(named(OTHER_FILE)) != change:
            self.trial().set_user_attr(named(OTHER_FILE), change)

    def forget(self) -> None:
        """After the database was away: what Optuna remembers may not be what is stored, and is read anew."""
        exhausted = self._study.is_exhausted
        self._study = as_optuna(
            self._joined.study, self._joined.cached, self._lease.number, turned_down=self._lease.turned_down
        )
        self._study.is_exhausted = exhausted
        self._trial = None

    def release(self) -> None:
        """Nothing more is written."""
        if self.trial_id is not None:
            self._joined.storage.release(self.trial_id)

    def ended_as(self) -> str | None:
        """The state of a trial that is finished and whose lease is closed: the answer to our tell was lost.

        Raises UpdateFinishedTrialError where somebody else finished it with Optuna's tools.
        """
        state = self.frozen().state
        row = self._joined.storage.leases.current(self._lease)
        if not state.is_finished() or row is None:
            return None
        if row.state == "open":
            raise UpdateFinishedTrialError
        return state.name.lower()

    def tell(
        self, state: TrialState, reason: str, value: float | None, spent: Entry, pruned_by: PrunedBy | None
    ) -> None:
        """The last word; its transaction closes the lease."""
        trial = self.trial()
        if pruned_by:
            trial.set_user_attr(named(PRUNED_BY), pruned_by)
        if reason:
            trial.set_user_attr(named("reason"), reason)
        with self._joined.storage.entering(trial._trial_id, **spent):
            self._end(trial, state, value)

    def turn_down(self, reason: str, spent: Entry) -> None:
        """The trial is pruned and no longer its lease's, which is free again in the same transaction."""
        trial = self.trial()
        trial.set_user_attr(named("lease"), None)
        trial.set_user_attr(named(PRUNED_BY), "size")
        trial.set_user_attr(named("reason"), reason)
        entry: Entry = {**spent, "turned_down": True}
        with self._joined.storage.entering(trial._trial_id, **entry):
            self._end(trial, TrialState.PRUNED, None)

    def _end(self, trial: Trial, state: TrialState, value: float | None) -> None:
        try:
            self._study.tell(trial, value, state=state)
        except KeyError as error:
            # Optuna's grid, once the state is stored, of a trial that was given its parameters.
            if error.args != ("grid_id",):
                raise

    def end_study(self) -> None:
        """The objective has tried enough."""
        self._study.stop()

    @property
    def is_last(self) -> bool:
        """Whether the sampler, or the objective, has said that nothing more is to be tried."""
        return self._study.is_exhausted

    # -- a child's messages -------------------------------------------------------------------------------------------

    def suggest(self, message: Suggest) -> Answer:
        """The sampler's value, or what is fixed; or Optuna's complaint about the distribution."""
        try:
            distribution = json_to_distribution(message.distribution)
        except (KeyError, TypeError, ValueError) as error:
            return Answer(error=f"no distribution: {error}")
        trial, keywords = self.trial(), dict(distribution._asdict())
        methods: dict[str, Any] = {
            "FloatDistribution": trial.suggest_float,
            "IntDistribution": trial.suggest_int,
            "CategoricalDistribution": trial.suggest_categorical,
        }
        suggest = methods[type(distribution).__name__]
        try:
            if isinstance(distribution, CategoricalDistribution):
                return Answer(suggest(message.name, distribution.choices))
            low, high = keywords.pop("low"), keywords.pop("high")
            return Answer(suggest(message.name, low, high, **keywords))
        except ValueError as error:
            return Answer(error=str(error))

    def should_prune(self) -> Answer:
        """For a plain function, which asks for itself."""
        return Answer(bool(self.trial().should_prune()))  # a pruner may answer in NumPy

    def report(self, message: Report) -> None:
        """A plain function's."""
        self.trial().report(message.value, message.step)

    def user_attr(self, message: UserAttr) -> None:
        """As Optuna's."""
        self.trial().set_user_attr(message.key, message.value)

    def system_attr(self, message: SystemAttr) -> None:
        """Of Optuna's own parts."""
        trial = self.trial()
        self._joined.cached.set_trial_system_attr(trial._trial_id, message.key, message.value)

    def trials(self, message: AskTrials) -> Answer:
        """As the study has them now."""
        wanted = message.trial_id
        trials = self._study.get_trials(deepcopy=False)
        return Answer([to_json(trial) for trial in trials if wanted is None or trial._trial_id == wanted])

    def study_attrs(self, message: AskStudyAttrs) -> Answer:
        """As the study has them now."""
        storage, study_id = self._joined.cached, self._study._study_id
        read = storage.get_study_user_attrs if message.whose == "user" else storage.get_study_system_attrs
        return Answer(read(study_id))

    def constraint(self, message: Constraint) -> None:
        """As Optuna's, which takes each but once."""
        if message.key not in self.trial().constraints:
            self.trial().set_constraint(message.key, message.value)

    def network(self, message: Network) -> None:
        """How large it is: beside the trial, and what is limited as constraints. Can be done again."""
        trial = self.trial()
        said = message.said()
        if trial.user_attrs.get(named(NETWORK)) != said:
            trial.set_user_attr(named(NETWORK), said)
        for name, limit in self._joined.limits.of_the_network.items():
            if named(name) not in trial.constraints and name in said:
                trial.set_constraint(named(name), said[name] / limit - 1)

    def epoch(self, step: int, values: Mapping[str, float], spent: Entry) -> None:
        """A finished epoch: the metric as an intermediate value, all values as a history, the step in the lease."""
        trial, metric = self.trial(), self._joined.study.definition["metric"]
        if metric in values and step not in trial._cached_frozen_trial.intermediate_values:
            trial.report(values[metric], step)
        before = own(trial.user_attrs, "epochs", old=self._joined.study.is_old) or {}
        history = {name: list(row) for name, row in before.items()}
        add_to_history(history, step, values)
        entry: Entry = {**spent, "epoch": step}
        with self._joined.storage.entering(trial._trial_id, **entry):
            trial.set_user_attr(named("epochs"), history)

    # -- decisions ----------------------------------------------------------------------------------------------------

    def is_pruned_at(self, step: int) -> bool:
        """Whether the trial is to stop after this epoch."""
        study = self._joined.study
        asked = pruning.is_asked(step, study.definition.get("pruner"), study.size, refit=bool(study.refit))
        if not asked or step <= self._judged:
            return False
        if self.trial().should_prune():
            is_first = study.is_first(self._lease.number)
            is_spared = not is_first and pruning.is_spared(study.seed, self._lease.number, study.size.budget)
            if pruning.is_obeyed(is_first=is_first, is_spared=is_spared):
                return True
            if is_spared and named(SPARED_AT) not in self.trial().user_attrs:
                self.trial().set_user_attr(named(SPARED_AT), step)
        # A verdict is final: who is preempted is not held against those that came later.
        self._joined.storage.leases.renew(self._lease, judged=step)
        self._judged = step
        return False

    def is_feasible(self) -> bool:
        """Whether all constraints hold."""
        return is_feasible(self.trial().constraints.values())
