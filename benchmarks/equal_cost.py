"""What other shapes of network and of training are worth at equal cost: effects over sixteen trainings.

    python -m benchmarks.equal_cost [--epochs 8] [--children N]   or: make bench-levers

A two-level factorial of resolution IV, as in ``benchmarks/levers.py``: the residual network by today's recipe, each
lever on in half of sixteen trainings. All of them have the same number of floating-point operations, that of width 16
and so many epochs of 45,000 images: where a step costs more, there are fewer. They compute in bfloat16 where the
processor has it, and are scored after the last update on the same 5,000 validation images, in both directions; the test
part is not opened.

The results are of an AMD EPYC with bfloat16, 2026-11-29: points of validation accuracy, 95 % intervals, and how many
times as long a training of equal cost takes (roughly, as the first four did not have the machine to themselves):

- ``deep``: -1.76 ± 0.97, 2.21 times, for two units a block at width 12, not one at 16; in no space
- ``early``: -0.69 ± 0.54, 0.78 times, where the first layer halves the image already, and block 2 does not; in no space
- ``progressive``: +0.84 ± 0.59, 0.95 times, for images of 24 pixels in the first .4 of the updates; in the space
- ``growing``: +0.04 ± 0.59, 0.94 times, for batches of 64 for the first half of the images, then of 256, not of 128; in
  no space
- ``lookahead``: -0.08 ± 0.54, 1.02 times: every five updates the weights move back towards their average, at the end
  onto it (airbench's, its horizon likewise a share of all updates); in no space
- ``celu``: -0.28 ± 0.54, 1.15 times, for .3 as ResNet-9's, not ReLU; in no space
- ``crops``: +0.25 ± 0.08 over the image and its mirror image, for both shifted by a pixel to either side, too, with
  half of the weight; compared within each training, and not what models do: a prediction takes three times as long

Results are appended to ``benchmarks/equal_cost.csv``, and what stands there is not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.children import answer, for_each
from benchmarks.intervals import paired
from benchmarks.levers import effects
from benchmarks.table import append, read
from search.child.hardware import has_bfloat16, processor
from search.studies.provenance import revision

TABLE = Path(__file__).with_name("equal_cost.csv")
LEVERS = ("deep", "early", "progressive", "growing", "lookahead", "celu")
SCORES = ("plain", "flip", "crops")
FIELDS = (
    "date",
    "revision",
    "processor",
    "precision",
    "epochs",
    "train_images",
    "validation_images",
    "run",
    *LEVERS,
    *SCORES,
    "images",
    "images_per_second",
)
SMALL, SMALL_SHARE = 24, 0.4
AIRBENCH_UPDATES = 480
"""Of the training in which .95 an update was found."""
EVERY = 5
RATE, BATCH, WARM_UP = 2.0, 128, 0.15
"""Today's: twice the reference rate."""


def design() -> list[dict[str, bool]]:
    """2^(6-2): four levers in all combinations, each of the others a product of three of them.

    ``deep`` was given up after the first two runs with it (1 and 3): twice as long for as many operations, as kernels
    take channels by sixteen, and worse. It is off in the runs after them.
    """
    rows = []
    for number in range(16):
        a, b, c, d = (1 if number & (1 << bit) else -1 for bit in range(4))
        deep = a if number < 4 else -1
        signs = (deep, b, c, d, a * b * c, b * c * d)
        rows.append({lever: sign > 0 for lever, sign in zip(LEVERS, signs, strict=True)})
    return rows


# -- one training ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Phase:
    """Images of one size, in batches of one size."""

    side: int
    batch: int
    until: float
    """A share of all images."""


def phases(levers: Mapping[str, bool]) -> list[Phase]:
    """In their order."""
    ends = sorted({1.0, *([SMALL_SHARE] if levers["progressive"] else []), *([0.5] if levers["growing"] else [])})
    found, begins = [], 0.0
    for end in ends:
        side = SMALL if levers["progressive"] and begins < SMALL_SHARE else 32
        batch = BATCH if not levers["growing"] else 64 if begins < 0.5 else 256
        found.append(Phase(side, batch, end))
        begins = end
    return found


