"""Optuna's storage whose every write of a trial first proves that the writer still holds the trial's lease.

The proof and the write are one transaction, so a worker that was presumed dead changes nothing when it wakes. The same
statement renews the lease. Which private hooks of Optuna carry this is listed in ``storage.py``.
"""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Unpack

import sqlalchemy as sa
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._rdb.models import TrialModel, TrialUserAttributeModel
from optuna.trial import FrozenTrial, TrialState

from search.database.leases import Entry, Lease, LeaseLost, Leases
from search.database.workers import Workers

_NEWBORN = -1
"""Stands for the id of a trial that is about to be born."""


@dataclass
class _Held:
    lease: Lease
    entry: Entry = field(default_factory=Entry)
    """Written into the lease's row together with the next writes of its trial."""


class FencedStorage(RDBStorage):
    """An RDBStorage that knows which leases this process holds. One thread; wrap it in ``get_storage`` for reads.

    Optuna hands nothing through to its storage but a trial's id, so that what is held stands here, by that id.
    """

    def __init__(self, url: str, **keywords: Any) -> None:
        """RuntimeError where another version of Optuna made the tables."""
        # Optuna's own check asks for a second connection while it holds one: as many at once as a pooler has
        # connections would wait for each other.
        super().__init__(url, skip_compatibility_check=True, **keywords)
        versions = self._version_manager
        if versions.get_current_version() != versions.get_head_version():
            versions.check_table_schema_compatibility()  # which says so
        self.leases, self.workers = Leases(self.engine), Workers(self.engine)
        self._held: dict[int, _Held] = {}

    def hold(self, trial_id: int, lease: Lease) -> None:
        """From here on, writes of this trial are fenced by this lease."""
        self._held[trial_id] = _Held(lease)

    def release(self, trial_id: int) -> None:
        """Writes of this trial are refused from here on."""
        self._held.pop(trial_id, None)

    def bear(self, study_id: int, template: FrozenTrial, lease: Lease, *, through: BaseStorage | None = None) -> int:
        """A new trial that belongs to this lease, in the same transaction, or none and LeaseLost. Returns its id.

        ``through``: a cache around this storage, which is to know the trial.
        """
        self._held[_NEWBORN] = _Held(lease)
        try:
            return (through or self).create_new_trial(study_id, template_trial=template)
        finally:
            del self._held[_NEWBORN]

    def add_facts(self, trial_id: int, facts: Mapping[str, Any], lease: Lease) -> None:
        """User attributes that a new trial has not got, in one transaction."""
        rows = [{"trial_id": trial_id, "key": key, "value_json": json.dumps(value)} for key, value in facts.items()]
        with self.engine.begin() as connection:
            self.leases.prove(connection, lease)
            connection.execute(sa.insert(TrialUserAttributeModel), rows)

    @contextlib.contextmanager
    def entering(self, trial_id: int, **entry: Unpack[Entry]) -> Iterator[None]:
        """Writes of this trial in here also write this into its lease, in the same transaction."""
        held = self._held.get(trial_id)
        if held is None:
            raise _not_held(trial_id)
        held.entry = entry
        try:
            yield
        finally:
            held.entry = Entry()

    def adopt_waiting(self, study_id: int, lease: Lease) -> int | None:
        """The oldest trial that somebody enqueued with Optuna, now RUNNING and this lease's. None: there is none."""
        waiting = sa.and_(TrialModel.study_id == study_id, TrialModel.state == TrialState.WAITING)
        oldest = sa.select(TrialModel.trial_id).where(waiting).order_by(TrialModel.number).limit(1)
        started = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        while True:
            with self.engine.begin() as connection:
                trial_id = connection.execute(oldest.with_for_update(skip_locked=True)).scalar_one_or_none()
                if trial_id is None:
                    return None
                take = sa.update(TrialModel).where(waiting, TrialModel.trial_id == trial_id)
                taken = take.values(state=TrialState.RUNNING, datetime_start=started)
                # Compare and set: on SQLite nothing was locked by the select.
                if connection.execute(taken).rowcount == 1:
                    self.leases.prove(connection, lease, born=trial_id)
                    return int(trial_id)

    def _prove(self, session: Any, trial_id: int, **more: Unpack[Entry]) -> None:
        held = self._held.get(trial_id)
        if held is None:
            if _NEWBORN in self._held:
                return  # its birth is proved once, as the last statement of its transaction
            raise _not_held(trial_id)
        entry: Entry = {**held.entry, **more}
        self.leases.prove(session, held.lease, **entry)

    def _get_prepared_new_trial(self, study_id: int, template_trial: FrozenTrial | None, session: Any) -> Any:
        trial = super()._get_prepared_new_trial(study_id, template_trial, session)
        if _NEWBORN in self._held:
            session.flush()
            self._prove(session, _NEWBORN, born=int(trial.trial_id))
        return trial

    def _set_trial_param_without_commit(self, session: Any, trial_id: int, *rest: Any, **keywords: Any) -> None:
        self._prove(session, trial_id)
        super()._set_trial_param_without_commit(session, trial_id, *rest, **keywords)

    def _set_trial_attr_without_commit(self, session: Any, model: Any, trial_id: int, *rest: Any) -> None:
        self._prove(session, trial_id)
        super()._set_trial_attr_without_commit(session, model, trial_id, *rest)

    def _set_trial_intermediate_value_without_commit(self, session: Any, trial_id: int, *rest: Any) -> None:
        self._prove(session, trial_id)
        super()._set_trial_intermediate_value_without_commit(session, trial_id, *rest)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """As Optuna's; the state that finishes the trial closes its lease in the same transaction."""
        closing: Entry = {"state": state.name.lower()} if state.is_finished() else {}
        session = self.scoped_session()
        try:
            self._prove(session, trial_id, **closing)
        except BaseException:
            session.rollback()
            session.close()
            raise
        # Super's session is this very one (scoped), so that its commit is the fence's too.
        return super().set_trial_state_values(trial_id, state, values)


def _not_held(trial_id: int) -> LeaseLost:
    return LeaseLost(f"trial with id {trial_id} is not held by this process")
