"""Where a trial's hyperparameters come from: ``first``, and after so many random ones the sampler's model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search.settings import STARTUP_TRIALS


def first_parameters(definition: Mapping[str, Any], lease: int) -> dict[str, Any]:
    """What this lease does not ask the sampler for: its entry of ``first``, and what goes without a source."""
    always = {} if definition.get("source") else dict(definition.get("without_source", {}))
    first = definition["first"]
    return {**(first[lease] if lease < len(first) else {}), **always}


def startup_trials(budget: int, at_most: int = STARTUP_TRIALS) -> int:
    """So many random trials before TPE models anything."""
    return min(at_most, budget // 3)
