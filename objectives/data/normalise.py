"""The constants with which images are normalised."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from objectives.data.dataset import Dataset

CHUNK = 500


def statistics(dataset: Dataset, indices: npt.NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, standard deviation) of each channel of ``images / 255`` over ``indices``, exact, a chunk at a time.

    A channel that never varies counts as one grey level wide, so that it can be divided by.
    """
    channels = dataset.images.shape[-1]
    total, squares, pixels = np.zeros(channels), np.zeros(channels), 0
    for start in range(0, len(indices), CHUNK):
        values = dataset.images[indices[start : start + CHUNK]].reshape(-1, channels).astype(np.float64)
        total += np.ones(len(values)) @ values  # sums of integers below 2**53, so exact; BLAS is three times sum()
        squares += np.diag(values.T @ values)
        pixels += len(values)
    mean = total / pixels
    deviation = np.maximum(np.sqrt(np.maximum(squares / pixels - mean**2, 0.0)), 1.0)
    return tuple(map(float, mean / 255)), tuple(map(float, deviation / 255))
