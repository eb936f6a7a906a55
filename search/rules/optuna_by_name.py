"""Samplers and pruners by the names that a study stores: ``asha`` and ``quadratic`` are ours, the others Optuna's."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler

from search.contract import Size
from search.errors import SearchError
from search.rules.asha import Asha
from search.rules.pruning import rungs_before_the_end
from search.rules.quadratic import QuadraticSampler


def make_sampler(spec: Mapping[str, Any] | None, startup: int, seed: int) -> BaseSampler:
    """The sampler that the definition names, with this seed; TPE begins with ``startup`` random ones unless it says."""
    spec = spec or {"name": "TPESampler", "keywords": {}}
    extra: dict[str, Any] = {"seed": seed}
    if spec["name"] == "quadratic":
        return QuadraticSampler(**{**extra, **spec["keywords"]})
    if spec["name"] == "TPESampler":
        extra["n_startup_trials"] = startup
    return _named(optuna.samplers, spec, extra)  # type: ignore[no-any-return]


def goes_through_one_sequence(spec: Mapping[str, Any] | None) -> bool:
    """Whether the sampler's points are a sequence that its seed orders: every trial of a study needs the same one."""
    return spec is not None and spec["name"] in {"GridSampler", "QMCSampler"}


def make_pruner(spec: Mapping[str, Any] | None, size: Size) -> BasePruner:
    """The pruner that the definition names; ``asha`` takes the size's rungs. A plain function: Optuna's default."""
    if spec is None:
        return optuna.pruners.MedianPruner()
    if spec["name"] == "asha":
        rungs = rungs_before_the_end(size)
        return Asha(rungs) if rungs else NopPruner()
    return _named(optuna.pruners, spec, {})  # type: ignore[no-any-return]


def _named(module: ModuleType, spec: Mapping[str, Any], extra: Mapping[str, Any]) -> Any:
    """An instance of the class that ``spec`` names, its keywords over ``extra``. SearchError without such a class."""
    kind = getattr(module, spec["name"], None)
    if kind is None:
        raise SearchError(
            f"{module.__name__} has no {spec['name']!r}. Name one of its classes in the objective's file."
        )
    return kind(**{**extra, **spec["keywords"]})
