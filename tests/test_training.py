"""The learning rate's one owner, units, the best epoch, checkpoints, and how a trial may end."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from objectives import cnn_digits
from objectives.models import cnn
from objectives.training import checkpoint
from objectives.training.early_stopping import Best, patience_epochs
from objectives.training.fit import out_of_memory
from objectives.training.recipe import Recipe, compile_model, keras_weight_decay
from objectives.training.schedule import Group, LearningRate, Plateau, shape
from search.contract import SearchError, Size, Unusable
from tests.contexts import Context

FIRST = cnn_digits.Hyperparameters(**cnn_digits.OBJECTIVE.tried_first()[0])
SIZE = dataclasses.replace(cnn_digits.OBJECTIVE.sizes["quick"], epochs=3, refit_epochs=2, width=4, train_images=256)


class Rate:
    """All that a learning rate's owner needs of an optimizer."""

    learning_rate: float = -1.0


def owner(*, steps: int = 40, rest: int = 0, factor: float = 1.0, patience: int = 2) -> LearningRate:
    groups = [Group("learning_rate", Rate(), 0.2, rest), Group("head_learning_rate", Rate(), 0.4)]
    plateau = Plateau(factor, patience)
    return LearningRate(groups, schedule="cosine", steps=steps, warm_up=0.25, plateau=plateau)


def run(learning_rate: LearningRate, steps: int) -> list[dict[str, float]]:
    rates = []
    for _ in range(steps):
        learning_rate.before_update()
        rates.append(learning_rate.rates())
        learning_rate.after_update()
    return rates


# The notebook's LearningRateScheduler


def test_schedule_warms_up_and_ends_with_the_trial() -> None:
    shapes = [shape("cosine", step, 100, 0.15) for step in range(100)]
    assert shapes[:16] == sorted(shapes[:16])
    assert shapes[15] == max(shapes) == 1.0
    assert shapes[15:] == sorted(shapes[15:], reverse=True)
    assert 0.0 < shapes[-1] < 0.001 < shapes[0], "neither the first nor the last update is wasted"
    assert [shape("cosine", 0, 1, 0.3), shape("cosine", 0, 3, 0.0)] == [1.0, 1.0]
    line = [shape("linear", step, 10, 0.2) for step in range(10)]
    assert line == pytest.approx([1 / 3, 2 / 3, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125])
    assert [shape("constant", step, 4, 0.25) for step in range(4)] == [0.5, 1.0, 1.0, 1.0]


def test_a_group_rests_and_then_has_a_schedule_of_its_own() -> None:
    rates = run(owner(steps=40, rest=20), 40)
    backbone = [rate["learning_rate"] for rate in rates]
    assert backbone[:20] == [0.0] * 20
    assert backbone[20:] == [pytest.approx(0.2 * shape("cosine", step, 20, 0.25)) for step in range(20)]
    assert [rate["head_learning_rate"] for rate in rates] == [
        0.4 * shape("cosine", step, 40, 0.25) for step in range(40)
    ]


# The notebook's ReduceLROnPlateau, which its scheduler undid


def test_a_plateaus_cut_outlives_the_schedule() -> None:
    learning_rate = owner(factor=0.5, patience=2)
    run(learning_rate, 20)
    for loss in (0.5, 0.49995, 0.6):
        learning_rate.plateau.epoch(loss)
    assert run(learning_rate, 20) == [
        {
            "learning_rate": 0.5 * 0.2 * shape("cosine", step, 40, 0.25),
            "head_learning_rate": 0.5 * 0.4 * shape("cosine", step, 40, 0.25),
        }
        for step in range(20, 40)
    ]


def test_learning_rate_goes_on_from_its_state() -> None:
    first, second = owner(factor=0.5), owner(factor=0.5)
    run(first, 13)
    for value in (0.5, 0.5, 0.5, 0.5):
        first.plateau.epoch(value)
    second.restore(json.loads(json.dumps(first.state())))
    assert run(first, 27) == run(second, 27)
    for learning_rate in (first, second):
        learning_rate.plateau.epoch(0.5)
    assert first.state() == second.state()
    assert first.plateau.scale == 0.25
    for _ in range(40):
        first.plateau.epoch(0.5)
    assert first.plateau.scale == Plateau.SMALLEST


# The notebook's ModelCheckpoint and EarlyStopping, which had two monitors


