"""What every CIFAR objective searches of a training: one space that holds the original recipes and what came after.

- ``optimizer``: "sgd", with Nesterov momentum, or "adamw", which without weight decay is Adam
- ``learning_rate``: .05 to 8, log; the peak as a multiple of the optimizer's reference (.1 for SGD, .001 for AdamW, at
  128 images)
- ``momentum``: .8 to .98; with SGD alone
- ``weight_decay``: 0 to .001, in PyTorch's units for SGD; AdamW shrinks the weights as much
- ``schedule``: "cosine", "linear" (one cycle), or "plateau" (halved where the loss stands still)
- ``warm_up``: 0 to .3 of the trial's updates; not with a plateau
- ``batch``: 64, 128, 256 or 512 images
- ``label_smoothing``: 0 to .2
- ``dropout_scale``: 0 to 1; 1 is the notebook's dropout
- ``shift``: 0 to .125 of the image's height and width, at most; 1/16 is two pixels
- ``affine``: 0 to 1 in steps of .25; 1 is the notebook's rotation, zoom and shear, each up to its own range
- ``brightness``: 0 to .2 in steps of .05; at most so much brighter or darker

Shares are of the trial's epochs, so that one space serves every size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from objectives.training.augmentation import Ranges
from objectives.training.notebooks import ZOOM, Notebook
from objectives.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a network is trained, and on what it is shown. Networks add what is theirs."""

    optimizer: str = "sgd"
    learning_rate: float
    momentum: float = 0.9
    weight_decay: float
    schedule: str = "cosine"
    warm_up: float
    batch: int = 128
    label_smoothing: float
    dropout_scale: float
    shift: float = 1 / 16
    affine: float = 0.0
    brightness: float = 0.0


class Suggests(Protocol):
    """Optuna's trial, as far as a space asks it."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float: ...

    def suggest_int(self, name: str, low: int, high: int) -> int: ...


def training(trial: Suggests) -> dict[str, Any]:
    """The fields of ``Training``; what makes no sense beside another is not asked for."""
    optimizer = trial.suggest_categorical("optimizer", ["sgd", "adamw"])
    schedule = trial.suggest_categorical("schedule", ["cosine", "linear", "plateau"])
    return {
        "optimizer": optimizer,
        "learning_rate": trial.suggest_float("learning_rate", 0.05, 8.0, log=True),
        "momentum": trial.suggest_float("momentum", 0.8, 0.98) if optimizer == "sgd" else 0.9,
        "weight_decay": trial.suggest_float("weight_decay", 0.0, 1e-3),
        "schedule": schedule,
        "warm_up": 0.0 if schedule == "plateau" else trial.suggest_float("warm_up", 0.0, 0.3),
        "batch": trial.suggest_categorical("batch", [64, 128, 256, 512]),
        "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.2),
        "dropout_scale": trial.suggest_float("dropout_scale", 0.0, 1.0),
        "shift": trial.suggest_float("shift", 0.0, 0.125),
        "affine": trial.suggest_float("affine", 0.0, 1.0, step=0.25),
        "brightness": trial.suggest_float("brightness", 0.0, 0.2, step=0.05),
    }


def recipe(hp: Training, notebook: Notebook, *, as_it_was: bool = False, **more: Any) -> Recipe:
    """``as_it_was``: stopped as early as the notebook's, as it also is on a plateau; elsewhere the best epochs come
    last. ``more``: fields of Recipe."""
    plateau = hp.schedule == "plateau"
    if plateau or as_it_was:
        more["patience"] = notebook.patience
    return Recipe(
        optimizer=hp.optimizer,
        learning_rate=hp.learning_rate,
        momentum=hp.momentum,
        weight_decay=hp.weight_decay,
        label_smoothing=hp.label_smoothing,
        schedule="constant" if plateau else hp.schedule,  # type: ignore[arg-type]
        warm_up=hp.warm_up,
        plateau_factor=0.5 if plateau else 1.0,
        plateau_patience=notebook.plateau_patience,
        **more,
    )


def ranges(hp: Training, notebook: Notebook) -> Ranges:
    """Where ``affine`` is 0, whole pixels are shifted: nothing blurs."""
    return Ranges(
        rotation=notebook.rotation * hp.affine,
        shift=hp.shift,
        zoom=ZOOM * hp.affine,
        shear=notebook.shear * hp.affine,
        brightness=hp.brightness,
        flip=True,
        whole_pixels=hp.affine == 0,
    )
