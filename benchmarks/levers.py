"""Which levers of fast training pay for this residual network: a two-level factorial on validation images.

    python -m benchmarks.levers [--epochs 10] [--train-images 45000] [--children N]   or: make bench-levers

Sixteen trainings, of the same 45,000 images, each lever on in half of them (a design of resolution IV: no lever's
effect is mixed with another's), so that each effect rests on all sixteen; SiLU alone rests on the two that had it. Each
is scored on the same 5,000 other images, after its last epoch; the test part is not opened. Whatever costs no training
is compared within each run: weights averaged over the last updates or not, images looked at in both directions or in
one. Results are appended to ``benchmarks/levers.csv``, and what stands there is not trained again.

The average is worth nothing at the end of a schedule that falls to 0, and was given up: no objective has it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t

from benchmarks.children import answer, for_each
from benchmarks.table import append, read
from search.child.hardware import processor

TABLE = Path(__file__).with_name("levers.csv")
LEVERS = ("whitening", "silu", "no_scale", "batch_256", "alternating", "smoothing", "linear", "cutout")
"""Off: a learned first layer, ReLU, scales in normalisation, 128 images, flips at random, label smoothing .1, a cosine,
nothing cut out. On: a whitened first layer and biases of normalisation at 64 times the rate, SiLU, none, 256, every
second epoch, .2, a line, squares of 8 pixels."""
SCORES = ("plain", "average", "flip", "average_flip")
FIELDS = ("date", "revision", "processor", "epochs", "train_images", "run", *LEVERS, *SCORES, "images_per_second")


def design() -> list[dict[str, bool]]:
    """2^(8-4): four levers in all combinations, each of the others a product of three of them.

    SiLU was given up after the first two runs with it (2 and 3): a step with it takes 1.7 times the time of one with
    ReLU (runs 0 and 1), for which as many more epochs can be had. It is off in the runs after them.
    """
    rows = []
    for number in range(16):
        a, b, c, d = (1 if number & (1 << bit) else -1 for bit in range(4))
        silu = b if number < 4 else -1
        signs = (a, silu, c, d, b * c * d, a * c * d, a * b * c, a * b * d)
        rows.append({lever: sign > 0 for lever, sign in zip(LEVERS, signs, strict=True)})
    return rows


class Average:
    """Of a network's weights, statistics of normalisation included, over about ``horizon`` updates; less at first."""

    EVERY = 5
    """Updates. In between the weights move little."""

    def __init__(self, network: Any, horizon: float) -> None:
        self.network, self.steps, self.decay = network, 0, math.exp(-self.EVERY / horizon)
        self.weights = network.get_weights()

    def after_update(self) -> None:
        self.steps += 1
        if self.steps % self.EVERY == 0:
            turn = self.steps // self.EVERY
            decay = min(self.decay, turn / (turn + 9))
            pairs = zip(self.weights, self.network.get_weights(), strict=True)
            self.weights = [decay * mean + (1 - decay) * weight for mean, weight in pairs]

    def install(self) -> None:
        self.network.set_weights(self.weights)


