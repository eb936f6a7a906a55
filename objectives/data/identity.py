"""What a study remembers of its data: name, counts and checksums."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from objectives.data.dataset import find
from objectives.data.split import cut
from search.contract import Size


def test_checksum(name: str, data_dir: Path) -> str:
    """SHA-256 of the test part, which is opened for it."""
    return find(name).load(data_dir, "test").checksum


def identity(name: str, data_dir: Path, size: Size) -> dict[str, Any]:
    """Name, counts and checksums of data and cut, as JSON: the part of a study's definition that is data.

    Train and test files are there when this returns. Of the test file only its size was looked at.
    """
    data_set = find(name)
    dataset = data_set.load(data_dir, "train")
    data_set.check_test(data_dir)
    parts = cut(dataset.labels, train=size.train_images, validation=size.validation_images)
    return {
        "name": name,
        "images": len(dataset),
        "train": len(parts.train),
        "validation": len(parts.validation),
        "classes": len(dataset.class_names),
        "data_sha256": dataset.checksum,
        "split_sha256": parts.checksum,
    }
