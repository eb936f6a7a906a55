"""What a training step costs as a trial runs it, beside what it could cost: images a second, all cores.

    python -m benchmarks.train [--networks resnet-16 resnet-32 cnn-32] [--rounds 3] [--seconds 20]; make bench-train

Four sides train the same network on batches of 128, three of them with shifts and flips:

- ``bare``: Keras's ``fit`` on arrays, of Keras's own layers, with our augmentation and nothing else
- ``trial``: the objective itself, with its batches, its owner of the learning rate and its callbacks; also as children
  that share the cores, as many as a search starts, whose rates are added up; and in bfloat16 where the processor has it
- ``notebook``: the pipeline that the project began with, Keras's ``ImageDataGenerator`` in front of ``fit``, which
  also rotates and zooms, as the CNN's did
- ``pytorch``: ``train_torch.py`` in an environment of its own, likewise in bfloat16

Each figure is of a process of its own, whose first batches are not timed; the sides take turns. Results are appended to
``benchmarks/train.csv``, and what stands there of this revision and processor is not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.children import answer, for_each
from benchmarks.context import BenchmarkContext
from benchmarks.environments import PYTORCH, make, python
from benchmarks.table import append, read

TABLE = Path(__file__).with_name("train.csv")
FIELDS = ("date", "revision", "processor", "cores", "network", "side", "children", "round", "images_per_second")
NETWORKS = ("resnet-16", "resnet-32", "cnn-32")
KERAS = ("bare", "trial", "notebook")
BATCH, WARM_UP = 128, 8
MOST = 350
"""Batches: an epoch of 45,000 images has 351, and what comes at its end is not to be timed."""


class Clock:
    """Images a second, told of each batch: from the one behind the warm-up on."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.batches, self.begun, self.last = seconds, 0, 0.0, 0.0

    def batch(self) -> bool:
        """Whether the time is up."""
        self.batches += 1
        self.last = time.perf_counter()
        if self.batches == WARM_UP:
            self.begun = self.last
        timed = self.batches > WARM_UP and self.last - self.begun >= self.seconds
        return timed or self.batches == MOST

    @property
    def rate(self) -> float:
        return (self.batches - WARM_UP) * BATCH / (self.last - self.begun)


def trial(network: str, width: int, precision: Any, *, seconds: float, cores: int, data_dir: Path) -> float:
    """The objective as it trains its modern recipe."""
    import importlib  # noqa: PLC0415

    from search.contract import Devices  # noqa: PLC0415

    objective = importlib.import_module(f"objectives.{network}_cifar10").OBJECTIVE
    clock = Clock(seconds)
    size = replace(objective.sizes["full"], width=width, epochs=1_000, rungs=(), train_images=None, precision=precision)
    point = importlib.import_module(f"objectives.{network}_cifar10").MODERN
    with tempfile.TemporaryDirectory() as folder:
        objective.train(point, BenchmarkContext(Path(folder), data_dir, size, Devices(cores), stop=clock.batch))
    return clock.rate


