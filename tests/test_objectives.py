"""The shipped objectives keep the contract: space, first, sizes; and they are plain Optuna objectives too."""

from __future__ import annotations

import dataclasses
import importlib
import json
from pathlib import Path

import optuna
import pytest

from search.contract import Objective, SearchError, Size, Unusable, parameters
from search.rules.pruning import rungs_before_the_end
from tests import light
from tests.cifar_files import write_cifar100
from tests.contexts import Context

NAMES = ("cnn_digits", "cnn_cifar10", "resnet_cifar10", "cnn_cifar100", "resnet_cifar100")


def objective(name: str) -> Objective:
    found = importlib.import_module(f"objectives.{name}").OBJECTIVE
    assert isinstance(found, Objective)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_points_lie_in_the_space_and_the_space_is_what_train_takes(name: str) -> None:
    """Some parameters are asked for beside certain others only: all of them, over many points."""
    found, study, space = objective(name), optuna.create_study(), {}
    for _ in range(50):
        trial = study.ask()
        hp = parameters(found.suggest(trial))
        assert trial.params.items() <= hp.items(), "what is trained is what Optuna was told"
        assert 1 <= len(trial.params) <= 16
        space |= trial.distributions
    assert set(space) == set(hp)
    points = [*map(parameters, found.points.values()), *found.tried_first()]
    assert found.tried_first() and points
    for point in points:
        assert set(point) == set(space)
        for parameter, distribution in space.items():
            assert distribution._contains(distribution.to_internal_repr(point[parameter])), (parameter, point)
        again = parameters(found.suggest(optuna.trial.FixedTrial(point)))
        assert again == point, "what is not asked for is what the point says"
    for parameter, value in found.without_source.items():
        assert space[parameter]._contains(space[parameter].to_internal_repr(value))


def test_first_is_picked_by_name() -> None:
    found = objective("resnet_cifar10")
    assert found.tried_first() == found.tried_first(["MODERN"])
    assert found.tried_first(["NOTEBOOK"]) == [found.points["NOTEBOOK"]]
    with pytest.raises(
        SearchError, match=r"no point is called 'modern': there are MODERN, NOTEBOOK\. Give a point, or a"
    ):
        found.tried_first(["modern"])
    with pytest.raises(SearchError, match="this objective names none"):
        objective("cnn_digits").tried_first(["NOTEBOOK"])


@pytest.mark.parametrize("name", NAMES)
def test_sizes_can_be_run_as_they_are_declared(name: str) -> None:
    found = objective(name)
    assert set(found.sizes) == {"quick", "full"} | ({"hour"} if "cifar" in name else set())
    for size in found.sizes.values():
        assert rungs_before_the_end(size) == ((3, 9, 27) if size.epochs > 27 else (2,) if size.epochs > 3 else (1,))
        assert size.budget > len(found.first)
        assert size.images_per_second
    assert found.metric == "val_accuracy"
    json.dumps(
        {**found.shown.references, **found.without_source, "first": found.tried_first(), "points": dict(found.points)}
    )


def test_those_with_a_source_try_from_scratch_at_equal_budget() -> None:
    for name in ("cnn_cifar100", "resnet_cifar100"):
        found = objective(name)
        assert found.source == name.replace("100", "10")
        assert [first["init"] for first in found.tried_first()] == ["source", "scratch"]
        assert found.without_source == {"init": "scratch"}


def _tiny(name: str) -> Objective:
    size = Size(budget=1, epochs=2, train_images=200, validation_images=100, width=4, batch=32)
    return dataclasses.replace(objective(name), sizes={"quick": size})


def test_plain_optuna(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH_DATA_DIR", str(write_cifar100(tmp_path, train=500, test=100)))
    for name in ("cnn_digits", "cnn_cifar100"):
        study = optuna.create_study(direction="maximize")
        study.enqueue_trial({"init": "source"} if "100" in name else {})  # there is no source: it is told so
        study.optimize(_tiny(name), n_trials=1)
        (trial,) = study.trials
        assert trial.state == optuna.trial.TrialState.COMPLETE
        assert list(trial.intermediate_values) == [1, 2]
        assert study.best_value == max(trial.intermediate_values.values())
        said = dict(trial.user_attrs)
        assert said.pop("search:network").keys() == {"parameters", "flops"}
        assert said == ({"search:without_source": {"init": "scratch"}} if "100" in name else {})


def test_plain_optuna_with_a_size_of_one_s_own() -> None:
    study = optuna.create_study(direction="maximize")
    study.optimize(lambda trial: light.OBJECTIVE.under_optuna(trial, Size(budget=1, epochs=7)), n_trials=1)
    assert list(study.trials[0].intermediate_values) == [1, 2, 3, 4, 5, 6, 7]


def test_without_a_source(tmp_path: Path) -> None:
    found = _tiny("cnn_cifar100")
    lent = Context(tmp_path / "trial", write_cifar100(tmp_path / "data", train=500, test=100), found.sizes["quick"])
    module = importlib.import_module("objectives.cnn_cifar100")
    with pytest.raises(Unusable, match="init is 'source', but this study has none"):
        found.train(module.TRANSFER, lent)
    found.train(module.SCRATCH, lent)
    training = json.loads((lent.workdir / "model" / "training.json").read_text())
    assert (training["transferred"], training["data"], training["architecture"]["builder"]) == (
        False,
        "cifar100",
        "cnn",
    )
    assert list(lent.reports) == [1, 2]
