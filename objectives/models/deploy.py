"""One network, two models around it: the one that is trained and the one that is given away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from objectives.models.batch_norm import BatchNorm

_NORMALISED, _AVERAGE = "normalised", "flip_average"


def exported(
    network: keras.Model, mean: Sequence[float], std: Sequence[float], *, flip_averaging: bool = False
) -> keras.Model:
    """Raw uint8 images (b, h, w, c) -> float32 probabilities (b, classes).

    ``mean`` and ``std`` are those of each channel of images / 255. With ``flip_averaging`` the network sees each image
    and its mirror image, and the probabilities are the means of both. Built of what Keras has, in float32: a saved
    model loads with Keras alone, in safe mode, and computes alike everywhere. Its layer ``network`` is a copy.
    """
    network = of_keras_alone(network)
    images = keras.Input(network.input_shape[1:], dtype="uint8", name="images")
    normalised = _normalised(_unit_range(images), mean, std)
    probabilities = network(normalised)
    if flip_averaging:
        mirrored = network(keras.ops.flip(normalised, axis=2))
        probabilities = layers.Average(name=_AVERAGE)([probabilities, mirrored])
    return keras.Model(images, probabilities, name="exported")


def without_flip_averaging(model: keras.Model) -> keras.Model | None:
    """What an ``exported`` model makes of each image as it is; None where that is all that it does."""
    if all(layer.name != _AVERAGE for layer in model.layers):
        return None
    return keras.Model(model.input, model.get_layer("network")(model.get_layer(_NORMALISED).output))


def trained(
    network: keras.Model,
    mean: Sequence[float],
    std: Sequence[float],
    augment: keras.layers.Layer | None = None,
    *,
    smaller: bool = False,
) -> keras.Model:
    """The same model with ``augment`` (0..1 images in and out, active in training only) in front of the network.

    ``smaller``: in training the network sees images of three quarters of the height and width.
    """
    images = keras.Input(network.input_shape[1:], dtype="uint8", name="images")
    x = _unit_range(images)
    if augment is not None:
        x = augment(x)
    if smaller:
        x = Smaller()(x)
        # The same layers, of images of any size.
        anything = keras.Input((None, None, network.input_shape[-1]))
        network = keras.models.clone_model(network, input_tensors=anything, clone_function=lambda layer: layer)
    return keras.Model(images, network(_normalised(x, mean, std)), name="trained")


class Smaller(layers.Layer):  # type: ignore[misc]
    """Float images (b, h, w, c) -> (b, 3/4 h, 3/4 w, c) in training, bilinearly; else the same."""

    def __init__(self) -> None:
        super().__init__(dtype="float32", name="smaller")

    def call(self, images: Any, training: bool = False) -> Any:
        height, width = (side * 3 // 4 for side in images.shape[1:3])
        return keras.ops.image.resize(images, (height, width)) if training else images

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


def of_keras_alone(network: keras.Model) -> keras.Model:
    """The same network with copies of its weights, of Keras's own layers and in float32."""

    def as_keras_has_it(operation: Any) -> Any:
        if not isinstance(operation, layers.Layer):  # such as ``x + y``
            return type(operation).from_config(operation.get_config())
        kind = layers.BatchNormalization if isinstance(operation, BatchNorm) else type(operation)
        return kind.from_config({**operation.get_config(), "dtype": "float32"})

    twin = keras.models.clone_model(network, clone_function=as_keras_has_it, recursive=True)
    twin.set_weights(network.get_weights())
    return twin


def _unit_range(images: Any) -> Any:
    return layers.Rescaling(1 / 255, dtype="float32", name="unit_range")(images)


def _normalised(x: Any, mean: Sequence[float], std: Sequence[float]) -> Any:
    scale = [1 / s for s in std]
    offset = [-m / s for m, s in zip(mean, std, strict=True)]
    return layers.Rescaling(scale, offset=offset, dtype="float32", name=_NORMALISED)(x)
