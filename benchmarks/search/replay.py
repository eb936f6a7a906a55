"""Samplers and pruners on learning curves, at equal cost: what a search of 3, 10, 30 or 100 whole trials finds.

    python -m benchmarks.search.replay [--workers 1 8 64] [--seeds N] [--arms …]   or: make bench-search

The curves are LCBench's (``lcbench.py`` says where they are looked for; without them nothing is measured, and it says
so). Every second task, "tuned", is for trying things out; "held-back", the others, is what figures are quoted of. "own"
are the learning curves of our own objectives, as far as ``curves.csv`` holds enough of them (``own.py``). Every search
tries the task's own point first, on as many workers, and is scored by the accuracy without noise that its winner has at
the end. The unit is the task: its seeds are averaged, and intervals are over tasks; of one task alone they are over
seeds.

Settled before any held-back task was looked at: four seeds of each, the costs 3, 10 and 30 with 1, 8 and 64 workers
first, then 100; ours is the service's default if it is better than TPE + ASHA at 10 and at 30 whole trials on one
worker, by the interval over tasks, and on no task worse than random search with the same pruner by more than two points
(Student's t over seeds, Holm over tasks). Of 64 workers there is one seed of each task, and the cost of 100 only there.

What came later: NePS's PriorBand (``priorband.py``), in an environment of its own, some gigabytes; Optuna's Gaussian
process, which needs PyTorch and learns from complete trials alone (its TPE is the multivariate one, as it is by
default); and ``--first``, by which a search first tries the random point that is better than 95 % of them (``good``) or
than 10 % (``bad``), or any (``none``).

Tried on the tuned tasks, level with what there is or worse, and gone or off: a quadratic around what is tried first,
not the middle; five first trials near that, not random ones (worse beside a bad one); two random trials before the
model is believed, not five; every fifth trial random (``floor``, which is there to be chosen); rate, momentum and decay
as lr / (1 - m), 1 / (1 - m) and lr wd / (1 - m). Pruners that let one in four or five go on, that hold a trial against
the latest alone, or against what the best came to: +.2 to +1.2 points at the cost of 30, within the intervals. A
winner by the model's mean, or by half of it and half of its own value: -.1 to +.2 points at the costs of 10 and 30,
where who knew what each complete trial is worth would gain .3 and .5, which is the most that new seeds for the best
could bring too. Not tried: TPE where it foretells better, sparing trials by the model's probability, pausing and
promoting.

Results are appended to ``benchmarks/search/replay.csv``, and what stands there is not run again.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import multiprocessing
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import date
from pathlib import Path
from typing import Any, cast

import optuna

from benchmarks import environments
from benchmarks.search import own, priorband, standings
from benchmarks.search.lcbench import Surrogate, make_runtime
from benchmarks.search.simulate import Arm, Fleet, Found, screened
from benchmarks.search.task import Task
from benchmarks.table import append, read
from search.child.hardware import cores, memory
from search.rules.devices import children_by_default
from search.studies.provenance import revision

TABLE = Path(__file__).with_name("replay.csv")
KEY = ("tasks", "first", "arm", "task", "workers", "seed", "cost")
FIELDS = ("date", "revision", *KEY, "accuracy", "better", "good_pruned")
"""``cost`` in whole trials; ``accuracy`` of the winner in per cent, without noise; ``better``: the share of random
points that are; ``good_pruned``: of the trials that had ended and are better than nine in ten random points, the share
that was pruned."""
COSTS = (3, 10, 30, 100)


def _spec(name: str, **keywords: object) -> dict[str, object]:
    return {"name": name, "keywords": keywords}


NO_PRUNER, ASHA = _spec("NopPruner"), _spec("asha")
ARMS = {
    "random": Arm(_spec("RandomSampler"), NO_PRUNER),
    "random + asha": Arm(_spec("RandomSampler"), ASHA),
    "TPE": Arm(_spec("TPESampler"), NO_PRUNER),
    "TPE + median": Arm(_spec("TPESampler"), _spec("MedianPruner")),
    "TPE + successive halving": Arm(_spec("TPESampler"), _spec("SuccessiveHalvingPruner", reduction_factor=3)),
    "TPE + Hyperband": Arm(_spec("TPESampler"), _spec("HyperbandPruner")),
    "TPE + asha": Arm(_spec("TPESampler"), ASHA),
    "GP": Arm(_spec("GPSampler"), NO_PRUNER),
    "GP + asha": Arm(_spec("GPSampler"), ASHA),
    "quadratic + asha": Arm(_spec("quadratic"), ASHA),
}
SCREENED = {"one epoch of each": 1, "three epochs of each": 3}
"""And then the best of them to their end."""
NEPS, GP = "NePS PriorBand", "GP"
ONE_WORKER = (*SCREENED, NEPS)
"""The first are the same whoever does it, and PriorBand waits for the others at each of its rungs."""
BASE, RANDOM, OURS = "TPE + asha", "random + asha", "quadratic + asha"
OWN = "own"
FIRST = {OWN: None, "good": 0.95, "bad": 0.1, "none": None}
"""What is tried first: what the task has, the random point that is better than this share of them, or any."""


def run_one(arm: str, task: Task, workers: int, seed: int, costs: Sequence[float]) -> list[Found]:
    """After each cost, of which the least comes first."""
    if arm in SCREENED:
        return [Found(screened(task, SCREENED[arm], cost=cost, seed=seed)) for cost in costs]
    if arm == NEPS:
        return [Found(accuracy) for accuracy in priorband.search(task, costs=costs, seed=seed)]
    return Fleet(task, fitted(ARMS[arm], task), workers, seed).run(costs)


def fitted(arm: Arm, task: Task) -> Arm:
    """Optuna's pruners with the lowest rung and the last epoch that ``asha`` has."""
    lowest, name = {"min_resource": task.rungs[0]}, arm.pruner["name"]
    more = {"SuccessiveHalvingPruner": lowest, "HyperbandPruner": lowest | {"max_resource": task.epochs}}
    return Arm(arm.sampler, _spec(name, **arm.pruner["keywords"], **more.get(name, {})))


