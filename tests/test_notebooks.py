"""The two recipes that the project began with, field by field: ``NOTEBOOK`` in all four CIFAR objectives."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import keras
import pytest

from objectives import cnn_cifar10, cnn_cifar100, resnet_cifar10, resnet_cifar100
from objectives.models import architecture, deploy
from objectives.training.augmentation import Ranges
from objectives.training.early_stopping import patience_epochs
from objectives.training.recipe import Recipe, peak_rate, plateau_epochs
from tests.contexts import Context

CNN = Recipe(
    optimizer="adamw",
    learning_rate=1.0,
    momentum=0.9,
    weight_decay=0.0,
    label_smoothing=0.0,
    schedule="constant",
    warm_up=0.0,
    plateau_factor=0.5,
    plateau_patience=0.1,
    patience=1 / 3,
)
CNN_CIFAR100 = dataclasses.replace(CNN, plateau_patience=3 / 35, patience=10 / 35)
RESNET = Recipe(
    optimizer="sgd",
    learning_rate=0.1,
    momentum=0.9,
    weight_decay=0.0,
    label_smoothing=0.1,
    schedule="cosine",
    warm_up=0.1,
    plateau_factor=1.0,
    patience=0.3,
)
CNN_IMAGES = Ranges(rotation=15.0, shift=0.1, zoom=0.1, shear=0.0, brightness=0.0, flip=True)
RESNET_IMAGES = Ranges(rotation=10.0, shift=0.1, zoom=0.1, shear=2.9, brightness=0.1, flip=True)


def test_rates_and_lengths_in_the_notebooks_own_units() -> None:
    assert peak_rate(CNN, CNN.learning_rate, 128) == pytest.approx(1e-3)
    assert peak_rate(RESNET, RESNET.learning_rate, 128) == pytest.approx(0.01)
    for recipe, epochs in ((CNN, 30), (CNN_CIFAR100, 35)):
        assert (plateau_epochs(recipe, epochs), patience_epochs(recipe, epochs)) == (3, 10)
    assert (RESNET.warm_up * 50, patience_epochs(RESNET, 50)) == (pytest.approx(5), 15)
    full = [module.OBJECTIVE.sizes["full"] for module in (cnn_cifar10, cnn_cifar100, resnet_cifar10, resnet_cifar100)]
    assert [(size.width, size.epochs) for size in full] == [(32, 30), (32, 35), (64, 30), (64, 35)]


def test_the_cnn() -> None:
    size = cnn_cifar10.OBJECTIVE.sizes["full"]
    plan = cnn_cifar10.plan(cnn_cifar10.NOTEBOOK, size)
    assert (plan.recipe, plan.augmentation, plan.batch, plan.source) == (CNN, CNN_IMAGES, 128, None)
    network = deploy.of_keras_alone(architecture.network(plan.architecture, (32, 32, 3), 10))
    assert network.count_params() == 362_026
    block = ["Conv2D", "BatchNormalization", "ReLU"]
    whole = (2 * block + ["MaxPooling2D", "Dropout"]) * 3
    neck = ["GlobalAveragePooling2D", "Dense", "BatchNormalization", "ReLU", "Dropout", "Dense"]
    assert _kinds(network) == [*whole, *neck]
    assert _of(network, "Conv2D", "filters") == [32, 32, 64, 64, 128, 128]
    assert _of(network, "Dropout", "rate") == [0.2, 0.3, 0.4, 0.5]
    assert _of(network, "Dense", "units") == [512, 10] and network.losses == []


def test_the_residual_network() -> None:
    size = resnet_cifar10.OBJECTIVE.sizes["full"]
    plan = resnet_cifar10.plan(resnet_cifar10.NOTEBOOK, size)
    assert (plan.recipe, plan.augmentation, plan.batch, plan.source) == (RESNET, RESNET_IMAGES, 128, None)
    assert plan.progressive_resizing == 0
    network = deploy.of_keras_alone(architecture.network(plan.architecture, (32, 32, 3), 10))
    assert network.count_params() == 9_894_922
    kinds = _kinds(network)
    assert kinds[:3] == ["Conv2D", "BatchNormalization", "ReLU"], "normalised behind the first layer"
    tail = ["Add", "Dropout", "GlobalAveragePooling2D", "Dense", "BatchNormalization", "ReLU", "Dropout", "Dense"]
    assert kinds[-8:] == tail, "not before the pooling"
    assert kinds.count("Add") == 5 and kinds.count("Conv2D") == 1 + 5 * 2 + 3
    assert _of(network, "Dropout", "rate") == [0.05, 0.1, 0.2, 0.25, 0.3, 0.5]
    assert _of(network, "Dense", "units") == [512, 10]
    assert network.get_layer("neck_dense").kernel_regularizer.l2 == pytest.approx(1e-4) and len(network.losses) == 1


@pytest.mark.parametrize(
    ("module", "source", "recipe", "images"),
    [
        (cnn_cifar100, cnn_cifar10, CNN_CIFAR100, CNN_IMAGES),
        (resnet_cifar100, resnet_cifar10, RESNET, RESNET_IMAGES),
    ],
    ids=["cnn", "resnet"],
)
def test_their_fine_tuning(  # type: ignore[no-untyped-def]
    module, source, recipe: Recipe, images: Ranges, tmp_path: Path
) -> None:
    """Everything is taken over but the head, nothing is frozen, and all layers learn at one rate."""
    network = source.network(source.NOTEBOOK, source.OBJECTIVE.sizes["full"])
    (tmp_path / "training.json").write_text(json.dumps({"architecture": network}))
    lent = Context(tmp_path / "trial", tmp_path, module.OBJECTIVE.sizes["full"], source=tmp_path)
    plan = module.plan(module.NOTEBOOK, lent)
    one_rate = dataclasses.replace(recipe, head_learning_rate=recipe.learning_rate, head_warm_epochs=0)
    assert (plan.recipe, plan.augmentation, plan.batch) == (one_rate, images, 128)
    assert (plan.source, plan.freeze) == (tmp_path, 0)
    assert plan.architecture == network


@pytest.mark.parametrize("module", [cnn_cifar10, resnet_cifar10])
def test_elsewhere_half_of_a_trial_is_waited_for_a_better_epoch(module) -> None:  # type: ignore[no-untyped-def]
    """The best epochs of a cosine come last."""
    size = module.OBJECTIVE.sizes["full"]
    assert module.plan(module.MODERN, size).recipe.patience == 0.5
    assert module.plan(dataclasses.replace(module.MODERN, head="dense"), size).recipe.patience == 0.5


def _kinds(network: keras.Model) -> list[str]:
    return [type(layer).__name__ for layer in network.layers if type(layer).__name__ != "InputLayer"]


def _of(network: keras.Model, kind: str, attribute: str) -> list[float]:
    return [getattr(layer, attribute) for layer in network.layers if type(layer).__name__ == kind]
