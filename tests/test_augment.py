"""Augmentation: one affine transform, by two routes that agree, with the stated meaning of each range."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import numpy.typing as npt
import pytest
from keras import ops

from objectives.training.augmentation import SHIFT_AND_FLIP, Augment, Ranges, gather, transforms

Array = npt.NDArray[np.float32]

EVERYTHING = Ranges(rotation=15, shift=0.1, zoom=0.1, shear=10, brightness=0.1, flip=True)
IMAGES = np.random.default_rng(0).random((64, 12, 16, 3), dtype=np.float32)


def _apply(images: Array, ranges: Ranges, native: bool | None = None, seed: int = 1) -> Array:
    return np.asarray(Augment(ranges, seed=seed, native=native)(images, training=True))


def _one(images: Array, ranges: Ranges, **draw: float) -> Array:
    """The transform of chosen draws: 0 rotation, 1 shear, 2 and 3 zoom, 4 and 5 shift, 6 flip (below 0)."""
    draws = np.zeros((len(images), 8), dtype=np.float32)
    for key, value in draw.items():
        draws[:, int(key[1:])] = value
    height, width = images.shape[1:3]
    return np.asarray(gather(ops.convert_to_tensor(images), transforms(draws, ranges, height, width)))


@pytest.mark.parametrize(
    "ranges",
    [
        EVERYTHING,
        replace(EVERYTHING, whole_pixels=True),
        SHIFT_AND_FLIP,
        Ranges(rotation=170, shear=60, zoom=0.9, shift=0.9),
    ],
)
def test_the_gather_equals_the_native_operation(ranges: Ranges) -> None:
    native, gathered = (_apply(IMAGES, ranges, native=route) for route in (True, False))
    np.testing.assert_allclose(native, gathered, rtol=0, atol=1e-6)
    assert np.abs(native - IMAGES).max() > 0.1


def test_the_gather_compiles_under_xla_and_says_so() -> None:
    import tensorflow as tf

    draws = np.random.default_rng(2).uniform(-1, 1, (len(IMAGES), 8)).astype(np.float32)
    moves = transforms(ops.convert_to_tensor(draws), EVERYTHING, 12, 16)
    compiled = np.asarray(tf.function(gather, jit_compile=True)(tf.constant(IMAGES), moves))
    np.testing.assert_allclose(compiled, np.asarray(gather(tf.constant(IMAGES), moves)), rtol=0, atol=1e-4)
    layer = Augment(EVERYTHING, seed=1, native=False)
    whole = np.asarray(tf.function(lambda x: layer(x, training=True), jit_compile=True)(tf.constant(IMAGES)))
    assert whole.shape == IMAGES.shape and np.abs(whole - IMAGES).max() > 0.1
    assert layer.supports_jit and not Augment(EVERYTHING, seed=1, native=True).supports_jit
    assert not Augment(EVERYTHING, seed=1).supports_jit  # these tests run on TensorFlow's CPU


def test_no_ranges_and_inference_change_nothing() -> None:
    assert (_apply(IMAGES, Ranges()) == IMAGES).all()
    assert (np.asarray(Augment(EVERYTHING, seed=1)(IMAGES)) == IMAGES).all()


def test_flips_mirror_about_half_of_the_images_exactly() -> None:
    flipped = _apply(np.repeat(IMAGES, 8, axis=0), Ranges(flip=True))
    original = np.repeat(IMAGES, 8, axis=0)
    mirrored = (flipped == original[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (mirrored ^ (flipped == original).all(axis=(1, 2, 3))).all()
    assert 0.4 < mirrored.mean() < 0.6


def test_whole_shifts_move_pixels_unblurred_and_all_equally_often() -> None:
    images = np.repeat(np.random.default_rng(1).random((1, 32, 32, 1), dtype=np.float32), 2_000, axis=0)
    padded = np.pad(images[0], ((2, 2), (2, 2), (0, 0)), mode="edge")
    shifted = _apply(images, Ranges(shift=2 / 32, whole_pixels=True))
    windows = {(y, x): padded[y : y + 32, x : x + 32] for y in range(5) for x in range(5)}
    counts = {at: int((shifted == window).all(axis=(1, 2, 3)).sum()) for at, window in windows.items()}
    assert sum(counts.values()) == 2_000
    assert min(counts.values()) > 40 and max(counts.values()) < 130  # 80 each


def test_rotation_is_in_degrees_about_the_centre() -> None:
    square = IMAGES[:, :, :12]
    np.testing.assert_allclose(_one(square, Ranges(rotation=90), _0=1.0), np.rot90(square, 1, (1, 2)), atol=1e-5)
    np.testing.assert_allclose(_one(IMAGES, Ranges(rotation=180), _0=1.0), IMAGES[:, ::-1, ::-1], atol=1e-5)


def test_shear_is_in_degrees_about_the_centre() -> None:
    """At 30 degrees the rows slide by half their distance from the middle, and are cos(30) as far apart."""
    ramp = np.broadcast_to(np.arange(33, dtype=np.float32)[None, None, :, None], (1, 33, 33, 1)).copy()
    sheared = _one(ramp, Ranges(shear=30), _1=1.0)[0, :, :, 0]
    assert sheared[16, 16] == pytest.approx(16)
    assert sheared[20, 16] == pytest.approx(16 - 4 * 0.5, abs=1e-4)
    assert sheared[12, 16] == pytest.approx(16 + 4 * 0.5, abs=1e-4)
    upright = _one(ramp.transpose(0, 2, 1, 3).copy(), Ranges(shear=30), _1=1.0)[0, :, :, 0]
    assert upright[20, 16] == pytest.approx(16 + 4 * np.cos(np.pi / 6), abs=1e-4)


def test_zoom_and_shift_are_fractions_of_each_side_and_fill_with_the_nearest() -> None:
    ramp = np.broadcast_to(np.arange(17, dtype=np.float32)[None, None, :, None], (1, 9, 17, 1)).copy()
    zoomed = _one(ramp, Ranges(zoom=0.5), _2=-1.0)[0, 4, :, 0]
    np.testing.assert_allclose(zoomed, 8 + (np.arange(17) - 8) * 0.5, atol=1e-5)
    shifted = _one(ramp, Ranges(shift=4 / 17), _4=1.0)[0, 0, :, 0]
    np.testing.assert_allclose(shifted, np.minimum(np.arange(17) + 4, 16), atol=1e-5)


def test_brightness_multiplies_and_is_clipped() -> None:
    bright = _apply(IMAGES, Ranges(brightness=0.5))
    factor = bright[:, :1, :1, :1] / IMAGES[:, :1, :1, :1]
    seen = np.where(factor * IMAGES.max(axis=(1, 2, 3), keepdims=True) < 1, factor, np.nan)
    kept = ~np.isnan(seen[:, 0, 0, 0])
    assert kept.any()
    np.testing.assert_allclose(bright[kept], IMAGES[kept] * factor[kept], rtol=1e-4)
    assert bright.max() == 1.0 and seen[kept].min() >= 0.5


def test_draws_come_from_the_layers_own_state() -> None:
    layer = Augment(EVERYTHING, seed=3)
    before = np.asarray(layer.seed_generator.state)
    first, second = (np.asarray(layer(IMAGES, training=True)) for _ in range(2))
    assert (first != second).any()
    assert any(variable is layer.seed_generator.state for variable in layer.variables)
    layer.seed_generator.state.assign(before)
    assert (np.asarray(layer(IMAGES, training=True)) == first).all()
    assert (_apply(IMAGES, EVERYTHING, seed=3) == first).all() and (_apply(IMAGES, EVERYTHING, seed=4) != first).any()


def test_the_layer_serialises() -> None:
    layer = Augment(SHIFT_AND_FLIP, seed=5, native=False)
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert (again.ranges, again.seed, again.native) == (SHIFT_AND_FLIP, 5, False)
    assert (np.asarray(again(IMAGES, training=True)) == np.asarray(layer(IMAGES, training=True))).all()
