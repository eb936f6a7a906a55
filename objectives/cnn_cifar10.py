"""A plain convolutional network on CIFAR-10: three blocks of two convolutions.

At the notebook's width of 32 it has 0.3 M parameters. ``quick`` tries a few trials of two epochs and trains the best on
all 50,000 images for as many epochs as twelve minutes have room for, ``full`` for the notebook's 30.

Searched is ``space.Training`` (its names and ranges are there), and of the network:

- ``head``: "plain", straight from the pooled features to the classes; "dense", the notebook's hidden layer between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from optuna.trial import BaseTrial

from objectives.data import identity, test_checksum
from objectives.training import notebooks, space
from objectives.training.evaluate import evaluate
from objectives.training.plan import Plan
from objectives.training.report import shown
from objectives.training.sizes import FULL, HOUR, QUICK
from objectives.training.train import train_plan
from search.contract import Objective, Size, TrialContext, parameters


@dataclass(frozen=True, kw_only=True)
class Hyperparameters(space.Training):
    head: str = "plain"


def suggest(trial: BaseTrial) -> Hyperparameters:
    return Hyperparameters(
        **space.training(trial),
        head=trial.suggest_categorical("head", ["plain", "dense"]),
    )


def network(hp: Hyperparameters, size: Size) -> Mapping[str, Any]:
    """The notebook's hidden layer had 512 units at width 32."""
    hidden = 16 * size.width if hp.head == "dense" else 0
    return {"builder": "cnn", "width": size.width, "head": hidden, "dropout_scale": hp.dropout_scale}


def plan(hp: Hyperparameters, size: Size) -> Plan:
    return Plan(
        data="cifar10",
        architecture=network(hp, size),
        recipe=space.recipe(hp, notebooks.CNN),
        augmentation=space.ranges(hp, notebooks.CNN),
        batch=hp.batch,
    )


def train(hp: Hyperparameters, context: TrialContext) -> float:
    return train_plan(plan(hp, context.size), hp, context)


MODERN = Hyperparameters(learning_rate=1.0, weight_decay=5e-4, warm_up=0.15, label_smoothing=0.1, dropout_scale=0.0)
NOTEBOOK = Hyperparameters(**notebooks.CNN.searched, head="dense")
"""The project's original recipe: Adam at .001, halved where the validation loss stood still for 3 epochs of 30, early
stopping after 10, dropout, rotation of 15 degrees, shifts and zoom of .1, flips.

Not as it was: every second of its epochs was one batch long; it stopped by one measure and kept by another (here both
go by validation accuracy); images are normalised by channel, not only brought to 0..1; and statistics of normalisation
look back over fewer updates, as a short trial needs.
"""

OBJECTIVE = Objective(
    suggest=suggest,
    train=train,
    evaluate=evaluate,
    metric="val_accuracy",
    metric_is_share=True,
    points={"MODERN": parameters(MODERN), "NOTEBOOK": parameters(NOTEBOOK)},
    first=("MODERN",),
    data=partial(identity, "cifar10"),
    test_checksum=partial(test_checksum, "cifar10"),
    sizes={
        "quick": replace(QUICK, width=32, refit_epochs=8, images_per_second=500),
        "hour": replace(HOUR, width=32, images_per_second=470),
        "full": replace(FULL, width=32, images_per_second=470),
    },
    shown=shown(references={"the hand-tuned notebook": 0.7776}, then="cnn_cifar100"),
)
