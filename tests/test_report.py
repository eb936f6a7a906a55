"""What an export says: only what was measured, the refit where there is one, and every look at the test set counted."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa

from search.commands.refit import refit_winner
from search.contract import SearchError, Split
from search.database import looks
from search.database.looks import Look
from search.database.tables import LOOKS
from search.export.export import export
from search.export.looks_at_test import Opened
from search.export.report_md import markdown
from search.settings import LOOK
from search.studies.forget import forget_deleted
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

    def __init__(self, crash: bool = False, test: str | None = None) -> None:
        self.asked: list[str] = []
        self._test = test
        self._crash = crash

    def __call__(self, folder: Path, split: Split, opened: Opened) -> Mapping[str, Any]:
        self.asked.append(split)
        if split == "test":
            opened(self._test)
        if split == "test" and self._crash:
            self._crash = False
            raise SearchError("the evaluation died")
        (folder / "pictures" / "inner").mkdir(parents=True, exist_ok=True)
        (folder / "pictures" / "inner" / f"{split}.txt").write_text("a tree that the evaluation adds")
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


def refitted(url: str, study: Study, folder: Path, epochs: int | None = None) -> Study:
    """Its refit, done."""
    worker = worker_on(url, study, folder)
    again = refit_winner(worker, study, epochs)
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
    assert (before["exported"], before["test"], before["test_openings"]) == ("chosen trial", None, 0)
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
    tree = target / "pictures" / "inner"
    assert {path.name for path in tree.iterdir()} == {"test.txt"}
    for test in (True, False):
        later = exported(storage_url, study, target, evaluation, test=test)
        assert (later["test"], later["test_openings"]) == (first["test"], 1)
        assert (target / "test.csv").is_file() and (tree / "test.txt").is_file()
    assert evaluation.asked.count("test") == 1
    storage = storage_at(storage_url)
    without = export(
        storage,
        winner_of(storage, study),
        reading_files_of(storage, study),
        target,
        None,
        test=False,
        model=False,
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


def test_looks_are_counted_over_the_database_and_survive_their_study(storage_url: str, tmp_path: Path) -> None:
    one, other, alone = (new_study(storage_url, budget=1) for _ in range(3))
    for study in (one, other, alone):
        work(storage_url, study, tmp_path)
    data, elsewhere = "a" * 64, "b" * 64
    first = exported(storage_url, one, tmp_path / "one", Evaluation(test=data), test=True)
    assert (first["test_openings"], first["test_openings_by_study"]) == (1, {one.name: 1})
    for test in (True, False):
        second = exported(storage_url, other, tmp_path / "other", Evaluation(test=data), test=test)
        assert second["test_openings_by_study"] == {one.name: 1, other.name: 1}
    page = (tmp_path / "other" / "report.md").read_text()
    assert "look no. 2 at the test set" in page and f"- looks by other studies: {one.name} 1" in page
    assert exported(storage_url, alone, tmp_path / "alone", Evaluation(test=elsewhere), test=True)["test_openings"] == 1

    optuna.delete_study(study_name=one.name, storage=storage_at(storage_url))
    assert one.key in forget_deleted(storage_at(storage_url))
    later = exported(storage_url, other, tmp_path / "other", Evaluation(), test=False)
    assert (later["test_openings"], later["test"]) == (2, second["test"])


def test_two_exporters_at_once_take_one_look(storage_url: str, tmp_path: Path) -> None:
    study = new_study(storage_url, budget=1)
    work(storage_url, study, tmp_path)
    second = Evaluation()

    class First(Evaluation):
        """While it scores, another exporter comes."""

        def __call__(self, folder: Path, split: Split, opened: Opened) -> Mapping[str, Any]:
            metrics = super().__call__(folder, split, opened)
            if split == "test":
                said = rf"{socket.gethostname()} began to score this model of '{study.name}' on the test set \d+ s ago"
                with pytest.raises(SearchError, match=said) as refused:
                    exported(storage_url, study, tmp_path / "second", second, test=True)
                assert "\n" not in str(refused.value) and not (tmp_path / "second").exists()
            return metrics

    assert exported(storage_url, study, tmp_path / "first", First(), test=True)["test_openings"] == 1
    scored = json.loads((tmp_path / "first" / "report.json").read_text())["test"]
    later = exported(storage_url, study, tmp_path / "second", second, test=True)
    assert (later["test"], later["test_openings"]) == (scored, 1)


def test_one_that_comes_just_after_takes_no_second_look(storage_url: str, tmp_path: Path) -> None:
    """It found no scores, then those of another were there before its own look began."""
    study = new_study(storage_url, budget=1)
    work(storage_url, study, tmp_path)

    class Late(Evaluation):
        def __call__(self, folder: Path, split: Split, opened: Opened) -> Mapping[str, Any]:
            if split == "test":
                assert exported(storage_url, study, tmp_path / "other", Evaluation(), test=True)["test_openings"] == 1
            return super().__call__(folder, split, opened)

    with pytest.raises(SearchError, match=r"was scored on the test set meanwhile. Type the command again"):
        exported(storage_url, study, tmp_path / "mine", Late(), test=True)
    assert exported(storage_url, study, tmp_path / "mine", Evaluation(), test=True)["test_openings"] == 1


def test_a_look_whose_process_was_killed_counts_and_may_be_taken_again(storage_url: str, tmp_path: Path) -> None:
    study = new_study(storage_url, budget=1)
    work(storage_url, study, tmp_path)
    storage = storage_at(storage_url)
    record = winner_of(storage, study).searched
    assert record is not None
    look = Look(study.key, study.name, study.key, record.sha256, "elsewhere")
    assert isinstance(looks.begin(storage.engine, look, timeout=LOOK), str)
    with pytest.raises(SearchError, match=r"^elsewhere began to score this model "):
        exported(storage_url, study, tmp_path / "mine", Evaluation(), test=True)
    with storage.engine.begin() as connection:
        connection.execute(sa.update(LOOKS).values(taken=LOOKS.c.taken - LOOK - 1))
    assert exported(storage_url, study, tmp_path / "mine", Evaluation(), test=True)["test_openings"] == 2


def test_a_look_of_the_older_way_counts_and_its_scores_are_shown(storage_url: str, tmp_path: Path) -> None:
    study = new_study(storage_url, budget=1)
    work(storage_url, study, tmp_path)
    scored = exported(storage_url, study, tmp_path / "mine", Evaluation(), test=True)["test"]
    with storage_at(storage_url).engine.begin() as connection:
        connection.execute(sa.delete(LOOKS).where(LOOKS.c.study_key == study.key))
    later = exported(storage_url, study, tmp_path / "mine", Evaluation(), test=True)
    assert (later["test"], later["test_openings_by_study"]) == (scored, {study.name: 1})


def test_a_refit_of_more_epochs_than_usual_is_reported_as_that(sqlite_url: str, tmp_path: Path) -> None:
    study = new_study(sqlite_url, budget=1)
    work(sqlite_url, study, tmp_path)
    again = refitted(sqlite_url, study, tmp_path, 7)
    assert study.size.refit_epochs < 7 == again.epochs
    report = exported(sqlite_url, study, tmp_path / "mine", Evaluation(), test=True)
    assert report["size"]["refit_epochs"] == 7 == len(report["curves"]["refit"]["score"])
    assert refitted(sqlite_url, study, tmp_path, 9).epochs == 7, "one that is there stays"


def test_an_export_replaces_its_own_studys_alone(sqlite_url: str, tmp_path: Path) -> None:
    one, other, target = new_study(sqlite_url, budget=1), new_study(sqlite_url, budget=1), tmp_path / "mine"
    for study in (one, other):
        work(sqlite_url, study, tmp_path)
    target.mkdir()
    report = target / "report.json"
    copied = json.dumps({"study": one.name, "objective": "x", "test_openings": 0})
    for foreign in ("{}", '["study", "objective", "test_openings"]', "no json", copied):
        report.write_text(foreign)
        with pytest.raises(SearchError, match=r"mine holds something else than an export, .* Give another folder: "):
            exported(sqlite_url, one, target, Evaluation(), test=False)
        assert report.read_text() == foreign
    report.unlink()
    exported(sqlite_url, one, target, Evaluation(), test=False)
    other_names = rf"mine is an export of '{one.name}', not of '{other.name}'. Give another folder: TO=DIR"
    for _ in range(2):
        with pytest.raises(SearchError, match=other_names):
            exported(sqlite_url, other, target, Evaluation(), test=False)
        exported(sqlite_url, one, target, Evaluation(), test=False)

    (tmp_path / "link").symlink_to(target)
    (target / "old.png").write_text("")
    exported(sqlite_url, one, tmp_path / "link", Evaluation(), test=False)
    assert (tmp_path / "link").is_symlink() and not (target / "old.png").exists()

    # A study that had the same name and was deleted: its export may be all that is left of it.
    mark = target / ".search-export"
    key = str(uuid.uuid4())
    mark.write_text(json.dumps({"study": one.name, "key": key}))
    exported(sqlite_url, one, target, Evaluation(), test=False)
    assert json.loads(mark.read_text()) == {"study": one.name, "key": one.key}
    assert json.loads((tmp_path / f"mine.{key[:8]}" / ".search-export").read_text())["key"] == key


def test_an_export_replaces_an_export_and_nothing_else(sqlite_url: str, tmp_path: Path) -> None:
    study, target = new_study(sqlite_url, budget=1), tmp_path / "mine"
    evaluation = Evaluation()
    with pytest.raises(SearchError, match=r"no trial of .* is complete yet. See how far: make status STUDY="):
        exported(sqlite_url, study, target, evaluation, test=False)
    work(sqlite_url, study, tmp_path)
    target.mkdir()
    (target / "thesis.tex").write_text("five years")
    with pytest.raises(SearchError, match=r"mine holds something else than an export, .* Give another folder: "):
        exported(sqlite_url, study, target, evaluation, test=False)
    assert (target / "thesis.tex").read_text() == "five years"
    (target / "thesis.tex").rename(tmp_path / "thesis.tex")
    exported(sqlite_url, study, target, evaluation, test=False)
    (target / "old.png").write_text("")
    exported(sqlite_url, study, target, evaluation, test=False)
    assert {path.name for path in target.iterdir()} == {
        ".search-export", "pictures", "model.json", "validation.csv",
        "report.json", "report.md", "hyperparameters.json",
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
    assert report["exported"] == "chosen trial", "its own refit is not done yet"
    new = refit()
    assert (old.key != new.key, new.refit["trial"]) == (True, report["trial"])  # type: ignore[index]
    assert find(storage.engine, f"{study.name}.refit") == new
    report = exported(sqlite_url, study, tmp_path / "mine", Evaluation(), test=True)
    assert (report["exported"], report["test_openings"]) == ("refit", 2)
