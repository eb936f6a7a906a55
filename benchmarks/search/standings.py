"""How ways to search compare, from the rows of ``replay.csv``: the unit is the task, its seeds are averaged.

Of one task alone the unit is the seed: what is said is of that task only.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from scipy.stats import rankdata, ttest_1samp

from benchmarks.intervals import paired

TOLERANCE, LEVEL = 2.0, 0.05
"""Points, and the probability of an error of the first kind among all tasks."""


def compared(
    results: Sequence[Mapping[str, str]], arm: str, base: str, cost: float, cost_of_base: float | None = None
) -> tuple[float, float, int]:
    """(points that the arm has more, half of the 95 % interval, units) where both have been run."""
    ours, theirs = by_search(results, arm, cost), by_search(results, base, cost_of_base or cost)
    gains: dict[str, list[float]] = {}
    for task, seed in ours.keys() & theirs.keys():
        gains.setdefault(task, []).append(ours[task, seed] - theirs[task, seed])
    found = [statistics.fmean(of_seeds) for of_seeds in gains.values()]
    if len(gains) == 1:
        (found,) = gains.values()
    return (*paired(found), len(found)) if len(found) > 1 else (float("nan"), float("nan"), len(found))


def mean_ranks(results: Sequence[Mapping[str, str]], cost: float) -> dict[str, float]:
    """Of each arm over the tasks that all have, the best 1."""
    arms = sorted({row["arm"] for row in results})
    values = {arm: by_task(results, arm, cost) for arm in arms}
    tasks = set.intersection(*(set(one) for one in values.values()))
    if not tasks:
        return {}
    ranks = [rankdata([-values[arm][task] for arm in arms]) for task in sorted(tasks)]
    return {arm: statistics.fmean(rank[k] for rank in ranks) for k, arm in enumerate(arms)}


def worse_on(results: Sequence[Mapping[str, str]], arm: str, base: str, cost: float) -> list[str]:
    """The tasks on which the arm is worse than the base by more than ``TOLERANCE`` (Student's t over seeds, Holm)."""
    values: dict[str, dict[str, dict[str, float]]] = {}
    for row in results:
        if row["arm"] in {arm, base} and float(row["cost"]) == cost:
            values.setdefault(row["task"], {}).setdefault(row["seed"], {})[row["arm"]] = float(row["accuracy"])
    found = {}
    for task, by_seed in values.items():
        gains = [one[arm] - one[base] for one in by_seed.values() if one.keys() == {arm, base}]
        if len(gains) > 1:
            found[task] = float(ttest_1samp(gains, -TOLERANCE, alternative="less").pvalue)
    worse = []
    for rank, task in enumerate(sorted(found, key=found.__getitem__)):
        if found[task] > LEVEL / (len(found) - rank):
            break
        worse.append(task)
    return worse


def reached(results: Sequence[Mapping[str, str]], arm: str, base: str, end: float) -> tuple[float, float, float] | None:
    """(cost, points more, half of the interval): the least cost by which the arm has more than the base has at ``end``,
    by the interval over tasks."""
    for cost in sorted({float(row["cost"]) for row in results}):
        points, half, tasks = compared(results, arm, base, cost, end)
        if tasks > 1 and points - half > 0:
            return cost, points, half
    return None


def by_search(
    results: Sequence[Mapping[str, str]], arm: str, cost: float, what: str = "accuracy"
) -> dict[tuple[str, str], float]:
    """By task and seed."""
    return {
        (row["task"], row["seed"]): float(row[what])
        for row in results
        if row["arm"] == arm and float(row["cost"]) == cost
    }


def by_task(results: Sequence[Mapping[str, str]], arm: str, cost: float, what: str = "accuracy") -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for (task, _), value in by_search(results, arm, cost, what).items():
        found.setdefault(task, []).append(value)
    return {task: statistics.fmean(values) for task, values in found.items()}
