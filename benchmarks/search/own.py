"""Learning curves of our own: what the trials of real searches reported, and a surrogate for all other points.

``pays.py`` leaves them in ``curves.csv``. Of each epoch that a search looks at, the first is a Gaussian process of the
hyperparameters, and every other one of what is gained since the one before, by the trials that came so far; the noise
of a training is left out, as ``simulate.py`` adds it. How well it foretells a trial that it was not shown is the
correlation that ``left_out`` gives.
"""

from __future__ import annotations

import functools
import importlib
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import BaseTrial
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.model_selection import KFold, cross_val_predict

from benchmarks.search.pays import CURVES
from benchmarks.search.searches import SEARCHES
from benchmarks.search.task import Array
from benchmarks.table import read
from search.contract import Objective, Size
from search.rules.pruning import rungs_before_the_end
from search.rules.quadratic import Cube, QuadraticSampler

TABLE = Path(__file__).with_name(CURVES)
FEWEST = 40
"""Trials; fewer say too little of so many hyperparameters."""
FOLDS = 10


class Own:
    """The curves of the trials of one of the searches, as ``task.Curves``."""

    def __init__(
        self, name: str, objective: Objective, size: Size, first: Mapping[str, Any], table: Path = TABLE
    ) -> None:
        self.epochs, self.rungs, self.first = size.epochs, rungs_before_the_end(size), first
        self._objective = objective
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        for _ in range(100):  # conditional parameters too
            objective.suggest(study.ask())
        self._cube = Cube(QuadraticSampler().infer_relative_search_space(study, study.trials[0]))
        rows = [row for row in read(table) if row["search"] == name and row["values"]]
        self._params = [json.loads(row["params"]) for row in rows]
        self._values = [[float(value) for value in row["values"].split()] for row in rows]
        self.name = f"{name}, {len(rows)} trials"  # with more of them it is another task

    @property
    def is_enough(self) -> bool:
        """Whether as many have reported something, and have come to their end, as it takes to foretell others."""
        whole = sum(len(values) == self.epochs for values in self._values)
        return len(self._params) >= FEWEST and whole >= FOLDS

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """The objective's space."""
        self._objective.suggest(trial)
        return dict(trial.params)

    def curves(self, points: Sequence[Mapping[str, Any]]) -> tuple[Array, Array]:
        """As ``Curves``; an epoch takes a second."""
        rows = self._cube.whole_rows(points)
        gains = np.stack([model.predict(rows) for model in self._models], axis=1)
        seconds = np.tile(np.arange(1.0, self.epochs + 1), (len(rows), 1))
        return seconds, np.clip(np.cumsum(gains, axis=1), 0, 100)

    def left_out(self) -> list[float]:
        """Of each epoch: the correlation of trials with what is foretold of them by others alone."""
        found, sums = [], np.zeros(len(self._params))
        for epoch in range(self.epochs):
            rows, gains, which = self._gains(epoch)
            foretold = cross_val_predict(_model(), rows, gains, cv=KFold(FOLDS, shuffle=True, random_state=0))
            sums[which] += foretold
            values = [self._values[k][epoch] for k in which]
            found.append(float(np.corrcoef(sums[which], values)[0, 1]))
        return found

    def _gains(self, epoch: int) -> tuple[Array, Array, list[int]]:
        """(rows, what the epoch adds, which trials), of those that came so far."""
        which = [k for k, values in enumerate(self._values) if len(values) > epoch]
        before = [self._values[k][epoch - 1] if epoch else 0.0 for k in which]
        gains = np.array([self._values[k][epoch] for k in which]) - np.array(before)
        return self._cube.whole_rows([self._params[k] for k in which]), gains, which

    @functools.cached_property
    def _models(self) -> list[GaussianProcessRegressor]:
        return [_model().fit(*self._gains(epoch)[:2]) for epoch in range(self.epochs)]


def there(table: Path = TABLE) -> list[Own]:
    """Of the searches that begin at a point of their own, those of which there are trials enough."""
    found = []
    for name, what in SEARCHES.items():
        if what.first:
            objective = importlib.import_module(f"objectives.{what.objective}").OBJECTIVE
            found.append(Own(name, objective, what.size(objective), objective.points[what.first], table))
    return [one for one in found if one.is_enough]


def _model() -> GaussianProcessRegressor:
    warnings.simplefilter("ignore", ConvergenceWarning)
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * RBF(2.0, (0.3, 30.0)) + WhiteKernel(0.1, (1e-3, 10.0))
    return GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
