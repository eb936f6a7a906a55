"""TensorFlow, where it is what Keras computes with: the one place that imports it."""

from __future__ import annotations

from typing import Any

import keras


def tensorflow() -> Any:
    """The module, or None where Keras computes with something else."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow  # noqa: PLC0415

    return tensorflow
