"""Optuna's classes by name: what a definition stores of a sampler or a pruner becomes one again."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from search.errors import SearchError


def named(module: ModuleType, spec: Mapping[str, Any], extra: Mapping[str, Any]) -> Any:
    """An instance of the class that ``spec`` names, its keywords over ``extra``. SearchError without such a class."""
    kind = getattr(module, spec["name"], None)
    if kind is None:
        raise SearchError(
            f"{module.__name__} has no {spec['name']!r}. Name one of its classes in the objective's file."
        )
    return kind(**{**extra, **spec["keywords"]})
