"""The reader that CIFAR-10 and CIFAR-100 share: their official binary version, through memory maps.

A record is one label byte (CIFAR-100: coarse, then fine) and 3,072 bytes, the red, green and blue planes of a 32x32
image, row by row. A file holds any whole number of records. Source: https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from objectives.data.dataset import Dataset, Part
from search.contract import SearchError

SHAPE = (32, 32, 3)
PIXELS = 32 * 32 * 3


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the files of one data set lie under the data folder, and what one record begins with."""

    name: str
    title: str
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    names_file: str
    class_names: tuple[str, ...]
    """Where there is no ``names_file``."""
    coarse_file: str | None = None
    """None: there are no superclasses."""
    coarse_names: tuple[str, ...] = ()
    superclass_of: tuple[int, ...] = ()
    archive: str
    md5: str

    @property
    def classes(self) -> int:
        return len(self.class_names)

    @property
    def labels(self) -> int:
        """Label bytes of a record; the fine label is the last."""
        return 1 if self.coarse_file is None else 2

    def files(self, part: Part) -> tuple[str, ...]:
        return self.train if part == "train" else self.test


class PlanarImages:
    """Images (n, 32, 32, 3) that lie as colour planes in memory-mapped records; indexing copies what is asked for."""

    def __init__(self, records: Sequence[npt.NDArray[np.uint8]]) -> None:
        self._records = list(records)
        self._ends = np.cumsum([len(part) for part in records])
        self.shape = (int(self._ends[-1]), *SHAPE)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, indices: Any, /) -> npt.NDArray[np.uint8]:
        chosen = np.arange(len(self))[indices]
        flat = chosen.reshape(-1)
        planes = np.empty((len(flat), PIXELS), dtype=np.uint8)
        part = np.searchsorted(self._ends, flat, side="right")
        for number, records in enumerate(self._records):
            here = part == number
            planes[here] = records[flat[here] - (self._ends[number] - len(records)), -PIXELS:]
        images = planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return np.ascontiguousarray(images).reshape(*chosen.shape, *SHAPE)


def read(layout: Layout, data_dir: Path, part: Part) -> Dataset:
    """Map the files of one part, and no other; refuse torn, empty and wrong ones by name."""
    folder = data_dir / layout.folder
    records = [_records(folder / file, layout) for file in layout.files(part)]
    heads = np.concatenate([np.asarray(part_records[:, : layout.labels]) for part_records in records])
    coarse = layout.coarse_file
    return Dataset(
        name=layout.name,
        images=PlanarImages(records),
        labels=heads[:, -1].astype(np.int64),
        coarse=heads[:, 0].astype(np.int64) if coarse else None,
        class_names=_names(folder / layout.names_file, layout.class_names),
        coarse_names=_names(folder / coarse, layout.coarse_names) if coarse else None,
        checksum=_checksum([folder / file for file in layout.files(part)]),
        superclass_of=layout.superclass_of if coarse else None,
    )


def missing(layout: Layout, data_dir: Path) -> list[Path]:
    """The files, train and test, that are not there. Opens none of them."""
    folder = data_dir / layout.folder
    return [folder / file for file in (*layout.train, *layout.test) if not (folder / file).is_file()]


def refuse_torn_test(layout: Layout, data_dir: Path) -> None:
    """Raise SearchError unless the test files hold whole records. Opens none of them."""
    for file in layout.test:
        _refuse_torn(data_dir / layout.folder / file, layout)


def _refuse_torn(path: Path, layout: Layout) -> None:
    """By its size."""
    length, size = layout.labels + PIXELS, path.stat().st_size
    if size == 0 or size % length:
        raise SearchError(
            f"{path} holds {size} bytes, which is no whole number of {length}-byte {layout.title} records: "
            f"put the file of {layout.archive} in its place, or remove {path.parent} to download it again"
        )


def _records(path: Path, layout: Layout) -> npt.NDArray[np.uint8]:
    _refuse_torn(path, layout)
    records = np.memmap(path, dtype=np.uint8, mode="r").reshape(-1, layout.labels + PIXELS)
    fine = records[:, layout.labels - 1]
    if fine.max() >= layout.classes:
        raise _wrong(path, layout, f"label {fine.max()} of record {fine.argmax()} is not below {layout.classes}")
    if layout.superclass_of:
        differ = np.flatnonzero(records[:, 0] != np.array(layout.superclass_of, dtype=np.uint8)[fine])
        if len(differ):
            raise _wrong(path, layout, f"record {differ[0]} has another superclass than its class {fine[differ[0]]}")
    return records


def _wrong(path: Path, layout: Layout, why: str) -> SearchError:
    return SearchError(f"{path} is no {layout.title} file ({why}): put the file of {layout.archive} in its place")


def _names(path: Path, usual: tuple[str, ...]) -> tuple[str, ...]:
    if not path.is_file():
        return usual
    names = tuple(path.read_text().split())
    if len(names) != len(usual):
        raise SearchError(
            f"{path} holds {len(names)} class names instead of {len(usual)}: remove it to use the usual ones"
        )
    return names


def _checksum(paths: Sequence[Path]) -> str:
    """One sha256 over the content of all the files: 0.2 s for 150 MB."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
