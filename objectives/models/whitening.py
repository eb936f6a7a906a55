"""A first layer that whitens patches of the images: not learned, computed from them once, and frozen.

Neighbouring pixels are nearly alike, so that a random first layer sees one thing in many channels. These channels are
the patches' principal components, each with variance 1 (cifar10-fast's and airbench's first layer).
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

LAYER = "stem_whiten"
PATCH = 3


def whitened(x: Any) -> Any:
    """Images (b, h, w, c) -> (b, h, w, 9 c) decorrelated channels, once the layer has its kernel."""
    return layers.Conv2D(
        PATCH * PATCH * x.shape[-1], PATCH, padding="same", use_bias=False, trainable=False, name=LAYER
    )(x)


def is_whitened(network: keras.Model) -> bool:
    """Whether it begins with such a layer."""
    return any(layer.name == LAYER for layer in network.layers)


def set_kernel(network: keras.Model, kernel: Any) -> None:
    """``kernel`` (3, 3, c, 9 c), float32."""
    network.get_layer(LAYER).set_weights([kernel])
