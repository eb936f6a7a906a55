"""The stratified train/validation cut. One split seed for everybody: trials differ in everything else, not in this."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search.contract import SearchError

Indices = npt.NDArray[np.int64]

SPLIT_SEED = 20_250_520
VALIDATION_AT_MOST = 5
"""Validation takes at most one image in five of what the files hold, however many a size asks for."""


@dataclass(frozen=True)
class Cut:
    """Sorted indices into a data set's train part, disjoint; ``checksum`` is the sha256 of both."""

    train: Indices
    validation: Indices
    checksum: str


def cut(labels: Indices, *, train: int | None, validation: int) -> Cut:
    """Cut ``labels`` (n,) into ``train`` images (None: all the others) and ``validation`` images, by class.

    Both take at most what is there; what they took is the length of the result. The validation images do not depend on
    ``train``, and a smaller ``train`` is a part of a larger one up to rounding.
    """
    if validation < 0 or (train is not None and train < 1):
        raise SearchError(
            f"cannot cut {train} train and {validation} validation images: give at least 1 to train and 0 to validation"
        )
    queues = _queues(labels)
    available = np.array([len(queue) for queue in queues])
    for_validation = _shares(available, min(validation, len(labels) // VALIDATION_AT_MOST))
    rest = available - for_validation
    for_train = _shares(rest, int(rest.sum()) if train is None else min(train, int(rest.sum())))
    if for_train.sum() == 0 or (validation > 0 and for_validation.sum() == 0):
        raise SearchError(f"{len(labels)} images are too few for a train and a validation part: give at least 5")
    held_out = _first(queues, for_validation)
    kept = _first([queue[n:] for queue, n in zip(queues, for_validation, strict=True)], for_train)
    return Cut(kept, held_out, _checksum(kept, held_out))


def stratified(labels: Indices, count: int) -> Indices:
    """``count`` sorted indices of ``labels``, by class, under the split seed."""
    queues = _queues(labels)
    return _first(queues, _shares(np.array([len(queue) for queue in queues]), count))


def _queues(labels: Indices) -> list[Indices]:
    """The indices of each class, in the order in which they are taken. RandomState's stream is frozen, for good."""
    return [
        np.random.RandomState(SPLIT_SEED + label).permutation(np.flatnonzero(labels == label)).astype(np.int64)
        for label in range(int(labels.max()) + 1)
    ]


def _shares(available: Indices, count: int) -> Indices:
    """``count`` divided in proportion to ``available``: the largest remainders get the rest, ties by class index."""
    total = int(available.sum())
    if total == 0:
        return np.zeros_like(available)
    shares, remainders = np.divmod(available * count, total)
    most = np.argsort(-remainders, kind="stable")[: count - int(shares.sum())]
    shares[most] += 1
    return shares


def _first(queues: list[Indices], counts: Indices) -> Indices:
    return np.sort(np.concatenate([queue[:count] for queue, count in zip(queues, counts, strict=True)]))


def _checksum(train: Indices, validation: Indices) -> str:
    digest = hashlib.sha256()
    for name, indices in (("train", train), ("validation", validation)):
        digest.update(f"{name} {len(indices)}\n".encode())
        digest.update(indices.astype("<i8").tobytes())
    return digest.hexdigest()
