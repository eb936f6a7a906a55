"""What a network costs: floating-point operations of one example forward."""

from __future__ import annotations

import math

import keras


def flops(network: keras.Model) -> float:
    """Of layers with a kernel, at every place where it is applied; an addition and a multiplication are two."""
    return 2.0 * sum(
        math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:-1])
        for layer in network.layers
        if getattr(layer, "kernel", None) is not None
    )
