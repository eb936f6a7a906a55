"""A network as data: what ``training.json`` records, and a transfer builds again."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

Architecture = Mapping[str, Any]
"""``builder``, the name of a file of this folder that has ``build``, and the keywords of that function as JSON."""


def network(
    architecture: Architecture, shape: tuple[int, int, int], classes: int, *, precision: str = "float32"
) -> keras.Model:
    """The network for images of ``shape`` (h, w, c) and so many classes, its weights float32.

    It computes in ``precision``, "float32" or "bfloat16". Raises ValueError where no file has that name, or the file
    no ``build``.
    """
    keywords = dict(architecture)
    build = _builder(keywords.pop("builder"))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision if precision == "float32" else f"mixed_{precision}")
    try:
        return build(shape, classes, **keywords)
    finally:
        keras.config.set_dtype_policy(before)


def _builder(name: str) -> Callable[..., keras.Model]:
    found = {module.name: _build(module.name) for module in pkgutil.iter_modules([str(Path(__file__).parent)])}
    build = found.get(name)
    if build is None:
        there = ", ".join(module for module in found if found[module] is not None)
        raise ValueError(f"no network is called {name!r}: there are {there}")
    return build


def _build(module: str) -> Callable[..., keras.Model] | None:
    """A file without one is no network: what several networks share, or what is done with them."""
    return getattr(importlib.import_module(f"{__package__}.{module}"), "build", None)