def test_best_keeps_weights_and_stops_a_collapse_only() -> None:
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    best = Best(network, patience_epochs(Recipe(), 8))
    for epoch, value in enumerate((0.3, 0.5, 0.4, 0.5, 0.4), start=1):
        network.set_weights([np.full((2, 1), epoch), np.zeros(1)])
        best.finished(epoch, value)
        assert not best.exhausted
    restored = Best(network, best.patience)
    restored.restore(json.loads(json.dumps(best.state())), best.weights)
    restored.finished(6, 0.5)
    assert restored.exhausted, "four epochs of eight without a better one"
    restored.install()
    assert (restored.epoch, restored.value) == (2, 0.5)
    np.testing.assert_array_equal(network.get_weights()[0], np.full((2, 1), 2))
    assert patience_epochs(Recipe(), 5) == 3
    assert patience_epochs(Recipe(), 30) == 15


# Units


def pytorch_decay(updates: int, rate: float, decay: float, momentum: float) -> float:
    """What PyTorch's SGD with Nesterov momentum leaves of a weight of 1 whose loss has no gradient."""
    weight, buffer = 1.0, 0.0
    for _ in range(updates):
        gradient = decay * weight
        buffer = momentum * buffer + gradient
        weight -= rate * (gradient + momentum * buffer)
    return weight


@pytest.mark.parametrize("momentum", [0.9, 0.8])
def test_weight_decay_is_pytorchs(momentum: float) -> None:
    recipe = Recipe(weight_decay=5e-3, momentum=momentum)
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    network.set_weights([np.ones((1, 1)), np.ones(1)])
    learning_rate = compile_model(network, network, recipe, epochs=1, updates=lambda epochs: 200 * epochs, batch=128)
    network.optimizer.learning_rate = learning_rate.groups[0].peak
    for _ in range(200):
        network.optimizer.apply([keras.ops.zeros((1, 1)), keras.ops.zeros(1)])
    expected = pytorch_decay(200, 0.1, 5e-3, momentum)
    assert 0.25 < expected < 0.7
    assert float(network.weights[0].numpy().item()) == pytest.approx(expected, rel=0.03)
    assert float(network.weights[1].numpy().item()) == 1.0, "a bias does not decay"


def test_weight_decay_of_adamw_shrinks_as_much_per_update() -> None:
    sgd, adamw = Recipe(weight_decay=5e-4), Recipe(optimizer="adamw", weight_decay=5e-4)
    assert keras_weight_decay(sgd) == pytest.approx(5e-3)
    assert 0.1 * keras_weight_decay(sgd) == pytest.approx(1e-3 * keras_weight_decay(adamw))


def test_only_kernels_decay_and_only_the_head_has_its_rate() -> None:
    network = cnn.build((8, 8, 1), 10, width=4, blocks=2, head=8)
    recipe = Recipe(weight_decay=1e-2, head_learning_rate=4.0, head_warm_epochs=1, warm_up=0.0)
    learning_rate = compile_model(network, network, recipe, epochs=2, updates=lambda epochs: epochs, batch=128)
    gradients = [keras.ops.zeros(v.shape) for v in network.trainable_variables]
    for moved in ({"head/kernel"}, {v.path for v in network.trainable_variables if v.name == "kernel"}):
        before = {v.path: v.numpy() for v in network.trainable_variables}
        learning_rate.before_update()
        network.optimizer.apply(gradients)
        learning_rate.after_update()
        assert {v.path for v in network.trainable_variables if not np.array_equal(before[v.path], v.numpy())} == moved
    assert learning_rate.groups[1].peak == pytest.approx(0.4)


# Checkpoints


