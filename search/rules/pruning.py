"""When a trial is pruned: at a rung (``asha``) or by another pruner, or because its hyperparameters lead nowhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from search.contract import Size, seed_for
from search.settings import REDUCTION, SPARED_ONE_IN

PrunedBy = Literal["pruner", "objective", "hyperparameters", "time", "size"]
"""Who ended a trial early: the pruner, a plain function itself, hyperparameters that led nowhere; or a limit on its
time, or on the size of its network."""


def rungs_before_the_end(size: Size) -> tuple[int, ...]:
    """A rung at the last epoch or later saves nothing and is never asked. Where nobody knows which is the last, as of a
    plain function, there are as many as anybody may need."""
    if not size.epochs:
        return size.rungs or tuple(REDUCTION**power for power in range(10))
    return tuple(rung for rung in size.rungs if rung < size.epochs)


def is_asked(step: int, spec: Mapping[str, Any] | None, size: Size, *, refit: bool) -> bool:
    """Whether the pruner is asked after epoch ``step``: asha at rungs only, others after each but the last.

    A plain function that names no pruner has Optuna's default one; a refit is stopped by nothing.
    """
    if refit or not 0 < step < (size.epochs or math.inf):
        return False
    return spec is None or spec["name"] != "asha" or step in rungs_before_the_end(size)


def is_obeyed(*, is_first: bool, is_spared: bool) -> bool:
    """Trials of ``first`` are never stopped, nor are those spared. They are asked all the same, so that their values
    compete."""
    return not is_first and not is_spared


def is_spared(seed: int, lease: int, budget: int) -> bool:
    """Whether this lease's trial runs to its end whatever the pruner says, so that one sees what pruning costs.

    One in twenty, drawn before any value is known; none of a study of fewer trials than that, ``budget`` when it was
    created, or of its first ones.
    """
    return max(lease, budget) >= SPARED_ONE_IN and seed_for(seed, "spared", lease) % SPARED_ONE_IN == 0


def why_pruned(epoch: int) -> str:
    """For who asks what the pruner meant."""
    return f"not among the best at epoch {epoch}" if epoch else "pruned by the objective"


def took_too_long(limit: float) -> str:
    """For who asks; ``limit`` in seconds."""
    return f"it took longer than {limit:g} s, as TRIAL_TIMEOUT says"


def too_large(sizes: Mapping[str, float | None], limits: Mapping[str, float]) -> str | None:
    """Why a network of these sizes is not trained: the first that is above its limit."""
    for name, limit in limits.items():
        size = sizes.get(name)
        if size is not None and size > limit:
            return f"{size:,.0f} {name}, and at most {limit:,.0f} are wanted"
    return None


def leads_nowhere(value: float) -> str | None:
    """Why a trial that ends with this value is pruned, and not complete."""
    return "the objective's value is not a number" if math.isnan(value) else None


def ran_out_of_memory(text: str) -> str:
    """Why a trial whose training raised a MemoryError with this text is pruned, and not failed."""
    return f"out of memory: {text}".rstrip(": ")


def was_killed_for_memory(status: int | None, *, killed_by_us: bool, kernel_killed: bool) -> bool:
    """Whether a training process may have died of too little memory; ``status`` -9 is SIGKILL.

    ``kernel_killed``: since its trial began, for memory, whatever process of the control group. One alone is told
    apart from none, but not from its neighbours.
    """
    return status == -9 and not killed_by_us and kernel_killed


def why_pruned_for_memory(*, alone: bool) -> str | None:
    """Why a trial whose process may have died of too little memory is pruned; None: it is tried again by itself.

    What ran beside it may have taken the memory, and even a single process is not alone in its control group.
    """
    return "out of memory: the kernel killed the training process, also when nothing ran beside it" if alone else None
