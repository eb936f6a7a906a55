"""What Keras computes with, where that makes a difference."""

from __future__ import annotations

from typing import Any

import keras


def tensorflow() -> Any:
    """The module, or None where Keras computes with something else."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow  # noqa: PLC0415

    return tensorflow
