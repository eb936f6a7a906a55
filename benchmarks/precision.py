"""Whether a network that computes in bfloat16 is as good as one in float32: the residual network, on validation images.

    python -m benchmarks.precision [--seeds 8] [--epochs 10] [--children N]   or: make bench-precision

Each seed is trained once in each precision on the same 45,000 images, by the recipe that a search tries first, and
scored after its last epoch on the same 5,000 others; the test part is not opened. What is compared is the accuracy of
one seed in both: bfloat16 is good enough where the lower end of the difference's 95 % interval lies above -0.3 points.
Both are timed too, side by side. Results are appended to ``benchmarks/precision.csv``, and what stands there is not
trained again while neither what trains nor the processor is another.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from benchmarks.children import answer, for_each
from benchmarks.context import BenchmarkContext
from benchmarks.intervals import paired
from benchmarks.table import append, read
from search.child.hardware import has_bfloat16, processor
from search.studies.provenance import code_hash, revision

TABLE = Path(__file__).with_name("precision.csv")
PRECISIONS = ("float32", "bfloat16")
FIELDS = (
    "date",
    "revision",
    "processor",
    "code",
    "width",
    "epochs",
    "train_images",
    "seed",
    "precision",
    "val_accuracy",
    "images_per_second",
)
ENOUGH = -0.3
"""Points."""


def train(seed: int, precision: str, given: argparse.Namespace) -> dict[str, float]:
    """One training: val_accuracy in per cent, images_per_second."""
    from objectives.resnet_cifar10 import MODERN, OBJECTIVE  # noqa: PLC0415

    size = replace(
        OBJECTIVE.sizes["full"],
        width=given.width,
        epochs=given.epochs,
        rungs=(),
        train_images=given.train_images,
        precision=precision,
    )
    with tempfile.TemporaryDirectory() as folder:
        context = BenchmarkContext(Path(folder), given.data_dir, size, seed=seed)
        OBJECTIVE.train(MODERN, context)
    last = context.reports[max(context.reports)]
    rate = statistics.median(values["images_per_second"] for values in context.reports.values())
    return {"val_accuracy": 100 * last["val_accuracy"], "images_per_second": rate}


def difference(results: Sequence[Mapping[str, str]]) -> tuple[float, float, int]:
    """(points that bfloat16 has more, half of the 95 % interval, pairs) over the seeds that have both."""
    scores = {(row["seed"], row["precision"]): float(row["val_accuracy"]) for row in results}
    seeds = sorted({seed for seed, _ in scores})
    gains = [
        scores[seed, "bfloat16"] - scores[seed, "float32"]
        for seed in seeds
        if all((seed, precision) in scores for precision in PRECISIONS)
    ]
    return *paired(gains), len(gains)


def _say(results: Sequence[Mapping[str, str]]) -> None:
    points, half, pairs = difference(results)
    rates = {
        precision: statistics.median(float(r["images_per_second"]) for r in results if r["precision"] == precision)
        for precision in PRECISIONS
    }
    verdict = "enough" if points - half > ENOUGH else "not shown to be enough"
    print(f"bfloat16 over float32: {points:+.2f} ± {half:.2f} points in {pairs} pairs: {verdict}")
    print(f"images/s of a child: {rates['bfloat16']:.0f} against {rates['float32']:.0f}")


def main() -> None:
    """Trains what the table does not hold, then says how the two compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--train-images", type=int, default=45_000)
    parser.add_argument("--children", type=int, help="one a core, if not given")
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("SEARCH_DATA_DIR", "data")))
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--one", nargs=2, metavar=("SEED", "PRECISION"), help="this one alone, to standard output")
    given = parser.parse_args()
    if given.seeds < 2:
        parser.error(f"an interval takes at least 2 seeds, --seeds {given.seeds} was given")
    if given.one:
        seed, precision = given.one
        print(json.dumps(train(int(seed), precision, given)))
        return
    if not has_bfloat16():
        print("this processor has no bfloat16: its steps will be slow, and their rate says nothing", file=sys.stderr)
    # A pair is of one processor, whose rates are compared, and of one version of what is trained.
    at = {"processor": processor(), "code": code_hash()}
    at |= {name: str(getattr(given, name)) for name in ("width", "epochs", "train_images")}
    flags = ["--width", at["width"], "--epochs", at["epochs"], "--train-images", at["train_images"]]
    flags += ["--data-dir", str(given.data_dir)]

    def there() -> list[dict[str, str]]:
        return [row for row in read(given.table) if at.items() <= row.items()]

    def one(wanted: tuple[str, str]) -> None:
        found = answer(sys.executable, "-m", "benchmarks.precision", "--one", *wanted, *flags)
        scores = {name: f"{value:.2f}" for name, value in found.items()}
        where = {"date": date.today().isoformat(), "revision": (revision() or "unknown")[:12]}
        append(given.table, FIELDS, [{**where, **at, "seed": wanted[0], "precision": wanted[1], **scores}])

    done = {(row["seed"], row["precision"]) for row in there()}
    wanted = [(str(seed), precision) for seed in range(given.seeds) for precision in PRECISIONS]
    for_each([pair for pair in wanted if pair not in done], one, given.children)
    _say(there())


if __name__ == "__main__":
    main()
