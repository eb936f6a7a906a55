"""Networks, the model that is given away, transfer by name, and the evaluation of a kept model."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from objectives.data import load
from objectives.models import architecture, cnn, deploy, resnet, transfer
from objectives.models.batch_norm import BatchNorm
from objectives.models.parts import BATCH_NORM_MOMENTUM, batch_norm
from objectives.training.augmentation import SHIFT_AND_FLIP, Augment
from objectives.training.evaluate import evaluate_model
from objectives.training.model_folder import record_predictions
from search.contract import SearchError

CIFAR = (32, 32, 3)
MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.3)
IMAGES = np.random.default_rng(0).integers(0, 256, (6, *CIFAR), dtype=np.uint8)


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        (lambda: cnn.build(CIFAR, 10), 362_026),
        (lambda: cnn.build(CIFAR, 100), 408_196),
        (lambda: resnet.build(CIFAR, 10, final_bn_relu=False), 9_894_922),
        (lambda: resnet.build(CIFAR, 100, final_bn_relu=False), 9_941_092),
        (lambda: resnet.build(CIFAR, 10, width=16, head=0), 606_346),
    ],
)
def test_the_networks_are_the_notebooks(network, parameters: int) -> None:  # type: ignore[no-untyped-def]
    assert network().count_params() == parameters


def test_a_network_is_found_by_its_files_name() -> None:
    """The format is that of models which are stored already."""
    found = architecture.network({"builder": "cnn", "width": 4, "blocks": 2, "head": 0}, (8, 8, 1), 10)
    assert found.count_params() == cnn.build((8, 8, 1), 10, width=4, blocks=2, head=0).count_params()
    for name in ("vit", "transfer", "architecture", "../cnn"):
        with pytest.raises(ValueError, match=f"^no network is called '{name}': there are cnn, resnet$"):
            architecture.network({"builder": name}, CIFAR, 10)


def test_every_layer_is_named_by_its_block() -> None:
    network = resnet.build(CIFAR, 10, width=8)
    assert transfer.groups(network) == ("stem", *(f"block{i}" for i in range(1, 6)), "neck", "head")
    assert transfer.groups(cnn.build((8, 8, 1), 10, width=8, blocks=2, head=0)) == ("block1", "block2", "head")
    known = (*transfer.groups(network), "normalised")
    assert all(layer.name.split("_")[0] in known for layer in network.layers)


def test_the_arguments_reach_the_layers() -> None:
    network = resnet.build(CIFAR, 10, width=8, dropout_scale=0.5, hidden_l2=0.01, stem_bn_relu=False)
    rates = [network.get_layer(f"block{i}_dropout").rate for i in range(1, 6)]
    assert rates == [0.025, 0.05, 0.1, 0.125, 0.15] and network.get_layer("neck_dropout").rate == 0.25
    hidden = np.asarray(network.get_layer("neck_dense").kernel)
    np.testing.assert_allclose(float(sum(network.losses)), 0.01 * float((hidden**2).sum()), rtol=1e-4)
    assert not cnn.build(CIFAR, 10, width=8).losses
    assert "stem_bn" not in {layer.name for layer in network.layers}
    assert "neck_final_bn" in {layer.name for layer in network.layers}
    with pytest.raises(ValueError, match="1 to 3"):
        cnn.build(CIFAR, 10, blocks=4)


def test_the_exported_model_takes_raw_images_and_loads_with_keras_alone(tmp_path: Path) -> None:
    network = cnn.build(CIFAR, 10, width=4)
    model = deploy.exported(network, MEAN, STD)
    by_hand = np.asarray(network((IMAGES / 255 - MEAN) / STD))
    found = np.asarray(model(IMAGES))
    np.testing.assert_allclose(found, by_hand, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert found.dtype == np.float32 and model.inputs[0].dtype == "uint8"
    assert "objectives" not in model.to_json()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(np.asarray(loaded(IMAGES)), found)


def test_with_flip_averaging_it_is_asked_about_both_ways_and_says_what_one_alone_would(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)  # else chance may make a network that is sure of itself either way
    network = resnet.build(CIFAR, 10, width=4, dropout_scale=0.0)
    plain, model = deploy.exported(network, MEAN, STD), deploy.exported(network, MEAN, STD, flip_averaging=True)
    one, other = np.asarray(plain(IMAGES)), np.asarray(plain(IMAGES[:, :, ::-1]))
    assert np.abs(one - other).max() > 1e-3
    np.testing.assert_allclose(np.asarray(model(IMAGES)), (one + other) / 2, atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(np.asarray(loaded(IMAGES)), (one + other) / 2, atol=1e-6)
    again = deploy.without_flip_averaging(loaded)
    assert again is not None
    np.testing.assert_allclose(np.asarray(again(IMAGES)), one, atol=1e-6)
    assert deploy.without_flip_averaging(plain) is None
    target = resnet.build(CIFAR, 10, width=4, dropout_scale=0.0)
    transfer.load(target, tmp_path / "model.keras")
    assert _same(_weights(target)["block3_conv1"], _weights(network)["block3_conv1"])


def test_the_trained_model_shares_the_network_and_augments_in_training_only() -> None:
    network = resnet.build(CIFAR, 10, width=4, dropout_scale=0.0)
    model = deploy.trained(network, MEAN, STD, Augment(SHIFT_AND_FLIP, seed=1))
    given_away = deploy.exported(network, MEAN, STD)
    np.testing.assert_allclose(np.asarray(model(IMAGES)), np.asarray(given_away(IMAGES)), atol=1e-6)
    assert model.get_layer("network") is network is not given_away.get_layer("network")
    before = np.asarray(given_away(IMAGES))
    unchanged = deploy.trained(network, MEAN, STD)
    assert (np.asarray(model(IMAGES, training=True)) != np.asarray(unchanged(IMAGES, training=True))).any()
    network.get_layer("head").bias.assign(np.arange(10.0))
    np.testing.assert_array_equal(np.asarray(given_away(IMAGES)), before)


@pytest.mark.parametrize("builder", [cnn, resnet])
def test_it_may_see_smaller_images_in_training_with_the_same_variables(builder: Any) -> None:
    network = builder.build(CIFAR, 10, width=4, dropout_scale=0.0)
    augment = Augment(SHIFT_AND_FLIP, seed=1)
    whole = deploy.trained(network, MEAN, STD, augment)
    smaller = deploy.trained(network, MEAN, STD, augment, smaller=True)
    assert [id(one) for one in smaller.variables] == [id(one) for one in whole.variables]
    np.testing.assert_array_equal(np.asarray(smaller(IMAGES)), np.asarray(whole(IMAGES)))
    seen = deploy.Smaller()(IMAGES.astype("float32"), training=True)
    assert seen.shape == (6, 24, 24, 3)
    np.testing.assert_allclose(np.asarray(seen).mean(), IMAGES.mean(), rtol=0.02)
    apart = network.get_weights()
    of_whole = np.asarray(deploy.trained(network, MEAN, STD)(IMAGES, training=True))
    network.set_weights(apart)
    assert (np.asarray(deploy.trained(network, MEAN, STD, smaller=True)(IMAGES, training=True)) != of_whole).any()
    assert deploy.exported(network, MEAN, STD).input_shape == (None, *CIFAR)


def test_batch_normalisation_is_keras_s_in_one_operation() -> None:
    images = np.random.default_rng(0).normal(3, 2, (64, 8, 8, 5)).astype("float32")
    ours, keras_s = batch_norm("ours"), keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM)
    for layer in (ours, keras_s):
        layer.build(images.shape)
        layer.gamma.assign(np.arange(1.0, 6.0))
        layer.beta.assign(np.arange(5.0))
    for training in (True, True, False):
        one, other = (np.asarray(layer(images, training=training)) for layer in (ours, keras_s))
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)
    count = images.size // 5
    np.testing.assert_allclose(ours.moving_mean, keras_s.moving_mean, rtol=1e-5)
    grown = (np.asarray(ours.moving_variance) - 0.81) / (np.asarray(keras_s.moving_variance) - 0.81)
    np.testing.assert_allclose(grown, count / (count - 1), rtol=1e-5, err_msg="of samples")
    before = np.asarray(ours.moving_mean)
    ours.trainable = False
    ours(images, training=True)
    np.testing.assert_array_equal(np.asarray(ours.moving_mean), before, err_msg="frozen")


@pytest.mark.parametrize("trainable", [True, False])
def test_batch_normalisation_has_keras_s_gradients(trainable: bool) -> None:
    import tensorflow as tf

    images = tf.constant(np.random.default_rng(0).normal(3, 2, (16, 4, 4, 5)).astype("float32"))
    weight = tf.constant(np.random.default_rng(1).normal(size=images.shape).astype("float32"))
    found = []
    for layer in (batch_norm("ours"), keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM)):
        layer.trainable = trainable
        layer.build(images.shape)
        layer.gamma.assign(np.arange(1.0, 6.0))
        layer.moving_variance.assign(np.arange(2.0, 7.0))
        with tf.GradientTape() as tape:
            tape.watch(images)
            total = tf.reduce_sum(weight * layer(images, training=True))
        found.append(tape.gradient(total, [images, *(v.value for v in layer.trainable_variables)]))
    assert len(found[0]) == (3 if trainable else 1)
    for ours, keras_s in zip(*found, strict=True):
        np.testing.assert_allclose(ours, keras_s, rtol=1e-3, atol=1e-3)


def test_in_bfloat16_statistics_are_float32_and_what_is_given_away_is_keras_s_alone() -> None:
    architecture_ = {"builder": "resnet", "width": 4, "dropout_scale": 0.0}
    network = architecture.network(architecture_, CIFAR, 10, precision="bfloat16")
    transfer.freeze(network, "block1")
    assert network.get_layer("block1_add").output.dtype == "bfloat16"
    many = np.random.default_rng(0).normal(100, 1, (64, 8, 8, 3)).astype("float32")
    layer = batch_norm("alone")
    layer.dtype_policy = "mixed_bfloat16"
    layer(many, training=True)
    seen = np.asarray(keras.ops.cast(keras.ops.cast(many, "bfloat16"), "float32")).mean((0, 1, 2))
    np.testing.assert_allclose(np.asarray(layer.moving_mean) * 10, seen, rtol=1e-4, err_msg="bfloat16 tells 1/256")
    twin = deploy.exported(network, MEAN, STD).get_layer("network")
    assert {layer.compute_dtype for layer in twin.layers} == {"float32"}
    assert all(_same(weights, _weights(twin)[name]) for name, weights in _weights(network).items())
    assert not any(isinstance(layer, BatchNorm) for layer in twin.layers)


def test_a_network_of_nested_parts_and_bare_operations_is_given_away_too() -> None:
    inner = keras.Input((8, 8, 4))
    part = keras.Model(inner, batch_norm("inner_bn")(inner) * 2.0 + inner, name="part")
    images = keras.Input((8, 8, 3))
    x = part(keras.layers.Conv2D(4, 3, name="stem_conv", padding="same")(images))
    network = keras.Model(images, keras.ops.mean(x, axis=(1, 2)), name="network")
    model = deploy.exported(network, MEAN, STD)
    assert not any(isinstance(layer, BatchNorm) for layer in model.get_layer("network").get_layer("part").layers)
    some = IMAGES[:, :8, :8]
    np.testing.assert_allclose(np.asarray(model(some)), np.asarray(network((some / 255 - MEAN) / STD)), atol=1e-4)


def _weights(network: keras.Model) -> dict[str, list[np.ndarray]]:
    return {layer.name: layer.get_weights() for layer in network.layers if layer.weights}


def _same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(map(np.array_equal, one, other))


def test_transfer_loads_all_but_the_head(tmp_path: Path) -> None:
    source = resnet.build(CIFAR, 10, width=4, head=16)
    source.get_layer("block3_bn1").moving_mean.assign(np.arange(8.0))
    deploy.exported(source, MEAN, STD).save(tmp_path / "model.keras")
    target = resnet.build(CIFAR, 100, width=4, head=16, dropout_scale=0.3, hidden_l2=0.1)
    head = target.get_layer("head").get_weights()
    transfer.load(target, tmp_path / "model.keras")
    was, now = _weights(source), _weights(target)
    assert all(_same(was[name], now[name]) for name in was if name != "head")
    assert _same(now["head"], head)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"width": 8, "head": 16}, "has shapes"),
        ({"width": 4, "head": 0}, "neck_bn, neck_dense are in one of the two only"),
    ],
)
def test_another_architecture_is_refused_and_nothing_changed(
    tmp_path: Path, other: dict[str, int], message: str
) -> None:
    deploy.exported(resnet.build(CIFAR, 10, **other), MEAN, STD).save(tmp_path / "model.keras")
    target = resnet.build(CIFAR, 100, width=4, head=16)
    before = _weights(target)
    with pytest.raises(ValueError, match=message):
        transfer.load(target, tmp_path / "model.keras")
    assert all(_same(weights, before[name]) for name, weights in _weights(target).items())


def test_freezing_stops_blocks_by_name_and_their_statistics() -> None:
    network = resnet.build(CIFAR, 10, width=4, head=0)
    transfer.freeze(network, "block2")
    moving = {"stem", "block1", "block2"}
    trainable = {layer.name.split("_")[0] for layer in network.layers if layer.trainable_weights}
    assert trainable == set(transfer.groups(network)) - moving
    before = _weights(network)
    network(IMAGES.astype("float32"), training=True)
    changed = {name.split("_")[0] for name, weights in _weights(network).items() if not _same(weights, before[name])}
    assert changed == {"block3", "block4", "block5", "neck"}  # batch normalisation's statistics
    transfer.freeze(network, "none")
    assert all(layer.trainable for layer in network.layers)
    with pytest.raises(ValueError, match="'head': there are none, stem, block1"):
        transfer.freeze(network, "head")


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A folder as training leaves it, of an untrained network on real digits."""
    model = deploy.exported(cnn.build((8, 8, 1), 10, width=4, blocks=2, head=8), (0.3,), (0.4,))
    model.save(tmp_path / "model.keras")
    record_predictions(tmp_path, model, load("digits", tmp_path, "train"), np.array([3, 99, 1_000]))
    (tmp_path / "history.json").write_text(
        json.dumps({"loss": [2.0, 1.0], "val_loss": [2.1, 1.4], "accuracy": [0.1, 0.5]})
    )
    return tmp_path


