"""Which data sets there are, and where they come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from objectives.data import cifar, digits
from objectives.data.dataset import Dataset, Part
from objectives.data.download import find_or_download
from objectives.data.split import cut
from search.contract import SearchError, Size

NAMES = ("digits", *cifar.LAYOUTS)


def load(name: str, data_dir: Path, part: Part) -> Dataset:
    """One part of ``digits``, ``cifar10`` or ``cifar100``; what is not in ``data_dir`` is downloaded into it.

    Opening the train part never opens the test file.
    """
    if part not in ("train", "test"):
        raise ValueError(f"part is train or test, not {part!r}")
    if name == "digits":
        return digits.load(part)
    layout = _layout(name)
    find_or_download(layout, data_dir)
    return cifar.load(layout, data_dir, part)


def describe(name: str, data_dir: Path, size: Size) -> dict[str, Any]:
    """Name, counts and checksums of data and cut, as JSON: the part of a study's definition that is data.

    Train and test files are there when this returns. Of the test file only its size was looked at.
    """
    dataset = load(name, data_dir, "train")
    if name in cifar.LAYOUTS:
        layout = cifar.LAYOUTS[name]
        for file in layout.test:
            cifar.refuse_torn(data_dir / layout.folder / file, layout)
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


def _layout(name: str) -> cifar.Layout:
    if name not in cifar.LAYOUTS:
        raise SearchError(f"no data set is called {name!r}: there are {', '.join(NAMES)}")
    return cifar.LAYOUTS[name]
