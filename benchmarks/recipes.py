"""Whether another recipe is better than ``MODERN``, or bfloat16 as good as float32: on CIFAR-10, by validation images.

    python -m benchmarks.recipes [--objective resnet_cifar10] [--sides float32 …] [--seeds 8] [--epochs 8]
    make bench-recipes  of both networks

Each seed is trained once on each side on the same 45,000 images and scored after its last epoch on the same 5,000
others, by which the searches chose too; the test part is not opened. What is compared is the accuracy of one seed on a
side and by ``MODERN``, which computes in bfloat16 where the processor has it:

- ``float32``: the same in float32; bfloat16 is enough where that gains less than .3 points, by its 95 % interval
- ``progressive``, of the residual network: the same with images of 24 pixels in the first quarter of the epochs
- ``found-0`` …, of the residual network: what the searches that began at the notebook's recipe ended in
  (``search/pays.csv``)

All are timed too, side by side. Longer ones, as refits are: ``--sides progressive --seeds 4 --epochs 24``. Results are
appended to ``benchmarks/recipes.csv``, and what stands there is not trained again while the recipe, what trains it and
the processor are the same.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from optuna.trial import FixedTrial

from benchmarks.children import answer, for_each
from benchmarks.context import BenchmarkContext
from benchmarks.intervals import paired
from benchmarks.search import pays
from benchmarks.search.searches import SEARCHES
from benchmarks.table import append, read
from search.child.hardware import processor
from search.child.inside.describe import as_computed_here
from search.contract import Objective, Precision
from search.studies.provenance import code_hash, revision

TABLE = Path(__file__).with_name("recipes.csv")
MODERN, NOTEBOOK_SEARCH = "MODERN", "from_the_notebook"
FOUND = tuple(f"found-{pair}" for pair in range(SEARCHES[NOTEBOOK_SEARCH].pairs))
SIDES = {"resnet_cifar10": ("float32", "progressive", *FOUND), "cnn_cifar10": ("float32",)}
ASKED = ("objective", "width", "epochs", "train_images")
FIELDS = (
    "date",
    "revision",
    "processor",
    "code",
    *ASKED,
    "precision",
    "hyperparameters",
    "seed",
    "side",
    "val_accuracy",
    "images_per_second",
)
ENOUGH = 0.3
"""Points that float32 may gain."""


def declared(name: str) -> Objective:
    """An objective, by its file's name."""
    found: Objective = importlib.import_module(f"objectives.{name}").OBJECTIVE
    return found


def recipe(objective: Objective, side: str, table: Path = pays.TABLE) -> tuple[dict[str, Any], Precision] | None:
    """(hyperparameters, what is computed in) of a side; None where its search has not been made."""
    modern = dict(objective.points[MODERN])
    lower = as_computed_here(replace(objective.sizes["quick"], precision="bfloat16")).precision
    if side == "float32":
        return modern, "float32"
    if side == "progressive":
        return {**modern, "progressive_resizing": 0.25}, lower
    if side in FOUND:
        at = {"search": NOTEBOOK_SEARCH, "arm": "search", "pair": side.removeprefix("found-")}
        rows = [row for row in read(table) if at.items() <= row.items()]
        return (json.loads(rows[0]["found"]), lower) if rows else None
    if side == MODERN:
        return modern, lower
    raise ValueError(side)


def train(given: argparse.Namespace) -> dict[str, float]:
    """One training: val_accuracy in per cent, images_per_second."""
    objective = declared(given.objective)
    of_it = {"width": given.width, "epochs": given.epochs, "train_images": given.train_images}
    size = replace(objective.sizes["quick"], rungs=(), precision=given.precision, **of_it)
    with tempfile.TemporaryDirectory() as folder:
        context = BenchmarkContext(Path(folder), given.data_dir, size, seed=given.one)
        objective.train(objective.suggest(FixedTrial(json.loads(given.hyperparameters))), context)
    last = context.reports[max(context.reports)]
    rate = statistics.median(values["images_per_second"] for values in context.reports.values())
    return {"val_accuracy": 100 * last["val_accuracy"], "images_per_second": rate}


