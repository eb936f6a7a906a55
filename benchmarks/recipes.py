"""Whether another recipe is better than ``MODERN``, or float32 than bfloat16: on CIFAR-10, by validation images.

    python -m benchmarks.recipes [--objective resnet_cifar10] [--sides float32 …] [--seeds 8] [--epochs 8]
    make bench-recipes  of both networks

Each seed is trained once on each side on the same 45,000 images and scored after its last epoch on the same 5,000
others; the test part is not opened. What is compared is the accuracy of one seed on a side and by the base, ``MODERN``
in bfloat16 where the processor has it:

- ``float32``: the same in float32; bfloat16 is enough where the upper end of what that gains lies below .3 points
- ``progressive``, of the residual network: the same with images of 24 pixels in the first quarter of the epochs
- ``found-0``, ``found-1``: what the searches that began at the notebook's recipe ended in (``search/pays.csv``)

All are timed too, side by side. Results are appended to ``benchmarks/recipes.csv``, and what stands there is not
trained again while neither what trains nor the processor is another.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.children import answer, for_each
from benchmarks.context import BenchmarkContext
from benchmarks.intervals import paired
from benchmarks.search import pays
from benchmarks.table import append, read
from search.child.hardware import has_bfloat16, processor
from search.studies.provenance import code_hash, revision

TABLE = Path(__file__).with_name("recipes.csv")
BASE = "base"
SIDES = {"resnet_cifar10": ("float32", "progressive", "found-0", "found-1"), "cnn_cifar10": ("float32",)}
FIELDS = (
    "date",
    "revision",
    "processor",
    "code",
    "objective",
    "width",
    "epochs",
    "train_images",
    "seed",
    "side",
    "val_accuracy",
    "images_per_second",
)


def changes(side: str) -> Mapping[str, Any] | None:
    """The hyperparameters in which a side differs from the base; None where its search has not been made."""
    if side == "progressive":
        return {"progressive_resizing": 0.25}
    if side.startswith("found-"):
        at = {"search": "from_the_notebook", "arm": "search", "pair": side.removeprefix("found-")}
        found = [row for row in read(pays.TABLE) if at.items() <= row.items()]
        return json.loads(found[0]["found"]) if found else None
    return {}


def train(seed: int, side: str, given: argparse.Namespace) -> dict[str, float]:
    """One training: val_accuracy in per cent, images_per_second."""
    module = importlib.import_module(f"objectives.{given.objective}")
    size = replace(
        module.OBJECTIVE.sizes["quick"],
        width=given.width,
        epochs=given.epochs,
        rungs=(),
        train_images=given.train_images,
        precision="bfloat16" if has_bfloat16() and side != "float32" else "float32",
    )
    with tempfile.TemporaryDirectory() as folder:
        context = BenchmarkContext(Path(folder), given.data_dir, size, seed=seed)
        module.OBJECTIVE.train(replace(module.MODERN, **(changes(side) or {})), context)
    last = context.reports[max(context.reports)]
    rate = statistics.median(values["images_per_second"] for values in context.reports.values())
    return {"val_accuracy": 100 * last["val_accuracy"], "images_per_second": rate}


def gains(results: Sequence[Mapping[str, str]], side: str) -> list[float]:
    """Points that a side has more than the base, of each seed that both have."""
    scores = {(row["seed"], row["side"]): float(row["val_accuracy"]) for row in results}
    seeds = sorted({seed for seed, _ in scores})
    return [scores[seed, side] - scores[seed, BASE] for seed in seeds if {(seed, side), (seed, BASE)} <= set(scores)]


def _say(results: Sequence[Mapping[str, str]]) -> None:
    rates = {
        side: statistics.median(float(row["images_per_second"]) for row in results if row["side"] == side)
        for side in dict.fromkeys(row["side"] for row in results)
    }
    for side, rate in rates.items():
        found = gains(results, side)
        if side != BASE and len(found) > 1:
            points, half = paired(found)
            print(
                f"{side:12} {points:+.2f} ± {half:.2f} points in {len(found)} pairs, images/s of a child "
                f"{rate:.0f} against {rates[BASE]:.0f}"
            )


def main() -> None:
    """Trains what the table does not hold, then says how the sides compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objective", choices=SIDES, default="resnet_cifar10")
    parser.add_argument("--sides", nargs="+", help=f"of {SIDES}")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--width", type=int, help="other than quick's")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--train-images", type=int, default=45_000)
    parser.add_argument("--children", type=int, help="one a core, if not given")
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("SEARCH_DATA_DIR", "data")))
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--one", nargs=2, metavar=("SEED", "SIDE"), help="this one alone, to standard output")
    given = parser.parse_args()
    if given.seeds < 2:
        parser.error(f"an interval takes at least 2 seeds, --seeds {given.seeds} was given")
    if given.width is None:
        given.width = importlib.import_module(f"objectives.{given.objective}").OBJECTIVE.sizes["quick"].width
    if given.one:
        seed, side = given.one
        print(json.dumps(train(int(seed), side, given)))
        return
    asked = given.sides or SIDES[given.objective]
    if unknown := set(asked) - set(SIDES[given.objective]):
        parser.error(f"{given.objective} has no side {', '.join(unknown)}. Give: {', '.join(SIDES[given.objective])}")
    sides = [side for side in asked if changes(side) is not None]
    for side in set(asked) - set(sides):
        print(f"left out: {side}, whose search has not been made. See benchmarks/search/pays.py.", file=sys.stderr)
    if "float32" in sides and not has_bfloat16():
        print("left out: float32, as this processor has no bfloat16 to compare it with", file=sys.stderr)
        sides.remove("float32")
    # A pair is of one processor, whose rates are compared, and of one version of what is trained.
    at = {"processor": processor(), "code": code_hash()}
    asked_for = {name: str(getattr(given, name)) for name in ("objective", "width", "epochs", "train_images")}
    at |= asked_for
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in asked_for.items()]
    flags += ["--data-dir", str(given.data_dir)]

    def there() -> list[dict[str, str]]:
        return [row for row in read(given.table) if at.items() <= row.items()]

    def one(wanted: tuple[str, str]) -> None:
        found = answer(sys.executable, "-m", "benchmarks.recipes", "--one", *wanted, *flags)
        scores = {name: f"{value:.2f}" for name, value in found.items()}
        where = {"date": date.today().isoformat(), "revision": (revision() or "unknown")[:12]}
        append(given.table, FIELDS, [{**where, **at, "seed": wanted[0], "side": wanted[1], **scores}])

    done = {(row["seed"], row["side"]) for row in there()}
    wanted = [(str(seed), side) for seed in range(given.seeds) for side in (BASE, *sides)]
    for_each([pair for pair in wanted if pair not in done], one, given.children)
    _say(there())


if __name__ == "__main__":
    main()
