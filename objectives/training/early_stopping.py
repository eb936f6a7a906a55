"""The best epoch, whose weights are kept, and how long a trial waits for a better one.

Keras's own EarlyStopping, ModelCheckpoint and ReduceLROnPlateau begin anew whenever ``fit`` does and each believes its
own monitor. Here is one monitor, with a state that a checkpoint carries.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from objectives.training.recipe import Recipe


def patience_epochs(recipe: Recipe, epochs: int) -> int:
    """The recipe's share of the epochs, and no fewer than 3."""
    return max(3, math.ceil(recipe.patience * epochs))


class Best:
    """The best epoch's value and weights; early stopping after ``patience`` epochs without a better one."""

    def __init__(self, network: keras.Model, patience: int) -> None:
        self.network, self.patience = network, patience
        self.value, self.epoch, self.wait = -math.inf, 0, 0
        self.weights: list[np.ndarray] = []

    def finished(self, epoch: int, value: float) -> None:
        if value > self.value:
            self.value, self.epoch, self.wait = value, epoch, 0
            self.weights = self.network.get_weights()
        else:
            self.wait += 1

    @property
    def exhausted(self) -> bool:
        return self.wait >= self.patience

    def install(self) -> None:
        """Gives the network the best epoch's weights."""
        if self.weights:
            self.network.set_weights(self.weights)

    def state(self) -> dict[str, Any]:
        return {"value": self.value, "epoch": self.epoch, "wait": self.wait}

    def restore(self, state: Mapping[str, Any], weights: Sequence[np.ndarray]) -> None:
        self.value, self.epoch, self.wait = float(state["value"]), int(state["epoch"]), int(state["wait"])
        self.weights = list(weights)
