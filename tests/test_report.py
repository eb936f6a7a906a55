"""What an export says: only what was measured, the refit where there is one, and every look at the test set counted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from search.commands.refit import refit_winner
from search.contract import SearchError, Split
from search.export.export import export
from search.export.report_md import markdown
from search.studies.optuna_study import as_optuna
from search.studies.study import Study, find
from search.studies.study_files import reading_files_of
from search.studies.trials import best_trial, parameters
from search.studies.winner import winner_of
from tests import light
from tests.faults import new_study, storage_at
from tests.test_worker import work, worker_on

# -- the folder --------------------------------------------------------------------------------------------------------


class Evaluation:
    """The light objective's, which keeps what it was asked for; its first look at the test set may crash."""

    def __init__(self, crash: bool = False) -> None:
        self.asked: list[str] = []
        self._crash = crash

    def __call__(self, folder: Path, split: Split) -> Mapping[str, Any]:
        self.asked.append(split)
        if split == "test" and self._crash:
            self._crash = False
            raise SearchError("the evaluation died")
        (folder / f"{split}.csv").write_text("made by the evaluation")
        return light.evaluate(folder, folder, split)


def exported(url: str, study: Study, target: Path, evaluation: Evaluation, *, test: bool) -> dict[str, Any]:
    storage = storage_at(url)
    report = export(
        storage,
        winner_of(storage, study),
        reading_files_of(storage, study),
        target,
        evaluation,
        test=test,
    )
    assert json.loads((target / "report.json").read_text()) == json.loads(json.dumps(report))
    assert (target / "report.md").read_text() == markdown(
        report,
        study.shown,
        sorted(path.name for path in target.iterdir() if path.name not in {"report.md", "hyperparameters.json"}),
    )
    assert list(target.parent.glob(f".{target.name}-*")) == []
    return report


def refitted(url: str, study: Study, folder: Path) -> Study:
    """Its refit, done."""
    worker = worker_on(url, study, folder)
    again = refit_winner(worker, study)
    worker.close()
    return again


def test_the_test_set_is_scored_once_per_model(storage_url: str, tmp_path: Path) -> None:
    study, target = new_study(storage_url, budget=3), tmp_path / "exports" / "mine"
    work(storage_url, study, tmp_path)
    best = best_trial(storage_at(storage_url).engine, study)
    assert best is not None
    params = parameters(storage_at(storage_url).engine, best)

    evaluation = Evaluation()
    before = exported(storage_url, study, target, evaluation, test=False)
    assert (before["exported"], before["test"], before["test_openings"]) == ("best trial", None, 0)
    assert before["validation"]["accuracy"] == best.value == before["value"]

    again = refitted(storage_url, study, tmp_path)
    (trained,) = storage_at(storage_url).get_all_trials(again.study_id)
    assert (trained.state.name, trained.params) == ("COMPLETE", params)
    curve = light.curve(params["x"], again.trial_seed(0), study.size.refit_epochs)
    assert trained.user_attrs["search:epochs"]["score"] == curve and trained.value == max(curve)

    first = exported(storage_url, study, target, evaluation, test=True)
    assert (first["exported"], first["test"]["accuracy"], first["test_openings"]) == ("refit", max(curve), 1)
    assert first["validation"]["accuracy"] == best.value, "of the trial that was chosen; the refit has seen the images"
    assert (target / "test.csv").is_file() and not (target / "validation.csv").exists()
    for test in (True, False):
        later = exported(storage_url, study, target, evaluation, test=test)
        assert (later["test"], later["test_openings"]) == (first["test"], 1)
        assert (target / "test.csv").is_file()
    assert evaluation.asked.count("test") == 1
    storage = storage_at(storage_url)
    without = export(
        storage,
        winner_of(storage, study),
        reading_files_of(storage, study),
        target,
        None,
        test=False,
    )
    assert (without["exported"], without["test_openings"], without["model"]) == ("without a model", 1, None)
    with pytest.raises(SearchError, match=r"is a refit. Export its study: make export STUDY="):
        exported(storage_url, again, target, evaluation, test=False)


def test_a_look_that_crashed_was_a_look(storage_url: str, tmp_path: Path) -> None:
    study, target = new_study(storage_url, budget=1), tmp_path / "mine"
    work(storage_url, study, tmp_path)
    evaluation = Evaluation(crash=True)
    with pytest.raises(SearchError, match=r"the evaluation died"):
        exported(storage_url, study, target, evaluation, test=True)
    assert not target.exists() and list(tmp_path.glob(".mine-*")) == []
    assert exported(storage_url, study, target, evaluation, test=False)["test_openings"] == 1
    report = exported(storage_url, study, target, evaluation, test=True)
    assert (report["test_openings"], evaluation.asked.count("test")) == (2, 2)


def test_an_export_replaces_an_export_and_nothing_else(sqlite_url: str, tmp_path: Path) -> None:
    study, target = new_study(sqlite_url, budget=1), tmp_path / "mine"
    evaluation = Evaluation()
    with pytest.raises(SearchError, match=r"no trial of .* is complete yet. See how far: make status STUDY="):
        exported(sqlite_url, study, target, evaluation, test=False)
    work(sqlite_url, study, tmp_path)
    target.mkdir()
    (target / "thesis.tex").write_text("five years")
    with pytest.raises(SearchError, match=r"mine holds something else than an export. Give another folder: --to"):
        exported(sqlite_url, study, target, evaluation, test=False)
    assert (target / "thesis.tex").read_text() == "five years"
    (target / "thesis.tex").rename(tmp_path / "thesis.tex")
    exported(sqlite_url, study, target, evaluation, test=False)
    (target / "old.png").write_text("")
    exported(sqlite_url, study, target, evaluation, test=False)
    assert {path.name for path in target.iterdir()} == {
        "model.json", "validation.csv", "report.json", "report.md", "hyperparameters.json",
    }  # fmt: skip


def test_a_better_trial_is_refitted_anew(sqlite_url: str, tmp_path: Path) -> None:
    """A raised budget may bring a better trial: the refit of the old one makes way, and is not exported as its own."""
    study = new_study(sqlite_url, budget=1)
    work(sqlite_url, study, tmp_path)
    storage = storage_at(sqlite_url)

    def refit() -> Study:
        return refitted(sqlite_url, study, tmp_path)

    old = refit()
    assert refit() == old, "the same trial is not trained twice"
    plain = as_optuna(study, storage, 0)
    while (best_trial(storage.engine, study) or plain.trials[0]).number == 0:
        with storage.engine.begin() as connection:
            storage.leases.raise_budget(connection, study.key, len(storage.leases.rows(study.key)) + 1)
        work(sqlite_url, study, tmp_path)
    report = exported(sqlite_url, study, tmp_path / "mine", Evaluation(), test=True)
    assert report["exported"] == "best trial", "its own refit is not done yet"
    new = refit()
    assert (old.key != new.key, new.refit["trial"]) == (True, report["trial"])  # type: ignore[index]
    assert find(storage.engine, f"{study.name}.refit") == new
    report = exported(sqlite_url, study, tmp_path / "mine", Evaluation(), test=True)
    assert (report["exported"], report["test_openings"]) == ("refit", 2)
