"""A sampler that learns from ten trials: Thompson draws from a Bayesian quadratic of the hyperparameters.

For Optuna alone this file is enough: ``optuna.create_study(sampler=QuadraticSampler())``.

What is known of a study is few and noisy values. A quadratic with all products, each of whose coefficients is 0 unless
the values say otherwise, is fitted to their ranks. Each suggestion maximises one quadratic drawn from what is possible,
how much to believe and how much is noise among it, so that trials that are asked for at the same time differ, and what
nobody knows yet is tried.

Values of different epochs are made comparable: the latest epoch at which there are enough counts fully; a trial that
was pruned earlier counts by its value there, moved by how much the others gained from there on, with less weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

Array = npt.NDArray[np.float64]

SHAPES = ((1.0, 1.0, 0.5), (1.0, 0.5, 0.15), (1.0, 2.0, 1.0))
"""How large a linear coefficient, a square's and a product's may be, beside each other."""
CURVED = 2.0
"""How far squares are believed to be negative, in units of their standard deviation: optima lie inside."""
STARTUP = 5
"""Random trials before anything is believed."""
AMPLITUDES = (0.25, 0.5, 1.0, 2.0)
NOISES = (0.05, 0.15, 0.4, 0.8)
"""Variance of a value that counts fully, where all values' is 1."""
CONSTANT = 4.0
"""The standard deviation of the value at the centre, likewise."""
EARLY_WEIGHT = 0.25
"""Of the value of a trial that was pruned before the others' epoch."""
CANDIDATES = (500, 500, 1_000)
"""Around the middle of the space, around the best trial, and anywhere."""
SPREAD = 0.3
"""Standard deviation of those around, where a parameter's range is 1."""
LED_NOWHERE = {"search:pruned_by": "hyperparameters"}
"""The user attribute of a pruned trial that was promising perhaps, until it came to NaN or ran out of memory."""
MOST = 500
"""So many trials are looked at: half of them the best, half the latest."""


