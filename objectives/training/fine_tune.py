"""Going on from a source: the plan of one trial that either takes over a trained network or begins from scratch."""

from __future__ import annotations

from dataclasses import dataclass

from objectives.models.architecture import Architecture
from objectives.training import space
from objectives.training.model_folder import read_training
from objectives.training.notebooks import Notebook
from objectives.training.plan import Plan
from search.contract import TrialContext, Unusable


@dataclass(frozen=True, kw_only=True)
class Hyperparameters(space.Training):
    """How to train, and how much to take over. From scratch the last three do nothing, and are not asked for.

    - ``init``: "source" or "scratch"
    - ``freeze``: 0 to 3 blocks from the input keep the source's weights
    - ``head_learning_rate``: .05 to 8, log; the new head's, as ``learning_rate`` is the backbone's
    - ``head_warm_epochs``: 0 to 2 epochs in which the head learns alone
    """

    init: str = "source"
    freeze: int = 0
    head_learning_rate: float
    head_warm_epochs: int = 0


def suggest(trial: space.Suggests) -> Hyperparameters:
    """The space of ``space.training``, and the fields above."""
    init = trial.suggest_categorical("init", ["source", "scratch"])
    transferred = init == "source"
    return Hyperparameters(
        **space.training(trial),
        init=init,
        freeze=trial.suggest_int("freeze", 0, 3) if transferred else 0,
        head_learning_rate=trial.suggest_float("head_learning_rate", 0.05, 8.0, log=True) if transferred else 1.0,
        head_warm_epochs=trial.suggest_int("head_warm_epochs", 0, 2) if transferred else 0,
    )


def plan(
    hp: Hyperparameters, context: TrialContext, notebook: Notebook, *, data: str, without_source: Architecture
) -> Plan:
    """The source's architecture with a new head, its weights where ``init`` is ``source``.

    From scratch the same architecture is trained at one rate from random weights: the control at equal budget.
    ``without_source`` is the architecture where there is no source.
    """
    transferred = hp.init == "source"
    if transferred and context.source is None:
        raise Unusable("init is 'source', but this study has none")
    architecture = without_source if context.source is None else read_training(context.source)["architecture"]
    as_it_was = architecture.get("stem_bn_relu", False)
    more = {"head_learning_rate": hp.head_learning_rate, "head_warm_epochs": hp.head_warm_epochs}
    return Plan(
        data=data,
        architecture={**architecture, "dropout_scale": hp.dropout_scale},
        recipe=space.recipe(hp, notebook, as_it_was=as_it_was, **(more if transferred else {})),
        augmentation=space.ranges(hp, notebook),
        batch=hp.batch,
        source=context.source if transferred else None,
        freeze=hp.freeze if transferred else 0,
    )
