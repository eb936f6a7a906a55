"""A search goes on as long as it finds: beside a poor first point longer than beside a good one."""

from __future__ import annotations

import dataclasses

from search.contract import Size
from search.database.fence import FencedStorage
from search.database.leases import Lease
from search.studies.limits import Limits, limits_of
from search.studies.study import Study
from search.studies.trials import all_trials, chosen_trial

AT_MOST = 3
"""Times the size's budget."""


def most_trials(size: Size, limits: Limits) -> int | None:
    """To which its budget can grow by itself; None: it does not, as where somebody said how much is to be tried."""
    return None if size.patience is None or limits.is_asked else AT_MOST * size.budget


def search_on(storage: FencedStorage, study: Study, lease: Lease, value: float) -> int | None:
    """The budget, where it grows as this lease's trial is about to be complete with this value; else None.

    Where the trial would be the winner, not where it leads by what may be chance, the size's ``patience`` says how many
    are to come behind it. To be called before the trial is told, lest somebody finds the budget used up meanwhile; a
    second call changes nothing.
    """
    if study.refit or study.size.patience is None:
        return None
    most = most_trials(study.size, limits_of(storage.engine, study))
    if most is None:
        return None
    wanted = min(most, lease.number + 1 + study.size.patience)
    if wanted <= storage.leases.budget(study.key):
        return None
    trials = [
        dataclasses.replace(one, state="complete", value=value) if one.lease == lease.number else one
        for one in all_trials(storage.engine, study)
    ]
    chosen = chosen_trial(storage.engine, study, trials)
    if chosen is None or chosen.lease != lease.number:
        return None
    storage.leases.extend(study.key, wanted)
    return wanted
