"""A search goes on as long as it finds: beside a poor first point longer than beside a good one."""

from __future__ import annotations

import dataclasses

from search.contract import Size
from search.database.fence import FencedStorage
from search.database.leases import Lease
from search.studies.limits import Limits, limits_of
from search.studies.study import Study
from search.studies.trials import TrialRow, all_trials, chosen_trial

AT_MOST = 3
"""Times the size's budget."""


def most_trials(size: Size, limits: Limits) -> int | None:
    """To which its budget can grow by itself; None: it does not, as where somebody said how much is to be tried."""
    return None if size.patience is None or limits.budget_is_given else AT_MOST * size.budget


def search_on(
    storage: FencedStorage, study: Study, lease: Lease, state: str, value: float | None
) -> tuple[TrialRow, int] | None:
    """(the winner by now, the budget), where that grows as this lease's trial is about to end so, with this value.

    The size's ``patience`` says how many trials are to come behind the winner, who is the first point where another
    leads by what may be chance; so nothing is known before that has ended. To be called before the trial is told, lest
    somebody finds the budget used up meanwhile; a second call changes nothing.
    """
    if study.refit or study.size.patience is None or (state != "complete" and lease.number):
        return None
    most = most_trials(study.size, limits_of(storage.engine, study))
    if most is None or storage.leases.budget(study.key) >= most:
        return None
    trials = [
        dataclasses.replace(one, state=state, value=value) if one.lease == lease.number else one
        for one in all_trials(storage.engine, study)
    ]
    if study.definition["first"] and not any(one.lease == 0 and one.has_ended for one in trials):
        return None
    winner = chosen_trial(storage.engine, study, trials)
    if winner is None or winner.lease is None:
        return None
    wanted = min(most, winner.lease + 1 + study.size.patience)
    return (winner, wanted) if storage.leases.extend(study.key, wanted) else None
