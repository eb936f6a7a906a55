"""What the networks have in common: where they begin and how they end."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from objectives.models.batch_norm import BatchNorm

BATCH_NORM_MOMENTUM = 0.9
"""Of the moving statistics. Keras's .99 looks back over 100 updates, more than a short trial has: with 46 updates an
epoch, the same weights had a validation accuracy of .25 instead of .41 after 2 epochs, .47 instead of .55 after 5."""


def batch_norm(name: str) -> layers.Layer:
    """Batch normalisation whose statistics keep up with a short trial."""
    return BatchNorm(momentum=BATCH_NORM_MOMENTUM, name=name)


def normalised_input(shape: tuple[int, int, int]) -> Any:
    """Float images (b, h, w, c), channels of mean 0 and deviation 1 over the training images."""
    return keras.Input(shape, name="normalised_images")


def classifier(x: Any, classes: int, *, hidden: int, dropout: float, initializer: str, hidden_l2: float = 0.0) -> Any:
    """Features (b, h, w, c) -> float32 softmax probabilities (b, classes), through a hidden layer unless that is 0.

    The last layer alone is the ``head``; what lies before it is the ``neck``, which transfer takes along.
    ``hidden_l2``: Keras's factor, which adds ``hidden_l2 * |w|^2`` of the hidden layer's weights to the loss.
    """
    regularizer = keras.regularizers.L2(hidden_l2) if hidden_l2 else None
    x = layers.GlobalAveragePooling2D(name="neck_pool")(x)
    if hidden:
        x = layers.Dense(hidden, kernel_initializer=initializer, kernel_regularizer=regularizer, name="neck_dense")(x)
        x = batch_norm("neck_bn")(x)
        x = layers.ReLU(name="neck_relu")(x)
        x = layers.Dropout(dropout, name="neck_dropout")(x)
    return layers.Dense(classes, activation="softmax", dtype="float32", name="head")(x)
