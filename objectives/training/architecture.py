"""A network as data: what ``training.json`` records, and a transfer builds again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras

from objectives.models import cnn, resnet

BUILDERS: dict[str, Callable[..., keras.Model]] = {"cnn": cnn.build, "resnet": resnet.build}

Architecture = Mapping[str, Any]
"""``builder``, a key of BUILDERS, and the keywords of that function as JSON."""


def build(architecture: Architecture, shape: tuple[int, int, int], classes: int, *, l2: float = 0.0) -> keras.Model:
    """The network for images of ``shape`` (h, w, c) and so many classes; ``l2`` as the builders take it."""
    keywords = dict(architecture)
    return BUILDERS[keywords.pop("builder")](shape, classes, l2=l2, **keywords)
