"""What the README says that benchmarks came to is what their tables say."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import recipes
from benchmarks.intervals import paired
from benchmarks.search import pays, proxies, replay, standings
from benchmarks.search.searches import OF_THE_TRANSFER, SEARCHES, TRANSFER
from benchmarks.table import read
from objectives.resnet_cifar100 import OBJECTIVE

README = re.sub(r"\s+", " ", (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8"))
WAYS = {
    "the quadratic, ASHA: the default": "quadratic + asha",
    "three epochs of each random point, the best to their end": "three epochs of each",
    "Gaussian process, no pruning": "GP",
    "Gaussian process, ASHA": "GP + asha",
    "random, ASHA": "random + asha",
    "NePS's PriorBand": "NePS PriorBand",
    "TPE, no pruning": "TPE",
    "TPE, Hyperband": "TPE + Hyperband",
    "TPE, ASHA (Optuna's `SuccessiveHalvingPruner` is level with ours)": "TPE + asha",
    "random, no pruning": "random",
}
COLUMNS = (("1", 3.0), ("1", 10.0), ("1", 30.0), ("8", 10.0), ("8", 30.0))
"""Workers and whole trials."""


def written(value: float, form: str = "") -> str:
    """As the README writes numbers below 1."""
    return f"{value:{form}}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:{form}}"


@pytest.mark.parametrize(("said", "arm"), WAYS.items(), ids=WAYS.values())
def test_ways_to_search_on_learning_curves(said: str, arm: str) -> None:
    results = [row for row in read(replay.TABLE) if (row["tasks"], row["first"]) == ("held-back", "own")]
    assert row_of(results, said, arm) in README


def row_of(results: standings.Results, said: str, arm: str) -> str:
    """Points over TPE + ASHA, and the mean rank."""
    cells = []
    for workers, cost in COLUMNS:
        there = [row for row in results if row["workers"] == workers]
        points, half, tasks = standings.compared(there, arm, replay.BASE, cost)
        if not tasks:
            cells.append("")
            continue
        rank = standings.mean_ranks(there, cost)[arm]
        gain = "0" if arm == replay.BASE else f"{written(points, '+.1f')} ± {written(half, '.1f')}"
        cells.append(f"{gain} ({rank:.1f})")
    return re.sub(" +", " ", f"| {said} | {' | '.join(cells)} |")


def _gains() -> Iterator[tuple[str, list[float]]]:
    results = read(pays.TABLE)
    for name, what in SEARCHES.items():
        for other in what.beside:
            if other not in TRANSFER:
                yield f"{name}: search - {other}", pays.gains(results, name, "search", other)
    for epochs in ("8", "24"):
        rows = [row for row in read(recipes.TABLE) if row["epochs"] == epochs]
        for side in sorted({row["side"] for row in rows} - {recipes.MODERN}):
            yield f"{side}, {epochs} epochs", recipes.gains(rows, side)


def test_what_the_transfer_is_worth() -> None:
    rows = [row for row in read(pays.TABLE) if row["search"] == "resnet_cifar100"]
    transfer, scratch = (
        statistics.fmean(float(row["accuracy"]) for row in rows if row["arm"] == arm) for arm in TRANSFER
    )
    points, half = (written(value, ".2f") for value in paired(pays.gains(rows, "resnet_cifar100", *TRANSFER)))
    assert f"comes to {transfer:.2f} % on the test part of CIFAR-100 in {OF_THE_TRANSFER} epochs" in README
    assert f"from scratch to {scratch:.2f} %, {points} ± {half} points less" in README
    told = OBJECTIVE.shown.references[f"width 16 from scratch in {OF_THE_TRANSFER} epochs"]
    assert told == pytest.approx(scratch / 100, abs=1e-4)


@pytest.mark.parametrize("gains", [pytest.param(found, id=name) for name, found in _gains() if len(found) > 3])
def test_pairs_on_real_data(gains: list[float]) -> None:
    assert says(*paired(gains), ".2f")


def says(points: float, half: float, form: str) -> bool:
    """Whether the README has this gain; a loss with its sign, or as points below or less, or the other's gain."""
    bare = f"{re.escape(written(abs(points), form))} ± {re.escape(written(half, form))}"
    turned = "points (below|less|higher with it)"
    loss = rf"-{bare}|(?<![-\d.]){bare} {turned}"
    gain = rf"(?<![-\d.]){bare}(?! {turned})"
    return re.search(loss if points < 0 else gain, README) is not None


def test_ways_to_search_on_curves_of_our_own() -> None:
    results = [row for row in read(replay.TABLE) if row["tasks"] == replay.OWN]
    assert {row["workers"] for row in results} == {"2"}
    for cost in (14.0, 30.0):
        for arm in ("TPE + asha", "GP", "random + asha", "random"):
            points, half, _ = standings.compared(results, replay.OURS, arm, cost)
            assert says(points, half, ".1f"), (arm, cost)


@pytest.mark.parametrize(
    ("said", "kind", "epoch"),
    [
        ("6,000 images, 5 epochs", "part", 5),
        ("45,000 images, 1 epoch", "all-1", 1),
        ("45,000 images, 3 epochs: after the second", "all-3", 2),
        ("after the third", "all-3", 3),
    ],
)
def test_cheap_trainings(said: str, kind: str, epoch: int) -> None:
    (found,) = (one for one in proxies.figures(read(proxies.TABLE)) if (one.kind, one.epoch) == (kind, epoch))
    cost, spearman, kendall = (written(value, ".2f") for value in (found.cost, found.spearman, found.kendall))
    loss = f"{found.loss:.1f}" if found.loss else "0"
    assert f"| {said} | {cost} | {spearman} / {kendall} | {loss} |" in README
