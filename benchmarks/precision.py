"""Whether a network that computes in bfloat16 is as good as one in float32: the residual network, on validation images.

    python -m benchmarks.precision [--seeds 8] [--epochs 10] [--children 2]   or: make bench-precision

Each seed is trained once in each precision on the same 45,000 images, by the recipe that a search tries first, and
scored after its last epoch on the same 5,000 others; the test part is not opened. What is compared is the accuracy of
one seed in both: bfloat16 is good enough where the lower end of the difference's 95 % interval lies above -0.3 points.
Both are timed too, side by side. Results are appended to ``benchmarks/precision.csv``, and what stands there is not
trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path

from benchmarks.context import Lent, processor
from benchmarks.table import append, read

TABLE = Path(__file__).with_name("precision.csv")
PRECISIONS = ("float32", "bfloat16")
FIELDS = (
    "date",
    "revision",
    "processor",
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
STUDENT = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36)
"""The 97.5 % quantile of Student's t for 2 to 8 pairs."""


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
        lent = Lent(Path(folder), given.data_dir, size, seed=seed)
        OBJECTIVE.train(MODERN, lent)
    last = lent.reports[max(lent.reports)]
    rate = statistics.median(values["images_per_second"] for values in lent.reports.values())
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
    if not 2 <= len(gains) <= len(STUDENT) + 1:
        raise SystemExit(f"an interval takes 2 to {len(STUDENT) + 1} pairs of seeds, here are {len(gains)}")
    half = STUDENT[len(gains) - 2] * statistics.stdev(gains) / len(gains) ** 0.5
    return statistics.fmean(gains), half, len(gains)


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
    parser.add_argument("--children", type=int, default=2)
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("SEARCH_DATA_DIR", "data")))
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--one", nargs=2, metavar=("SEED", "PRECISION"), help="this one alone, to standard output")
    given = parser.parse_args()
    if given.one:
        seed, precision = given.one
        print(json.dumps(train(int(seed), precision, given)))
        return
    from search.child.hardware import has_bfloat16  # noqa: PLC0415
    from search.studies.provenance import revision  # noqa: PLC0415

    if not has_bfloat16():
        print("this processor has no bfloat16: there its steps take more than twice the time", file=sys.stderr)
    # One pair may come of two machines, but not of two versions of what is trained.
    at = {name: str(getattr(given, name)) for name in ("width", "epochs", "train_images")}

    def there() -> list[dict[str, str]]:
        return [row for row in read(given.table) if at.items() <= row.items()]

    def one(wanted: tuple[str, str]) -> None:
        command = [sys.executable, "-m", "benchmarks.precision", "--one", *wanted, "--data-dir", str(given.data_dir)]
        command += ["--width", at["width"], "--epochs", at["epochs"], "--train-images", at["train_images"]]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
        said = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
        scores = {name: f"{value:.2f}" for name, value in json.loads(said.splitlines()[-1]).items()}
        where = {"date": date.today().isoformat(), "revision": (revision() or "unknown")[:12], "processor": processor()}
        append(given.table, FIELDS, [{**where, **at, "seed": wanted[0], "precision": wanted[1], **scores}])

    done = {(row["seed"], row["precision"]) for row in there()}
    wanted = [(str(seed), precision) for seed in range(given.seeds) for precision in PRECISIONS]
    with ThreadPoolExecutor(given.children) as pool:
        list(pool.map(one, [pair for pair in wanted if pair not in done]))
    _say(there())


if __name__ == "__main__":
    main()
