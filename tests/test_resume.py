"""A trial that dies and goes on elsewhere ends as if nothing had happened: bit for bit, on one thread."""

from __future__ import annotations

import itertools
import json
import random
import signal
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from objectives.training import model_folder
from tests.cifar_files import write_cifar10, write_cifar100
from tests.contexts import start

SIZE = {"epochs": 4, "train_images": 320, "validation_images": 80, "width": 4, "batch": 32, "rungs": ()}
ASKED, ASKED_OF_SMALLER = [9, 9, 9, 9], [16, 16, 10, 9]
"""After so many batches of each epoch a context is asked; an epoch's last is none. Smaller images are 16/9 as many,
and before they end it is asked once more."""
# Everything that draws or counts is on: dropout, augmentation, warm-up, a plateau.
HP: dict[str, Any] = {
    "batch": 32,
    "dropout_scale": 0.5,
    "affine": 1.0,
    "brightness": 0.1,
    "optimizer": "adamw",
    "schedule": "plateau",
}
SMALLER = {"progressive_resizing": 0.5}


def _random_batch(asked: list[int]) -> int:
    """Some epoch is finished, the last is not."""
    return random.randint(asked[0] + 1, sum(asked) - 1)  # noqa: S311


def _finished(batch: int, asked: list[int]) -> int:
    return sum(batch > end for end in itertools.accumulate(asked))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All trials of this module in two processes, one after the other: one that is killed, then another."""
    folder = tmp_path_factory.mktemp("resume")
    data = write_cifar100(write_cifar10(folder / "data", train=400, test=50), train=400, test=100)
    common = _common("resnet_cifar10", HP | SMALLER, data)
    common["size"] = {**SIZE, "precision": "bfloat16"}
    dies_at = _random_batch(ASKED_OF_SMALLER)
    victim = start([_named(folder, "killed", **common, kill_at=dies_at)])
    output = victim.communicate()[0]
    assert victim.returncode == -signal.SIGKILL, output
    (folder / "died at").write_text(str(dies_at))
    runs = [
        _named(folder, "resumed", **common, resume=_newest(folder / "killed")),
        _named(folder, "whole", **common),
    ]
    other = start(runs + _fine_tuning(folder, data))
    output = other.communicate()[0]
    assert other.returncode == 0, output
    return folder


def _common(objective: str, hp: dict[str, Any], data: Path) -> dict[str, Any]:
    return {"objective": objective, "hp": hp, "size": SIZE, "data_dir": data}


def _named(folder: Path, name: str, **run: Any) -> dict[str, Any]:
    return {**run, "workdir": folder / name, "result": folder / f"{name}.json"}


def _newest(workdir: Path) -> Path:
    return max(workdir.glob("checkpoint-*.npz"), key=lambda path: int(path.stem.split("-")[1]))


def _fine_tuning(folder: Path, data: Path) -> list[dict[str, Any]]:
    """Two optimizers, a head that learns alone at first, a frozen block; and a hand-over between two batches."""
    hp = {"init": "source", "freeze": 1, "head_warm_epochs": 2, "dropout_scale": 0.5, "batch": 32}
    common = {**_common("resnet_cifar100", hp, data), "source": folder / "whole" / "model"}
    stop_at = _random_batch(ASKED)
    checkpoint = folder / "tuning stopped" / f"checkpoint-{_finished(stop_at, ASKED)}.npz"
    return [
        _named(folder, "tuning stopped", **common, stop_at=stop_at),
        _named(folder, "tuning resumed", **common, resume=checkpoint),
        _named(folder, "tuning whole", **common),
    ]


def test_killed_at_a_random_batch(folder: Path) -> None:
    died_at = int((folder / "died at").read_text())
    finished = _finished(died_at, ASKED_OF_SMALLER)
    left = {path.name for path in (folder / "killed").iterdir()}
    assert left == {f"checkpoint-{step}.npz" for step in range(1, finished + 1)}, died_at

    expected = _reports(folder / "whole.json")
    assert list(expected) == [1, 2, 3, 4]
    resumed = _reports(folder / "resumed.json")
    assert resumed == {step: expected[step] for step in range(finished + 1, 5)}, died_at
    _same_model(folder / "resumed" / "model", folder / "whole" / "model")


def test_what_is_trained_in_bfloat16_is_given_away_in_float32(folder: Path) -> None:
    kept = folder / "whole" / "model"
    assert json.loads((kept / "training.json").read_text())["size"]["precision"] == "bfloat16"
    network = model_folder.load_checked(kept).get_layer("network")
    assert isinstance(network, keras.Model)
    assert {layer.compute_dtype for layer in network.layers} == {"float32"}
    assert {weight.dtype for weight in network.weights} == {"float32"}


def test_handed_over_while_fine_tuning(folder: Path) -> None:
    expected = _reports(folder / "tuning whole.json")
    assert [values["learning_rate"] > 0 for values in expected.values()] == [False, False, True, True]
    assert all(values["head_learning_rate"] > 0 for values in expected.values())
    before, after = _reports(folder / "tuning stopped.json"), _reports(folder / "tuning resumed.json")
    assert {**before, **after} == expected
    assert 1 <= len(before) <= 3
    assert len(before) + len(after) == 4
    assert not (folder / "tuning stopped" / "model").exists(), "nobody waits for a model that is finished elsewhere"
    _same_model(folder / "tuning resumed" / "model", folder / "tuning whole" / "model")


def _reports(path: Path) -> dict[int, dict[str, float]]:
    found = {int(step): values for step, values in json.loads(path.read_text()).items()}
    for values in found.values():
        del values["images_per_second"], values["training_seconds"]
    return found


def _same_model(resumed: Path, whole: Path) -> None:
    """The best epoch's weights too: they may be of an epoch before the kill."""
    with np.load(resumed / "predictions.npz") as one, np.load(whole / "predictions.npz") as other:
        np.testing.assert_array_equal(one["probabilities"], other["probabilities"])
    histories = [json.loads((folder / "history.json").read_text()) for folder in (resumed, whole)]
    for history in histories:
        for name in ("images_per_second", "training_seconds"):
            assert len(history.pop(name)) == SIZE["epochs"]
    assert histories[0] == histories[1]
