"""The order in which training sees the images."""

from __future__ import annotations

import keras
import numpy as np
import numpy.typing as npt

from objectives.data.dataset import Dataset

LONGER = 16 / 9
"""As many more images of three quarters of the size a network goes through in the same time."""


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of (uint8 images (b, h, w, c), one-hot float32 (b, classes)), for ``fit(..., shuffle=False)``.

    The order is a pure function of ``(seed, epoch)``, so that a resumed epoch is the epoch that was interrupted.
    ``epoch`` is set from outside, in a callback's ``on_epoch_begin``; it is never counted here, because ``fit`` peeks
    at batches before the first epoch and calls ``on_epoch_end`` once too early.

    ``drop_last`` leaves out a last batch that is not full, unless it is the only one. The first ``longer`` epochs go
    through ``LONGER`` times as many images: each once, and then some again.
    """

    epoch: int = 0

    def __init__(
        self,
        dataset: Dataset,
        indices: npt.NDArray[np.int64],
        *,
        batch: int,
        seed: int,
        shuffle: bool,
        drop_last: bool = False,
        longer: int = 0,
    ) -> None:
        super().__init__()
        if batch < 1 or len(indices) == 0:
            raise ValueError(f"need a batch of at least 1 and at least one image, got {batch} and {len(indices)}")
        if longer and not shuffle:
            raise ValueError("epochs can be longer where their images are shuffled")
        self.dataset, self.batch, self.seed, self.shuffle, self.drop_last = dataset, batch, seed, shuffle, drop_last
        self.longer = longer
        self.indices = np.asarray(indices, dtype=np.int64)
        self._one_hot = np.eye(len(dataset.class_names), dtype=np.float32)
        self._order: tuple[int, npt.NDArray[np.int64]] | None = None

    @property
    def num_batches(self) -> int:
        """Batches in this epoch."""
        return self._batches(self.epoch)

    def batches_of(self, epochs: int) -> int:
        """Batches in the first so many epochs together."""
        return sum(self._batches(epoch) for epoch in range(epochs))

    def order(self, epoch: int) -> npt.NDArray[np.int64]:
        """The indices in the order in which ``epoch`` visits them."""
        if not self.shuffle:
            return self.indices
        known = self._order  # read once: another thread may ask for another epoch meanwhile
        if known is None or known[0] != epoch:
            random, found = np.random.default_rng((self.seed, epoch)), self.indices[:0]
            while len(found) < self._images(epoch):
                found = np.concatenate([found, random.permutation(self.indices)])
            known = (epoch, found[: self._images(epoch)])
            self._order = known
        return known[1]

    def _batches(self, epoch: int) -> int:
        full, rest = divmod(self._images(epoch), self.batch)
        return full if self.drop_last and full else full + (rest > 0)

    def _images(self, epoch: int) -> int:
        return round(LONGER * len(self.indices)) if epoch < self.longer else len(self.indices)

    def __getitem__(self, index: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        chosen = self.order(self.epoch)[index * self.batch : (index + 1) * self.batch]
        return self.dataset.images[chosen], self._one_hot[self.dataset.labels[chosen]]