def build(side: int | None, levers: Mapping[str, bool]) -> Any:
    """As ``objectives/models/resnet.py``, without dropout and hidden layer."""
    import keras  # noqa: PLC0415
    from keras import layers  # noqa: PLC0415

    from objectives.models.parts import batch_norm, classifier, normalised_input  # noqa: PLC0415
    from objectives.models.resnet import BLOCKS  # noqa: PLC0415

    width, units = (12, 2) if levers["deep"] else (16, 1)

    def conv(x: Any, name: str, channels: int, kernel: int = 3, stride: int = 1) -> Any:
        flags = {"padding": "same", "kernel_initializer": "he_normal", "name": name}
        return layers.Conv2D(channels, kernel, strides=stride, **flags)(x)

    def active(x: Any, name: str) -> Any:
        x = batch_norm(f"{name}_bn")(x)
        return layers.Activation("relu" if not levers["celu"] else celu, name=f"{name}_active")(x)

    def celu(x: Any) -> Any:
        return 0.3 * keras.ops.elu(x / 0.3)

    def unit(x: Any, name: str, channels: int, stride: int) -> Any:
        shortcut = x
        if stride != 1 or x.shape[-1] != channels:
            shortcut = conv(x, f"{name}_shortcut", channels, kernel=1, stride=stride)
        x = conv(active(x, f"{name}_1"), f"{name}_conv1", channels, stride=stride)
        x = conv(active(x, f"{name}_2"), f"{name}_conv2", channels)
        return layers.Add(name=f"{name}_add")([shortcut, x])

    images = normalised_input((side, side, 3))  # type: ignore[arg-type] # None: of any size
    x = conv(images, "stem_conv", width, stride=2 if levers["early"] else 1)
    for number, (multiple, stride, _) in enumerate(BLOCKS, start=1):
        for more in range(units):
            first = 1 if levers["early"] and number == 2 else stride
            x = unit(x, f"block{number}_unit{more + 1}", width * multiple, 1 if more else first)
    x = classifier(active(x, "neck"), 10, hidden=0, dropout=0.0, initializer="he_normal")
    return keras.Model(images, x, name="network")


def images_at_equal_cost(levers: Mapping[str, bool], images: int) -> int:
    """How many images may be trained on for what so many cost without any lever."""
    from objectives.models.flops import flops  # noqa: PLC0415

    plain = flops(build(32, dict.fromkeys(LEVERS, False)))
    cost, begins = 0.0, 0.0
    for phase in phases(levers):
        cost += (phase.until - begins) * flops(build(phase.side, levers))
        begins = phase.until
    return round(images * plain / cost)


def train(run: int, given: argparse.Namespace) -> dict[str, float]:
    """One training: its scores in per cent, on how many images, and images a second."""
    import keras  # noqa: PLC0415

    from objectives.data import cut, load, statistics  # noqa: PLC0415
    from objectives.training.backend import prepare  # noqa: PLC0415
    from search.contract import Devices  # noqa: PLC0415

    levers = design()[run]
    prepare(Devices(cores=1))
    if precision() == "bfloat16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    keras.utils.set_random_seed(run)
    dataset = load("cifar10", given.data_dir, "train")
    parts = cut(dataset.labels, train=given.train_images, validation=given.validation_images)
    mean, std = statistics(dataset, parts.train)
    network = build(None, levers)
    images = images_at_equal_cost(levers, given.epochs * given.train_images)
    seconds = updates(network, levers, images, Stream(dataset, parts.train, run))
    shown = (dataset.images[parts.validation] / np.float32(255) - np.float32(mean)) / np.float32(std)
    scores = look(lambda x: network.predict(x, batch_size=500, verbose=0), shown, dataset.labels[parts.validation])
    return {**scores, "images": images, "images_per_second": images / seconds}


def precision() -> str:
    """The faster one, if this processor has it."""
    return "bfloat16" if has_bfloat16() else "float32"


