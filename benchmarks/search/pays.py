"""Whether a search pays: whole searches beside the same seconds spent otherwise, on real data, scored on the test part.

    python -m benchmarks.search.pays [--searches resnet_cifar10 …] [--pairs N]   or: make bench-pays

A pair is one search as ``make search`` runs it, quick, in a folder of its own, and beside it, one after another:

- ``equal``: what one would train unsearched, trained exactly as the refit; of the residual network ``MODERN``, whatever
  is tried first by now
- ``notebook``: the recipe that the project began with, likewise, where the objective has it
- ``first``: what one would train unsearched, for as many epochs as fit into the seconds of the search's command, set-up
  and scoring included
- ``optuna``: plain Optuna, TPE and its successive halving, through ``study.optimize`` with the same point tried first,
  until the time is left that ``equal`` took, and the trial that runs by then to its end; its best trained as the refit
- ``random``: the same with random search and no pruning

Compared are, in points of test accuracy over the pairs, what was found and what was there, trained alike (search -
equal, search - notebook), and what else the seconds buy (search - first, - optuna, - random); where search - first is
above 0 by its interval, the search has broken even by then. Every training has a seed of its own. The endpoint is the
test accuracy of the exported model. Settled on before the first was run, and none is left out: 20 pairs of
``cnn_digits``, 4 of ``resnet_cifar10``, and 2 ``from_the_notebook``: ``resnet_cifar10`` with the original recipe as its
only first point and an hour of training, half an hour on two cores, in trials of up to six epochs and a refit of six.
The last was settled anew on 2026-11-29, after a first search and before anything was run beside it: two hours of trials
of two epochs, in float32 on a slow Xeon, had been 21 trials and come to 86.60 % after 113 minutes. Its rows were taken
out, as that machine was not there any more to run the other arms. Its arm ``first`` was added after its first pair,
before it was run. Rows before 2026-11-30 are by another rule: ``first`` had all these seconds for its epochs, with
set-up and scoring besides, plain Optuna and random search those in which the search's refit did not train; the seconds
of their rows are of the last training alone. The fourth pair of ``resnet_cifar10`` was begun on an AMD EPYC, with a
search that came to 90.94 %, and begun anew, whole, on an Intel Xeon, before anything was run beside it: the seconds of
one machine are not those of another. For the same reason ``from_the_notebook`` has its ``random`` once, and its
``first``, run on that Xeon, the epochs that the EPYC would have had time for.

For the transfer, 2 pairs too, ``transfer`` and ``scratch`` train the two points that ``resnet_cifar100`` tries first,
each for as many epochs as its refit had in the fifteen minutes of README's search, both from or beside one and the same
model of ``resnet_cifar10``.

Results are appended to ``benchmarks/search/pays.csv``, and what stands there is not run again. What the trials of the
searches on real data reported, ours, plain Optuna's and random ones, is kept in ``curves.csv`` beside it: learning
curves of our own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import optuna

from benchmarks.children import answer
from benchmarks.intervals import paired
from benchmarks.search.arms import curves
from benchmarks.search.searches import OF_THE_SOURCE, OF_THE_TRANSFER, SEARCHES, TRANSFER
from benchmarks.table import append, read
from search.child.hardware import cores, processor
from search.studies.provenance import revision

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("pays.csv")
CURVES = "curves.csv"
FOLDER = ROOT / ".search" / "pays"
WHERE = ("date", "revision", "processor")
FIELDS = (*WHERE, "search", "pair", "arm", "seconds", "epochs", "an_epoch", "accuracy", "found")
"""``seconds``: of the whole arm; ``epochs``: of the training that was scored, ``an_epoch`` its seconds;
``accuracy`` in per cent on the test part; ``found``: the hyperparameters that were trained."""
CURVE = (*WHERE, "search", "pair", "arm", "trial", "state", "params", "values")
"""``values``: per cent of the validation images after each epoch, with blanks between."""


def searched(name: str, pair: int, given: argparse.Namespace) -> dict[str, Any]:
    """By the product's own command. One that was stopped is begun anew: its seconds are what is measured."""
    what, folder = SEARCHES[name], given.folder / f"{name}-{pair}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SEARCH_")}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-m", "search", "run", name, "--objective", what.objective, *what.flags]
    began = time.monotonic()
    done = subprocess.run(
        [*command, "--data-dir", str(given.data_dir.resolve())], cwd=folder, env=environment, check=False
    )
    if done.returncode:
        raise SystemExit(done.returncode)
    seconds = time.monotonic() - began
    report = json.loads((folder / "exports" / name / "report.json").read_text())
    found = curves(optuna.load_study(study_name=name, storage=f"sqlite:///{folder}/studies.db"))
    shutil.rmtree(folder)
    return {
        "curves": found,
        "seconds": seconds,
        "an_epoch": f"{statistics.median(report['curves']['refit']['training_seconds']):.3f}",
        "epochs": report["size"]["refit_epochs"],
        "accuracy": report["test"]["accuracy"],
        "found": report["hyperparameters"],
    }


