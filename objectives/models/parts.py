"""What the networks have in common: where they begin and how they end."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers


def normalised_input(shape: tuple[int, int, int]) -> Any:
    """Float images (b, h, w, c), channels of mean 0 and deviation 1 over the training images."""
    return keras.Input(shape, name="normalised_images")


def classifier(x: Any, classes: int, *, hidden: int, dropout: float, l2: float, initializer: str) -> Any:
    """Features (b, h, w, c) -> float32 softmax probabilities (b, classes), through a hidden layer unless that is 0.

    The last layer alone is the ``head``; what lies before it is the ``neck``, which transfer takes along.
    """
    regularizer = keras.regularizers.L2(l2) if l2 else None
    x = layers.GlobalAveragePooling2D(name="neck_pool")(x)
    if hidden:
        x = layers.Dense(hidden, kernel_initializer=initializer, kernel_regularizer=regularizer, name="neck_dense")(x)
        x = layers.BatchNormalization(name="neck_bn")(x)
        x = layers.ReLU(name="neck_relu")(x)
        x = layers.Dropout(dropout, name="neck_dropout")(x)
    return layers.Dense(classes, activation="softmax", kernel_regularizer=regularizer, dtype="float32", name="head")(x)