def gains(results: Sequence[Mapping[str, str]], side: str) -> list[float]:
    """Points that a side has more than ``MODERN``, of each seed that both have."""
    scores = {(row["seed"], row["side"]): float(row["val_accuracy"]) for row in results}
    seeds = sorted({seed for seed, _ in scores})
    return [
        scores[seed, side] - scores[seed, MODERN] for seed in seeds if {(seed, side), (seed, MODERN)} <= set(scores)
    ]


def said(results: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """A line for each side."""
    rates = {
        side: statistics.median(float(row["images_per_second"]) for row in results if row["side"] == side)
        for side in dict.fromkeys(row["side"] for row in results)
    }
    for side, rate in rates.items():
        found = gains(results, side)
        if side != MODERN and len(found) > 1:
            points, half = paired(found)
            verdict = ""
            if side == "float32":
                verdict = ": bfloat16 is enough" if points + half < ENOUGH else ": bfloat16 is not shown to be enough"
            yield (
                f"{side:12} {points:+.2f} ± {half:.2f} points over {MODERN} in {len(found)} pairs{verdict}; "
                f"images/s of a child {rate:.0f} against {rates[MODERN]:.0f}"
            )


def compare(given: argparse.Namespace, recipes: Mapping[str, tuple[dict[str, Any], Precision]]) -> None:
    """Trains what the table does not hold, then says how the sides compare."""
    asked = {name: str(getattr(given, name)) for name in ASKED}
    at = {"processor": processor(), "code": code_hash(), **asked}
    keys = {
        side: {**at, "precision": precision, "hyperparameters": json.dumps(hp, sort_keys=True)}
        for side, (hp, precision) in recipes.items()
    }

    def there() -> list[dict[str, str]]:
        return [row for row in read(given.table) if row["side"] in keys and keys[row["side"]].items() <= row.items()]

    def one(wanted: tuple[int, str]) -> None:
        seed, side = wanted
        told = {**asked, "one": seed, "precision": keys[side]["precision"]}
        told |= {"hyperparameters": keys[side]["hyperparameters"], "data_dir": given.data_dir}
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in told.items()]
        scores = answer(sys.executable, "-m", "benchmarks.recipes", *flags)
        where = {"date": date.today().isoformat(), "revision": (revision() or "unknown")[:12]}
        row = {**where, **keys[side], "seed": seed, "side": side}
        append(given.table, FIELDS, [{**row, **{name: f"{value:.2f}" for name, value in scores.items()}}])

    done = {(int(row["seed"]), row["side"]) for row in there()}
    wanted = [(seed, side) for seed in range(given.seeds) for side in keys]
    for_each([pair for pair in wanted if pair not in done], one, given.children)
    print("\n".join(said(there())))


def main() -> None:
    """Compares the sides that there are here."""
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
    alone = parser.add_argument_group("one training, to standard output")
    alone.add_argument("--one", type=int, metavar="SEED")
    alone.add_argument("--precision")
    alone.add_argument("--hyperparameters", help="as JSON")
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(train(given)))
        return
    objective = declared(given.objective)
    given.width = given.width or objective.sizes["quick"].width
    sides = given.sides or SIDES[given.objective]
    if given.seeds < 2:
        parser.error(f"an interval takes at least 2 seeds, --seeds {given.seeds} was given")
    if unknown := set(sides) - set(SIDES[given.objective]):
        parser.error(f"{given.objective} has no side {', '.join(unknown)}. Give: {', '.join(SIDES[given.objective])}")
    recipes = {side: found for side in (MODERN, *sides) if (found := recipe(objective, side))}
    for side in set(sides) - set(recipes):
        print(f"left out: {side}, whose search has not been made. See benchmarks/search/pays.py.", file=sys.stderr)
    if recipes.get("float32") == recipes[MODERN]:
        print("left out: float32, as this processor has no bfloat16 to compare it with.", file=sys.stderr)
        del recipes["float32"]
    if len(recipes) > 1:
        compare(given, recipes)


if __name__ == "__main__":
    main()