def beside(arm: str, name: str, pair: int, given: argparse.Namespace, **what: object) -> dict[str, Any]:
    """One of the others, in a process of its own with all cores."""
    flags = [f"--{flag.replace('_', '-')}={value}" for flag, value in what.items() if value != ""]
    command = [sys.executable, "-m", "benchmarks.search.arms", name, arm, str(pair)]
    return answer(*command, *flags, f"--data-dir={given.data_dir}", threads=cores())


def add(name: str, pair: int, arm: str, result: Mapping[str, Any], table: Path) -> None:
    """A row of the table; behind its curves, so that a row that is there has them all."""
    at = {"date": date.today().isoformat(), "revision": (revision() or "unknown")[:12], "processor": processor()}
    at |= {"search": name, "pair": str(pair), "arm": arm}
    append(table.with_name(CURVES), CURVE, [{**at, **curve} for curve in result.get("curves", ())])
    row = {**at, "epochs": result["epochs"]}
    row |= {"seconds": f"{result['seconds']:.0f}", "accuracy": f"{100 * result['accuracy']:.2f}"}
    row |= {"an_epoch": result["an_epoch"], "found": json.dumps(result["found"])}
    append(table, FIELDS, [row])


def timed(name: str, pair: int, arm: str, given: argparse.Namespace, **what: object) -> None:
    """One training beside the search, into the table."""
    began = time.monotonic()
    found = beside(arm, name, pair, given, **what)
    add(name, pair, arm, {"seconds": time.monotonic() - began, "epochs": what["epochs"], **found}, given.table)


def timed_search(name: str, pair: int, arm: str, given: argparse.Namespace, *, seconds: float, epochs: int) -> None:
    """A search without the service and the training of its best, into the table, with the curves of its trials."""
    began, until = time.monotonic(), time.time() + seconds
    plain = beside(arm, name, pair, given, until=until, point=SEARCHES[name].first)
    found = beside(arm, name, pair, given, epochs=epochs, hp=json.dumps(plain["hp"]))
    result = {"seconds": time.monotonic() - began, "epochs": epochs, "curves": plain["curves"], **found}
    add(name, pair, arm, result, given.table)


def run_pair(name: str, pair: int, given: argparse.Namespace) -> None:
    """Each arm that is not there yet, by the seconds of the pair's search."""
    if "search" not in arms_of(name, pair, given):
        add(name, pair, "search", searched(name, pair, given), given.table)
    what, search = SEARCHES[name], arms_of(name, pair, given)["search"]
    point = what.unsearched or what.first
    seconds, epochs = float(search["seconds"]), int(search["epochs"])
    if "equal" not in arms_of(name, pair, given):
        timed(name, pair, "equal", given, epochs=epochs, point=point)
    equal = arms_of(name, pair, given)["equal"]
    training, an_epoch = float(equal["seconds"]), float(equal["an_epoch"])
    for arm in what.beside:
        if arm in arms_of(name, pair, given):
            continue
        if arm == "notebook":
            timed(name, pair, arm, given, epochs=epochs, point="NOTEBOOK")
        elif arm == "first":
            timed(name, pair, arm, given, epochs=epochs + int((seconds - training) / an_epoch), point=point)
        else:
            timed_search(name, pair, arm, given, seconds=seconds - training, epochs=epochs)