class Stream:
    """The images of one epoch after another, each in an order of its own."""

    def __init__(self, dataset: Any, indices: npt.NDArray[np.int64], seed: int) -> None:
        self.dataset, self.indices, self.seed = dataset, indices, seed
        self.random = np.random.default_rng(seed)
        self.waiting = np.empty(0, dtype=np.int64)

    def batch(self, size: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        while len(self.waiting) < size:
            self.waiting = np.concatenate([self.waiting, self.random.permutation(self.indices)])
        chosen, self.waiting = self.waiting[:size], self.waiting[size:]
        return self.dataset.images[chosen], np.eye(10, dtype=np.float32)[self.dataset.labels[chosen]]


def updates(network: Any, levers: Mapping[str, bool], images: int, stream: Stream) -> float:
    """All of them. The schedule goes by images, the rate by the batch. Returns the seconds, but those of tracing."""
    import keras  # noqa: PLC0415
    from keras import layers  # noqa: PLC0415

    from objectives.data import statistics  # noqa: PLC0415
    from objectives.models.deploy import trained  # noqa: PLC0415
    from objectives.training.augmentation import SHIFT_AND_FLIP, Augment  # noqa: PLC0415
    from objectives.training.recipe import Recipe, compile_model, peak_rate  # noqa: PLC0415
    from objectives.training.schedule import shape  # noqa: PLC0415

    mean, std = statistics(stream.dataset, stream.indices)
    raw = keras.Input((32, 32, 3), dtype="uint8")
    augmented = Augment(SHIFT_AND_FLIP, seed=stream.seed)(layers.Rescaling(1 / 255, dtype="float32")(raw))
    offset = [-m / s for m, s in zip(mean, std, strict=True)]
    normalised = layers.Rescaling([1 / s for s in std], offset=offset, dtype="float32")
    plain = trained(network, mean, std)
    recipe = Recipe(learning_rate=RATE, label_smoothing=0.1)
    compile_model(plain, network, recipe, epochs=1, updates=lambda epochs: epochs, batch=BATCH)
    optimizer, loss = plain.optimizer, keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    steps: dict[int, Callable[[Any, Any], Any]] = {}
    back = Lookahead(network, updates_of(levers, images)) if levers["lookahead"] else None
    seen, number, seconds = 0, 0, 0.0
    for phase in phases(levers):
        if phase.side not in steps:
            small = (
                augmented if phase.side == 32 else layers.Resizing(phase.side, phase.side, dtype="float32")(augmented)
            )
            steps[phase.side] = step(keras.Model(raw, network(normalised(small))), optimizer, loss)
        while seen + phase.batch <= phase.until * images:
            began = time.monotonic()
            optimizer.learning_rate = peak_rate(recipe, RATE, phase.batch) * shape("cosine", seen, images, WARM_UP)
            is_traced = steps[phase.side](*stream.batch(phase.batch))
            seen, number = seen + phase.batch, number + 1
            if back is not None and number % EVERY == 0:
                back.move(seen / images)
            seconds += time.monotonic() - began if is_traced else 0.0
    if back is not None:
        back.onto()
    return seconds


def updates_of(levers: Mapping[str, bool], images: int) -> float:
    """How many they are."""
    found, begins = 0.0, 0.0
    for phase in phases(levers):
        found, begins = found + (phase.until - begins) * images / phase.batch, phase.until
    return found


def step(model: Any, optimizer: Any, loss: Any) -> Callable[[Any, Any], bool]:
    """One update; whether it was traced before, for batches of this size."""
    import tensorflow as tf  # noqa: PLC0415

    @tf.function  # type: ignore[untyped-decorator]
    def update(images: Any, labels: Any) -> None:
        with tf.GradientTape() as tape:
            found = loss(labels, model(images, training=True))
        optimizer.apply(tape.gradient(found, model.trainable_variables), model.trainable_variables)

    def timed(images: Any, labels: Any) -> bool:
        before = update.experimental_get_tracing_count()
        update(tf.constant(images), tf.constant(labels))
        return bool(update.experimental_get_tracing_count() == before)

    return timed


class Lookahead:
    """The average of a network's variables, and the way back to it."""

    def __init__(self, network: Any, updates: float) -> None:
        import tensorflow as tf  # noqa: PLC0415

        self.kept = 0.95 ** (EVERY * AIRBENCH_UPDATES / updates)
        variables = [one.value for one in network.variables]
        average = [tf.Variable(one, trainable=False) for one in variables]

        @tf.function  # type: ignore[untyped-decorator]
        def move(kept: Any) -> None:
            for slow, fast in zip(average, variables, strict=True):
                slow.assign(kept * slow + (1 - kept) * fast)
                fast.assign(slow)

        self._move, self._tensor = move, tf.constant

    def move(self, share: float) -> None:
        """``share`` of the training is done."""
        self._move(self._tensor(self.kept * share**3, dtype="float32"))

    def onto(self) -> None:
        self._move(self._tensor(1.0, dtype="float32"))


def look(
    probabilities: Callable[[Any], Any], images: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]
) -> dict[str, float]:
    """Per cent that are right, looked at in each of the ways."""

    def both(shown: npt.NDArray[np.float32]) -> Any:
        return probabilities(shown) + probabilities(shown[:, :, ::-1])

    plain, flip = probabilities(images), both(images)
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    crops = 0.5 * flip + 0.25 * both(padded[:, :-2, :-2]) + 0.25 * both(padded[:, 2:, 2:])
    found = {"plain": plain, "flip": flip, "crops": crops}
    return {name: 100 * float(np.mean(one.argmax(1) == labels)) for name, one in found.items()}


