"""One trial of an image classifier, from the data to the folder that is kept."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from objectives.data import Cut, Dataset, cut, load, statistics
from objectives.data.batches import Batches
from objectives.models import architecture, deploy, transfer
from objectives.models.flops import flops
from objectives.training import model_folder
from objectives.training.augmentation import Augment
from objectives.training.backend import prepare
from objectives.training.fit import Fitted, fit
from objectives.training.plan import Plan
from search.contract import Size, TrialContext, parameters

Indices = npt.NDArray[np.int64]

_load = functools.lru_cache(maxsize=1)(load)
"""The trials of one process share what they train on."""


def train_plan(plan: Plan, hyperparameters: Any, context: TrialContext) -> float:
    """Trains, reports and, where the trial ends by itself, leaves its model in ``context.workdir / "model"``.

    Returns the best epoch's validation accuracy, in a refit the last epoch's training accuracy; NaN where the trial
    was stopped before an epoch was finished.
    """
    prepare(context.devices)
    keras.utils.clear_session()
    keras.utils.set_random_seed(context.seed)
    dataset = _load(plan.data, context.data_dir, "train")
    parts = cut(dataset.labels, train=context.size.train_images, validation=context.size.validation_images)
    images = _refit_images(dataset, parts, context.size) if context.refit else parts.train
    mean, std = statistics(dataset, images)
    network = _network(plan, dataset, context.size)
    built = {"parameters": network.count_params(), "flops": flops(network)}
    context.built(**built)
    batch = plan.batch or context.size.batch
    epochs = context.size.refit_epochs if context.refit else context.size.epochs
    smaller = min(epochs - 1, int(plan.progressive_resizing * epochs + 0.5))
    augment = Augment(plan.augmentation, seed=context.seed)
    fitted = fit(
        deploy.trained(network, mean, std, augment),
        network,
        plan.recipe,
        Batches(dataset, images, batch=batch, seed=context.seed, shuffle=True, drop_last=True, longer=smaller),
        None if context.refit else _in_order(dataset, parts.validation),
        context=context,
        batch=min(batch, len(images)),
        epochs=epochs,
        at_first=deploy.trained(network, mean, std, augment, smaller=True) if smaller else None,
    )
    if fitted.outcome not in ("pruned", "stopped"):
        model_folder.keep(
            context.workdir / "model",
            # Where it learned that a mirrored image is of the same class, it is asked about both.
            deploy.exported(network, mean, std, flip_averaging=plan.augmentation.flip),
            dataset,
            history=fitted.history,
            hyperparameters=parameters(hyperparameters),
            training=_training(plan, context, dataset, parts, fitted)
            | {
                "batch": batch,
                "train_images": len(images),
                "mean": mean,
                "std": std,
                **built,
            },
        )
    return fitted.value


def _network(plan: Plan, dataset: Dataset, size: Size) -> keras.Model:
    shape, classes = dataset.images.shape[1:], len(dataset.class_names)
    network = architecture.network(plan.architecture, shape, classes, precision=size.precision)  # type: ignore[arg-type]
    if plan.source is not None:
        transfer.load(network, plan.source / model_folder.MODEL)
        transfer.freeze(network, ("none", *transfer.groups(network))[plan.freeze])
    return network


def _in_order(dataset: Dataset, indices: Indices) -> Batches:
    """For validation: large batches, as nothing depends on their size."""
    return Batches(dataset, indices, batch=500, seed=0, shuffle=False)


def _refit_images(dataset: Dataset, parts: Cut, size: Size) -> Indices:
    """All images of the train part; where the size says how many, the search's own and its validation images."""
    if size.refit_images is None:
        return np.arange(len(dataset), dtype=np.int64)
    more = cut(
        dataset.labels, train=max(1, size.refit_images - len(parts.validation)), validation=len(parts.validation)
    )
    return np.sort(np.concatenate([more.train, more.validation]))


def _training(plan: Plan, context: TrialContext, dataset: Dataset, parts: Cut, fitted: Fitted) -> dict[str, Any]:
    return {
        "data": plan.data,
        "data_sha256": dataset.checksum,
        "split_sha256": parts.checksum,
        "size": dataclasses.asdict(context.size),
        "refit": context.refit,
        "architecture": dict(plan.architecture),
        "recipe": dataclasses.asdict(plan.recipe),
        "augmentation": dataclasses.asdict(plan.augmentation),
        "progressive_resizing": plan.progressive_resizing,
        "transferred": plan.source is not None,
        "frozen_blocks": plan.freeze,
        "number": context.number,
        "seed": context.seed,
        "epochs": len(fitted.history["loss"]),
        "epoch": fitted.epoch,
        "value": fitted.value,
        "seconds": fitted.seconds,
    }
