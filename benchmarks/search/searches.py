"""The searches that ``pays.py`` makes, and what it does beside each."""

from __future__ import annotations

from dataclasses import dataclass

from search.child.inside.describe import as_computed_here, changed
from search.contract import Objective, Size


@dataclass(frozen=True, kw_only=True)
class Searched:
    """One of the searches that are made, and what is done beside it."""

    objective: str
    pairs: int
    beside: tuple[str, ...] = ("equal", "first", "optuna")
    first: str = ""
    """The point that it tries first; empty: the objective's own."""
    unsearched: str = ""
    """The point that is trained beside it; empty: what it tries first."""
    epochs: int | None = None
    """Of a trial that is not pruned, and of a refit; None: as the size says."""
    hours: float | None = None

    @property
    def flags(self) -> list[str]:
        """Of the product's command."""
        said = {"first": self.first, "epochs": self.epochs, "hours": self.hours}
        return [f"--{name}={value}" for name, value in said.items() if value]

    def size(self, declared: Objective) -> Size:
        """``quick``, as the product's command changes it for these epochs."""
        changes = {} if self.epochs is None else {"epochs": self.epochs}
        return as_computed_here(changed(declared.sizes["quick"], changes))


TRANSFER = ("transfer", "scratch")
OF_THE_SOURCE, OF_THE_TRANSFER = 26, 30
"""Epochs of the README's refits."""
SEARCHES = {
    "cnn_digits": Searched(objective="cnn_digits", pairs=20),
    "resnet_cifar10": Searched(
        objective="resnet_cifar10", pairs=4, beside=("equal", "notebook", "first", "optuna"), unsearched="MODERN"
    ),
    "from_the_notebook": Searched(
        objective="resnet_cifar10",
        pairs=2,
        beside=("equal", "first", "optuna", "random"),
        first="NOTEBOOK",
        epochs=6,
        hours=1,
    ),
    "resnet_cifar100": Searched(objective="resnet_cifar100", pairs=2, beside=TRANSFER),
}
