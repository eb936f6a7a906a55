"""The same networks in plain PyTorch, for ``benchmarks/train.py``, whose own environment for PyTorch runs this file.

Images lie in memory and are cropped and flipped a batch at a time; channels last; SGD with Nesterov momentum. Prints
one line of JSON: images a second.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from typing import Any

import torch
from torch import nn
from torch.nn import functional

BLOCKS = ((1, 1), (2, 2), (4, 2), (8, 2), (8, 1))
WARM_UP = 8
"""Batches that are not timed."""


class Unit(nn.Module):
    """Batch norm, ReLU, convolution, twice; beside them a shortcut."""

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, channels, 3, stride, padding=1))
        self.second = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1))
        self.shortcut = nn.Conv2d(inputs, channels, 1, stride) if (inputs, stride) != (channels, 1) else nn.Identity()

    def forward(self, x: Any) -> Any:
        return self.shortcut(x) + self.second(self.first(x))


def resnet(width: int) -> nn.Sequential:
    """``objectives/models/resnet.py`` with the head ``plain``."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1)]
    channels = width
    for multiple, stride in BLOCKS:
        layers.append(Unit(channels, multiple * width, stride))
        channels = multiple * width
    return nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU(), *_head(channels))


def cnn(width: int) -> nn.Sequential:
    """``objectives/models/cnn.py`` with the head ``plain``."""
    layers: list[nn.Module] = []
    inputs = 3
    for channels in (width, 2 * width, 4 * width):
        for _ in range(2):
            layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU()]
            inputs = channels
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, *_head(inputs))


def _head(channels: int) -> tuple[nn.Module, ...]:
    return nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)


def augmented(images: Any) -> Any:
    """Shifted by up to 4 pixels each way and mirrored in half of the cases: (n, 3, 32, 32)."""
    count, channels, height, width = images.shape
    mirrored = torch.rand(count) < 0.5
    images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    padded = functional.pad(images, (4, 4, 4, 4))
    rows = torch.randint(9, (count, 1)) + torch.arange(height)
    columns = torch.randint(9, (count, 1)) + torch.arange(width)
    which = torch.arange(count)[:, None, None, None]
    return padded[which, torch.arange(channels)[None, :, None, None], rows[:, None, :, None], columns[:, None, None, :]]


def rate(network: str, width: int, precision: str, batch: int, seconds: float) -> float:
    """Images a second, of as many batches as fit the time."""
    torch.manual_seed(0)
    images = torch.randint(256, (6_000, 3, 32, 32), dtype=torch.uint8)
    labels = torch.randint(10, (len(images),))
    model = {"resnet": resnet, "cnn": cnn}[network](width).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    lower = precision == "bfloat16"
    begun, done = 0.0, -WARM_UP
    while done <= 0 or time.perf_counter() - begun < seconds:
        if done == 0:
            begun = time.perf_counter()
        chosen = torch.randint(len(images), (batch,))
        x = augmented(images[chosen].float().div_(255).sub_(0.47).div_(0.25)).contiguous(
            memory_format=torch.channels_last
        )
        with torch.autocast("cpu", dtype=torch.bfloat16) if lower else contextlib.nullcontext():
            loss = functional.cross_entropy(model(x), labels[chosen], label_smoothing=0.1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        done += 1
    return float(done * batch / (time.perf_counter() - begun))


def main() -> None:
    parser = argparse.ArgumentParser(description="Images a second in plain PyTorch.")
    parser.add_argument("--network", choices=("resnet", "cnn"), required=True)
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    found = rate(given.network, given.width, given.precision, given.batch, given.seconds)
    print(json.dumps({"images_per_second": found}))


if __name__ == "__main__":
    main()
