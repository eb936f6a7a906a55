"""Which cheap training ranks recipes as the refit does: the residual network at width 16, on validation images.

    python -m benchmarks.search.proxies [--children N]   or: make bench-proxies

Twelve points of the space of ``resnet_cifar10`` are trained as a refit was when they were drawn, which has more epochs
by now (the target: 45,000 images, ten epochs; the four that a search must tell apart with two seeds) and by each proxy,
scored on the same 5,000 other images; the test part is not opened. Two figures for each proxy and each of its epochs at
which a search could stop: Kendall's and Spearman's rank correlation with the target, and the loss, that is what the
target's best has over the point that the proxy calls best. Beside them the cost: the arithmetic of one trial, where the
target's is 1.

Networks compute in bfloat16 where the processor has it, which loses nothing (``recipes.py``); the first rows are of
float32. Results are appended to ``benchmarks/search/proxies.csv``, and what stands there is not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau, spearmanr

from benchmarks.children import answer, for_each
from benchmarks.context import BenchmarkContext
from benchmarks.table import append, read
from search.child.hardware import processor
from search.child.inside.describe import as_computed_here
from search.studies.provenance import revision

TABLE, POINTS = Path(__file__).with_name("proxies.csv"), Path(__file__).with_name("points.json")
FIELDS = ("date", "revision", "processor", "precision", "point", "kind", "seed", "val_accuracy", "seconds")
"""``val_accuracy``: per cent after each epoch, with blanks between; ``seconds`` of training steps."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A training's length: images an epoch, epochs, width; ``half``: of images of half the resolution."""

    images: int
    epochs: int
    width: int = 16
    half: bool = False

    @property
    def arithmetic(self) -> float:
        """Of the whole training, in images of the target's size and width."""
        return self.images * self.epochs * (self.width / 16) ** 2 * (0.25 if self.half else 1.0)


TARGET = "target"
KINDS = {
    TARGET: Kind(images=45_000, epochs=10),
    "part": Kind(images=6_000, epochs=5),
    "all-1": Kind(images=45_000, epochs=1),
    "all-2": Kind(images=45_000, epochs=2),
    "all-3": Kind(images=45_000, epochs=3),
    "narrow-3": Kind(images=45_000, epochs=3, width=8),
    "small-4": Kind(images=45_000, epochs=4, half=True),
}


def points() -> dict[str, dict[str, Any]]:
    """The recipe that a search tries first, the original's, three between the two, four around the former, three at
    random, as they were drawn on 2026-11-29."""
    found: dict[str, dict[str, Any]] = json.loads(POINTS.read_text())
    return found


SEEDS = {"MODERN": 2, "between-1": 2, "around-1": 2, "around-2": 2}
"""Of the target; one seed of all else."""


def train(point: str, kind: str, seed: int, data_dir: Path) -> dict[str, Any]:
    """val_accuracy after each epoch in per cent, seconds, and what was computed in."""
    from objectives.resnet_cifar10 import OBJECTIVE, Hyperparameters  # noqa: PLC0415
    from objectives.training import train as training  # noqa: PLC0415

    how = KINDS[kind]
    size = replace(OBJECTIVE.sizes["quick"], width=how.width, epochs=how.epochs, rungs=(), train_images=how.images)
    if how.half:
        whole = training._load
        training._load = lambda *which: _halved(whole(*which))  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        size = as_computed_here(size)
        context = BenchmarkContext(Path(folder), data_dir, size, seed=seed)
        OBJECTIVE.train(Hyperparameters(**points()[point]), context)
    values = [context.reports[epoch]["val_accuracy"] for epoch in sorted(context.reports)]
    seconds = sum(one["training_seconds"] for one in context.reports.values())
    found = {"val_accuracy": " ".join(f"{100 * value:.2f}" for value in values), "seconds": f"{seconds:.1f}"}
    return found | {"precision": size.precision}


