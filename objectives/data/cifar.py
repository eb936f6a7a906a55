"""CIFAR-10 and CIFAR-100 in their official binary version, read through memory maps.

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


@dataclass(frozen=True)
class Layout:
    """Where the files of one data set lie under the data folder, and what one record begins with."""

    name: str
    title: str
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    names: str
    coarse_names: str | None
    classes: int
    archive: str
    md5: str

    @property
    def labels(self) -> int:
        """Label bytes of a record; the fine label is the last."""
        return 1 if self.coarse_names is None else 2

    def files(self, part: Part) -> tuple[str, ...]:
        return self.train if part == "train" else self.test


CIFAR10 = Layout(
    name="cifar10",
    title="CIFAR-10",
    folder="cifar-10-batches-bin",
    train=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    test=("test_batch.bin",),
    names="batches.meta.txt",
    coarse_names=None,
    classes=10,
    archive="cifar-10-binary.tar.gz",
    md5="c32a1d4ab5d03f1284b67883e8d87530",
)
CIFAR100 = Layout(
    name="cifar100",
    title="CIFAR-100",
    folder="cifar-100-binary",
    train=("train.bin",),
    test=("test.bin",),
    names="fine_label_names.txt",
    coarse_names="coarse_label_names.txt",
    classes=100,
    archive="cifar-100-binary.tar.gz",
    md5="03b5dce01913d631647c71ecec9e9cb8",
)
LAYOUTS = {layout.name: layout for layout in (CIFAR10, CIFAR100)}

# fmt: off
SUPERCLASS = (
    4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11, 6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1, 10,
    12, 14, 16, 9, 11, 5, 5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17, 10, 3, 2, 12, 12, 16,
    12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13, 15, 13, 16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14,
    13,
)
"""CIFAR-100's superclass of each fine class: every file is checked against it."""
CLASS_NAMES = {
    "batches.meta.txt": "airplane automobile bird cat deer dog frog horse ship truck",
    "fine_label_names.txt":
        "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can "
        "castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin "
        "elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster "
        "man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck "
        "pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk "
        "skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger "
        "tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm",
    "coarse_label_names.txt":
        "aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices "
        "household_furniture insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes "
        "large_omnivores_and_herbivores medium_mammals non-insect_invertebrates people reptiles small_mammals trees "
        "vehicles_1 vehicles_2",
}
# fmt: on


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


def load(layout: Layout, data_dir: Path, part: Part) -> Dataset:
    """Map the files of one part, and no other; refuse torn, empty and wrong ones by name."""
    folder = data_dir / layout.folder
    records = [_records(folder / file, layout) for file in layout.files(part)]
    heads = np.concatenate([np.asarray(part_records[:, : layout.labels]) for part_records in records])
    return Dataset(
        name=layout.name,
        images=PlanarImages(records),
        labels=heads[:, -1].astype(np.int64),
        coarse=heads[:, 0].astype(np.int64) if layout.coarse_names else None,
        class_names=_names(folder / layout.names, layout.classes),
        coarse_names=_names(folder / layout.coarse_names, 20) if layout.coarse_names else None,
        checksum=_checksum([folder / file for file in layout.files(part)]),
        superclass_of=SUPERCLASS if layout.coarse_names else None,
    )


def missing(layout: Layout, data_dir: Path) -> list[Path]:
    """The files, train and test, that are not there. Opens none of them."""
    folder = data_dir / layout.folder
    return [folder / file for file in (*layout.train, *layout.test) if not (folder / file).is_file()]


def refuse_torn(path: Path, layout: Layout) -> None:
    """Raise SearchError unless ``path`` holds a whole number of records. Looks at its size, and does not open it."""
    length, size = layout.labels + PIXELS, path.stat().st_size
    if size == 0 or size % length:
        raise SearchError(
            f"{path} holds {size} bytes, which is no whole number of {length}-byte {layout.title} records: "
            f"put the file of {layout.archive} in its place, or remove {path.parent} to download it again"
        )


def _records(path: Path, layout: Layout) -> npt.NDArray[np.uint8]:
    refuse_torn(path, layout)
    records = np.memmap(path, dtype=np.uint8, mode="r").reshape(-1, layout.labels + PIXELS)
    fine = records[:, layout.labels - 1]
    if fine.max() >= layout.classes:
        raise _wrong(path, layout, f"label {fine.max()} of record {fine.argmax()} is not below {layout.classes}")
    if layout.coarse_names:
        differ = np.flatnonzero(records[:, 0] != np.array(SUPERCLASS, dtype=np.uint8)[fine])
        if len(differ):
            raise _wrong(path, layout, f"record {differ[0]} has another superclass than its class {fine[differ[0]]}")
    return records


def _wrong(path: Path, layout: Layout, why: str) -> SearchError:
    return SearchError(f"{path} is no {layout.title} file ({why}): put the file of {layout.archive} in its place")


def _names(path: Path, count: int) -> tuple[str, ...]:
    if not path.is_file():
        return tuple(CLASS_NAMES[path.name].split())
    names = tuple(path.read_text().split())
    if len(names) != count:
        raise SearchError(f"{path} holds {len(names)} class names instead of {count}: remove it to use the usual ones")
    return names


def _checksum(paths: Sequence[Path]) -> str:
    """One sha256 over the content of all the files: 0.2 s for 150 MB."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
