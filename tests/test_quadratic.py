"""The sampler that learns from ten trials: what it makes of values, and what it suggests."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import RandomSampler
from optuna.trial import TrialState, create_trial

from search.rules.quadratic import EARLY_WEIGHT, LED_NOWHERE, MOST, Cube, QuadraticSampler, comparable, scores
from search.studies.attributes import PRUNED_BY, named

X = {"x": FloatDistribution(0, 1)}


def study(direction: str = "maximize", sampler: Any = None) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction=direction, sampler=sampler or QuadraticSampler(seed=0))


def add(
    into: optuna.Study, reports: dict[int, float], value: float | None = None, *, pruned: bool = False, **more: Any
) -> None:
    state = TrialState.PRUNED if pruned else TrialState.COMPLETE
    value = None if pruned else value
    into.add_trial(
        create_trial(state=state, value=value, params={"x": 0.5}, distributions=X, intermediate_values=reports, **more)
    )


def recipe(trial: optuna.Trial) -> float:
    """A little like a training: the rate matters most, and its best value depends on the optimizer."""
    optimizer = trial.suggest_categorical("optimizer", ["sgd", "adam"])
    rate = math.log10(trial.suggest_float("rate", 1e-4, 1, log=True))
    momentum = trial.suggest_float("momentum", 0.5, 1.0) if optimizer == "sgd" else 0.9
    layers = trial.suggest_int("layers", 1, 5)
    drop = trial.suggest_float("drop", 0, 0.5, step=0.1)
    best = -1.5 if optimizer == "sgd" else -3.0
    noise = np.random.default_rng(trial.number).normal(0, 0.5)
    return 90 - 8 * (rate - best) ** 2 - (layers - 4) ** 2 - 40 * (drop - 0.2) ** 2 - 30 * (momentum - 0.9) ** 2 + noise


def after(sampler: Any, trials: int) -> float:
    found = study(sampler=sampler)
    found.optimize(recipe, n_trials=trials)
    return found.best_value


def test_after_fifteen_trials_it_is_ahead_of_random_search() -> None:
    ours, random = (
        statistics.fmean(after(sampler(seed=seed), 15) for seed in range(12))
        for sampler in (QuadraticSampler, RandomSampler)
    )
    assert ours > random + 0.5


def test_it_minimises_as_well() -> None:
    found = study("minimize")
    found.optimize(lambda trial: -recipe(trial), n_trials=15)
    assert found.best_value == pytest.approx(-after(QuadraticSampler(seed=0), 15))


def test_the_same_seed_asks_for_the_same_and_another_for_another() -> None:
    base = study()
    base.optimize(recipe, n_trials=8)

    def asks(seed: int) -> dict[str, Any]:
        copy = study(sampler=QuadraticSampler(seed=seed))
        copy.add_trials(base.get_trials())
        trial = copy.ask()
        recipe(trial)
        return trial.params

    assert asks(1) == asks(1)
    assert len({str(asks(seed)) for seed in range(8)}) == 8, "who asks at the same time does not get the same"


def test_the_floor_is_random_whatever_is_known() -> None:
    base = study()
    base.optimize(recipe, n_trials=9)
    asked = study(sampler=QuadraticSampler(seed=3, floor=10))
    asked.add_trials(base.get_trials())
    trial = asked.ask()
    recipe(trial)
    other = study(sampler=RandomSampler(seed=3)).ask()
    recipe(other)
    assert trial.number == 9 and trial.params == other.params


def test_who_was_pruned_counts_by_its_epoch_and_less() -> None:
    found = study()
    add(found, {1: 50, 2: 60, 3: 70}, 70)
    add(found, {1: 40, 2: 60, 3: 74}, 74)
    add(found, {1: 30}, pruned=True)
    trials, values, weights = comparable(found)
    assert [trial.number for trial in trials] == [0, 1, 2]
    assert list(weights) == [1, 1, EARLY_WEIGHT]
    assert list(values) == [70, 74, 30 + statistics.median([20, 34])]


def test_an_early_epoch_is_what_counts_until_enough_came_further() -> None:
    found = study()
    space = {f"p{k}": FloatDistribution(0, 1) for k in range(3)}
    params = dict.fromkeys(space, 0.5)
    for value in (1.0, 2.0, 3.0):
        found.add_trial(
            create_trial(state=TrialState.PRUNED, params=params, distributions=space, intermediate_values={1: value})
        )
    found.add_trial(create_trial(value=9, params=params, distributions=space, intermediate_values={1: 4.0, 2: 9.0}))
    _, values, weights = comparable(found)
    assert list(values) == [1, 2, 3, 4] and set(weights) == {1}


def test_what_leads_nowhere_is_the_worst_and_what_failed_says_nothing() -> None:
    found = study()
    add(found, {1: 50.0}, 50)
    add(found, {}, pruned=True)
    add(found, {1: 99.0}, 99, system_attrs={"constraints:size": 1.0})
    found.add_trial(create_trial(state=TrialState.FAIL, params={"x": 0.1}, distributions=X))
    assert {named(PRUNED_BY): "hyperparameters"} == LED_NOWHERE, "the file stands alone and says it by itself"
    add(found, {1: 90.0}, pruned=True, user_attrs=LED_NOWHERE)
    add(found, {1: 90.0, 2: math.nan}, pruned=True)
    add(found, {1: 90.0}, -math.inf)
    trials, values, _ = comparable(found)
    assert [trial.number for trial in trials] == [0, 1, 2, 4, 5, 6]
    assert list(values) == [50] + 5 * [-math.inf], "however good those were before"
    assert scores(values)[0] > scores(values)[1] == scores(values)[2]


def test_of_thousands_of_trials_the_best_and_the_latest_are_looked_at() -> None:
    found = study()
    for number in range(MOST + 100):
        add(found, {}, float(-number if number < 400 else -1000))
    trials, values, _ = comparable(found)
    numbers = [trial.number for trial in trials]
    assert len(numbers) == MOST and numbers == sorted(numbers)
    assert numbers[: MOST // 2] == list(range(MOST // 2)) and numbers[-1] == MOST + 99
    assert len(values) == MOST


SPACES: dict[str, BaseDistribution] = {
    "rate": FloatDistribution(1e-4, 10, log=True),
    "share": FloatDistribution(-1, 2),
    "stepped": FloatDistribution(0, 1, step=0.25),
    "layers": IntDistribution(1, 7),
    "even": IntDistribution(2, 10, step=2),
    "batch": IntDistribution(16, 512, log=True),
    "kind": CategoricalDistribution(["a", "b", None, 4]),
    "pool": CategoricalDistribution([128, 64, 512]),
}


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_row_is_a_point_of_the_space_and_every_point_a_row(seed: int) -> None:
    cube, rng = Cube(SPACES), np.random.default_rng(seed)
    rows = cube.anywhere(1, rng)
    rows = np.vstack([rows, cube.around(rows[0], 3, rng), np.zeros_like(rows), np.ones_like(rows)])
    for row in rows:
        point = cube.parameters(row)
        for name, distribution in SPACES.items():
            assert distribution._contains(distribution.to_internal_repr(point[name])), (name, point[name])
        again = cube.parameters(cube.rows([point])[0])
        assert (
            again == pytest.approx(point) if not isinstance(point["kind"], str | None) else again.keys() == point.keys()
        )
        assert again["kind"] == point["kind"] and again["even"] == point["even"]


def test_around_the_middle_each_category_is_as_likely_as_another() -> None:
    cube = Cube({"kind": CategoricalDistribution(["a", "b", "c"])})
    rows = cube.around(cube.middle, 600, np.random.default_rng(0))
    assert set(np.unique(rows)) == {0.0, 1.0}
    assert all(150 < sum(row[k] for row in rows) < 250 for k in range(3))


def test_what_is_not_there_is_in_the_middle() -> None:
    cube = Cube({"x": FloatDistribution(0, 4), "kind": CategoricalDistribution(["a", "b"])})
    assert np.isnan(cube.rows([{}])).all()
    assert list(cube.middle) == [0.5, 0.5, 0.5]


def test_choices_that_are_numbers_have_an_order_and_one_column() -> None:
    cube = Cube({"batch": CategoricalDistribution([128, 64, 256]), "flag": CategoricalDistribution([True, False])})
    assert cube.numeric.tolist() == [True, False, False]
    assert cube.rows([{"batch": 64}, {"batch": 128}, {"batch": 256}])[:, 0].tolist() == pytest.approx(
        [1 / 6, 0.5, 5 / 6]
    )
    assert [cube.parameters(np.array([x, 0, 1]))["batch"] for x in (0, 0.4, 0.6, 0.7, 1)] == [64, 128, 128, 256, 256]