def test_a_kept_model_is_evaluated_and_described(kept: Path) -> None:
    digits = load("digits", kept, "test")
    found = evaluate_model(kept, digits)
    assert found["n"] == 360 and np.sum(found["confusion_matrix"]) == 360
    model = keras.models.load_model(kept / "model.keras")
    right = np.asarray(model(digits.images[:])).argmax(axis=1) == digits.labels
    assert found["accuracy"] == pytest.approx(right.mean())
    assert found["model"]["parameters"] == model.count_params() and len(found["model"]["sha256"]) == 64
    json.dumps(found, allow_nan=False)
    rows = list(csv.reader((kept / "classification_report.csv").open()))
    assert rows[0] == ["class", "precision", "recall", "f1-score", "support"]
    assert [row[0] for row in rows[1:11]] == list("0123456789") and len(rows) == 14
    assert rows[11] == ["accuracy", "", "", f"{found['accuracy']:.4f}", "360"]
    for picture in ("confusion_matrix.png", "learning_curve.png"):
        assert (kept / picture).read_bytes().startswith(b"\x89PNG")
    summary = (kept / "model_summary.txt").read_text()
    assert "block2_conv2" in summary and "Param #" in summary and "Trainable" in summary, "it is whole"
    some = np.array([5, 7, 200])
    assert evaluate_model(kept, digits, some)["accuracy"] == pytest.approx(right[some].mean())
    assert 0 < found["milliseconds_an_image"] < 10_000


def test_a_model_that_changed_on_its_way_is_refused(kept: Path) -> None:
    model = keras.models.load_model(kept / "model.keras")
    model.get_layer("network").get_layer("head").bias.assign(np.eye(10)[3] / 2)
    model.save(kept / "model.keras")
    with pytest.raises(RuntimeError, match="does not predict what its training process predicted"):
        evaluate_model(kept, load("digits", kept, "test"))
    (kept / "predictions.npz").unlink()
    with pytest.raises(SearchError, match=r"holds no predictions\.npz"):
        evaluate_model(kept, load("digits", kept, "test"))
