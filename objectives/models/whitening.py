"""A first layer that whitens patches of the images: not learned, computed from them once, and frozen.

Neighbouring pixels are nearly alike, so that a random first layer sees one thing in many channels. These channels are
the patches' principal components, each with variance 1 (cifar10-fast's and airbench's first layer).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

LAYER = "stem_whiten"
PATCH = 3
IMAGES = 1_000
"""So many are looked at: 900,000 patches."""
_FLOOR = 5e-4
"""Added to each variance: components that hardly vary are noise, which is not to be blown up."""


def whitened(x: Any) -> Any:
    """Images (b, h, w, c) -> (b, h, w, 9 c) decorrelated channels, once ``whiten`` has seen some images."""
    return layers.Conv2D(
        PATCH * PATCH * x.shape[-1], PATCH, padding="same", use_bias=False, trainable=False, name=LAYER
    )(x)


def whiten(network: keras.Model, images: npt.NDArray[np.float32]) -> None:
    """Sets the layer of a network that has one. ``images`` (n, h, w, c) are normalised as the network takes them."""
    if LAYER in {layer.name for layer in network.layers}:
        network.get_layer(LAYER).set_weights([kernel(images)])


def kernel(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The components (3, 3, c, 9 c) of all patches of these images, by falling variance.

    A component's sign is nobody's to choose but the code's: its largest weight is positive.
    """
    windows = np.lib.stride_tricks.sliding_window_view(images, (PATCH, PATCH), axis=(1, 2))
    patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, PATCH * PATCH * images.shape[-1]).astype(np.float64)
    patches = patches - patches.mean(axis=0)
    variances, components = np.linalg.eigh(patches.T @ patches / len(patches))
    components = components[:, ::-1] / np.sqrt(variances[::-1] + _FLOOR)
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=0)[None], axis=0)
    return (components * np.sign(largest)).reshape(PATCH, PATCH, images.shape[-1], -1).astype(np.float32)
