"""The recipes that this project began with, in the units of ``space``: what is searched of them, and what is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

ZOOM = 0.1
"""At ``affine`` 1, in both."""


@dataclass(frozen=True, kw_only=True)
class Notebook:
    """One notebook's training on one data set. Shares are of its epochs."""

    searched: Mapping[str, Any]
    """Fields of ``space.Training``."""
    rotation: float
    """Degrees, at most, at ``affine`` 1."""
    shear: float
    patience: float
    """Early stopping after this share without a better epoch."""
    plateau_patience: float = 0.1


CNN = Notebook(
    searched={
        "optimizer": "adamw",  # Adam, as nothing decays
        "learning_rate": 1.0,
        "weight_decay": 0.0,
        "schedule": "plateau",
        "warm_up": 0.0,
        "label_smoothing": 0.0,
        "dropout_scale": 1.0,
        "shift": 0.1,
        "affine": 1.0,
    },
    rotation=15.0,
    shear=0.0,
    patience=10 / 30,
    plateau_patience=3 / 30,
)
CNN_CIFAR100 = replace(CNN, patience=10 / 35, plateau_patience=3 / 35)
"""The same 10 and 3 epochs, of 35."""
RESNET = Notebook(
    searched={
        "learning_rate": 0.1,
        "weight_decay": 0.0,
        "warm_up": 0.1,
        "label_smoothing": 0.1,
        "dropout_scale": 1.0,
        "shift": 0.1,
        "affine": 1.0,
        "brightness": 0.1,
    },
    rotation=10.0,
    shear=2.9,
    patience=15 / 50,
)
"""Of its schedule's 50 epochs, on both data sets. Its shear of .05 was meant in radians and read in degrees."""
