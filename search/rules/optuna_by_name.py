"""Samplers and pruners by the names that a study stores: ``asha`` and ``quadratic`` are ours, names with a dot are
classes of somebody's own package, the others Optuna's."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler

from search.contract import Size
from search.errors import SearchError
from search.rules.asha import Asha
from search.rules.failures import first_line
from search.rules.pruning import rungs_before_the_end
from search.rules.quadratic import QuadraticSampler
from search.rules.spec import is_somebodys_own


def make_sampler(spec: Mapping[str, Any] | None, startup: int, seed: int) -> BaseSampler:
    """The sampler that the definition names, with this seed; TPE begins with ``startup`` random ones unless it says."""
    spec = spec or {"name": "TPESampler", "keywords": {}}
    extra: dict[str, Any] = {"seed": seed}
    if spec["name"] == "quadratic":
        return QuadraticSampler(**{**extra, **spec["keywords"]})
    if spec["name"] == "TPESampler":
        extra["n_startup_trials"] = startup
    return _instance(optuna.samplers, spec, extra, BaseSampler)  # type: ignore[no-any-return]


def refuse_what_cannot_be_made(sampler: Mapping[str, Any] | None, pruner: Mapping[str, Any] | None, size: Size) -> None:
    """SearchError for a name or a keyword that is wrong, or a package that is not here: before anything is claimed."""
    try:
        make_sampler(sampler, startup=1, seed=0)
        _refuse_missing_package(sampler)
        make_pruner(pruner, size)
    except (TypeError, ValueError) as error:
        raise SearchError(f"the sampler or the pruner cannot be made: {error}. Correct its keywords.") from None


def _refuse_missing_package(spec: Mapping[str, Any] | None) -> None:
    """SearchError where a sampler of Optuna's needs a package that is not here: some import it only once they have seen
    enough trials, when it is too late."""
    if spec is None or spec["name"] in {"quadratic", "TPESampler", "RandomSampler"} or is_somebodys_own(spec):
        return
    study = optuna.create_study(sampler=make_sampler(spec, startup=1, seed=0))
    distribution = optuna.distributions.FloatDistribution(0.0, 1.0)
    needed = int(spec["keywords"].get("n_startup_trials", 10))
    for number in range(min(needed, _ENOUGH) + 2):
        share = (number % 7) / 7
        study.add_trial(optuna.create_trial(params={"x": share}, distributions={"x": distribution}, value=share))
    try:
        study.ask({"x": distribution})
    except ImportError as error:
        package = error.name or first_line(error)
        raise SearchError(
            f"{spec['name']} needs {package}, which is not installed here. Type: pip install {package}"
        ) from None
    except ValueError:  # a grid of other names
        return


_ENOUGH = 100
"""Trials, to see what a sampler imports; nobody waits for more random ones than that."""


def goes_through_one_sequence(spec: Mapping[str, Any] | None) -> bool:
    """Whether the sampler's points are a sequence that its seed orders: every trial of a study needs the same one."""
    return spec is not None and spec["name"] in {"GridSampler", "QMCSampler"}


def make_pruner(spec: Mapping[str, Any] | None, size: Size) -> BasePruner:
    """The pruner that the definition names; ``asha`` takes the size's rungs. A plain function: Optuna's default."""
    if spec is None:
        return optuna.pruners.MedianPruner()
    if spec["name"] == "asha":
        rungs = rungs_before_the_end(size)
        return Asha(rungs, **spec["keywords"]) if rungs else NopPruner()
    return _instance(optuna.pruners, spec, {}, BasePruner)  # type: ignore[no-any-return]


def _instance(module: ModuleType, spec: Mapping[str, Any], extra: Mapping[str, Any], base: type) -> Any:
    """Of the class that ``spec`` names, its keywords over ``extra``. SearchError without such a class.

    A class of somebody's own gets of ``extra`` what it takes.
    """
    name = spec["name"]
    if is_somebodys_own(spec):
        kind = _imported(name)
        taken = inspect.signature(kind).parameters
        takes_any = any(one.kind == inspect.Parameter.VAR_KEYWORD for one in taken.values())
        extra = {key: value for key, value in extra.items() if takes_any or key in taken}
    else:
        kind = getattr(module, name, None)
        if kind is None:
            raise SearchError(
                f"{module.__name__} has no {name!r}. Give one of its classes, or your own with its package: mine.{name}"
            )
    made = kind(**{**extra, **spec["keywords"]})
    if not isinstance(made, base):
        raise SearchError(f"{name} is no {base.__module__.rpartition('.')[0]}.{base.__name__}. Give another.")
    return made


def _imported(name: str) -> Any:
    package, _, kind = name.rpartition(".")
    try:
        return getattr(importlib.import_module(package), kind)
    except (ImportError, AttributeError) as error:
        raise SearchError(
            f"{name} cannot be imported here: {error}. Install its package, or go to the folder in which it lies."
        ) from None
