"""The residual network on CIFAR-100, from the one that learned CIFAR-10.

Searched is ``fine_tune.Hyperparameters``: how to train, and how to go on, that is how much of the source stays frozen,
for how long the head learns alone, and at which rates.
``first`` holds the same network from scratch at equal budget, without which nobody knows what the transfer is worth.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from objectives.data import identity, test_checksum
from objectives.training import fine_tune, notebooks
from objectives.training.evaluate import evaluate
from objectives.training.fine_tune import Hyperparameters
from objectives.training.plan import Plan
from objectives.training.report import shown
from objectives.training.sizes import FULL, HOUR, PART
from objectives.training.train import train_plan
from search.contract import Objective, TrialContext, parameters


def plan(hp: Hyperparameters, context: TrialContext) -> Plan:
    alone = {"builder": "resnet", "width": context.size.width, "head": 0, "stem_bn_relu": False}
    return fine_tune.plan(hp, context, notebooks.RESNET, data="cifar100", without_source=alone)


def train(hp: Hyperparameters, context: TrialContext) -> float:
    return train_plan(plan(hp, context), hp, context)


TRANSFER = Hyperparameters(
    learning_rate=0.5,
    head_learning_rate=2.0,
    head_warm_epochs=1,
    weight_decay=5e-4,
    warm_up=0.15,
    label_smoothing=0.1,
    dropout_scale=0.0,
)
SCRATCH = replace(TRANSFER, init="scratch", learning_rate=2.0, head_learning_rate=1.0, head_warm_epochs=0)
NOTEBOOK = Hyperparameters(**notebooks.RESNET.searched, head_learning_rate=notebooks.RESNET.searched["learning_rate"])
"""The project's original: as on CIFAR-10 (see ``resnet_cifar10.NOTEBOOK``), nothing frozen, one rate for all layers.
Its source was the network of that recipe."""

OBJECTIVE = Objective(
    suggest=fine_tune.suggest,
    train=train,
    evaluate=evaluate,
    metric="val_accuracy",
    metric_is_share=True,
    points={"TRANSFER": parameters(TRANSFER), "SCRATCH": parameters(SCRATCH), "NOTEBOOK": parameters(NOTEBOOK)},
    first=("TRANSFER", "SCRATCH"),
    data=partial(identity, "cifar100"),
    test_checksum=partial(test_checksum, "cifar100"),
    source="resnet_cifar10",
    without_source={"init": "scratch"},
    sizes={
        "quick": replace(PART, width=16, refit_epochs=10, precision="bfloat16", images_per_second=1_800),
        "hour": replace(HOUR, width=32, precision="bfloat16", images_per_second=700),
        "full": replace(FULL, epochs=35, width=64, refit_epochs=35, images_per_second=45),
    },
    shown=shown(
        references={
            "the hand-tuned notebook": 0.5717,
            # The mean of benchmarks/search/pays.csv, on all of CIFAR-100.
            "width 16 from scratch in 30 epochs": 0.6825,
        }
    ),
)
