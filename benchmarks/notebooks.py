"""The recipes that this project began with, as trials of today's service, beside what their notebooks reported.

    python -m benchmarks.notebooks [--runs cnn_cifar10 …]   or: make bench-notebooks

Each run is a study of one trial, the point NOTEBOOK, as the notebooks had it: trained on 45,000 images, the epoch that
is best on 5,000 others kept, the test part scored once; CIFAR-100 goes on from the CIFAR-10 model. The CNN is the
notebook's own, for its 30 and 35 epochs. The residual network has a quarter of its width, 16, half the epochs of its
cosine, 25, so that the pair takes an hour on two slow cores, and 2,000 images for validation; at its own width and its
50 epochs, with ``--width 64``, it wants a GPU.

Scored is what the network makes of each image as it is; ``with_flips`` is the accuracy of the exported model, which
also looks at the mirrored one.

The searches are the product's own commands: one that is stopped goes on at its last epoch, by what lies in
``.search/notebooks``. A finished run is appended to ``benchmarks/notebooks.csv`` and not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.table import append, read

ROOT = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).with_name("notebooks.csv")
FOLDER = ROOT / ".search" / "notebooks"
SCORES = ("accuracy", "macro_precision", "macro_recall", "macro_f1", "top5_accuracy")
MACRO = ("precision", "recall", "f1")
WAYS = {"support": "top20", "conditional_on_true_class": "top20_as_notebook"}
"""Of the 20 most common classes: scored on all images; and as the notebooks, on those classes' images alone, which
flatters precision."""
TOP = tuple(f"{way}_{score}" for way in WAYS.values() for score in MACRO)
FIELDS = (
    "date",
    "revision",
    "run",
    "width",
    "epochs",
    "best_epoch",
    "train",
    "test_images",
    *SCORES,
    "with_flips",
    *TOP,
    "seconds",
)
"""``train`` in images, ``seconds`` of training, on the machine that it was."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One study, and the test figures of the notebook's."""

    source: str | None = None
    accuracy: float
    macro: tuple[float, float, float] | None
    """Precision, recall, F1."""


CNN = ("--size", "full")
RESNET = {16: ("--size", "quick", "--epochs", "25"), 64: ("--size", "full", "--epochs", "50")}
RUNS = {
    "cnn_cifar10": Run(accuracy=0.7776, macro=(0.7856, 0.7776, 0.7753)),
    "cnn_cifar100": Run(source="cnn_cifar10", accuracy=0.4508, macro=(0.4786, 0.4508, 0.4403)),
    "resnet_cifar10": Run(accuracy=0.8095, macro=(0.81, 0.81, 0.81)),
    "resnet_cifar100": Run(source="resnet_cifar10", accuracy=0.5717, macro=None),
}


def train(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """From where it stands to its test figures; the report of its export. What it begins from comes first."""
    source = RUNS[name].source
    if source:
        train(source, given)
    folder = given.folder
    folder.mkdir(parents=True, exist_ok=True)
    place = ["--storage", f"sqlite:///{folder}/notebooks.db", "--data-dir", str(given.data_dir.resolve())]
    flags = list(RESNET[given.width] if name.startswith("resnet") else CNN)
    if given.epochs:
        flags += ["--epochs", str(given.epochs)]
    if "quick" in flags or given.train_images:
        flags += ["--train-size", str(given.train_images or _nine_tenths(name, given.data_dir))]
    begin = ["run", _study(name, given), "--objective", name, "--first", "NOTEBOOK", "--trials", "1", "--no-refit"]
    _search(folder, *begin, *flags, *(["--source", _study(source, given)] if source else []), *place)
    _search(folder, "export", _study(name, given), "--test", *place)
    found: dict[str, Any] = json.loads((folder / "exports" / _study(name, given) / "report.json").read_text())
    return found


def _study(name: str, given: argparse.Namespace) -> str:
    """Another width is another study."""
    return f"{name}-{given.width}" if name.startswith("resnet") else name


def _nine_tenths(name: str, data_dir: Path) -> int:
    """Of the training images, as the notebooks; the public cut of CIFAR-100 may lie there instead of the whole."""
    from objectives.data import load  # noqa: PLC0415

    return len(load(name.partition("_")[2], data_dir, "train")) * 9 // 10


def _search(folder: Path, *arguments: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", "search", *arguments], cwd=folder, env=environment, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


def result(name: str, report: Mapping[str, Any], width: int) -> dict[str, Any]:
    """A row of the table."""
    test, training = report["test"]["without_flip_averaging"], report["training"]
    row = {
        "run": name,
        "width": width if name.startswith("resnet") else training["architecture"]["width"],
        "epochs": training["epochs"],
        "best_epoch": training["epoch"],
        "train": training["train_images"],
        "test_images": report["test"]["n"],
        "seconds": round(report["cost"]["seconds"]),
    }
    top = test.get("top_classes") or {}
    for way, name_of_way in WAYS.items():
        row |= {f"{name_of_way}_{score}": _percent(top.get(way, {}).get(f"macro_{score}")) for score in MACRO}
    return (
        row | {score: _percent(test[score]) for score in SCORES} | {"with_flips": _percent(report["test"]["accuracy"])}
    )


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f}"


def say(results: Sequence[Mapping[str, str]]) -> None:
    """Ours beside the notebook's, CNN and ResNet side by side."""
    print(f"{'test, per cent':26}" + "".join(f"{row['run'] + ', width ' + row['width']:>28}" for row in results))
    cited = [
        {"accuracy": RUNS[row["run"]].accuracy}
        | dict(zip((f"macro_{score}" for score in MACRO), RUNS[row["run"]].macro or (), strict=False))
        for row in results
    ]
    for score in (*SCORES, "with_flips", *TOP):
        cells = []
        for row, theirs in zip(results, cited, strict=True):
            notebook = f" ({100 * theirs[score]:.2f})" if score in theirs else ""
            cells.append(f"{row[score] + notebook:>28}")
        if any(cell.strip() for cell in cells):
            print(f"{score:26}" + "".join(cells))
    print("In brackets: the notebook's.")


def main() -> None:
    """Trains what the table does not hold, then says how the runs compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="+", choices=list(RUNS), default=list(RUNS))
    parser.add_argument("--width", type=int, choices=(16, 64), default=16, help="of the residual network")
    parser.add_argument("--epochs", type=int, help="others than the notebooks', to try it; give another --table")
    parser.add_argument("--train-images", type=int, help="likewise")
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("SEARCH_DATA_DIR", "data")))
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--table", type=Path, default=TABLE)
    given = parser.parse_args()
    if (given.epochs or given.train_images) and (given.table == TABLE or given.folder == FOLDER):
        parser.error("what is only tried does not belong into the table: give another --table and another --folder")
    from search.studies.provenance import revision  # noqa: PLC0415

    def there() -> list[dict[str, str]]:
        return [
            row
            for row in read(given.table)
            if row["run"] in given.runs and (row["width"] == str(given.width) or row["run"].startswith("cnn"))
        ]

    for name in given.runs:
        if name not in {row["run"] for row in there()}:
            row = result(name, train(name, given), given.width)
            at = {"date": date.today().isoformat(), "revision": (revision() or "unknown")[:12]}
            append(given.table, FIELDS, [at | row])
    say(there())


if __name__ == "__main__":
    main()
