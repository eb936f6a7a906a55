"""One trial of an image classifier, from the data to the folder that is kept; and the evaluation of such a folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from objectives.data import Cut, Dataset, cut, load, statistics
from objectives.data.batches import Batches
from objectives.models import deploy, transfer
from objectives.training import architecture, keep
from objectives.training.architecture import Architecture
from objectives.training.augment import Augment, Ranges
from objectives.training.devices import prepare
from objectives.training.evaluate import MODEL, evaluate_model
from objectives.training.fit import Fitted, fit
from objectives.training.recipe import Recipe, keras_l2
from search.contract import SearchError, Size, Split, TrialContext, parameters

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that one trial trains, and how."""

    data: str
    """A name that ``objectives.data.load`` knows."""
    architecture: Architecture
    recipe: Recipe
    augmentation: Ranges
    source: Path | None = None
    """A folder that an earlier training left, whose weights (all but the head's) this one begins with."""
    freeze: int = 0
    """So many blocks from the input keep the source's weights."""


def train(plan: Plan, hyperparameters: Any, context: TrialContext) -> float:
    """Trains, reports and, where the trial ends by itself, leaves its model in ``context.workdir / "model"``.

    Returns the best epoch's validation accuracy, in a refit the last epoch's training accuracy; NaN where the trial
    was stopped before an epoch was finished.
    """
    prepare(context.devices)
    keras.utils.clear_session()
    keras.utils.set_random_seed(context.seed)
    dataset = load(plan.data, context.data_dir, "train")
    parts = cut(dataset.labels, train=context.size.train_images, validation=context.size.validation_images)
    images = _refit_images(dataset, parts, context.size) if context.refit else parts.train
    mean, std = statistics(dataset, images)
    network = _network(plan, dataset)
    fitted = fit(
        deploy.trained(network, mean, std, Augment(1.0, plan.augmentation, seed=context.seed)),
        network,
        plan.recipe,
        Batches(dataset, images, batch=context.size.batch, seed=context.seed, shuffle=True, drop_last=True),
        None if context.refit else _in_order(dataset, parts.validation),
        context=context,
        batch=min(context.size.batch, len(images)),
        epochs=context.size.refit_epochs if context.refit else context.size.epochs,
    )
    if fitted.outcome not in ("pruned", "stopped"):
        keep.keep(
            context.workdir / "model",
            deploy.exported(network, mean, std),
            dataset,
            history=fitted.history,
            hyperparameters=parameters(hyperparameters),
            training=_training(plan, context, dataset, parts, fitted)
            | {"train_images": len(images), "mean": mean, "std": std, "parameters": network.count_params()},
        )
    return fitted.value


def evaluate(folder: Path, data_dir: Path, split: Split) -> Mapping[str, Any]:
    """Metrics of the model in ``folder`` on the whole test part, or on the validation images that its trial had."""
    training = keep.read_training(folder)
    if split == "test":
        return evaluate_model(folder, load(training["data"], data_dir, "test"), None)
    if training["refit"]:
        raise SearchError(f"{folder} was trained on the validation images too: evaluate it on the test part")
    dataset = load(training["data"], data_dir, "train")
    size = training["size"]
    parts = cut(dataset.labels, train=size["train_images"], validation=size["validation_images"])
    if (dataset.checksum, parts.checksum) != (training["data_sha256"], training["split_sha256"]):
        raise SearchError(
            f"{data_dir} holds other {training['data']} data than {folder} was trained on: give that folder"
        )
    return evaluate_model(folder, dataset, parts.validation)


def augmentation(magnitude: float) -> Ranges:
    """All transforms under one magnitude of 0..1: flips, then shifts alone, then the others too.

    Up to a half only whole pixels are shifted, so that nothing is blurred: .5 is the usual 2 pixels and flips. From
    there on rotation, zoom, shear and brightness grow to what the notebooks had at 1 (their shear could not be seen).
    """
    beyond = max(0.0, 2.0 * magnitude - 1.0)
    return Ranges(
        rotation=10.0 * beyond,
        shift=magnitude / 8,
        zoom=0.1 * beyond,
        shear=5.0 * beyond,
        brightness=0.1 * beyond,
        whole_pixels=beyond == 0.0,
    )


def _network(plan: Plan, dataset: Dataset) -> keras.Model:
    shape, classes = dataset.images.shape[1:], len(dataset.class_names)
    network = architecture.build(plan.architecture, shape, classes, l2=keras_l2(plan.recipe))  # type: ignore[arg-type]
    if plan.source is not None:
        transfer.load(network, plan.source / MODEL)
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
        "transferred": plan.source is not None,
        "frozen_blocks": plan.freeze,
        "number": context.number,
        "seed": context.seed,
        "epochs": len(fitted.history["loss"]),
        "epoch": fitted.epoch,
        "value": fitted.value,
        "seconds": fitted.seconds,
    }
