"""The pictures that evaluation draws, and the titles under which a report shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from search.contract import Picture

LEARNING_CURVE = Picture(file="learning_curve.png", title="Learning curve")
CONFUSION_MATRIX = Picture(file="confusion_matrix.png", title="Confusion matrix")
PICTURES = (LEARNING_CURVE, CONFUSION_MATRIX)


def confusion_matrix(matrix: Sequence[Sequence[int]], class_names: Sequence[str], folder: Path) -> None:
    """Draw the matrix, shares of each true class, into ``folder``; with counts where there is room for them."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - half a second that training has no use for

    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    few = len(class_names) <= 20
    figure = Figure(figsize=(8, 7) if few else (14, 13), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    ticks = range(len(class_names))
    axes.set_xticks(ticks, class_names, rotation=90, fontsize=9 if few else 6)
    axes.set_yticks(ticks, class_names, fontsize=9 if few else 6)
    axes.set(xlabel="predicted", ylabel="true", title=f"{counts.trace()} of {counts.sum()} images right")
    if few:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color=colour)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
    figure.savefig(folder / CONFUSION_MATRIX.file, dpi=110)


def learning_curve(history: Mapping[str, Sequence[float]], folder: Path) -> None:
    """Draw loss and accuracy by epoch into ``folder``. ``history``: lists, one number an epoch, under Keras's names."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        _lines(axes, history, {name: "training", f"val_{name}": "validation"})
        axes.set(xlabel="epoch", ylabel=name)
    figure.savefig(folder / LEARNING_CURVE.file, dpi=110)


def _lines(axes: Any, history: Mapping[str, Sequence[float]], labels: Mapping[str, str]) -> None:
    drawn = {label: history[key] for key, label in labels.items() if key in history}
    for label, values in drawn.items():
        axes.plot(range(1, len(values) + 1), values, marker=".", label=label)
    if drawn:
        axes.legend()
        axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
