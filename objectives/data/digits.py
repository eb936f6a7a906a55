"""The 1,797 handwritten digits that come with scikit-learn: real data, no download."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from objectives.data.dataset import Dataset, Part
from objectives.data.split import stratified

TEST_IMAGES = 360


def load(_data_dir: Path, part: Part) -> Dataset:
    """Images uint8 (n, 8, 8, 1): 0..16 scaled to 0..255. A fixed fifth, by class, is the test part."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - a second of imports that CIFAR has no use for

    pixels, labels = load_digits(return_X_y=True)
    test = np.zeros(len(labels), dtype=bool)
    test[stratified(labels, TEST_IMAGES)] = True
    chosen = test if part == "test" else ~test
    images = np.round(pixels[chosen] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    labels = labels[chosen].astype(np.int64)
    return Dataset(
        name="digits",
        images=images,
        labels=labels,
        coarse=None,
        class_names=tuple("0123456789"),
        coarse_names=None,
        checksum=hashlib.sha256(images.tobytes() + labels.astype("<i8").tobytes()).hexdigest(),
    )


def check_test(_data_dir: Path) -> None:
    """There is no file that could be torn."""
