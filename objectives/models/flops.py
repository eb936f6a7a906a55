"""What a network costs: floating-point operations of one example forward."""

from __future__ import annotations

import math

import keras


def flops(network: keras.Model) -> float:
    """Of layers with a kernel, at every place where it is applied; an addition and a multiplication are two."""
    kernels = [layer for layer in network.layers if getattr(layer, "kernel", None) is not None]
    return float(2 * sum(math.prod(one.kernel.shape) * math.prod(one.output.shape[1:-1]) for one in kernels))
