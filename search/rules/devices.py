"""How a machine's cores, memory and GPUs are shared among its training processes."""

from __future__ import annotations

from collections.abc import Sequence

from search.contract import Devices
from search.settings import MEMORY_OF_A_CHILD, MOST_CHILDREN


def children_by_default(gpus: Sequence[str], cores: int, memory: float) -> int:
    """One a GPU. Without any one a core: two trainings on a core each do more than one on both."""
    if gpus:
        return len(gpus)
    return max(1, min(cores, int(min(memory / MEMORY_OF_A_CHILD, MOST_CHILDREN))))


def share(children: int, gpus: Sequence[str], cores: int) -> list[Devices]:
    """This machine's cores and GPUs divided between its children, a core each at least."""
    each, more = divmod(cores, children)
    return [
        Devices(
            max(1, each + (index < more)),
            tuple(gpus[index::children]) or tuple(gpus[index % len(gpus) :][:1] if gpus else ()),
        )
        for index in range(children)
    ]


def is_better_alone(one: Devices, *, only_trial: bool, others_run: bool) -> bool:
    """Whether a trial is to have all cores, and nothing beside it meanwhile. With a GPU it needs no more of them."""
    return only_trial and not others_run and not one.gpus
