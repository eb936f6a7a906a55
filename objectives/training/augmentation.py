"""All augmentation as one affine transform and one brightness, on the device, outside the exported model."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """How far each transform goes; each is drawn evenly from both directions. By default nothing is done.

    ``rotation`` and ``shear`` are degrees about the image's centre; ``shift`` is a fraction of height and of width;
    ``zoom`` z scales height and width by 1-z to 1+z, each on its own; ``brightness`` b multiplies by 1-b to 1+b.
    ``flip``: half of the images are mirrored left to right. ``whole_pixels`` rounds shifts, so that shifts and flips
    alone never blur; all whole shifts of the range are equally likely.
    """

    rotation: float = 0.0
    shift: float = 0.0
    zoom: float = 0.0
    shear: float = 0.0
    brightness: float = 0.0
    flip: bool = False
    whole_pixels: bool = False


SHIFT_AND_FLIP = Ranges(shift=1 / 16, flip=True, whole_pixels=True)
"""What CIFAR's images are usually trained with: two pixels, nothing blurred."""


@keras.saving.register_keras_serializable(package="objectives")
class Augment(keras.layers.Layer):  # type: ignore[misc]
    """Float images (b, h, w, c) of 0..1 -> the same, each transformed on its own. Does nothing outside training.

    The composed transform resamples once, bilinearly where it does not move whole pixels, with the nearest pixel beyond
    the border. ``native`` takes the
    backend's own affine operation, else a gather: the same values. None decides: native on TensorFlow's CPU, gather
    elsewhere, since XLA knows no native one.
    """

    def __init__(
        self,
        ranges: Ranges | dict[str, Any],
        *,
        seed: int,
        native: bool | None = None,
        name: str = "augment",
        dtype: Any = "float32",
        **layer: Any,
    ) -> None:
        super().__init__(name=name, dtype=dtype, **layer)
        self.ranges = Ranges(**ranges) if isinstance(ranges, dict) else ranges
        self.seed, self.native = seed, native
        self.seed_generator = keras.random.SeedGenerator(seed)
        self._native = _native_is_better() if native is None else native
        turned = self.ranges.rotation or self.ranges.zoom or self.ranges.shear
        # Where whole pixels move there is nothing to interpolate, which would take half of the time.
        self._way = "nearest" if self.ranges.whole_pixels and not turned else "bilinear"
        self.supports_jit = not self._native

    def call(self, images: Any, training: bool = False) -> Any:
        if not training:
            return images
        batch, height, width = ops.shape(images)[0], images.shape[1], images.shape[2]
        draws = keras.random.uniform((batch, 8), -1.0, 1.0, seed=self.seed_generator)
        x = self._resample(images, transforms(draws, self.ranges, height, width))
        if self.ranges.brightness > 0:
            factor = 1 + draws[:, 7] * self.ranges.brightness
            x = ops.clip(x * ops.reshape(factor, (-1, 1, 1, 1)), 0.0, 1.0)
        return x

    def _resample(self, images: Any, transform: Any) -> Any:
        if not self._native:
            return gather(images, transform)
        return ops.image.affine_transform(
            images, transform, interpolation=self._way, fill_mode="nearest", data_format="channels_last"
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        mine = {"ranges": dataclasses.asdict(self.ranges), "seed": self.seed, "native": self.native}
        return {**super().get_config(), **mine}


def transforms(draws: Any, ranges: Ranges, height: int, width: int) -> Any:
    """Seven or more even draws in -1..1 (b, 7+) -> (b, 8) affine transforms, as ``ops.image.affine_transform`` takes.

    The output pixel (x, y) reads the input at (a0 x + a1 y + a2, b0 x + b1 y + b2), the row being
    [a0, a1, a2, b0, b1, b2, 0, 0]. About the centre c: input = R Sh Z F (output - c) + c + shift. Shear has the
    meaning of Keras's legacy ``ImageDataGenerator``: x - sin(s) y, cos(s) y.
    """
    angle, shear = draws[:, 0] * math.radians(ranges.rotation), draws[:, 1] * math.radians(ranges.shear)
    zoom_x, zoom_y = (1 + draws[:, i] * ranges.zoom for i in (2, 3))
    if ranges.flip:
        zoom_x = ops.where(draws[:, 6] < 0, -zoom_x, zoom_x)
    shift_x = _shift(draws[:, 4], ranges.shift * width, ranges.whole_pixels)
    shift_y = _shift(draws[:, 5], ranges.shift * height, ranges.whole_pixels)
    cos, sin = ops.cos(angle), ops.sin(angle)
    lean, squeeze = ops.sin(shear), ops.cos(shear)
    a0, a1 = cos * zoom_x, -(cos * lean + sin * squeeze) * zoom_y
    b0, b1 = sin * zoom_x, (cos * squeeze - sin * lean) * zoom_y
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    a2 = centre_x + shift_x - a0 * centre_x - a1 * centre_y
    b2 = centre_y + shift_y - b0 * centre_x - b1 * centre_y
    zero = ops.zeros_like(a0)
    return ops.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1)


def gather(images: Any, transform: Any) -> Any:
    """``ops.image.affine_transform(images, transform, fill_mode="nearest")`` by four gathers: XLA compiles it."""
    batch, (height, width, channels) = ops.shape(images)[0], images.shape[1:]
    y, x = ops.meshgrid(ops.arange(height, dtype="float32"), ops.arange(width, dtype="float32"), indexing="ij")
    a0, a1, a2, b0, b1, b2 = (ops.reshape(transform[:, i], (-1, 1, 1)) for i in range(6))
    left, right, across = _neighbours(a0 * x + a1 * y + a2, width)
    top, bottom, down = _neighbours(b0 * x + b1 * y + b2, height)
    flat = ops.reshape(images, (-1, channels))
    first = ops.reshape(ops.arange(batch, dtype="int32") * (height * width), (-1, 1, 1))

    def pixels(row: Any, column: Any) -> Any:
        return ops.take(flat, first + row * width + column, axis=0)

    upper = (1 - across) * pixels(top, left) + across * pixels(top, right)
    lower = (1 - across) * pixels(bottom, left) + across * pixels(bottom, right)
    return (1 - down) * upper + down * lower


def _neighbours(position: Any, length: int) -> tuple[Any, Any, Any]:
    """The pixels on either side of ``position`` (b, h, w), and the share of the second (b, h, w, 1)."""
    position = ops.clip(position, 0.0, length - 1.0)
    before = ops.floor(position)
    share = ops.expand_dims(position - before, -1)
    before = ops.cast(before, "int32")
    return before, ops.minimum(before + 1, length - 1), share


def _shift(draw: Any, pixels: float, whole: bool) -> Any:
    """Half a pixel is added before rounding, so that the outermost whole shift is as likely as the others."""
    return ops.round(draw * (pixels + 0.4999)) if whole else draw * pixels


def _native_is_better() -> bool:
    return bool(keras.backend.backend() == "tensorflow" and not keras.distribution.list_devices("gpu"))
