"""How a machine's cores and GPUs are shared among its training processes."""

from __future__ import annotations

from collections.abc import Sequence

from search.contract import Devices


def share(children: int | None, gpus: Sequence[str], cores: int) -> list[Devices]:
    """This machine's cores and GPUs divided between its children: by default one a GPU, else one in all."""
    count = children or max(1, len(gpus))
    each = max(1, cores // count)
    return [
        Devices(each, tuple(gpus[index::count]) or tuple(gpus[index % len(gpus) :][:1] if gpus else ()))
        for index in range(count)
    ]