def with_first(task: Task, first: str) -> Task:
    """The same, where another point is tried first."""
    share = FIRST[first]
    if first == OWN:
        return task
    return Task(task.curves, {} if share is None else task.point_at(share))


def _say(given: argparse.Namespace, folder: Path, workers: int) -> None:
    at = {"tasks": given.tasks, "first": given.first, "workers": str(workers)}
    results = [row for row in read(given.table) if at.items() <= row.items()]
    if given.tasks == "own":  # of fewer curves than there are by now nothing is said
        tasks = _tasks(given.tasks, folder)
        results = [row for row in results if row["task"] in tasks]
    arms = [arm for arm in (*ARMS, *ONE_WORKER) if any(row["arm"] == arm for row in results)]
    print(f"\n{given.tasks} tasks, {workers} workers, first point: {given.first}")
    for part in (
        standings.points(results, arms, BASE),
        standings.regret(results, arms),
        standings.good_pruned(results, arms),
        standings.verdict(results, OURS, BASE, RANDOM),
    ):
        print("\n".join(part))


@functools.cache
def _tasks(kind: str, folder: Path) -> dict[str, Task]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    if kind == "own":
        return {one.name: Task(one) for one in own.there()}
    found = {one.name: Task(one) for one in Surrogate(folder).tasks}
    return {name: found[name] for name in list(found)[0 if kind == "tuned" else 1 :: 2]}


@functools.cache
def _task(kind: str, folder: Path, name: str, first: str) -> Task:
    return with_first(_tasks(kind, folder)[name], first)