def keras_fit(side: str, network: str, width: int, *, seconds: float, cores: int, data_dir: Path) -> float:
    """``fit`` itself, with our augmentation or the notebooks'."""
    import keras  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    from objectives.data import load  # noqa: PLC0415
    from objectives.models import architecture, deploy  # noqa: PLC0415
    from objectives.training.augmentation import SHIFT_AND_FLIP, Augment  # noqa: PLC0415
    from objectives.training.backend import prepare  # noqa: PLC0415
    from search.contract import Devices  # noqa: PLC0415

    prepare(Devices(cores))
    clock = Clock(seconds)
    dataset = load("cifar10", data_dir, "train")
    images = dataset.images[np.arange(min(len(dataset), 45_000))]  # as many as a trial has
    labels = np.eye(10, dtype=np.float32)[dataset.labels[: len(images)]]
    built = deploy.of_keras_alone(
        architecture.network({"builder": network, "width": width, "head": 0, "dropout_scale": 0.0}, (32, 32, 3), 10)
    )
    mean, std = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
    model = deploy.trained(built, mean, std, Augment(SHIFT_AND_FLIP, seed=0)) if side == "bare" else built
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=5e-3)
    model.compile(optimizer, loss, metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")])

    class Stop(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
            self.model.stop_training = clock.batch()

    if side == "bare":
        model.fit(images, labels, batch_size=BATCH, epochs=10_000, callbacks=[Stop()], verbose=0)
    else:
        # No public name is left of it in Keras 3.
        from keras.src.legacy.preprocessing.image import ImageDataGenerator  # noqa: PLC0415

        kinds = dict.fromkeys(("width_shift_range", "height_shift_range", "zoom_range"), 0.1)
        flow = ImageDataGenerator(rotation_range=15, horizontal_flip=True, **kinds).flow(
            (images / np.float32(255) - np.float32(mean)) / np.float32(std), labels, batch_size=BATCH
        )
        model.fit(flow, epochs=10_000, callbacks=[Stop()], verbose=0)
    return clock.rate


def one(side: str, network: str, seconds: float, cores: int, data_dir: Path) -> float:
    """In this process."""
    name, _, width = network.partition("-")
    if side.startswith("trial"):
        precision = side.partition("-")[2] or "float32"
        return trial(name, int(width), precision, seconds=seconds, cores=cores, data_dir=data_dir)
    return keras_fit(side, name, int(width), seconds=seconds, cores=cores, data_dir=data_dir)


def measured(side: str, network: str, given: argparse.Namespace, children: int, cores: int) -> float:
    """By so many processes at once, which share the cores; their sum."""
    each = max(1, cores // children)
    time_and_cores = ["--seconds", str(given.seconds)]
    if side.startswith("pytorch"):
        name, _, width = network.partition("-")
        command = [python(PYTORCH), str(Path(__file__).with_name("train_torch.py"))]
        command += ["--network", name, "--width", width, "--precision", side.partition("-")[2] or "float32"]
        command += ["--threads", str(each), *time_and_cores]
    else:
        command = [sys.executable, "-m", "benchmarks.train", "--side", side, "--networks", network]
        command += ["--cores", str(each), "--data-dir", str(given.data_dir), *time_and_cores]

    found = for_each(range(children), lambda _: answer(*command, threads=each), children)
    return sum(float(one["images_per_second"]) for one in found)


def say(results: Sequence[Mapping[str, str]]) -> None:
    """Medians, and each side's share of the bare ``fit`` of the same round."""
    for network in dict.fromkeys(row["network"] for row in results):
        mine = [row for row in results if row["network"] == network]
        bare = {row["round"]: float(row["images_per_second"]) for row in mine if row["side"] == "bare"}
        for side, children in dict.fromkeys((row["side"], row["children"]) for row in mine):
            rows = [row for row in mine if (row["side"], row["children"]) == (side, children)]
            rate = statistics.median(float(row["images_per_second"]) for row in rows)
            shares = [float(row["images_per_second"]) / bare[row["round"]] for row in rows if row["round"] in bare]
            share = f"{statistics.median(shares):.2f} of bare" if shares else ""
            print(f"{network:10} {side:16} {children} x  {rate:7.0f} images/s  {share}")


def main() -> None:
    """Measures what the table does not hold, then says how the sides compare."""
    from search.child.hardware import cores, has_bfloat16, memory, processor  # noqa: PLC0415
    from search.rules.devices import children_by_default  # noqa: PLC0415

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--sides", nargs="+", default=[*KERAS, "pytorch"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("SEARCH_DATA_DIR", "data")))
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--side", choices=[*KERAS, "trial-bfloat16"], help="this one alone, to standard output")
    parser.add_argument("--cores", type=int, help="of that one")
    given = parser.parse_args()
    if given.side:
        (network,) = given.networks
        rate = one(given.side, network, given.seconds, given.cores or cores(), given.data_dir)
        print(json.dumps({"images_per_second": rate}), flush=True)
        os._exit(0)  # the notebooks' pipeline, stopped in the middle, has threads that never end
    from search.studies.provenance import revision  # noqa: PLC0415

    at = {"revision": (revision() or "unknown")[:12], "processor": processor(), "cores": str(cores())}
    sides = [(side, 1) for side in given.sides]
    if "trial" in given.sides and (children := children_by_default((), cores(), memory())) > 1:
        sides.append(("trial", children))
    if "pytorch" in given.sides:
        make(PYTORCH)
    if has_bfloat16():
        sides += [(f"{side}-bfloat16", count) for side, count in sides if side in ("trial", "pytorch")]
    for number in range(1, given.rounds + 1):
        for network in given.networks:
            for side, children in sides:
                key = {**at, "network": network, "side": side, "children": str(children), "round": str(number)}
                if any(key.items() <= row.items() for row in read(given.table)):
                    continue
                rate = measured(side, network, given, children, cores())
                result = {"date": date.today().isoformat(), **key, "images_per_second": f"{rate:.1f}"}
                append(given.table, FIELDS, [result])
    say([row for row in read(given.table) if at.items() <= row.items()])


if __name__ == "__main__":
    main()