def _halved(dataset: Any) -> Any:
    """Each four pixels as their mean."""
    n, height, width, channels = dataset.images.shape
    fours = dataset.images[np.arange(n)].reshape(n, height // 2, 2, width // 2, 2, channels)
    return replace(dataset, images=np.round(fours.mean(axis=(2, 4))).astype(np.uint8))


@dataclass(frozen=True)
class Figures:
    """One proxy, stopped after ``epoch``."""

    kind: str
    epoch: int
    points: int
    spearman: float
    kendall: float
    loss: float
    """Points of target accuracy that the proxy's choice costs."""
    cost: float
    """What it computes, where the target's whole training is 1."""


def figures(results: Sequence[Mapping[str, str]]) -> list[Figures]:
    """Over the points that have both; a seed more of the target is averaged."""
    target: dict[str, list[float]] = {}
    for row in results:
        if row["kind"] == TARGET:
            target.setdefault(row["point"], []).append(_curve(row)[-1])
    found = []
    for kind, how in KINDS.items():
        rows = [row for row in results if row["kind"] == kind and row["point"] in target and row["seed"] == "0"]
        if len(rows) < 3:
            continue
        worth = np.array([statistics.fmean(target[row["point"]]) for row in rows])
        for epoch in range(1, how.epochs + 1):
            # One that was stopped early stays at what it had.
            seen = np.array([_curve(row)[:epoch][-1] for row in rows])
            found.append(
                Figures(
                    kind,
                    epoch,
                    len(rows),
                    float(spearmanr(seen, worth).statistic),
                    float(kendalltau(seen, worth).statistic),
                    float(worth.max() - worth[seen.argmax()]),
                    how.arithmetic / KINDS[TARGET].arithmetic * epoch / how.epochs,
                )
            )
    return found


def _curve(row: Mapping[str, str]) -> list[float]:
    return [float(value) for value in row["val_accuracy"].split()]


def _say(results: Sequence[Mapping[str, str]]) -> None:
    print(f"{'proxy':10} {'epoch':>6} {'points':>7} {'Spearman':>9} {'Kendall':>8} {'loss':>6} {'cost':>6}")
    for one in figures(results):
        print(
            f"{one.kind:10} {one.epoch:>3}/{KINDS[one.kind].epochs:<2} {one.points:>7} {one.spearman:>9.2f} "
            f"{one.kendall:>8.2f} {one.loss:>6.2f} {one.cost:>6.3f}"
        )


def main() -> None:
    """Trains what the table does not hold, then says how the proxies compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", nargs="+", default=list(points()), choices=list(points()), metavar="POINT")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--children", type=int, help="one a core, if not given")
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("SEARCH_DATA_DIR", "data")))
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--one", nargs=3, metavar=("POINT", "KIND", "SEED"), help="this one alone, to standard output")
    given = parser.parse_args()
    if given.one:
        point, kind, seed = given.one
        print(json.dumps(train(point, kind, int(seed), given.data_dir)))
        return

    def one(wanted: tuple[str, str, int]) -> None:
        point, kind, seed = wanted
        arguments = ["--one", point, kind, str(seed), "--data-dir", str(given.data_dir)]
        found = answer(sys.executable, "-m", "benchmarks.search.proxies", *arguments)
        where = {"date": date.today().isoformat(), "revision": (revision() or "unknown")[:12], "processor": processor()}
        append(given.table, FIELDS, [{**where, "point": point, "kind": kind, "seed": seed, **found}])

    done = {(row["point"], row["kind"], int(row["seed"])) for row in read(given.table)}
    wanted = [(point, kind, 0) for point in given.points for kind in given.kinds]
    wanted += [(point, TARGET, 1) for point in given.points if SEEDS.get(point, 1) > 1 and TARGET in given.kinds]
    for_each([each for each in wanted if each not in done], one, given.children)
    _say(read(given.table))


if __name__ == "__main__":
    main()
