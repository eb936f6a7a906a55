"""What samplers, proxies and whole searches are worth: the arithmetic of their benchmarks, and short runs of them."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import BaseTrial, TrialState

from benchmarks.search import arms, own, pays, priorband, proxies, replay, simulate, standings
from benchmarks.search.searches import SEARCHES
from benchmarks.search.simulate import Arm, Fleet, screened
from benchmarks.search.task import Array, Task
from benchmarks.table import append, read
from search.rules import noise
from tests.commands import ROOT

EPOCHS = 27


class Hill:
    """Curves whose end is the higher the nearer x is to .8; an epoch takes a second, of larger y up to three."""

    name, epochs, rungs = "hill", EPOCHS, (3, 9)
    first: Mapping[str, Any] = {"x": 0.2, "y": 0.0}

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        return {name: trial.suggest_float(name, 0, 1) for name in ("x", "y")}

    def curves(self, points: Sequence[Mapping[str, Any]]) -> tuple[Array, Array]:
        steps = np.arange(1, EPOCHS + 1)
        ends = np.array([90 - 60 * (point["x"] - 0.8) ** 2 for point in points])
        pace = np.array([1 + 2 * point["y"] for point in points])
        return pace[:, None] * steps, ends[:, None] * (1 - 0.5 * np.exp(-steps / 5))


@pytest.fixture(scope="module")
def hill() -> Task:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return Task(Hill())


def search(task: Task, arm: Arm, workers: int, costs: Sequence[float], seed: int) -> list[float]:
    return [one.accuracy for one in Fleet(task, arm, workers, seed).run(costs)]


def test_costs_are_in_whole_trials_of_random_points(hill: Task) -> None:
    assert hill.whole == pytest.approx(2 * EPOCHS, rel=0.05)
    assert hill.better(0.0) == 1.0 and hill.better(100.0) == 0.0
    assert hill.better(float(np.median([hill.curve({"x": x, "y": 0.0})[1][-1] for x in np.linspace(0, 1, 99)]))) == (
        pytest.approx(0.5, abs=0.05)
    )


def test_more_cost_finds_more_and_first_is_what_there_is_before(hill: Task) -> None:
    arm = replay.ARMS["TPE + asha"]
    found = [search(hill, arm, workers=1, costs=(0.01, 3, 30), seed=seed) for seed in range(4)]
    start = hill.curve(hill.first)[1][-1]
    assert [one[0] for one in found] == [pytest.approx(start)] * 4
    few, many = (np.mean([one[k] for one in found]) for k in (1, 2))
    assert start < few < many <= 90


def test_what_another_program_asks_for_costs_what_it_trains_anew(hill: Task, tmp_path: Path) -> None:
    """The same interface as PriorBand's: x of .2 to its end, then .8 for 9 epochs, and on to its end."""
    side = tmp_path / "side.py"
    side.write_text(
        "import json, sys\n"
        "told = json.loads(sys.stdin.readline())\n"
        "assert told['epochs'] == 27 and told['least'] == 3\n"
        "assert told['space']['x'] == {'first': 0.2, 'low': 0.0, 'high': 1.0, 'log': False, 'whole': False}\n"
        "plan = [('a', 0.2, 27, None), ('b', 0.8, 9, None), ('c', 0.8, 27, 'b')] + [('d', 0.5, 27, None)] * 9\n"
        "for name, x, epochs, goes_on in plan:\n"
        "    asked = {'id': name, 'params': {'x': x, 'y': 0.0}, 'epochs': epochs, 'goes_on': goes_on}\n"
        "    print(json.dumps(asked), flush=True)\n"
        "    assert -100 < float(sys.stdin.readline()) < -20\n"
    )
    start, end = (hill.curve({"x": x, "y": 0.0})[1][-1] for x in (0.2, 0.8))
    costs = [27 / hill.whole - 0.01, 53 / hill.whole, 55 / hill.whole]  # before any end, the second's, and behind it
    found = priorband.search(hill, costs=costs, seed=0, side=[sys.executable, str(side)])
    assert found == pytest.approx([start, start, end])
    with pytest.raises(RuntimeError, match="the other side ended with 0 on hill, seed 0"):
        priorband.search(hill, costs=[1_000], seed=0, side=[sys.executable, str(side)])


