"""The residual network on CIFAR-100, from the one that learned CIFAR-10.

Searched is how to go on: how much of the source stays frozen, for how long the head learns alone, and at which rates.
``first`` holds the same network from scratch at equal budget, without which nobody knows what the transfer is worth.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from optuna.trial import BaseTrial

from objectives.data import identity, test_checksum
from objectives.training.evaluate import evaluate
from objectives.training.fine_tune import Hyperparameters, plan
from objectives.training.report import shown
from objectives.training.sizes import FULL, QUICK
from objectives.training.train import train_plan
from search.contract import Objective, TrialContext, parameters


def suggest(trial: BaseTrial) -> Hyperparameters:
    return Hyperparameters(
        init=trial.suggest_categorical("init", ["source", "scratch"]),
        freeze=trial.suggest_int("freeze", 0, 3),  # stem, block1, block2
        learning_rate=trial.suggest_float("learning_rate", 0.1, 4.0, log=True),
        head_learning_rate=trial.suggest_float("head_learning_rate", 0.5, 8.0, log=True),
        head_warm_epochs=trial.suggest_int("head_warm_epochs", 0, 2),
        weight_decay=trial.suggest_float("weight_decay", 2e-4, 1e-3, log=True),
        label_smoothing=trial.suggest_float("label_smoothing", 0.0, 0.2),
        dropout_scale=trial.suggest_float("dropout_scale", 0.0, 0.5),
    )


def train(hp: Hyperparameters, context: TrialContext) -> float:
    alone = {"builder": "resnet", "width": context.size.width, "head": 0, "stem_bn_relu": False}
    return train_plan(plan(hp, context, data="cifar100", without_source=alone), hp, context)


TRANSFER = Hyperparameters(
    init="source",
    freeze=0,
    learning_rate=0.5,
    head_learning_rate=2.0,
    head_warm_epochs=1,
    weight_decay=5e-4,
    label_smoothing=0.1,
    dropout_scale=0.0,
)
SCRATCH = replace(TRANSFER, init="scratch", learning_rate=2.0, head_warm_epochs=0)

OBJECTIVE = Objective(
    suggest=suggest,
    train=train,
    evaluate=evaluate,
    metric="val_accuracy",
    first=(parameters(TRANSFER), parameters(SCRATCH)),
    data=partial(identity, "cifar100"),
    test_checksum=partial(test_checksum, "cifar100"),
    source="resnet_cifar10",
    without_source={"init": "scratch"},
    sizes={
        "quick": replace(QUICK, width=16, refit_epochs=10, images_per_second=650),
        "full": replace(FULL, epochs=35, width=64, refit_epochs=35, images_per_second=45),
    },
    shown=shown(references={"the hand-tuned notebook": 0.5717}),
)
