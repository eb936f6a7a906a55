"""The principal components of the patches of images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from objectives.data.dataset import Dataset
from objectives.data.normalise import normalised

IMAGES = 1_000
"""So many are enough: CIFAR's have 900,000 patches."""
_FLOOR = 5e-4
"""Added to each variance: components that hardly vary are noise, which is not to be blown up."""


def kernel_for(
    dataset: Dataset, indices: npt.NDArray[np.int64], mean: Sequence[float], std: Sequence[float]
) -> npt.NDArray[np.float32]:
    """``whitening_kernel`` of the first of these images, normalised by ``mean`` and ``std``."""
    return whitening_kernel(normalised(dataset.images[indices[:IMAGES]], mean, std))


def whitening_kernel(images: npt.NDArray[np.float32], patch: int = 3) -> npt.NDArray[np.float32]:
    """Normalised images (n, h, w, c) -> a convolution's kernel (patch, patch, c, patch * patch * c).

    Each of its channels is a component of all patches, with variance 1, by falling variance of what it was. A
    component's sign is nobody's to choose but the code's: its largest weight is positive.
    """
    size = patch * patch * images.shape[-1]
    windows = np.lib.stride_tricks.sliding_window_view(images, (patch, patch), axis=(1, 2))
    patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, size).astype(np.float64)
    patches = patches - patches.mean(axis=0)
    variances, components = np.linalg.eigh(patches.T @ patches / len(patches))
    components = components[:, ::-1] / np.sqrt(variances[::-1] + _FLOOR)
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=0)[None], axis=0)
    return (components * np.sign(largest)).reshape(patch, patch, images.shape[-1], size).astype(np.float32)