def run_transfer(pair: int, given: argparse.Namespace) -> None:
    """Both from scratch and from one model of CIFAR-10, as refits."""
    source, name = given.folder / f"source-{pair}", "resnet_cifar100"
    for arm, point in zip(TRANSFER, ("TRANSFER", "SCRATCH"), strict=True):
        if arm not in arms_of(name, pair, given):
            if not (source / "model").is_dir():
                beside("equal", "resnet_cifar10", pair, given, epochs=OF_THE_SOURCE, keep=source)
            timed(name, pair, arm, given, epochs=OF_THE_TRANSFER, point=point, source=source / "model")
    shutil.rmtree(source, ignore_errors=True)


def arms_of(name: str, pair: int, given: argparse.Namespace) -> dict[str, dict[str, str]]:
    """What the table holds of a pair."""
    rows = read(given.table)
    return {row["arm"]: row for row in rows if (row["search"], row["pair"]) == (name, str(pair))}


# -- what is said ------------------------------------------------------------------------------------------------------


def gains(results: Sequence[Mapping[str, str]], name: str, one: str, other: str) -> list[float]:
    """Points of accuracy of one arm over another, over the pairs that have both."""
    pairs: dict[str, dict[str, float]] = {}
    for row in results:
        if row["search"] == name:
            pairs.setdefault(row["pair"], {})[row["arm"]] = float(row["accuracy"])
    return [arms[one] - arms[other] for arms in pairs.values() if one in arms and other in arms]


def say(results: Sequence[Mapping[str, str]]) -> None:
    """Mean gains with their 95 % intervals."""
    print(f"{'search':18} {'':24} {'pairs':>5} {'points':>8}")
    for name, what in SEARCHES.items():
        compared = [TRANSFER] if what.beside == TRANSFER else [("search", other) for other in what.beside]
        for arm, other in compared:
            found = gains(results, name, arm, other)
            if len(found) > 1:
                mean, half = paired(found)
                print(f"{name:18} {arm + ' - ' + other:24} {len(found):>5} {mean:>+8.2f} ± {half:.2f}")
                if other == "first":
                    print(
                        f"{name:18} {'has' if mean > half else 'has not'} broken even in {_minutes(results, name)} min"
                    )
            elif found:
                print(f"{name:18} {arm + ' - ' + other:24} {len(found):>5} {found[0]:>+8.2f}")


def _minutes(results: Sequence[Mapping[str, str]], name: str) -> str:
    """That its whole command took."""
    seconds = [float(row["seconds"]) for row in results if (row["search"], row["arm"]) == (name, "search")]
    return f"{statistics.median(seconds) / 60:.1f}"


def main() -> None:
    """Runs what the table does not hold, then says what it comes to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", nargs="+", choices=list(SEARCHES), default=list(SEARCHES))
    parser.add_argument("--pairs", type=int, help="other than were settled on, to try it; give another --table")
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("SEARCH_DATA_DIR", "data")))
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--table", type=Path, default=TABLE)
    given = parser.parse_args()
    if given.pairs and given.table == TABLE:
        parser.error("what is only tried does not belong into the table: give another --table")
    for name in given.searches:
        for pair in range(given.pairs or SEARCHES[name].pairs):
            if SEARCHES[name].beside == TRANSFER:
                run_transfer(pair, given)
            else:
                run_pair(name, pair, given)
    say(read(given.table))


if __name__ == "__main__":
    main()
