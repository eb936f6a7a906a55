"""What a data set is to those who train on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

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