# -- all of them -------------------------------------------------------------------------------------------------------


def worth(results: Sequence[Mapping[str, str]]) -> list[tuple[str, float, float, float]]:
    """(lever, points gained, half of their interval, times the seconds that a training of equal cost takes)."""
    took = [np.log(float(row["images"]) / float(row["images_per_second"])) for row in results]
    timed = [{**row, "log_seconds": str(one)} for row, one in zip(results, took, strict=True)]
    longer = {lever: float(np.exp(more)) for lever, more, _ in effects(timed, LEVERS, "log_seconds")}
    return [(lever, points, half, longer[lever]) for lever, points, half in effects(results, LEVERS, "flip")]


def say(results: Sequence[Mapping[str, str]]) -> None:
    """What each lever is worth."""
    for lever, points, half, longer in worth(results):
        print(f"{lever:12} {points:+.2f} ± {half:.2f} points, {longer:.2f} times the seconds")
    points, half = crops(results)
    print(f"{'crops':12} {points:+.2f} ± {half:.2f} points over flip")


def crops(results: Sequence[Mapping[str, str]]) -> tuple[float, float]:
    """Points that they gain over looking in both directions, half of the interval."""
    return paired([float(row["crops"]) - float(row["flip"]) for row in results])


def main() -> None:
    """Trains what the table does not hold, then says what each lever is worth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--train-images", type=int, default=45_000)
    parser.add_argument("--validation-images", type=int, default=5_000)
    parser.add_argument("--children", type=int, help="one a core, if not given")
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("SEARCH_DATA_DIR", "data")))
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--run", type=int, help="this one alone, to standard output")
    given = parser.parse_args()
    if given.run is not None:
        print(json.dumps(train(given.run, given)))
        return
    size = {name: str(getattr(given, name)) for name in ("epochs", "train_images", "validation_images")}
    own = {"precision": precision()} | size
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in size.items()]
    flags += [f"--data-dir={given.data_dir}"]

    def there() -> list[dict[str, str]]:
        return [row for row in read(given.table) if own.items() <= row.items()]

    def one(run: int) -> None:
        found = answer(sys.executable, "-m", "benchmarks.equal_cost", "--run", str(run), *flags)
        scores = {name: f"{value:.2f}" for name, value in found.items()}
        levers = {name: int(on) for name, on in design()[run].items()}
        at = {"date": date.today().isoformat(), "revision": (revision() or "unknown")[:12], "processor": processor()}
        append(given.table, FIELDS, [{**at, **own, "run": run, **levers, **scores}])

    done = {int(row["run"]) for row in there()}
    for_each([run for run in range(16) if run not in done], one, given.children)
    say(there())


if __name__ == "__main__":
    main()
