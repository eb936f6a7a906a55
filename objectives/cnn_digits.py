"""A small convolutional network on 1,797 handwritten digits that come with scikit-learn: no download, a minute or two.

The shortest whole objective: a space, a training, a declaration. Copy it to begin your own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from optuna.trial import BaseTrial

from objectives.data import identity, test_checksum
from objectives.training.augmentation import Ranges
from objectives.training.evaluate import evaluate
from objectives.training.plan import Plan
from objectives.training.recipe import Recipe
from objectives.training.report import shown
from objectives.training.sizes import FULL, PART
from objectives.training.train import train_plan
from search.contract import Objective, TrialContext


@dataclass(frozen=True)
class Hyperparameters:
    learning_rate: float  # the peak, in multiples of SGD's reference rate of .1
    weight_decay: float
    dropout_scale: float
    augmentation: float  # 1: shifts of one pixel of 8, rotation of 15 degrees


def suggest(trial: BaseTrial) -> Hyperparameters:
    return Hyperparameters(
        learning_rate=trial.suggest_float("learning_rate", 0.1, 10.0, log=True),
        weight_decay=trial.suggest_float("weight_decay", 1e-5, 1e-2, log=True),
        dropout_scale=trial.suggest_float("dropout_scale", 0.0, 1.0),
        augmentation=trial.suggest_float("augmentation", 0.0, 1.0),
    )


def train(hp: Hyperparameters, context: TrialContext) -> float:
    m = hp.augmentation
    plan = Plan(
        data="digits",
        architecture={
            "builder": "cnn",
            "width": context.size.width,
            "blocks": 2,
            "head": 0,
            "dropout_scale": hp.dropout_scale,
        },
        recipe=Recipe(learning_rate=hp.learning_rate, weight_decay=hp.weight_decay),
        # Never a flip: a mirrored digit is another character.
        augmentation=Ranges(rotation=15 * m, shift=m / 8, zoom=0.1 * m),
    )
    return train_plan(plan, hp, context)


OBJECTIVE = Objective(
    suggest=suggest,
    train=train,
    evaluate=evaluate,
    metric="val_accuracy",
    metric_is_share=True,
    first=({"learning_rate": 1.0, "weight_decay": 5e-4, "dropout_scale": 0.25, "augmentation": 0.5},),
    data=partial(identity, "digits"),
    test_checksum=partial(test_checksum, "digits"),
    sizes={
        "quick": replace(
            PART,
            budget=8,
            epochs=8,
            rungs=(2,),
            train_images=None,
            validation_images=280,
            width=8,
            refit_epochs=36,
            batch=32,
            minutes=None,
            images_per_second=4_000,
        ),
        "full": replace(FULL, budget=50, validation_images=280, width=16, batch=32, images_per_second=2_000),
    },
    shown=shown(),
)
