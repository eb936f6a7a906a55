"""SAMPLER= and PRUNER=: Optuna's classes and one's own, typed or named in a file, stored by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest

from search.contract import SearchError
from search.database.engine import open_readonly
from search.rules.spec import spec_from_text, spec_in_words
from search.studies.study import Study, existing
from tests.commands import LIGHT, search
from tests.faults import new_study

PLAIN = "def objective(trial):\n    return trial.suggest_float('x', 0, 1)\n"
OWN = """
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler


class Always(BaseSampler):
    def __init__(self, value=0.5):
        self.value = value

    def infer_relative_search_space(self, study, trial):
        return {}

    def sample_relative(self, study, trial, space):
        return {}

    def sample_independent(self, study, trial, name, distribution):
        return self.value


class Never(BasePruner):
    def prune(self, study, trial):
        return trial.last_step == 2


class Neither:
    pass
"""


@pytest.mark.parametrize(
    ("text", "name", "keywords"),
    [
        ("TPESampler", "TPESampler", {}),
        (" CmaEsSampler(sigma0=.1, n_startup_trials=5) ", "CmaEsSampler", {"sigma0": 0.1, "n_startup_trials": 5}),
        ("my.package.Sampler(space={'x': [1, 2]})", "my.package.Sampler", {"space": {"x": [1, 2]}}),
        ("S(space=(1, 2))", "S", {"space": [1, 2]}),
    ],
)
def test_a_class_and_its_keywords(text: str, name: str, keywords: dict[str, Any]) -> None:
    spec = spec_from_text(text)
    assert spec == {"name": name, "keywords": keywords}
    assert spec_from_text(spec_in_words(spec, "")) == spec


@pytest.mark.parametrize(
    "text", ["", "TPESampler(", "TPESampler(5)", "f()()", "S(x=open('a'))", "S(**{})", "S(x={1})", "1", "a b"]
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(SearchError, match="names no sampler and no pruner: give a class"):
        spec_from_text(text)


def stored(url: str, name: str) -> Study:
    return existing(open_readonly(url), name)


def values(url: str, name: str) -> list[float | None]:
    return [trial.value for trial in optuna.load_study(study_name=name, storage=url).trials]


def test_optunas_by_name_is_stored_compared_and_reported(tmp_path: Path, sqlite_url: str) -> None:
    (tmp_path / "mine.py").write_text(PLAIN)
    go = ("run", "mine", "--objective", "mine.py", "--storage", sqlite_url)
    grid = "GridSampler(search_space={'x': [0.25, 0.75]})"
    ran = search(tmp_path, *go, "--sampler", grid, "--pruner", "NopPruner", "--trials", "5")
    assert (ran.status, ran.err) == (0, "") and values(sqlite_url, "mine") in ([0.25, 0.75], [0.75, 0.25])
    study = stored(sqlite_url, "mine")
    assert (study.sampler_in_words, study.pruner_in_words) == (grid, "NopPruner")
    report = (tmp_path / "exports" / "mine" / "report.md").read_text()
    assert f"- sampler `{grid}`, pruner `NopPruner`" in report
    assert search(tmp_path, *go).status == 0, "flags that are not given mean what is stored"
    assert search(tmp_path, *go, "--sampler", grid).status == 0
    refused = search(tmp_path, *go, "--sampler", "TPESampler")
    assert refused.status == 1 and f"created with SAMPLER={grid}, SAMPLER=TPESampler was given" in refused.err
    for flag, text, why in (
        ("--sampler", "TPESampla", "optuna.samplers has no 'TPESampla'. Give one of its classes, or your own"),
        ("--sampler", "TPESampler(what=1)", "cannot be made"),
        ("--pruner", "nowhere.Pruner", "nowhere.Pruner cannot be imported here"),
        ("--pruner", "Median Pruner", "PRUNER (--pruner) is no such class: 'Median Pruner' names no sampler"),
    ):
        refused = search(tmp_path, "run", "other", "--objective", "mine.py", "--storage", sqlite_url, flag, text)
        assert refused.status == 1 and why in refused.err and refused.err.count("\n") == 1, refused.err
    assert [one.study_name for one in optuna.get_all_study_summaries(sqlite_url)] == ["mine"]


def test_it_takes_the_place_of_an_objectives_own(tmp_path: Path, sqlite_url: str) -> None:
    go = ("run", "light", "--objective", LIGHT, "--storage", sqlite_url, "--no-refit")
    ran = search(tmp_path, *go, "--sampler", "RandomSampler", "--pruner", "ThresholdPruner(lower=2.0)")
    assert (ran.status, ran.err) == (0, "")
    states = [trial.state.name for trial in optuna.load_study(study_name="light", storage=sqlite_url).trials]
    assert states == ["COMPLETE"] * 2 + ["PRUNED"] * 4, "but for those of first"
    assert search(tmp_path, *go, "--trials", "7").status == 0
    assert stored(sqlite_url, "light").sampler_in_words == "RandomSampler"


def test_ones_own_class_is_imported_where_the_study_was_named(tmp_path: Path, sqlite_url: str) -> None:
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "mine.py").write_text(PLAIN)
    go = ("--objective", "mine.py", "--storage", sqlite_url, "--trials", "2")
    ran = search(tmp_path, "run", "mine", *go, "--sampler", "own.Always(value=0.125)", "--pruner", "own.Never")
    assert (ran.status, ran.err) == (0, "") and values(sqlite_url, "mine") == [0.125, 0.125]
    refused = search(tmp_path, "run", "other", *go, "--sampler", "own.Neither")
    assert refused.status == 1 and "own.Neither is no optuna.samplers.BaseSampler. Give another." in refused.err


def test_a_worker_imports_no_class_that_only_the_database_names(tmp_path: Path, sqlite_url: str) -> None:
    (tmp_path / "own.py").write_text(OWN)
    new_study(sqlite_url, objective="cnn_digits", changes={"sampler": {"name": "own.Always", "keywords": {}}})
    refused = search(tmp_path, "worker", "--storage", sqlite_url)
    assert refused.status == 1 and "the database says to run 'own.Always', which nobody named here" in refused.out


@pytest.mark.parametrize(
    "line",
    [
        'sampler = "own.Always"\npruner = "own.Never"',
        'from search.contract import Spec\nsampler = Spec("own.Always", {"value": 0.5})\npruner = "own.Never"',
    ],
)
def test_a_plain_functions_file_may_name_them(tmp_path: Path, sqlite_url: str, line: str) -> None:
    (tmp_path / "own.py").write_text(OWN)
    text = "import search\ndef objective(trial):\n    run = search.run(trial)\n    x = trial.suggest_float('x', 0, 1)\n"
    steps = "    for step in (1, 2, 3):\n        if not run.report(step, x):\n            break\n    return x\n"
    (tmp_path / "mine.py").write_text(f"{text}{steps}\n{line}\n")
    ran = search(tmp_path, "run", "mine", "--objective", "mine.py", "--storage", sqlite_url, "--trials", "2")
    assert ran.status == 1 and "no trial of 'mine' was completed" in ran.err
    trials = optuna.load_study(study_name="mine", storage=sqlite_url).trials
    assert [(one.state.name, one.params, one.last_step) for one in trials] == [("PRUNED", {"x": 0.5}, 2)] * 2
    assert stored(sqlite_url, "mine").definition["sampler"]["name"] == "own.Always"


def test_a_scripts_own_object_is_left_to_it(tmp_path: Path, sqlite_url: str) -> None:
    """As many a script has one, for its own ``study.optimize``."""
    (tmp_path / "mine.py").write_text(f"import optuna\nsampler = optuna.samplers.RandomSampler()\n{PLAIN}")
    ran = search(tmp_path, "run", "mine", "--objective", "mine.py", "--storage", sqlite_url, "--trials", "2")
    assert (ran.status, ran.err) == (0, "") and stored(sqlite_url, "mine").sampler_in_words == "TPESampler"


def test_where_it_cannot_be_imported_no_trial_is_begun(tmp_path: Path, sqlite_url: str) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        (folder / "mine.py").write_text(PLAIN)
    (one / "own.py").write_text(OWN)
    go = ("run", "mine", "--objective", "mine.py", "--storage", sqlite_url, "--trials")
    assert search(one, *go, "2", "--sampler", "own.Always").status == 0
    for _ in range(4):
        refused = search(other, *go, "3")
        assert refused.status == 1 and "own.Always cannot be imported here" in refused.err
    assert search(one, *go, "3").status == 0 and len(values(sqlite_url, "mine")) == 3
    assert search(other, "delete", "mine", "--storage", sqlite_url).status == 0, "nothing is imported for it"


@pytest.mark.parametrize("sampler", ["CmaEsSampler", "GPSampler(n_startup_trials=1)"])
def test_what_a_sampler_needs_is_said_before_a_study_is_made(tmp_path: Path, sqlite_url: str, sampler: str) -> None:
    """Optuna imports it with the first trial that is not random."""
    (tmp_path / "mine.py").write_text(PLAIN)
    refused = search(tmp_path, "run", "mine", "--objective", "mine.py", "--storage", sqlite_url, "--sampler", sampler)
    package = "cmaes" if "Cma" in sampler else "torch"
    assert refused.status == 1 and f"needs {package}, which is not installed here" in refused.err
    assert optuna.get_all_study_summaries(sqlite_url) == []
