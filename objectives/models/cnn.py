"""The plain network: blocks of two convolutions, each half as large and twice as wide as the one before."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from objectives.models.parts import batch_norm, classifier, normalised_input

DROPOUT = (0.2, 0.3, 0.4)


def build(
    shape: tuple[int, int, int],
    classes: int,
    *,
    width: int = 32,
    blocks: int = 3,
    dropout_scale: float = 1.0,
    head: int = 512,
) -> keras.Model:
    """Normalised float images (b, *shape) -> float32 softmax probabilities (b, classes).

    ``width`` is the first block's channels; at 32, with 3 blocks and a hidden layer of 512 this is the network of the
    project's original notebook: 362,026 parameters for 10 classes. ``blocks`` is 1 to 3 (8x8 images: 2).
    ``dropout_scale`` multiplies the notebook's rates; ``head`` 0 goes from the pooled features to the classes.
    """
    if not 1 <= blocks <= len(DROPOUT):
        raise ValueError(f"blocks is 1 to {len(DROPOUT)}, not {blocks}")
    images = x = normalised_input(shape)
    for number, rate in enumerate(DROPOUT[:blocks], start=1):
        x = _block(x, f"block{number}", width * 2 ** (number - 1), rate * dropout_scale)
    return keras.Model(
        images,
        classifier(x, classes, hidden=head, dropout=0.5 * dropout_scale, initializer="glorot_uniform"),
        name="network",
    )


def _block(x: Any, name: str, channels: int, dropout: float) -> Any:
    for i in (1, 2):
        x = layers.Conv2D(channels, 3, padding="same", name=f"{name}_conv{i}")(x)
        x = batch_norm(f"{name}_bn{i}")(x)
        x = layers.ReLU(name=f"{name}_relu{i}")(x)
    x = layers.MaxPooling2D(2, name=f"{name}_pool")(x)
    return layers.Dropout(dropout, name=f"{name}_dropout")(x)
