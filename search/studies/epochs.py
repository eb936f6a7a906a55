"""How many epochs a study ran, and how many it did not have to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from search.studies.study import Study
from search.studies.trials import not_by_the_pruner


def epochs(engine: sa.Engine, study: Study, leases: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Those run, those that the pruner saved, and those run twice; a lease a row.

    What was pruned because it led nowhere saves nobody anything.
    """
    useless, whole = not_by_the_pruner(engine, study), study.epochs
    pruned = [lease for lease in leases if lease["state"] == "pruned" and lease["trial_id"] not in useless]
    return {
        "run": sum(lease["epoch"] + lease["repeated"] for lease in leases),
        "saved_by_pruning": sum(max(0, whole - lease["epoch"]) for lease in pruned),
        "repeated": sum(lease["repeated"] for lease in leases),
        "whole_trial": whole,
    }