def test_checkpoint_returns_what_was_saved_and_refuses_what_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint-1.npz"
    arrays = {"model": [np.arange(1000, dtype=np.float32).reshape(10, 100), np.uint32(7)], "best": []}
    checkpoint.save(path, {"epoch": 1, "best": -math.inf, "loss": [0.1, 2 / 3]}, arrays)  # type: ignore[arg-type]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    loaded = checkpoint.load(path)
    assert (loaded.state["best"], loaded.state["loss"]) == (-math.inf, [0.1, 2 / 3])
    np.testing.assert_array_equal(loaded.arrays["model"][0], arrays["model"][0])
    assert loaded.arrays["model"][1].dtype == np.uint32
    assert loaded.arrays["best"] == []

    whole = path.read_bytes()
    middle = whole.index(np.float32(500).tobytes())
    for damaged in (whole[: len(whole) // 2], whole[:-1], b"", whole[:middle] + b"\1" + whole[middle + 1 :]):
        path.write_bytes(damaged)
        with pytest.raises(SearchError, match=r"checkpoint-1\.npz cannot be used .* remove it"):
            checkpoint.load(path)
    with np.load(_rewritten(path, whole)) as file:  # a file that is whole as a zip, with one number changed
        members = dict(file)
    members["model/0000"] = members["model/0000"] + 1
    np.savez(path, **members)
    with pytest.raises(SearchError, match="checksum does not match"):
        checkpoint.load(path)
    with pytest.raises(SearchError, match="another network"):
        checkpoint.assign([keras.Variable(np.zeros(3))], loaded.arrays["model"], path)


def _rewritten(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


# How a trial ends


def context(tmp_path: Path, size: Size = SIZE, **more: object) -> Context:
    return Context(tmp_path, tmp_path / "no data needed", size, **more)  # type: ignore[arg-type]


def test_a_loss_that_is_not_finite_is_a_verdict_and_no_report(tmp_path: Path) -> None:
    lent = context(tmp_path)
    with pytest.raises(Unusable, match=r"^loss is (nan|inf) after batch \d+ of epoch 1$"):
        cnn_digits.train(dataclasses.replace(FIRST, learning_rate=1e30), lent)
    assert lent.reports == {}
    assert list(tmp_path.iterdir()) == []


def test_memory_that_runs_out_is_a_verdict() -> None:
    with pytest.raises(Unusable, match="out of memory"), out_of_memory():
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[70368744177664]")
    with pytest.raises(Unusable, match="out of memory"), out_of_memory():
        np.ones(1 << 50)
    with pytest.raises(ZeroDivisionError), out_of_memory():
        raise ZeroDivisionError


def test_a_trial_that_is_stopped_or_pruned_or_ends(tmp_path: Path) -> None:
    batches = 256 // SIZE.batch
    stopped = context(tmp_path / "stopped", stop_at=3)
    assert math.isnan(cnn_digits.train(FIRST, stopped))
    assert stopped.reports == {}
    assert stopped.batches == 3, "the unfinished epoch ends at once"

    pruned = context(tmp_path / "pruned", prune_at=2)
    value = cnn_digits.train(FIRST, pruned)
    assert list(pruned.reports) == [1, 2]
    assert value == max(report["val_accuracy"] for report in pruned.reports.values())
    assert not (pruned.workdir / "model").exists()

    # From the last checkpoint there is nothing left to train, but a model to be kept.
    ended = context(tmp_path / "ended")
    value = cnn_digits.train(FIRST, ended)
    assert ended.batches == 3 * (batches - 1)
    assert set(ended.reports[3]) == {
        *("accuracy", "loss", "val_accuracy", "val_loss", "learning_rate", "images_per_second", "training_seconds")
    }
    again = context(tmp_path / "again", resume=ended.checkpoints[3])
    assert cnn_digits.train(FIRST, again) == value
    assert again.reports == {}
    kept = ("history.json", "hyperparameters.json", "training.json")
    first, second = ([json.loads((c.workdir / "model" / name).read_text()) for name in kept] for c in (ended, again))
    assert first == second
    assert first[1] == dataclasses.asdict(FIRST)
    assert first[2]["architecture"]["builder"] == "cnn"
    other = dataclasses.replace(SIZE, epochs=4)
    with pytest.raises(SearchError, match="of a run of 3 epochs, this is one of 4 epochs"):
        cnn_digits.train(FIRST, context(tmp_path / "other", other, resume=ended.checkpoints[3]))

    metrics = cnn_digits.OBJECTIVE.evaluate(ended.workdir / "model", ended.data_dir, "validation")
    assert metrics["accuracy"] == pytest.approx(value, abs=1e-6)


def test_a_refit_trains_on_all_images_without_validation(tmp_path: Path) -> None:
    lent = context(tmp_path, refit=True)
    value = cnn_digits.train(FIRST, lent)
    assert list(lent.reports) == [1, 2]
    assert set(lent.reports[2]) == {"accuracy", "loss", "learning_rate", "images_per_second", "training_seconds"}
    assert value == lent.reports[2]["accuracy"]
    training = json.loads((tmp_path / "model" / "training.json").read_text())
    assert (training["train_images"], training["epoch"], training["refit"]) == (1437, 2, True)
    metrics = cnn_digits.OBJECTIVE.evaluate(tmp_path / "model", lent.data_dir, "test")
    assert metrics["n"] == 360
    with pytest.raises(SearchError, match="evaluate it on the test part"):
        cnn_digits.OBJECTIVE.evaluate(tmp_path / "model", lent.data_dir, "validation")
