"""How ways to search compare, from the rows of ``replay.csv``: the unit is the task, its seeds are averaged.

Of one task alone the unit is the seed: what is said is of that task only.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence

from scipy.stats import rankdata, ttest_1samp

from benchmarks.intervals import paired

Results = Sequence[Mapping[str, str]]
TOLERANCE, LEVEL = 2.0, 0.05
"""Points, and the probability of an error of the first kind among all tasks."""


def compared(
    results: Results, arm: str, base: str, cost: float, cost_of_base: float | None = None
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


def mean_ranks(results: Results, cost: float) -> dict[str, float]:
    """Of each arm over the tasks that all have, the best 1."""
    arms = sorted({row["arm"] for row in results})
    values = {arm: by_task(results, arm, cost) for arm in arms}
    tasks = set.intersection(*(set(one) for one in values.values()))
    if not tasks:
        return {}
    ranks = [rankdata([-values[arm][task] for arm in arms]) for task in sorted(tasks)]
    return {arm: statistics.fmean(rank[k] for rank in ranks) for k, arm in enumerate(arms)}


def worse_on(results: Results, arm: str, base: str, cost: float) -> list[str]:
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


def reached(results: Results, arm: str, base: str, end: float) -> tuple[float, float, float] | None:
    """(cost, points more, half of the interval): the least cost by which the arm has more than the base has at ``end``,
    by the interval."""
    for cost in costs_of(results):
        points, half, tasks = compared(results, arm, base, cost, end)
        if tasks > 1 and points - half > 0:
            return cost, points, half
    return None


def by_search(results: Results, arm: str, cost: float, what: str = "accuracy") -> dict[tuple[str, str], float]:
    """By task and seed."""
    return {
        (row["task"], row["seed"]): float(row[what])
        for row in results
        if row["arm"] == arm and float(row["cost"]) == cost
    }


def by_task(results: Results, arm: str, cost: float, what: str = "accuracy") -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for (task, _), value in by_search(results, arm, cost, what).items():
        found.setdefault(task, []).append(value)
    return {task: statistics.fmean(values) for task, values in found.items()}


# -- what is said ------------------------------------------------------------------------------------------------------


def points(results: Results, arms: Sequence[str], base: str) -> Iterator[str]:
    """A line an arm: over the base, and its mean rank, at each cost."""
    costs = costs_of(results)
    ranks = {cost: mean_ranks(results, cost) for cost in costs}
    yield f"points over {base}, and mean rank, after so many whole trials"
    yield _line("", [f"{cost:g}" for cost in costs])
    for arm in arms:
        cells = []
        for cost in costs:
            more, half, units = compared(results, arm, base, cost)
            rank = ranks[cost].get(arm)
            cells.append(f"{more:+.2f} ± {half:.2f} ({rank:.1f})" if units > 1 and rank else "")
        yield _line(arm, cells)


def regret(results: Results, arms: Sequence[str]) -> Iterator[str]:
    """Likewise: how many random points are better than the winner."""
    yield "regret: the per cent of random points that are better than the winner"
    for arm in arms:
        shares = [by_task(results, arm, cost, "better").values() for cost in costs_of(results)]
        yield _line(arm, [f"{100 * statistics.fmean(one):.2f}" if one else "" for one in shares])


def good_pruned(results: Results, arms: Sequence[str]) -> Iterator[str]:
    """Likewise: what pruning cost, where anything was pruned."""
    yield "of the trials that had ended and are better than nine in ten random points, the per cent that was pruned"
    for arm in arms:
        rows = [row for row in results if row["arm"] == arm and row["good_pruned"]]
        shares = [[float(row["good_pruned"]) for row in rows if float(row["cost"]) == one] for one in costs_of(results)]
        if any(map(any, shares)):
            yield _line(arm, [f"{100 * statistics.fmean(one):.0f}" if one else "" for one in shares])


def verdict(results: Results, ours: str, base: str, random: str) -> Iterator[str]:
    """What ours is worth beside random search, and by what cost it has what the others end at."""
    costs = costs_of(results)
    for cost in costs:
        more, half, units = compared(results, ours, random, cost)
        if units > 1:
            worse = ", ".join(worse_on(results, ours, random, cost)) or "no task"
            yield (
                f"{ours} over {random} at {cost:g}: {more:+.2f} ± {half:.2f}; significantly worse by more than "
                f"{TOLERANCE:g} points on {worse}"
            )
    for other in (base, random):
        if costs and (found := reached(results, ours, other, costs[-1])):
            cost, more, half = found
            yield f"{ours} at {cost:g} over {other} at {costs[-1]:g}: {more:+.2f} ± {half:.2f}"


def costs_of(results: Results) -> list[float]:
    """From the least on."""
    return sorted({float(row["cost"]) for row in results})


def _line(title: str, cells: Sequence[str]) -> str:
    return f"{title:26}" + "".join(f"{cell:>24}" for cell in cells)
