"""One in three goes on at a rung, all with a value there compete, and a verdict that is ignored still counts."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from search.contract import SearchError, Size
from search.rules.asha import Asha
from search.rules.optuna_by_name import make_pruner, make_sampler
from search.rules.pruning import rungs_before_the_end

SIZE = Size(budget=10, epochs=9, rungs=(3, 9, 27))


def verdict(values: list[float], own: float, *, direction: str = "maximize", step: int = 3, rung: int = 3) -> bool:
    """Whether a trial with this value is to stop where others have had these."""
    study = optuna.create_study(direction=direction)
    for value in values:
        study.add_trial(create_trial(state=TrialState.PRUNED, value=value, intermediate_values={rung: value}))
    trial = study.ask()
    trial.report(own, step)
    return Asha([rung]).prune(study, study.trials[-1])


@pytest.mark.parametrize(
    ("others", "own", "stops"),
    [
        ([], 0.1, False),  # the first arrival is the best so far
        ([0.5], 0.4, True),
        ([0.5], 0.6, False),
        ([0.5], 0.5, False),  # as good as the best
        ([0.8, 0.7], 0.75, True),  # one of three goes on
        ([0.8, 0.7], 0.85, False),
        ([0.9, 0.8, 0.7, 0.6, 0.5], 0.85, False),  # two of six
        ([0.9, 0.8, 0.7, 0.6, 0.5], 0.75, True),
        ([0.9, 0.8, 0.7, 0.6], 0.85, True),  # of five still one
    ],
)
def test_one_in_three_goes_on(others: list[float], own: float, stops: bool) -> None:
    assert verdict(others, own) is stops
    assert verdict([-value for value in others], -own, direction="minimize") is stops


def test_only_at_a_rung() -> None:
    assert verdict([0.9, 0.9, 0.9], 0.1, step=3)
    assert not verdict([0.9, 0.9, 0.9], 0.1, step=2)
    assert not verdict([0.9, 0.9, 0.9], 0.1, step=4), "past it: the decision was taken, or its worker died; see worker"


def test_everybody_with_a_value_competes() -> None:
    """Running, failed and never stopped alike: a 20 % trial after two at 80 % that were not asked does not live."""
    study = optuna.create_study(direction="maximize")
    for state in (TrialState.RUNNING, TrialState.COMPLETE):
        value = None if state == TrialState.RUNNING else 0.8
        study.add_trial(create_trial(state=state, value=value, intermediate_values={1: 0.3, 2: 0.8}))
    trial = study.ask()
    trial.report(0.2, 2)
    assert Asha([2]).prune(study, study.trials[-1])
    assert Asha([2]).prune(study, study.trials[-1]), "asked again after a worker's death: the same answer"


def test_a_rung_at_the_end_saves_nothing() -> None:
    assert rungs_before_the_end(SIZE) == (3,)
    assert rungs_before_the_end(Size(budget=1, epochs=40, rungs=(3, 9, 27))) == (3, 9, 27)
    pruner = make_pruner({"name": "asha", "keywords": {}}, SIZE)
    assert isinstance(pruner, Asha) and pruner.rungs == {3}
    without = make_pruner({"name": "asha", "keywords": {}}, Size(budget=1, epochs=3, rungs=(3,)))
    assert isinstance(without, optuna.pruners.NopPruner)


def test_what_a_study_stores_becomes_a_sampler() -> None:
    tpe = {"name": "TPESampler", "keywords": {"multivariate": False}}

    def drawn(seed: int, startup: int = 3) -> list[float]:
        study = optuna.create_study(sampler=make_sampler(tpe, startup, seed))
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=6)
        return [trial.params["x"] for trial in study.trials]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert drawn(1, startup=6)[:3] == drawn(1)[:3] and drawn(1, startup=6)[3:] != drawn(1)[3:]
    own = {"name": "TPESampler", "keywords": {"n_startup_trials": 6}}
    chosen = make_sampler(own, 3, 1)
    assert isinstance(chosen, optuna.samplers.TPESampler) and chosen._n_startup_trials == 6
    threshold = make_pruner({"name": "ThresholdPruner", "keywords": {"lower": 2.0}}, SIZE)
    assert isinstance(threshold, optuna.pruners.ThresholdPruner)
    for make in (lambda spec: make_sampler(spec, 1, 1), lambda spec: make_pruner(spec, SIZE)):
        with pytest.raises(SearchError, match="has no 'TPESampla'"):
            make({"name": "TPESampla", "keywords": {}})
