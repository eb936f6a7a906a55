"""Optuna's storage whose every write of a trial first proves that the writer still holds the trial's lease.

The proof and the write are one transaction, so a worker that was presumed dead changes nothing when it wakes. The same
statement renews the lease. Which private hooks of Optuna carry this is listed in ``search/storage.py``.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import TrialModel
from optuna.trial import FrozenTrial, TrialState

from search.leases import Lease, LeaseLost, LeaseTable
from search.tables import LEASES


class FencedStorage(RDBStorage):
    """An RDBStorage that knows which leases this process holds. One thread; wrap it in ``get_storage`` for reads."""

    seconds = 60.0
    """How long a lease lasts from each write on."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._held: dict[int, Lease] = {}
        self._newborn: Lease | None = None
        self._columns: dict[str, Any] = {}
        self.files_place = ""
        """Where this database's files lie unless a study says otherwise."""

    @classmethod
    def opened(cls, url: str, engine_kwargs: dict[str, Any], files_place: str) -> FencedStorage:
        """A storage whose tables exist already; SQLite in WAL mode, waiting for locks instead of failing."""
        storage = cls(url, engine_kwargs=engine_kwargs, skip_table_creation=True)
        storage.files_place = files_place
        if storage.engine.name == "sqlite":
            sa.event.listen(storage.engine, "connect", _pragmas)
            # The constructor's own connections were made before the listener.
            storage.engine.dispose()
        return storage

    @classmethod
    def readonly(cls, engine: sa.Engine, files_place: str) -> FencedStorage:
        """The same over connections on which the database refuses to write."""
        # The pool has the address and the password; the URL only tells Optuna which SQL to speak.
        url = f"{engine.dialect.name}+{engine.dialect.driver}://"
        storage = cls(url, engine_kwargs={"pool": engine.pool}, skip_table_creation=True)
        storage.files_place = files_place
        return storage

    @property
    def leases(self) -> LeaseTable:
        """The lease table in this storage's database, lasting as long as this storage says."""
        return LeaseTable(self.engine, self.seconds)

    def hold(self, trial_id: int, lease: Lease) -> None:
        """From here on, writes of this trial are fenced by this lease."""
        self._held[trial_id] = lease

    def release(self, trial_id: int) -> None:
        """Writes of this trial are refused from here on."""
        self._held.pop(trial_id, None)

    @contextlib.contextmanager
    def newborn(self, lease: Lease) -> Iterator[None]:
        """A trial created in here belongs to this lease, in the same transaction, or is not created."""
        self._newborn = lease
        try:
            yield
        finally:
            self._newborn = None

    @contextlib.contextmanager
    def recording(self, **columns: Any) -> Iterator[None]:
        """The fence's statement in here also sets these columns of the lease, in the same transaction."""
        self._columns = columns
        try:
            yield
        finally:
            self._columns = {}

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
                    self.leases.renew_in(connection, lease, LEASES.c.trial_id.is_(None), trial_id=trial_id)
                    return int(trial_id)

    def _fence(self, session: Any, trial_id: int, **columns: Any) -> None:
        lease = self._held.get(trial_id)
        if lease is None:
            raise LeaseLost(f"trial with id {trial_id} is not held by this process")
        self.leases.renew_in(session, lease, **self._columns, **columns)

    def _get_prepared_new_trial(self, study_id: int, template_trial: FrozenTrial | None, session: Any) -> Any:
        trial = super()._get_prepared_new_trial(study_id, template_trial, session)
        if self._newborn is not None:
            session.flush()
            self.leases.renew_in(session, self._newborn, LEASES.c.trial_id.is_(None), trial_id=trial.trial_id)
        return trial

    def _set_trial_param_without_commit(self, session: Any, trial_id: int, *rest: Any, **keywords: Any) -> None:
        if self._newborn is None:
            self._fence(session, trial_id)
        super()._set_trial_param_without_commit(session, trial_id, *rest, **keywords)

    def _set_trial_attr_without_commit(self, session: Any, model: Any, trial_id: int, *rest: Any) -> None:
        if self._newborn is None:
            self._fence(session, trial_id)
        super()._set_trial_attr_without_commit(session, model, trial_id, *rest)

    def _set_trial_intermediate_value_without_commit(self, session: Any, trial_id: int, *rest: Any) -> None:
        if self._newborn is None:
            self._fence(session, trial_id)
        super()._set_trial_intermediate_value_without_commit(session, trial_id, *rest)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """As Optuna's; the state that finishes the trial closes its lease in the same transaction."""
        columns = {"state": state.name.lower(), "finished": self.leases.now} if state.is_finished() else {}
        session = self.scoped_session()
        try:
            self._fence(session, trial_id, **columns)
        except BaseException:
            session.rollback()
            session.close()
            raise
        # Super's session is this very one (scoped), so that its commit is the fence's too.
        return super().set_trial_state_values(trial_id, state, values)


def _pragmas(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA busy_timeout=30000")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
