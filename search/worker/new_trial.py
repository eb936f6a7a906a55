"""A lease's trial comes into being: adopted from a queue, or born in the transaction that gives it its lease."""

from __future__ import annotations

import socket

from optuna.trial import TrialState, create_trial

from search.database.leases import Lease, LeaseLost
from search.studies.attributes import named
from search.studies.provenance import code_hash, revision
from search.worker.joined_study import JoinedStudy


def trial_of(joined: JoinedStudy, lease: Lease) -> int:
    """The id of the lease's one trial. Raises LeaseLost."""
    if lease.trial_id is not None:
        return lease.trial_id
    try:
        return _adopted(joined, lease) or _born(joined, lease)
    except LeaseLost:
        row = joined.storage.leases.current(lease)
        if row is None or row.trial_id is None:
            raise
        return int(row.trial_id)  # it has one already: the answer to that was lost


def _adopted(joined: JoinedStudy, lease: Lease) -> int | None:
    """Whoever is in ``first`` comes before whoever was enqueued."""
    study = joined.study
    return None if study.is_first(lease.number) else joined.storage.adopt_waiting(study.study_id, lease)


def _born(joined: JoinedStudy, lease: Lease) -> int:
    storage, study = joined.storage, joined.study
    fixed = study.fixed(lease.number)
    # Optuna suggests these before it asks the sampler; of a trial that has them a grid fixes nothing.
    template = create_trial(state=TrialState.RUNNING, system_attrs={"fixed_params": fixed} if fixed else {})
    trial_id = storage.bear(study.study_id, template, lease, through=joined.cached)
    # Afterwards, as all births of a study wait for each other.
    storage.add_facts(trial_id, _facts(study.code, lease), lease)
    return trial_id


def _facts(code: str, lease: Lease) -> dict[str, object]:
    facts: dict[str, object] = {
        named("lease"): lease.number,
        named("host"): socket.gethostname(),
        named("revision"): revision(),
    }
    if code_hash() != code:
        facts[named("code")] = f"objectives/ is {code_hash()} here, {code} where the study was created"
    return facts
