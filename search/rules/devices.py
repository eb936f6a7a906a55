"""How a machine's cores, memory and GPUs are shared among its training processes."""

from __future__ import annotations

from collections.abc import Sequence

from search.contract import Devices

MEMORY_OF_A_CHILD = 2 << 30
"""Bytes. So much is reckoned for a child where nobody says how many there are to be."""
MOST_CHILDREN = 8
"""Trials that run at the same time cannot learn of each other: beyond this the cores go to fewer, faster ones."""


def children_by_default(gpus: Sequence[str], cores: int, memory: float) -> int:
    """One a GPU. Without any one a core: two trainings on a core each do more than one on both."""
    if gpus:
        return len(gpus)
    return max(1, min(cores, int(min(memory / MEMORY_OF_A_CHILD, MOST_CHILDREN))))


def share(children: int, gpus: Sequence[str], cores: int) -> list[Devices]:
    """This machine's cores and GPUs divided between its children."""
    each = max(1, cores // children)
    return [
        Devices(each, tuple(gpus[index::children]) or tuple(gpus[index % len(gpus) :][:1] if gpus else ()))
        for index in range(children)
    ]


def of_the_only_one(one: Devices, every: Sequence[Devices]) -> Devices:
    """What a child uses beside which nothing runs: all cores, and its own GPUs."""
    return Devices(sum(each.cores for each in every), one.gpus)
