"""TRIALS=0: what one would train without a search is trained, scored and exported, and can be searched from there."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from search.commands.options import Options
from tests.commands import LIGHT, changed, search
from tests.test_transfer import definition, heir

RUN = ("run", "plain", "--objective", LIGHT, "--trials", "0")


def report(folder: Path, study: str = "plain") -> dict[str, Any]:
    return dict(json.loads((folder / "exports" / study / "report.json").read_text()))


def test_the_first_point_is_trained_and_a_search_may_follow(tmp_path: Path) -> None:
    ran = search(tmp_path, *RUN)
    assert (ran.status, ran.err) == (0, "")
    assert "nothing was searched: this is what one would train unsearched" in ran.out
    assert "next: make search STUDY=plain TRIALS=6 (searches)" in ran.out
    found = report(tmp_path)
    assert (found["trial"], found["value"], found["exported"]) == (None, None, "refit")
    assert found["hyperparameters"] == {"x": 0.5, "kind": "a"}
    assert (found["chosen"]["from"], found["validation"], found["test_openings"]) == (0, None, 1)
    assert found["test"] and found["curves"]["search"] is None and found["curves"]["refit"]
    page = (tmp_path / "exports" / "plain" / "report.md").read_text()
    assert page.startswith("# plain, unsearched: refit\n")
    assert "0 trials (0 complete, 0 pruned, 0 fail); chosen: not at all" in page
    shown = search(tmp_path, "status", "plain").out
    assert "plain: unsearched" in shown and "none begun of 0" in shown and "plain.refit: finished" in shown
    assert search(tmp_path, *RUN).out.count("look no. 1") == 1, "the same model is not looked at twice"

    assert search(tmp_path, "export", "plain", "--no-model", "--to", "known").status == 0
    known = (tmp_path / "known" / "report.md").read_text()
    assert "no figure is part of this export, as nothing was searched" in known

    begun = search(tmp_path, "run", "plain", "--trials", "3", "--timeout", "1s", LIGHT_PAUSE="60")
    assert begun.status == 0 and "best: trial" not in begun.out
    assert report(tmp_path)["hyperparameters"] == {"x": 0.5, "kind": "a"}, "the model is there as before"
    more = search(tmp_path, "run", "plain", "--trials", "3")
    assert (more.status, more.err) == (0, "")
    best = report(tmp_path)
    assert best["trial"] is not None and best["chosen"]["from"] == 3
    same = best["hyperparameters"] == {"x": 0.5, "kind": "a"}
    assert (best["curves"]["refit"] == found["curves"]["refit"]) == same, "trained again only if something else won"
    assert best["test_openings"] == (1 if same else 2)
    refused = search(tmp_path, *RUN)
    assert refused.status == 1 and "a budget of 3 trials, which cannot be lowered to 0" in refused.err


def test_another_point_by_its_name_and_then_a_study_that_begins_from_it(tmp_path: Path) -> None:
    assert search(tmp_path, *RUN, "--first", "LOW").status == 0
    assert report(tmp_path)["hyperparameters"] == {"x": 0.1, "kind": "b"}
    ran = search(tmp_path, "run", "mine", "--objective", heir(tmp_path), "--source", "plain", "--trials", "0")
    assert (ran.status, ran.err) == (0, "")
    source = definition(tmp_path, "mine")["source"]
    assert (source["study"], source["trial"], source["refit"]) == ("plain", None, True)
    page = (tmp_path / "exports" / "mine" / "report.md").read_text()
    assert "- source of the weights: the unsearched training of plain (SHA-256 " in page


def test_what_has_no_time_left_is_gone_on_with(tmp_path: Path) -> None:
    stopped = search(tmp_path, *RUN, "--timeout", "1s", LIGHT_PAUSE="2")
    assert (stopped.status, stopped.err) == (0, "")
    assert "the time was up" in stopped.out and not (tmp_path / "exports").exists()
    refused = search(tmp_path, "export", "plain")
    assert refused.err == ("search: the training of 'plain' is not finished. Go on with it: make refit STUDY=plain\n")
    ended = search(tmp_path, "worker", "--trust")
    assert ended.status == 0 and "working on plain.refit" in ended.out
    assert search(tmp_path, "export", "plain", "--test").out.startswith("exported to exports/plain/")


def test_what_it_begins_from_is_not_searched_either() -> None:
    asked = Options(storage="", data_dir=Path(), trials=0, epochs=3)
    assert asked.for_source("x", begun=False).changes == {"budget": 0}
    assert asked.for_source("x", begun=True).changes == {}, "a search that was begun goes on as one"
    assert dataclasses.replace(asked, trials=5).for_source("x", begun=False).changes == {}


def test_parameters_are_those_that_were_trained_with(tmp_path: Path) -> None:
    """Not those that were fixed: one that is asked for under a condition may not be."""
    asked = 'x=trial.suggest_float("x", 0.0, 1.0)'
    condition = 'trial.suggest_categorical("kind", ["a", "b"]) == "b"'
    file = changed(tmp_path / "mine.py", {asked: f"{asked} if {condition} else 0.3"})
    assert search(tmp_path, "run", "mine", "--objective", file, "--trials", "0").status == 0
    assert report(tmp_path, "mine")["hyperparameters"] == {"kind": "a"}


def test_who_names_no_first_point_is_told(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def objective(trial):\n    return trial.suggest_float('x', 0, 1)\n")
    refused = search(tmp_path, "run", "mine", "--objective", str(file), "--trials", "0")
    assert refused.status == 1
    assert refused.err.startswith("search: TRIALS=0 trains what an objective would train unsearched, and ")
    assert not (tmp_path / "studies.db").exists() or "no studies yet" in search(tmp_path, "status").out