class QuadraticSampler(BaseSampler):
    """Suggests what a Bayesian quadratic of the trials so far, drawn anew each time, calls best.

    Every ``floor``-th trial is random whatever the model says, so that none of the space is left out for ever; 0: none
    is. Parameters may be conditional: those that a trial does not have count as the middle of their range.
    """

    def __init__(self, *, seed: int | None = None, floor: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._random = RandomSampler(seed=seed)
        self._floor = floor

    def reseed_rng(self) -> None:
        """As Optuna's."""
        self._rng = np.random.default_rng()
        self._random.reseed_rng()

    def infer_relative_search_space(
        self,
        study: Study,
        trial: FrozenTrial,  # noqa: ARG002 - as Optuna calls it
    ) -> dict[str, BaseDistribution]:
        """Every parameter that a trial has had, as the latest had it."""
        found: dict[str, BaseDistribution] = {}
        for other in study.get_trials(deepcopy=False):
            found |= other.distributions
        return {name: one for name, one in sorted(found.items()) if not one.single()}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """At random: what no trial has had yet, and what the floor leaves to chance."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """All parameters at once; none where there is nothing to learn from yet."""
        if self._floor and trial.number % self._floor == self._floor - 1:
            return {}
        trials, values, weights = comparable(study)
        if len(trials) < STARTUP or not search_space:
            return {}
        cube = Cube(search_space)
        rows = cube.whole_rows([one.params for one in trials])
        model = Quadratic(rows - cube.middle, scores(values), weights, cube.numeric, self._rng)
        best = rows[np.argmax(np.where(weights == weights.max(), values, -np.inf))]
        candidates = np.vstack(
            [
                cube.around(cube.middle, CANDIDATES[0], self._rng),
                cube.around(best, CANDIDATES[1], self._rng),
                cube.anywhere(CANDIDATES[2], self._rng),
            ]
        )
        drawn = features(candidates - cube.middle, cube.numeric) @ model.draw(self._rng)
        return cube.parameters(candidates[np.argmax(drawn)])


def comparable(study: Study) -> tuple[list[FrozenTrial], Array, Array]:
    """Trials, their values (higher is better) as if all had come equally far, and how much each counts.

    Those that are running count by what they have reported, those that reported nothing by their end. The worst of all
    is who was pruned without a finite value, led nowhere (``LED_NOWHERE``), ended with the worse infinity, or violates
    a constraint; who failed says nothing.
    """
    sign = 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
    trials = study.get_trials(deepcopy=False, states=states)
    pruned = [one for one in trials if one.state == TrialState.PRUNED]
    ends = {one.last_step for one in pruned if one.last_step is not None and not _led_nowhere(one)}
    complete = {one.number: one.value for one in trials if one.state == TrialState.COMPLETE}
    levels = [{one.number: one.intermediate_values.get(end) for one in trials} for end in sorted(ends)] + [complete]
    finite = [
        {number: sign * value for number, value in level.items() if value is not None and math.isfinite(value)}
        for level in levels
    ]
    enough = max((len(one.params) for one in trials), default=0)
    top = next((k for k in reversed(range(len(finite))) if len(finite[k]) >= enough), None)
    if top is None:
        top = max(range(len(finite)), key=lambda k: (len(finite[k]), k))
    values, weights = dict(finite[top]), dict.fromkeys(finite[top], 1.0)
    others = [(level, EARLY_WEIGHT) for level in reversed(finite[:top])] + [(level, 1.0) for level in finite[top + 1 :]]
    for level, weight in others:
        both = [number for number in level if number in finite[top]]
        gain = float(np.median([finite[top][number] - level[number] for number in both])) if both else 0.0
        for number in level.keys() - values.keys():
            values[number], weights[number] = level[number] + gain, weight
    for one in trials:
        if one.state == TrialState.PRUNED:
            hopeless = one.number not in values or _led_nowhere(one)
        else:
            hopeless = one.state == TrialState.COMPLETE and one.value == -sign * math.inf
        if hopeless or any(constraint > 0 for constraint in one.constraints.values()):
            values[one.number], weights[one.number] = -math.inf, 1.0
    chosen = _most([one for one in trials if one.number in values], values)
    return (
        chosen,
        np.array([values[one.number] for one in chosen]),
        np.array([weights[one.number] for one in chosen]),
    )


def _led_nowhere(trial: FrozenTrial) -> bool:
    is_finite = trial.last_step is None or math.isfinite(trial.intermediate_values[trial.last_step])
    return not is_finite or LED_NOWHERE.items() <= trial.user_attrs.items()


def _most(trials: list[FrozenTrial], values: Mapping[int, float]) -> list[FrozenTrial]:
    if len(trials) <= MOST:
        return trials
    best = sorted(trials, key=lambda one: -values[one.number])[: MOST // 2]
    chosen = {one.number for one in best}
    chosen |= {one.number for one in [one for one in trials if one.number not in chosen][-(MOST // 2) :]}
    return [one for one in trials if one.number in chosen]


def scores(values: Array) -> Array:
    """What a normal distribution has at these values' ranks; equal values share theirs."""
    _, place, shared = np.unique(values, return_inverse=True, return_counts=True)
    ranks = np.cumsum(shared) - (shared - 1) / 2
    # SciPy has all this too, and takes two seconds to load.
    normal = NormalDist()
    return np.array([normal.inv_cdf(rank) for rank in (ranks - 0.5) / len(values)])[place]


class Cube:
    """A space as columns from 0 to 1: one for each number, in its own scale, and one for each choice of a category.

    Choices that are all numbers have an order, and one column.
    """

    def __init__(self, space: Mapping[str, BaseDistribution]) -> None:
        self.space = dict(space)
        self.ordered = {name: choices for name, one in space.items() if (choices := _in_order(one))}
        self.unordered: dict[str, CategoricalDistribution] = {
            name: one
            for name, one in space.items()
            if isinstance(one, CategoricalDistribution) and name not in self.ordered
        }
        self.numbers = {
            name: one for name, one in space.items() if isinstance(one, FloatDistribution | IntDistribution)
        }
        self.columns: dict[str, slice] = {}
        width = 0
        for name in self.space:
            more = len(self.unordered[name].choices) if name in self.unordered else 1
            self.columns[name] = slice(width, width + more)
            width += more
        self.numeric = np.ones(width, dtype=bool)
        for name in self.unordered:
            self.numeric[self.columns[name]] = False

    def rows(self, parameters: Sequence[Mapping[str, Any]]) -> Array:
        """A row each; NaN for parameters that are not there."""
        rows = np.full((len(parameters), len(self.numeric)), np.nan)
        for name in self.space:
            having = [k for k, each in enumerate(parameters) if name in each]
            if having:
                rows[having, self.columns[name]] = self._part(name, [parameters[k][name] for k in having])
        return rows

    def whole_rows(self, parameters: Sequence[Mapping[str, Any]]) -> Array:
        """The same, in the middle where a parameter is not there."""
        rows = self.rows(parameters)
        return np.where(np.isnan(rows), self.middle, rows)

    def _part(self, name: str, given: Sequence[Any]) -> Array:
        """(given, columns of this parameter)."""
        if name in self.unordered:
            return np.array([[float(value == choice) for choice in self.unordered[name].choices] for value in given])
        if name in self.ordered:
            choices = self.ordered[name]
            return np.array([[(choices.index(value) + 0.5) / len(choices)] for value in given])
        low, high, scale = _bounds(self.numbers[name])
        return (scale(np.array(given, dtype=float))[:, None] - low) / (high - low)

    @property
    def middle(self) -> Array:
        """A row: halfway, and no choice before another."""
        row = np.full(len(self.numeric), 0.5)
        for name, one in self.unordered.items():
            row[self.columns[name]] = 1 / len(one.choices)
        return row

    def anywhere(self, count: int, rng: np.random.Generator) -> Array:
        """Rows at random, uniform."""
        rows = rng.random((count, len(self.numeric)))
        for name, one in self.unordered.items():
            rows[:, self.columns[name]] = np.eye(len(one.choices))[rng.integers(len(one.choices), size=count)]
        return rows

    def around(self, row: Array, count: int, rng: np.random.Generator) -> Array:
        """Rows near this one: numbers moved by ``SPREAD`` and mirrored at the bounds, as large a share of categories
        drawn anew."""
        rows = np.repeat(row[None], count, axis=0)
        moved = rows + rng.normal(0, SPREAD, rows.shape)
        moved = np.clip(1 - np.abs(1 - np.abs(moved)), 0, 1)
        rows[:, self.numeric] = moved[:, self.numeric]
        others = self.anywhere(count, rng)
        for name in self.unordered:
            undecided = row[self.columns[name]].max() < 1
            anew = undecided | (rng.random(count) < SPREAD)
            rows[anew, self.columns[name]] = others[anew, self.columns[name]]
        return rows

    def parameters(self, row: Array) -> dict[str, Any]:
        """What a row stands for: the nearest number of its range, the choice with the largest column."""
        return {name: self._value(name, row[self.columns[name]]) for name in self.space}

    def _value(self, name: str, part: Array) -> Any:
        if name in self.unordered:
            return self.unordered[name].choices[int(np.argmax(part))]
        if name in self.ordered:
            choices = self.ordered[name]
            return choices[min(int(part[0] * len(choices)), len(choices) - 1)]
        one = self.numbers[name]
        low, high, _ = _bounds(one)
        value = low + float(part[0]) * (high - low)
        value = math.exp(value) if one.log else value
        if one.step is not None:
            value = one.low + round((value - one.low) / one.step) * one.step
        value = min(max(value, one.low), one.high)
        return round(value) if isinstance(one, IntDistribution) else value


def _in_order(one: BaseDistribution) -> list[Any]:
    """The choices of a category, from the smallest on, if they are numbers; else nothing."""
    choices = list(one.choices) if isinstance(one, CategoricalDistribution) else []
    numbers = all(isinstance(choice, int | float) and not isinstance(choice, bool) for choice in choices)
    return sorted(choices) if numbers else []


def _bounds(one: FloatDistribution | IntDistribution) -> tuple[float, float, Callable[[Array], Array]]:
    """(low, high, the scale that both are in): half a step wider than the range, so that each value has as much."""
    half = (one.step or 0) / 2
    if one.log:
        return math.log(one.low - half), math.log(one.high + half), np.log
    return one.low - half, one.high + half, np.asarray


def features(z: Array, numeric: npt.NDArray[np.bool_]) -> Array:
    """(n, d) differences from the centre -> (n, p): 1, each column, squares of the numbers, products of two."""
    first, second = np.triu_indices(z.shape[1], 1)
    return np.hstack([np.ones((len(z), 1)), z, z[:, numeric] ** 2, z[:, first] * z[:, second]])


class Quadratic:
    """The posterior of a quadratic's coefficients, given values of variance 1 and how much each counts.

    How large coefficients are, and how noisy values, is drawn by its own likelihood: the most likely would be believed
    too soon.
    """

    def __init__(
        self, z: Array, values: Array, weights: Array, numeric: npt.NDArray[np.bool_], rng: np.random.Generator
    ) -> None:
        d = z.shape[1]
        counts = (1, d, int(numeric.sum()), d * (d - 1) // 2)
        root = np.sqrt(weights)
        columns, target = features(z, numeric) * root[:, None], values * root
        found = []
        believed = np.repeat((0.0, 0.0, -CURVED, 0.0), counts)
        for shape in SHAPES:
            unit = np.repeat((CONSTANT, *shape), counts)
            found += [(one, unit * size, noise) for one, size, noise in _evidences(columns * unit, target, believed)]
        likely = np.exp(np.array([evidence for evidence, _, _ in found]) - max(evidence for evidence, _, _ in found))
        _, self._scale, self._noise = found[rng.choice(len(found), p=likely / likely.sum())]
        scaled = columns * self._scale
        precision = np.eye(scaled.shape[1]) + scaled.T @ scaled / self._noise
        self._root = np.linalg.cholesky(precision)
        told = scaled.T @ (target - scaled @ believed) / self._noise
        self._mean = believed + np.linalg.solve(precision, told)

    def draw(self, rng: np.random.Generator) -> Array:
        """Coefficients (p,) from the posterior."""
        spread = np.linalg.solve(self._root.T, rng.normal(size=len(self._mean)))
        return np.asarray(self._scale * (self._mean + spread))


def _evidences(columns: Array, target: Array, believed: Array) -> Iterator[tuple[float, float, float]]:
    """(log evidence, amplitude, noise) of each pair, by one decomposition of the smaller side."""
    n, p = columns.shape
    if n <= p:
        spectrum, basis = np.linalg.eigh(columns @ columns.T)
        sides = basis.T @ np.stack([target, columns @ believed], axis=1)
    else:
        spectrum, basis = np.linalg.eigh(columns.T @ columns)
        sides = (columns @ basis / np.sqrt(np.maximum(spectrum, 1e-12))).T @ np.stack(
            [target, columns @ believed], axis=1
        )
    spectrum = np.maximum(spectrum, 0.0)
    both = np.stack([target, columns @ believed], axis=1)
    for amplitude in AMPLITUDES:
        along = (sides @ (1.0, -amplitude)) ** 2
        left = both @ (1.0, -amplitude)
        rest = max(float(left @ left - along.sum()), 0.0) if n > p else 0.0
        for noise in NOISES:
            variance = amplitude**2 * spectrum + noise
            missing = max(n - p, 0) * math.log(noise) + rest / noise
            yield -0.5 * float(np.log(variance).sum() + (along / variance).sum() + missing), amplitude, noise