def train(run: int, levers: Mapping[str, bool], epochs: int, train_images: int, data_dir: Path) -> dict[str, float]:
    """One training; its scores in per cent."""
    import keras  # noqa: PLC0415 - in the children alone

    from objectives.data import cut, load, statistics  # noqa: PLC0415
    from objectives.data.batches import Batches  # noqa: PLC0415
    from objectives.data.components import kernel_for  # noqa: PLC0415
    from objectives.models import architecture, deploy, whitening  # noqa: PLC0415
    from objectives.training.augmentation import SHIFT_AND_FLIP, Augment  # noqa: PLC0415
    from objectives.training.backend import as_dataset, prepare  # noqa: PLC0415
    from objectives.training.recipe import Recipe, compile_model  # noqa: PLC0415
    from search.contract import Devices  # noqa: PLC0415

    prepare(Devices(cores=1))
    keras.utils.set_random_seed(run)
    dataset = load("cifar10", data_dir, "train")
    parts = cut(dataset.labels, train=train_images, validation=5_000)
    mean, std = statistics(dataset, parts.train)
    network = architecture.network(
        {
            "builder": "resnet",
            "width": 16,
            "head": 0,
            "stem_bn_relu": False,
            "dropout_scale": 0.0,
            "whiten": levers["whitening"],
            "activation": "silu" if levers["silu"] else "relu",
            "norm_scale": not levers["no_scale"],
        },
        (32, 32, 3),
        10,
    )
    if levers["whitening"]:
        whitening.set_kernel(network, kernel_for(dataset, parts.train, mean, std))
    ranges = replace(SHIFT_AND_FLIP, alternating=levers["alternating"], cutout=0.25 * levers["cutout"])
    recipe = Recipe(
        learning_rate=2.0,
        label_smoothing=0.2 if levers["smoothing"] else 0.1,
        schedule="linear" if levers["linear"] else "cosine",
        norm_bias_rate=64.0 if levers["whitening"] else 1.0,
    )
    batch = 256 if levers["batch_256"] else 128
    batches = Batches(
        dataset, parts.train, batch=batch, seed=run, shuffle=True, drop_last=True, alternating=levers["alternating"]
    )
    model = deploy.trained(network, mean, std, Augment(ranges, seed=run))
    rate = compile_model(model, network, recipe, epochs=epochs, steps_per_epoch=batches.num_batches, batch=batch)
    average = Average(network, horizon=0.3 * batches.num_batches)

    class Steps(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            batches.epoch = epoch

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
            rate.before_update()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
            rate.after_update()
            average.after_update()

    began = time.monotonic()
    model.fit(as_dataset(batches), epochs=epochs, shuffle=False, callbacks=[Steps()], verbose=0)
    seconds = time.monotonic() - began
    scores: dict[str, float] = {}
    given = deploy.exported(network, mean, std)
    images, labels = dataset.images[parts.validation], dataset.labels[parts.validation]
    for name in ("plain", "average"):
        one = given.predict(images, batch_size=500, verbose=0)
        both = one + given.predict(images[:, :, ::-1], batch_size=500, verbose=0)
        scores[name] = 100 * float(np.mean(one.argmax(1) == labels))
        scores["flip" if name == "plain" else "average_flip"] = 100 * float(np.mean(both.argmax(1) == labels))
        average.install()
    return {**scores, "images_per_second": epochs * batches.num_batches * batch / seconds}


def effects(results: Sequence[Mapping[str, str]]) -> list[tuple[str, float, float]]:
    """(lever, points gained when it is on, half of the 95 % interval) by least squares over all results."""
    values = np.array([float(row["average_flip"]) for row in results])
    on = np.array([[1.0, *(float(row[lever]) for lever in LEVERS)] for row in results])
    points, *_ = np.linalg.lstsq(on, values, rcond=None)
    freedom = len(results) - 1 - len(LEVERS)
    variance = float(np.sum((values - on @ points) ** 2)) / freedom
    halves = t.ppf(0.975, freedom) * np.sqrt(variance * np.diag(np.linalg.inv(on.T @ on)))
    return [(lever, float(p), float(h)) for lever, p, h in zip(LEVERS, points[1:], halves[1:], strict=True)]


def _say(results: Sequence[Mapping[str, str]]) -> None:
    for lever, points, half in effects(results):
        print(f"{lever:12} {points:+.2f} ± {half:.2f} points")
    for name in SCORES[1:]:
        gains = [float(row[name]) - float(row["plain"]) for row in results]
        half = t.ppf(0.975, len(gains) - 1) * statistics.stdev(gains) / len(gains) ** 0.5
        print(f"{name:12} {statistics.fmean(gains):+.2f} ± {half:.2f} points over plain")


def main() -> None:
    """Trains what the table does not hold, then says what each lever is worth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--train-images", type=int, default=45_000)
    parser.add_argument("--children", type=int, help="one a core, if not given")
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("SEARCH_DATA_DIR", "data")))
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--run", type=int, help="this one alone, to standard output")
    given = parser.parse_args()
    plan = design()
    if given.run is not None:
        print(json.dumps(train(given.run, plan[given.run], given.epochs, given.train_images, given.data_dir)))
        return
    from search.studies.provenance import revision  # noqa: PLC0415

    at = {"revision": (revision() or "unknown")[:12], "epochs": given.epochs, "train_images": given.train_images}
    size = (str(given.epochs), str(given.train_images))
    flags = ["--epochs", size[0], "--train-images", size[1], "--data-dir", str(given.data_dir)]

    def there() -> dict[int, dict[str, str]]:
        return {int(r["run"]): r for r in read(given.table) if (r["epochs"], r["train_images"]) == size}

    def one(run: int) -> None:
        found = answer("benchmarks.levers", "--run", str(run), *flags)
        scores = {name: f"{value:.2f}" for name, value in found.items()}
        levers = {name: int(on) for name, on in plan[run].items()}
        result = {"date": date.today().isoformat(), **at, "processor": processor(), "run": run, **levers, **scores}
        append(given.table, FIELDS, [result])

    for_each([run for run in range(len(plan)) if run not in there()], one, given.children)
    _say([row for _, row in sorted(there().items())])


if __name__ == "__main__":
    main()
