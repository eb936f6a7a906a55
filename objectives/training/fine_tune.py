"""Going on from a source: the plan of one trial that either takes over a trained network or begins from scratch."""

from __future__ import annotations

from dataclasses import dataclass

from objectives.models.architecture import Architecture
from objectives.training.augmentation import by_magnitude
from objectives.training.model_folder import read_training
from objectives.training.plan import Plan
from objectives.training.recipe import Recipe
from search.contract import TrialContext, Unusable

AUGMENTATION = 0.5


@dataclass(frozen=True)
class Hyperparameters:
    """What objectives with a source search, each in its own ranges.

    From scratch ``freeze`` and the head's two do nothing.
    """

    init: str  # "source" or "scratch"
    freeze: int  # so many blocks from the input keep the source's weights
    learning_rate: float  # the backbone's peak, in multiples of SGD's reference rate of .1
    head_learning_rate: float  # the new head's
    head_warm_epochs: int  # the head learns alone
    weight_decay: float  # in PyTorch's units
    label_smoothing: float
    dropout_scale: float  # 1 is the notebook's dropout


def plan(hp: Hyperparameters, context: TrialContext, *, data: str, without_source: Architecture) -> Plan:
    """The source's architecture with a new head, its weights where ``init`` is ``source``.

    From scratch the same architecture is trained at one rate from random weights: the control at equal budget.
    ``without_source`` is the architecture where there is no source.
    """
    transferred = hp.init == "source"
    if transferred and context.source is None:
        raise Unusable("init is 'source', but this study has none")
    architecture = without_source if context.source is None else read_training(context.source)["architecture"]
    recipe = Recipe(
        learning_rate=hp.learning_rate,
        head_learning_rate=hp.head_learning_rate if transferred else None,
        head_warm_epochs=hp.head_warm_epochs if transferred else 0,
        weight_decay=hp.weight_decay,
        label_smoothing=hp.label_smoothing,
    )
    return Plan(
        data=data,
        architecture={**architecture, "dropout_scale": hp.dropout_scale},
        recipe=recipe,
        augmentation=by_magnitude(AUGMENTATION),
        source=context.source if transferred else None,
        freeze=hp.freeze if transferred else 0,
    )
