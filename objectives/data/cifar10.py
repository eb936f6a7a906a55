"""CIFAR-10: 60,000 photographs of ten kinds of things, a sixth of them the test part."""

from __future__ import annotations

from pathlib import Path

from objectives.data import cifar
from objectives.data.cifar import Layout
from objectives.data.dataset import Dataset, Part
from objectives.data.download import find_or_download

LAYOUT = Layout(
    name="cifar10",
    title="CIFAR-10",
    folder="cifar-10-batches-bin",
    train=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    test=("test_batch.bin",),
    names_file="batches.meta.txt",
    class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    archive="cifar-10-binary.tar.gz",
    md5="c32a1d4ab5d03f1284b67883e8d87530",
)


def load(data_dir: Path, part: Part) -> Dataset:
    """Images uint8 (n, 32, 32, 3), in memory-mapped files."""
    find_or_download(LAYOUT, data_dir)
    return cifar.read(LAYOUT, data_dir, part)


def check_test(data_dir: Path) -> None:
    """By the file's size."""
    cifar.refuse_torn_test(LAYOUT, data_dir)
