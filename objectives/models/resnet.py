"""The residual network: five pre-activation units, one a block."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from objectives.models.parts import batch_norm, classifier, normalised_input

BLOCKS = ((1, 1, 0.05), (2, 2, 0.10), (4, 2, 0.20), (8, 2, 0.25), (8, 1, 0.30))
"""Channels as a multiple of the width, stride, dropout behind the block."""


def build(
    shape: tuple[int, int, int],
    classes: int,
    *,
    width: int = 64,
    dropout_scale: float = 1.0,
    head: int = 512,
    final_bn_relu: bool = True,
    stem_bn_relu: bool = True,
    hidden_l2: float = 0.0,
) -> keras.Model:
    """Normalised float images (b, *shape) -> float32 softmax probabilities (b, classes).

    At width 64, with a hidden layer of 512 and ``final_bn_relu`` False this is the network of the project's original
    notebook: 9,894,922 parameters for 10 classes. ``final_bn_relu`` is what a pre-activation network needs before
    pooling; ``stem_bn_relu`` repeats what block 1 begins with. ``dropout_scale`` multiplies the notebook's rates;
    ``head`` 0 goes from the pooled features to the classes; ``hidden_l2`` as in ``classifier``.
    """
    images = normalised_input(shape)
    x = _conv(images, "stem_conv", width)
    if stem_bn_relu:
        x = _bn_relu(x, "stem")
    for number, (multiple, stride, rate) in enumerate(BLOCKS, start=1):
        x = _unit(x, f"block{number}", width * multiple, stride)
        x = layers.Dropout(rate * dropout_scale, name=f"block{number}_dropout")(x)
    if final_bn_relu:
        x = _bn_relu(x, "neck_final")
    return keras.Model(
        images,
        classifier(x, classes, hidden=head, dropout=0.5 * dropout_scale, hidden_l2=hidden_l2, initializer="he_normal"),
        name="network",
    )


def _unit(x: Any, name: str, channels: int, stride: int) -> Any:
    """BN-ReLU-conv twice, beside a shortcut that a 1x1 convolution projects where the shape changes."""
    shortcut = x
    if stride != 1 or x.shape[-1] != channels:
        shortcut = _conv(x, f"{name}_shortcut", channels, kernel=1, stride=stride)
    x = _conv(_bn_relu(x, name, "1"), f"{name}_conv1", channels, stride=stride)
    x = _conv(_bn_relu(x, name, "2"), f"{name}_conv2", channels)
    return layers.Add(name=f"{name}_add")([shortcut, x])


def _bn_relu(x: Any, block: str, number: str = "") -> Any:
    x = batch_norm(f"{block}_bn{number}")(x)
    return layers.ReLU(name=f"{block}_relu{number}")(x)


def _conv(x: Any, name: str, channels: int, *, kernel: int = 3, stride: int = 1) -> Any:
    return layers.Conv2D(
        channels,
        kernel,
        strides=stride,
        padding="same",
        kernel_initializer="he_normal",
        name=name,
    )(x)
