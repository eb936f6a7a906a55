"""What a data set is: to those who train on it, and as a file of this folder that is found by its name."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import numpy as np
import numpy.typing as npt

from search.contract import SearchError

Part = Literal["train", "test"]


class Images(Protocol):
    """uint8 images (n, h, w, c): an array, or something that reads only what is asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Any, /) -> npt.NDArray[np.uint8]: ...


@dataclass(frozen=True)
class Dataset:
    """One part of a data set.

    ``images`` uint8 (n, h, w, c), ``labels`` int64 (n,), ``coarse`` int64 (n,) superclasses or None, ``superclass_of``
    that of each class or None, ``checksum`` the sha256 of the part's content.
    """

    name: str
    images: Images
    labels: npt.NDArray[np.int64]
    coarse: npt.NDArray[np.int64] | None
    class_names: tuple[str, ...]
    coarse_names: tuple[str, ...] | None
    checksum: str
    superclass_of: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.labels)


class DataSetFile(Protocol):
    """What ``objectives/data/NAME.py`` holds."""

    def load(self, data_dir: Path, part: Part, /) -> Dataset:
        """One part; what is not in ``data_dir`` is downloaded into it. The train part never opens the test file."""
        ...

    def check_test(self, data_dir: Path, /) -> None:
        """Raises SearchError where the test file, which is there, cannot be whole. Does not open it."""
        ...


def load(name: str, data_dir: Path, part: Part) -> Dataset:
    """One part of the data set ``name``, from ``data_dir`` or downloaded into it. SearchError: there is none."""
    if part not in ("train", "test"):
        raise ValueError(f"part is train or test, not {part!r}")
    return find(name).load(data_dir, part)


def find(name: str) -> DataSetFile:
    """The file of the data set ``name``. SearchError where there is none."""
    if name in _modules() and (found := _data_set(name)):
        return found
    there = ", ".join(module for module in _modules() if _data_set(module))
    raise SearchError(f"no data set is called {name!r}: there are {there}")


def _modules() -> list[str]:
    return [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])]


def _data_set(module: str) -> DataSetFile | None:
    found = importlib.import_module(f"{__package__}.{module}")
    return cast(DataSetFile, found) if hasattr(found, "load") and hasattr(found, "check_test") else None
