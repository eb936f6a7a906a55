"""Tiny files in CIFAR's official binary format, with images that a network can learn in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from objectives.data import cifar10, cifar100
from objectives.data.cifar import Layout


def write_cifar10(data_dir: Path, *, train: int = 500, test: int = 100, seed: int = 0) -> Path:
    """Write train images (a multiple of 5) and test images, all classes equally common; return the data folder."""
    return _write(cifar10.LAYOUT, data_dir, train, test, seed)


def write_cifar100(data_dir: Path, *, train: int = 500, test: int = 200, seed: int = 0) -> Path:
    """The same with 100 classes and their superclasses; at least 100 images each."""
    return _write(cifar100.LAYOUT, data_dir, train, test, seed)


def records(layout: Layout, labels: npt.NDArray[np.int64], seed: int = 0) -> npt.NDArray[np.uint8]:
    """One record a label: a coarse coloured pattern of the class's own under noise."""
    patterns = np.random.default_rng(10).integers(40, 216, (layout.classes, 3, 4, 4))
    clean = patterns[labels].repeat(8, axis=2).repeat(8, axis=3)
    noisy = clean + np.random.default_rng(seed).normal(0, 25, clean.shape)
    pixels = noisy.clip(0, 255).astype(np.uint8).reshape(len(labels), -1)
    heads = [labels[:, None].astype(np.uint8)]
    if layout.superclass_of:
        heads.insert(0, np.array(layout.superclass_of, dtype=np.uint8)[labels][:, None])
    return np.concatenate([*heads, pixels], axis=1)


def _write(layout: Layout, data_dir: Path, train: int, test: int, seed: int) -> Path:
    folder = data_dir / layout.folder
    folder.mkdir(parents=True)
    for files, count, offset in ((layout.train, train, 0), (layout.test, test, 1)):
        labels = np.random.default_rng(seed + offset).permutation(np.arange(count) % layout.classes)
        content = records(layout, labels, seed + offset)
        for file, part in zip(files, np.split(content, len(files)), strict=True):
            (folder / file).write_bytes(part.tobytes())
    return data_dir
