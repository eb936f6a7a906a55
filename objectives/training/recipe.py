"""How a network is trained: one ``Recipe`` for all objectives, and the optimizers that it means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from objectives.models import transfer
from objectives.training.schedule import Group, LearningRate, Plateau, Schedule

REFERENCE_BATCH = 128
REFERENCE_RATES = {"sgd": 0.1, "adamw": 1e-3}
"""What ``learning_rate`` is a multiple of, at a batch of 128 images: one range serves both optimizers."""
_OF_REFERENCE = " or ".join(f"{rate:g} ({name})" for name, rate in REFERENCE_RATES.items())
UNITS = dict.fromkeys(
    ("learning_rate", "head_learning_rate"),
    f"times {_OF_REFERENCE}, at a batch of {REFERENCE_BATCH}",
)
"""Of the parameters that are multiples."""
LARGEST_SCALED_BATCH = 512
"""The best rate grows with the batch up to here and not beyond."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All of training that is not the network, the data or the augmentation. Shares are of the trial's epochs."""

    optimizer: str = "sgd"
    """A key of ``REFERENCE_RATES``; ``sgd`` is with Nesterov momentum."""
    learning_rate: float = 1.0
    """The peak, as a multiple of the optimizer's reference rate (``REFERENCE_RATES``)."""
    head_learning_rate: float | None = None
    """The same for the head's layers; None: one rate for all."""
    head_warm_epochs: int = 0
    """For so many epochs the head learns alone."""
    momentum: float = 0.9
    """SGD's; AdamW's first beta."""
    weight_decay: float = 5e-4
    """In PyTorch's units for SGD (lambda of ``lambda/2 * |w|^2``); see ``keras_weight_decay``. Kernels only."""
    label_smoothing: float = 0.0
    schedule: Schedule = "cosine"
    """How the rate falls after the warm-up."""
    warm_up: float = 0.15
    plateau_factor: float = 1.0
    """What the rate is multiplied by where the loss stands still, that of the validation where there is one; 1:
    never."""
    plateau_patience: float = 0.1
    """For this share of the epochs."""
    patience: float = 0.5
    """Early stopping after this share of the epochs (and no fewer than 3) without a better one. Under a cosine the best
    epochs come last: less than half may end a trial that was about to find them."""

    def __post_init__(self) -> None:
        if self.optimizer not in REFERENCE_RATES:
            raise ValueError(f"optimizer is one of {', '.join(REFERENCE_RATES)}, not {self.optimizer!r}")
        if not 0.0 < self.patience <= 1.0:
            raise ValueError(f"patience is a share of the epochs, in (0, 1], not {self.patience}")
        if not 0.0 < self.plateau_factor <= 1.0:
            raise ValueError(f"plateau_factor lies in (0, 1], not {self.plateau_factor}")


def keras_weight_decay(recipe: Recipe) -> float:
    """The recipe's weight decay as Keras's ``weight_decay``, which acts beside the momentum buffer.

    PyTorch's SGD sends lambda through the buffer, which multiplies it by ``1 / (1 - momentum)``: 5e-4 at momentum .9
    is Keras's 5e-3. AdamW gets the value that shrinks a weight as much per update at the reference rates, so that one
    range serves both: 5e-4 is its .5.
    """
    if recipe.optimizer == "sgd":
        return recipe.weight_decay / (1.0 - recipe.momentum)
    return recipe.weight_decay / (1.0 - 0.9) * REFERENCE_RATES["sgd"] / REFERENCE_RATES["adamw"]


def plateau_epochs(recipe: Recipe, epochs: int) -> int:
    """For how long the loss may stand still before the rate is cut."""
    return max(1, round(recipe.plateau_patience * epochs))


def peak_rate(recipe: Recipe, multiple: float, batch: int) -> float:
    """A multiple of the reference rate as a rate, scaled with the batch up to 512 images."""
    return float(multiple * REFERENCE_RATES[recipe.optimizer] * min(batch, LARGEST_SCALED_BATCH) / REFERENCE_BATCH)


def compile_model(
    model: keras.Model, network: keras.Model, recipe: Recipe, *, epochs: int, updates: Callable[[int], int], batch: int
) -> LearningRate:
    """Compiles ``model``, whose variables are those of ``network``, and returns the owner of its learning rate.

    The optimizer is built, so that its variables are there to be restored. ``updates``: how many the first so many
    epochs have.
    """
    peak = peak_rate(recipe, recipe.learning_rate, batch)
    rest = updates(min(recipe.head_warm_epochs, epochs - 1)) if recipe.head_learning_rate is not None else 0
    groups = [Group("learning_rate", _optimizer(recipe, model), peak, rest)]
    backbone = optimizer = groups[0].optimizer
    if recipe.head_learning_rate is not None:
        own = _optimizer(recipe, model)
        groups.append(Group("head_learning_rate", own, peak_rate(recipe, recipe.head_learning_rate, batch)))
        # By the variable itself, not by a pattern over its path: a pattern that matches nothing would go unnoticed.
        head = {v.path for v in network.get_layer(transfer.HEAD).trainable_variables}
        optimizer = keras.optimizers.MultiOptimizer(lambda v: own if v.path in head else backbone)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=float(recipe.label_smoothing))
    # An object, not its name: that would create its variables in the first step, which is then traced twice.
    accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
    model.compile(optimizer=optimizer, loss=loss, metrics=[accuracy])
    model.optimizer.build(model.trainable_variables)
    return LearningRate(
        groups,
        schedule=recipe.schedule,
        steps=updates(epochs),
        warm_up=recipe.warm_up,
        plateau=Plateau(recipe.plateau_factor, plateau_epochs(recipe, epochs)),
    )


def _optimizer(recipe: Recipe, model: keras.Model) -> Any:
    """One optimizer; its rate is set before each update by the owner, so that the 0 here is never used."""
    decay = keras_weight_decay(recipe) if recipe.weight_decay else None
    if recipe.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(0.0, momentum=float(recipe.momentum), nesterov=True, weight_decay=decay)
    else:
        optimizer = keras.optimizers.AdamW(0.0, beta_1=float(recipe.momentum), weight_decay=decay or 0.0)
    optimizer.exclude_from_weight_decay(var_list=[v for v in model.trainable_variables if v.name != "kernel"])
    return optimizer
