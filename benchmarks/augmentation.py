"""What augmentation costs: its share of a training step, by route and by what is asked of it.

    python -m benchmarks.augmentation [--model resnet|cnn] [--width 16] [--batch 128] [--steps 40]

The variants take turns, a step each, on the same images, so that a busy machine slows all of them alike; the figures
are medians, and the difference to the step without augmentation is the median of the paired differences.

The gather costs a few milliseconds more than the native operation on two cores; it is there for XLA, which has no
native one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from objectives.models import cnn, deploy, resnet
from objectives.training.augmentation import SHIFT_AND_FLIP, Augment, Ranges

EVERYTHING = Ranges(rotation=15, shift=0.1, zoom=0.1, shear=10, brightness=0.1, flip=True)
SHAPE, CLASSES = (32, 32, 3), 10


def models(name: str, width: int) -> Mapping[str, Any]:
    """The same network in front of which nothing, or one kind of augmentation, is put; each compiled."""
    layers = {
        "none": None,
        "shift and flip, native": Augment(SHIFT_AND_FLIP, seed=1, native=True),
        "everything, native": Augment(EVERYTHING, seed=1, native=True),
        "everything, gather": Augment(EVERYTHING, seed=1, native=False),
    }
    result = {}
    for variant, layer in layers.items():
        build = {"resnet": resnet.build, "cnn": cnn.build}[name]
        network = build(SHAPE, CLASSES, width=width, head=0)
        model = deploy.trained(network, (0.5,) * 3, (0.25,) * 3, layer)
        model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "categorical_crossentropy")
        result[variant] = model
    return result


def measure(models_by_name: Mapping[str, Any], batch: int, steps: int) -> dict[str, list[float]]:
    """Seconds of each step of each variant, the variants alternating; two first steps of each are not counted."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (batch, *SHAPE), dtype=np.uint8)
    labels = np.eye(CLASSES, dtype=np.float32)[random.integers(0, CLASSES, batch)]
    seconds: dict[str, list[float]] = {name: [] for name in models_by_name}
    for step in range(steps + 2):
        for name, model in models_by_name.items():
            begun = time.perf_counter()
            model.train_on_batch(images, labels)
            if step >= 2:
                seconds[name].append(time.perf_counter() - begun)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description="The share of augmentation in a training step.")
    parser.add_argument("--model", choices=("resnet", "cnn"), default="resnet")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=40)
    options = parser.parse_args()
    seconds = measure(models(options.model, options.width), options.batch, options.steps)
    print(f"{options.model}, width {options.width}, batches of {options.batch}, {options.steps} steps each")
    print(f"{'augmentation':<26}{'ms a step':>12}{'images/s':>12}{'added ms':>12}{'share':>9}")
    for name, times in seconds.items():
        step = statistics.median(times)
        added = statistics.median(mine - none for mine, none in zip(times, seconds["none"], strict=True))
        print(f"{name:<26}{1e3 * step:>12.1f}{options.batch / step:>12.0f}{1e3 * added:>12.1f}{added / step:>9.1%}")


if __name__ == "__main__":
    main()
