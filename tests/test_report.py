"""What an export says: only what was measured, the refit where there is one, and every look at the test set counted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from search import run
from search.contract import SearchError, Split
from search.export import export
from search.report import markdown
from search.studies import Joined, best_trial, find, reading_files_of
from tests import light
from tests.faults import new_study, storage_at
from tests.test_worker import work, worker_on

SCORES: dict[str, Any] = {
    "accuracy": 0.8628,
    "accuracy_ci95": [0.8559, 0.8694],
    "top5_accuracy": 0.99,
    "macro_f1": 0.8611,
    "nll": 0.41,
    "n": 10_000,
    "per_class": [
        {"name": "cat", "precision": 0.71, "recall": 0.75, "f1": 0.73, "support": 1000, "predicted": 1056},
    ],
}
REPORT: dict[str, Any] = {
    "study": "mine",
    "objective": "cnn_cifar10",
    "size": {"name": "quick", "epochs": 5, "refit_epochs": 8},
    "trial": 4,
    "metric": "val_accuracy",
    "value": 0.71234,
    "exported": "refit",
    "hyperparameters": {"learning_rate": 0.123456789, "architecture": "cnn", "units": 5},
    "validation": SCORES | {"accuracy": 0.7123, "n": 2000},
    "test": SCORES,
    "model": {"file": "model.keras", "sha256": "ab" * 32, "parameters": 362_026},
    "test_openings": 2,
    "chosen": {
        "from": 10,
        "states": {"complete": 4, "pruned": 5, "fail": 1},
        "how": "the best",
        "first": [
            {"number": 0, "state": "complete", "value": 0.6},
            {"number": 1, "state": "fail", "value": None},
            None,
        ],
        "control": {"number": 1, "state": "complete", "value": 0.5},
    },
    "data": {"name": "cifar10", "train": 6000},
    "source": None,
    "references": {"the notebook's CNN": 0.8421},
    "seeds": {"study": 7},
    "cost": {"seconds": 100.4, "epochs": 30, "epochs_repeated": 2, "seconds_lost": 5.0, "interruptions": 1},
    "training": {"train_images": 50_000, "parameters": 362_026},
    "environment": {
        "python": "3.11.7",
        "platform": "Linux",
        "cores": 2,
        "versions": {"keras": "3.15.0"},
        "revision": None,
    },
}


# -- the page ----------------------------------------------------------------------------------------------------------


def test_a_page_with_a_test(tmp_path: Path) -> None:
    page = markdown(REPORT, ["confusion_matrix.png", "model.keras"])
    assert page.startswith("# mine, trial 4: refit\n")
    assert "**Test accuracy 86.28 % (85.59 % to 86.94 %)**, 95 % interval, look no. 2 at the test set." in page
    assert "- the notebook's CNN: 84.21 %" in page
    assert "|  | validation | test |" in page and "| accuracy | 0.7123 | 0.8628 |" in page
    assert "| images | 2000 | 10000 |" in page
    assert "macro recall" not in page, "not measured, so not shown"
    assert "| cat | 0.710 | 0.750 | 0.730 | 1000 | 1056 |" in page
    assert "- 10 trials (4 complete, 5 pruned, 1 fail); chosen: the best" in page
    assert "- first[0] (what we would train unsearched), trial 0: 0.6000 (complete)" in page
    assert "- first[1] (tried before the sampler), trial 1: fail" in page and "first[2]" not in page
    assert "(the control), trial 1: 0.5000 (complete)" in page
    assert "| `learning_rate` | 0.123457 |" in page and "| `units` | 5 |" in page
    assert "![Confusion matrix](confusion_matrix.png)" in page and "learning_curve.png" not in page
    assert f"- `model.keras`: SHA-256 `{'ab' * 32}`, 362026 parameters" in page
    assert "revision unknown" in page
    assert page.endswith("\n") and "None" not in page and "\n\n\n" not in page


def test_a_page_without_one_does_not_pretend(tmp_path: Path) -> None:
    closed = {**REPORT, "test": None, "validation": None, "model": None, "training": None, "data": None}
    page = markdown({**closed, "exported": "without a model", "test_openings": 0}, [])
    assert "The test set was never opened; no test figure is part of this export." in page
    assert "val_accuracy 0.7123 of trial 4. It is the best of several trials" in page
    assert "Test accuracy" not in page and "84.21" not in page and "## Scores" not in page
    assert "model.keras" not in page and "None" not in page
    assert "The test set was opened 2 time(s) in this study; no test figure" in markdown(closed, [])


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


def exported(url: str, study: Joined, target: Path, evaluation: Evaluation, *, test: bool) -> dict[str, Any]:
    storage = storage_at(url)
    report = export(storage, study, reading_files_of(storage, study), target, evaluation, test=test)
    assert json.loads((target / "report.json").read_text()) == json.loads(json.dumps(report))
    assert (target / "report.md").read_text() == markdown(
        report, sorted(path.name for path in target.iterdir() if path.name not in {"report.md", "hyperparameters.json"})
    )
    assert list(target.parent.glob(f".{target.name}-*")) == []
    return report


def test_the_test_set_is_scored_once_per_model(storage_url: str, tmp_path: Path) -> None:
    study, target = new_study(storage_url, budget=3), tmp_path / "exports" / "mine"
    work(storage_url, study, tmp_path)
    best = best_trial(storage_at(storage_url), study)
    assert best is not None

    evaluation = Evaluation()
    before = exported(storage_url, study, target, evaluation, test=False)
    assert (before["exported"], before["test"], before["test_openings"]) == ("best trial", None, 0)
    assert before["validation"]["accuracy"] == best.value == before["value"]

    worker = worker_on(storage_url, study, tmp_path)
    again = run.refit(worker, study)
    worker.close()
    (refitted,) = storage_at(storage_url).get_all_trials(again.study_id)
    assert (refitted.state.name, refitted.params) == ("COMPLETE", best.params)
    curve = light.curve(best.params["x"], again.trial_seed(0), study.size.refit_epochs)
    assert refitted.user_attrs["epochs"]["score"] == curve and refitted.value == max(curve)

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
    without = export(storage, study, reading_files_of(storage, study), target, None, test=False, model=False)
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

    def refit() -> Joined:
        worker = worker_on(sqlite_url, study, tmp_path)
        again = run.refit(worker, study)
        worker.close()
        return again

    old = refit()
    assert refit() == old, "the same trial is not trained twice"
    plain = study.optuna_study(storage, 0)
    while (best_trial(storage, study) or plain.trials[0]).number == 0:
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