@pytest.mark.parametrize("workers", [1, 8, 64])
@pytest.mark.parametrize("name", ["quadratic + asha", "TPE + Hyperband"])
def test_the_same_seed_is_the_same_search_on_any_number_of_workers(hill: Task, name: str, workers: int) -> None:
    arm = replay.fitted(replay.ARMS[name], hill)
    costs = (3, 3 * min(workers, 20))
    one, again = (search(hill, arm, workers=workers, costs=costs, seed=5) for _ in range(2))
    assert one == again
    assert one != search(hill, arm, workers=workers, costs=costs, seed=6)


def test_a_winner_is_taken_by_what_was_seen_and_worth_what_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing but chance is seen, the best of many is one of many, and looks no better than it is."""
    hill = replay.with_first(Task(Hill()), "none")

    def found() -> list[float]:
        arm = replay.ARMS["random"]
        return [search(hill, arm, workers=1, costs=(20,), seed=seed)[0] for seed in range(20)]

    clear = found()
    monkeypatch.setattr(simulate, "OF_A_TRIAL", 1e4)
    blind = found()
    assert np.mean(clear) > 89 and max(blind) <= 90
    one_at_random = np.mean([90 - 60 * (x - 0.8) ** 2 for x in np.linspace(0, 1, 99)])
    assert np.mean(blind) == pytest.approx(one_at_random, abs=4)


class Flat(Hill):
    """Curves over parameters that do nothing."""

    name = "flat"

    def curves(self, points: Sequence[Mapping[str, Any]]) -> tuple[Array, Array]:
        same = [{"x": 0.8, "y": 0.0} for _ in points]
        return super().curves(same)


@pytest.mark.parametrize("sampler", ["RandomSampler", "quadratic"])
def test_over_parameters_that_do_nothing_hardly_any_search_says_that_it_paid(sampler: str) -> None:
    task, arm = Task(Flat()), Arm({"name": sampler, "keywords": {}}, {"name": "asha", "keywords": {}})
    searches, led, claimed = 100, 0, 0
    for seed in range(searches):
        fleet = Fleet(task, arm, 4, seed)
        fleet.run([8])
        trials = fleet.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        best = max(one.value for one in trials if one.state == TrialState.COMPLETE)
        lead = best - fleet.study.trials[0].value
        led += lead > 0
        claimed += noise.interval(lead, 1.0, others=len(trials) - 1)[0] > 0
    assert led > 0.6 * searches
    assert claimed <= 0.05 * searches


def test_what_is_tried_first_may_be_good_or_bad(hill: Task) -> None:
    """And what pruning costs is counted among the trials that are better than nine in ten random points."""
    good, bad = (replay.with_first(hill, first) for first in ("good", "bad"))
    assert [hill.better(float(one.curve(one.first)[1][-1])) for one in (good, bad)] == pytest.approx(
        [0.05, 0.9], abs=0.01
    )
    assert hill.better(hill.good) == pytest.approx(0.1, abs=0.001)
    for task in (good, bad):
        begun = Fleet(task, replay.ARMS["random"], 1, 0)
        begun.run([0.1])
        assert begun.study.trials[0].params == task.first
    assert Fleet(hill, replay.ARMS["random"], 1, 0).run([20])[0].good_pruned == 0
    harsh = Arm({"name": "RandomSampler", "keywords": {}}, {"name": "ThresholdPruner", "keywords": {"lower": 100}})
    assert Fleet(hill, harsh, 1, 0).run([20])[0].good_pruned == 1


def test_the_cost_by_which_one_has_what_another_has_at_the_end() -> None:
    found = [row | {"cost": "3"} for row in rows(ours=(81, 72, 93), base=(70, 62, 80))]
    found += rows(ours=(95, 95, 96), base=(85, 84, 86))
    cost, points, half = standings.reached(found, "ours", "base", 10)
    assert (cost, points) == (10, pytest.approx(31 / 3)) and half < points
    assert standings.reached(found, "base", "ours", 10) is None
    assert standings.reached(found, "ours", "base", 3)[0] == 3


def test_screening_spends_half_on_a_look_at_many(hill: Task) -> None:
    values = [screened(hill, 1, cost=10, seed=seed) for seed in range(8)]
    assert np.mean(values) > np.mean([screened(hill, 1, cost=2, seed=seed) for seed in range(8)])


def rows(**by_arm: Sequence[float]) -> list[dict[str, str]]:
    return [
        {"arm": arm, "task": f"task{k}", "workers": "1", "seed": "0", "cost": "10", "accuracy": str(value)}
        for arm, values in by_arm.items()
        for k, value in enumerate(values)
    ]


def test_arms_are_compared_task_by_task() -> None:
    found = rows(ours=(81, 72, 93), base=(80, 70, 90), other=(85, 60, 80))
    points, half, tasks = standings.compared(found, "ours", "base", 10)
    assert (points, tasks) == (pytest.approx(2), 3)
    assert half == pytest.approx(4.3027 / 3**0.5, rel=1e-3)
    assert standings.mean_ranks(found, 10) == {
        "ours": pytest.approx(4 / 3),
        "base": pytest.approx(7 / 3),
        "other": (1 + 3 + 3) / 3,
    }


def test_of_one_task_the_unit_is_the_seed() -> None:
    found = [
        {"arm": arm, "task": "only", "seed": str(seed), "cost": "10", "accuracy": str(value)}
        for arm, values in {"ours": (82, 74, 93), "base": (80, 70, 90)}.items()
        for seed, value in enumerate(values)
    ]
    points, half, seeds = standings.compared(found, "ours", "base", 10)
    assert (points, seeds) == (pytest.approx(3), 3) and half == pytest.approx(4.3027 / 3**0.5, rel=1e-3)


def test_a_task_is_worse_only_where_its_seeds_agree_on_it() -> None:
    def seeds(task: str, arm: str, *values: float) -> list[dict[str, str]]:
        at = {"task": task, "arm": arm, "workers": "1", "cost": "10"}
        return [at | {"seed": str(seed), "accuracy": str(value)} for seed, value in enumerate(values)]

    results = [row for task in "abc" for row in seeds(task, "base", 80, 81, 82, 80)]
    results += (
        seeds("a", "ours", 70, 71.1, 72, 70)
        + seeds("b", "ours", 77, 79.9, 88, 60)
        + seeds("c", "ours", 79, 80, 81, 79.1)
    )
    assert standings.worse_on(results, "ours", "base", 10) == ["a"]
    assert standings.worse_on(results, "base", "ours", 10) == []


def test_curves_of_our_own_are_foretold_where_no_trial_was(tmp_path: Path) -> None:
    """By what others reported, where that follows from the hyperparameters."""
    from objectives.cnn_digits import OBJECTIVE

    size = dataclasses.replace(OBJECTIVE.sizes["quick"], epochs=2, rungs=(1,))
    table, rows, study = tmp_path / "curves.csv", [], optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))

    def value(params: Mapping[str, Any], epoch: int) -> float:
        return (90 - 5 * abs(np.log(params["learning_rate"]))) * (1 - 0.5 ** (epoch + 1))

    for number in range(60):
        trial = study.ask()
        OBJECTIVE.suggest(trial)
        values = " ".join(f"{value(trial.params, epoch):.2f}" for epoch in range(2 if number % 3 == 0 else 1))
        rows.append({"search": "cnn_digits", "trial": number, "params": json.dumps(trial.params), "values": values})
    append(table, pays.CURVE, rows)
    found = own.Own("cnn_digits", OBJECTIVE, size, OBJECTIVE.tried_first()[0], table)
    assert found.is_enough and min(found.left_out()) > 0.8
    points = [found.suggest(study.ask()) for _ in range(20)]
    seconds, values = found.curves(points)
    assert seconds.shape == values.shape == (20, 2)
    assert np.corrcoef(values[:, -1], [value(point, 1) for point in points])[0, 1] > 0.8
    assert own.there(table) == [], "of the other objective there is nothing"


def test_a_replay_goes_on_from_what_its_table_holds(
    hill: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")  # as it is set for its processes
    monkeypatch.setattr(replay, "make_runtime", lambda: None)
    monkeypatch.setattr(replay, "_tasks", lambda *_: {"hill": hill, "flat": Task(Flat())})
    monkeypatch.setattr(replay, "ProcessPoolExecutor", lambda children, **_: ThreadPoolExecutor(children))
    (tmp_path / "lcbench").mkdir()
    table = tmp_path / "replay.csv"
    arms = ["--arms", "random + asha", "TPE + Hyperband", "TPE + asha", "quadratic + asha", "one epoch of each"]
    command = ["replay", *arms, "--workers", "1", "4", "--costs", "1", "4", "--surrogates", str(tmp_path)]
    for seeds in (1, 2, 2):
        monkeypatch.setattr(sys, "argv", [*command, "--seeds", str(seeds), "--table", str(table)])
        replay.main()
        assert len(read(table)) == seeds * 2 * 2 * (2 * 4 + 1), "two tasks, two costs; who screens is one worker"
    out = capsys.readouterr().out
    assert "held-back tasks, 4 workers, first point: own" in out and "worse by more than 2 points on no task" in out
    monkeypatch.setattr(sys, "argv", [*command, "--first", "bad", "--table", str(table)])
    with pytest.raises(SystemExit):
        replay.main()
    assert "these try the task's own point first" in capsys.readouterr().err


def test_optunas_pruners_have_the_rungs_that_ours_has(hill: Task) -> None:
    keywords = replay.fitted(replay.ARMS["TPE + Hyperband"], hill).pruner["keywords"]
    assert keywords == {"min_resource": 3, "max_resource": EPOCHS}
    halving = replay.fitted(replay.ARMS["TPE + successive halving"], hill).pruner["keywords"]
    assert halving == {"min_resource": 3, "reduction_factor": 3}


def test_without_surrogates_it_says_what_it_leaves_out(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.search.replay", "--surrogates", str(tmp_path), "--table"]
    ran = subprocess.run([*command, str(tmp_path / "none.csv")], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "left out: LCBench" in ran.stdout


def test_a_proxy_is_judged_by_its_ranks_and_by_what_its_choice_costs() -> None:
    def row(point: str, kind: str, values: str, seed: int = 0) -> dict[str, str]:
        return {"point": point, "kind": kind, "seed": str(seed), "val_accuracy": values, "seconds": "10"}

    target = {"a": 90.0, "b": 88.0, "c": 80.0, "d": 70.0}
    results = [row(name, "target", " ".join([f"{value / 2}"] * 9 + [f"{value}"])) for name, value in target.items()]
    results += [row("a", "target", " ".join(["45"] * 9 + ["92"]), seed=1)]
    results += [row(name, "all-2", f"{100 - value} {value}") for name, value in target.items()]
    bad, good = (one for one in proxies.figures(results) if one.kind == "all-2")
    assert (bad.spearman, good.spearman) == (pytest.approx(-1), pytest.approx(1))
    assert (bad.loss, good.loss) == (pytest.approx(91 - 70), 0)
    assert (bad.cost, good.cost, good.points) == (0.1, 0.2, 4)


def test_a_proxys_points_lie_in_the_space() -> None:
    from objectives.resnet_cifar10 import OBJECTIVE

    points = proxies.points()
    assert len(points) == 12 and set(proxies.SEEDS) <= set(points)
    study = optuna.create_study()
    for point in points.values():
        study.enqueue_trial(point)
        trial = study.ask()
        OBJECTIVE.suggest(trial)
        assert all(trial.params[name] == value for name, value in point.items() if name in trial.params)


def test_gains_are_paired() -> None:
    def row(pair: int, arm: str, accuracy: float) -> dict[str, str]:
        return {"search": "cnn_digits", "pair": str(pair), "arm": arm, "accuracy": str(accuracy)}

    results = [
        row(0, "search", 90),
        row(0, "equal", 89),
        row(1, "search", 91),
        row(1, "equal", 88),
        row(2, "search", 99),
    ]
    assert pays.gains(results, "cnn_digits", "search", "equal") == [1, 3]
    assert pays.gains(results, "resnet_cifar10", "search", "equal") == []


def test_a_search_of_longer_trials_is_the_same_in_all_its_arms() -> None:
    from objectives.resnet_cifar10 import OBJECTIVE

    searched = SEARCHES["from_the_notebook"]
    assert searched.flags == ["--first=NOTEBOOK", "--epochs=6", "--hours=1"]
    size = searched.size(OBJECTIVE)
    assert (size.epochs, size.refit_epochs, size.minutes) == (6, 6, None), "as the product's --epochs makes it"
    assert SEARCHES["resnet_cifar10"].flags == []


def test_a_pair_is_one_search_and_what_else_its_seconds_buy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what stands in the table is not run again."""
    asked: list[tuple[str, dict[str, object]]] = []
    found = {"an_epoch": "10", "found": {}}

    def beside(arm: str, _name: str, pair: int, _given: Any, **what: Any) -> dict[str, Any]:
        asked.append((arm, what))
        if "until" in what:
            what["left"] = round(what.pop("until") - time.time())
            return {"hp": {"x": 1}, "curves": []}
        return {**found, "an_epoch": "20", "accuracy": 0.8 + 0.01 * pair, "seconds": 300}

    searched = {**found, "accuracy": 0.9, "seconds": 1000.0, "epochs": 11}
    monkeypatch.setattr(pays, "searched", lambda *_: searched)
    monkeypatch.setattr(pays, "beside", beside)
    table = tmp_path / "pays.csv"
    command = ["pays", "--searches", "from_the_notebook", "--pairs", "2", "--table", str(table)]
    monkeypatch.setattr(sys, "argv", command)
    pays.main()
    first = [(arm, what) for arm, what in asked[:6]]
    hp = json.dumps({"x": 1})
    assert first == [
        ("equal", {"epochs": 11, "point": "NOTEBOOK"}),
        ("first", {"epochs": 11 + (1000 - 300) // 20, "point": "NOTEBOOK"}),
        ("optuna", {"left": 1000 - 300, "point": "NOTEBOOK"}),
        ("optuna", {"epochs": 11, "hp": hp}),
        ("random", {"left": 1000 - 300, "point": "NOTEBOOK"}),
        ("random", {"epochs": 11, "hp": hp}),
    ]
    out = capsys.readouterr().out
    assert "from_the_notebook  search - equal               2    +9.50" in out and "has broken even in 16.7 min" in out
    asked.clear()
    pays.main()
    assert not asked and len(read(table)) == 10


def test_a_transfer_and_its_scratch_have_one_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, dict[str, object]]] = []

    def beside(arm: str, name: str, _pair: int, _given: Any, **what: Any) -> dict[str, Any]:
        asked.append((arm, name, what))
        if "keep" in what:
            (what["keep"] / "model").mkdir(parents=True)
        return {"accuracy": 0.5, "an_epoch": "1", "found": {}}

    monkeypatch.setattr(pays, "beside", beside)
    command = ["pays", "--searches", "resnet_cifar100", "--pairs", "1", "--table", str(tmp_path / "pays.csv")]
    monkeypatch.setattr(sys, "argv", [*command, "--folder", str(tmp_path)])
    pays.main()
    model = tmp_path / "source-0" / "model"
    assert asked == [
        ("equal", "resnet_cifar10", {"epochs": 26, "keep": model.parent}),
        ("transfer", "resnet_cifar100", {"epochs": 30, "point": "TRANSFER", "source": model}),
        ("scratch", "resnet_cifar100", {"epochs": 30, "point": "SCRATCH", "source": model}),
    ]
    assert [row["arm"] for row in read(tmp_path / "pays.csv")] == ["transfer", "scratch"]


def test_a_row_of_a_training_beside_a_search(tmp_path: Path) -> None:
    table = tmp_path / "pays.csv"
    short = ["cnn_digits", "equal", "0", "--epochs", "1", "--data-dir", str(tmp_path)]
    command = [sys.executable, "-m", "benchmarks.search.arms", *short]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert '"accuracy": 0.' in ran.stdout.splitlines()[-1]
    study = optuna.create_study()
    study.optimize(lambda trial: trial.report(trial.suggest_float("x", 0, 1), 1) or 0.5, n_trials=2)
    result = {"epochs": 1, "seconds": 2.0, "an_epoch": "1", "accuracy": 0.5, "found": {}}
    pays.add("cnn_digits", 0, "search", {**result, "curves": arms.curves(study)}, table)
    pays.add("cnn_digits", 0, "equal", result, table)
    assert [one["accuracy"] for one in read(table)] == ["50.00", "50.00"]
    first, second = read(tmp_path / pays.CURVES)
    assert (first["arm"], first["trial"], second["trial"], second["state"]) == ("search", "0", "1", "complete")
    assert float(first["values"]) == pytest.approx(100 * json.loads(first["params"])["x"], abs=0.01)
