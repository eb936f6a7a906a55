"""Where a trial's hyperparameters come from: ``first``, somebody's queue, else the sampler that the study names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.samplers import BaseSampler

from search.rules.named import named
from search.settings import DEFAULTS


def make_sampler(spec: Mapping[str, Any] | None, startup: int, seed: int) -> BaseSampler:
    """The sampler that the definition names, with this seed; TPE begins with ``startup`` random ones unless it says."""
    spec = spec or {"name": "TPESampler", "keywords": {}}
    extra: dict[str, Any] = {"seed": seed}
    if spec["name"] == "TPESampler":
        extra["n_startup_trials"] = startup
    return named(optuna.samplers, spec, extra)  # type: ignore[no-any-return]


def startup_trials(budget: int, at_most: int = DEFAULTS.startup) -> int:
    """So many random trials before TPE models anything."""
    return min(at_most, budget // 3)
