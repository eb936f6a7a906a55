"""A running average of a network's weights, statistics of normalisation included: what is validated, and kept.

Keras's own (``use_ema``, ``SwapEMAWeights``) leaves the statistics out and changes weights by rounding at each swap.
Here the trained weights are copied aside and put back bit for bit, and a checkpoint holds both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import numpy as np

EVERY = 5
"""Updates. In between the weights move little."""


class Average:
    """``w <- d w + (1 - d) x`` after each ``EVERY`` updates, where d looks back over about ``horizon`` updates.

    In the beginning it looks back less, so that the random weights of the start are soon forgotten.
    """

    def __init__(self, network: keras.Model, horizon: float) -> None:
        self.network, self.steps = network, 0
        self._own: list[np.ndarray] = []
        self._decay = math.exp(-EVERY / max(horizon, 1.0))
        self._weights = [keras.Variable(w, trainable=False, dtype=w.dtype) for w in network.weights]

    def after_update(self) -> None:
        self.steps += 1
        if self.steps % EVERY:
            return
        turn = self.steps // EVERY
        decay = min(self._decay, turn / (turn + 9))
        for mean, weight in zip(self._weights, self.network.weights, strict=True):
            mean.assign(mean * decay + weight * (1.0 - decay))

    def install(self) -> None:
        """The network has the averaged weights from here on; its own are kept."""
        self._own = self.network.get_weights()
        self.network.set_weights(self.read())

    def take_out(self) -> None:
        """Its own are put back."""
        self.network.set_weights(self._own)
        self._own = []

    def read(self) -> list[np.ndarray]:
        """The averaged weights, copied, in the network's order."""
        return [keras.ops.convert_to_numpy(w) for w in self._weights]

    def restore(self, steps: int, weights: Sequence[np.ndarray]) -> None:
        """As a checkpoint holds them."""
        self.steps = steps
        for variable, array in zip(self._weights, weights, strict=True):
            variable.assign(array)