def _job(  # noqa: PLR0917 - as a pool of processes calls it
    kind: str, folder: Path, first: str, arm: str, task: str, workers: int, seed: int, costs: Sequence[float]
) -> list[dict[str, Any]]:
    """In a process of its own: the rows of one search."""
    if arm.startswith(GP):
        environments.lend_pytorch()
    searched = _task(kind, folder, task, first)
    at = {"tasks": kind, "first": first, "arm": arm, "task": task, "workers": workers, "seed": seed}
    rows = []
    for cost, one in zip(costs, run_one(arm, searched, workers, seed, costs), strict=True):
        row = {**at, "cost": f"{cost:g}", "accuracy": f"{one.accuracy:.3f}"}
        row["better"] = f"{searched.better(one.accuracy):.4f}"
        rows.append(row if one.good_pruned is None else row | {"good_pruned": f"{one.good_pruned:.3f}"})
    return rows


def _run(given: argparse.Namespace, folder: Path) -> None:
    if any(arm.startswith(GP) for arm in given.arms):
        environments.make(environments.PYTORCH)
    if NEPS in given.arms:
        environments.make(environments.NEPS)
    names = list(_tasks(given.tasks, folder))[: given.most_tasks]
    done = {tuple(row[name] for name in KEY) for row in read(given.table)}
    where = {"date": date.today().isoformat(), "revision": (revision() or "unknown")[:12]}
    children = given.children or children_by_default((), cores(), memory())
    # Processes that share nothing, each with one thread for its arithmetic.
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    with ProcessPoolExecutor(children, mp_context=multiprocessing.get_context("spawn")) as pool:
        jobs = []
        for seed, task, arm, workers in itertools.product(range(given.seeds), names, given.arms, given.workers):
            if arm in ONE_WORKER and workers > 1:
                continue
            at = (given.tasks, given.first, arm, task, str(workers), str(seed))
            missing = [cost for cost in sorted(given.costs) if (*at, f"{cost:g}") not in done]
            if missing:
                jobs.append(pool.submit(_job, given.tasks, folder, given.first, arm, task, workers, seed, missing))
        for job in as_completed(jobs):
            append(given.table, FIELDS, [where | row for row in job.result()])


def main() -> None:
    """Runs what the table does not hold, then says how the arms compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="+", choices=[*ARMS, *ONE_WORKER], help="all, if not given")
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 8, 64])
    parser.add_argument("--costs", nargs="+", type=float, default=COSTS)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--tasks", choices=["tuned", "held-back", "own"], default="held-back")
    parser.add_argument("--first", choices=list(FIRST), default=OWN, help="what is tried first, of three arms")
    parser.add_argument("--most-tasks", type=int, help="only so many of them")
    parser.add_argument("--surrogates", type=Path, default=Path(os.environ.get("SEARCH_SURROGATES", "surrogates")))
    parser.add_argument("--children", type=int, help="one a core, if not given")
    parser.add_argument("--table", type=Path, default=TABLE)
    given = parser.parse_args()
    folder = given.surrogates / "lcbench"
    given.arms = given.arms or ([*ARMS, *ONE_WORKER] if given.first == OWN else [RANDOM, BASE, OURS])
    if given.first != OWN and set(ONE_WORKER) & set(given.arms):
        parser.error(f"{', '.join(ONE_WORKER)}: these try the task's own point first. Leave --first out.")
    if given.tasks == "own":
        given.arms = [arm for arm in given.arms if arm != NEPS]  # their parameters are conditional
        _run(given, folder)
        searched = [cast(own.Own, task.curves) for task in _tasks(given.tasks, folder).values()]
        if not searched:
            print(f"left out: our own, of which {own.TABLE.name} holds fewer than {own.FEWEST} trials. See pays.py.")
        for one in searched:
            foretold = ", ".join(f"{correlation:.2f}" for correlation in one.left_out())
            print(f"{one.name}: correlation of what is foretold with trials left out, epoch by epoch: {foretold}")
    elif folder.is_dir():
        make_runtime()
        _run(given, folder)
    else:
        print(f"left out: LCBench, which does not lie in {folder}. Point SEARCH_SURROGATES at its folder.")
    for workers in given.workers:
        _say(given, folder, workers)


if __name__ == "__main__":
    main()
