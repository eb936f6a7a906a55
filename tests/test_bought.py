"""What a search bought: what is told from chance and what is not, who is trained again, what pruning may have cost."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from search.commands.main import main
from search.contract import Shown
from search.export import report_json
from search.export.bought_in_words import sentences
from search.rules import noise, pruning
from search.show.outcome import outcome
from search.studies import trials as of_a_study
from search.studies.trials import TrialRow
from tests.commands import Ended, changed, search
from tests.faults import new_study, storage_at


@pytest.mark.parametrize(("truth", "examples"), [(0.6, 2_000), (0.87, 5_000), (0.97, 280)])
def test_where_no_parameter_does_anything_a_search_hardly_ever_claims_to_have_bought_something(
    truth: float, examples: int
) -> None:
    rng, trials, searches = np.random.default_rng(0), 20, 4_000
    found = claimed = ties = 0
    for _ in range(searches):
        # By its seed a training is worth more or less, as by being scored on some thousand images more or less.
        of_a_seed = np.sqrt(truth * (1 - truth) / noise.SEEDS_AS_EXAMPLES)
        worth = truth + rng.normal(0, of_a_seed, trials)
        values = rng.binomial(examples, np.clip(worth, 0, 1)) / examples
        best, lead = int(values.argmax()), float(values.max() - values[0])
        spread = noise.deviation(float(values[[0, best]].mean()), examples)
        found += best != 0
        claimed += noise.interval(lead, spread, others=trials - 1)[0] > 0
        ties += noise.is_tie(lead, spread, others=trials - 1)
    assert found > 0.8 * searches
    assert claimed <= 0.025 * searches and ties >= 0.8 * searches


def test_what_is_there_is_found() -> None:
    spread = noise.deviation(0.6, 2_000)
    low, high = noise.interval(0.1, spread, others=19)
    assert 0.03 < low < 0.1 < high < 0.17
    assert noise.is_tie(0.01, spread) and not noise.is_tie(0.03, spread)
    assert noise.is_tie(0.03, spread, others=19), "the best of many looks better than it is"
    assert 0 < noise.deviation(1.0, 300) < 0.02, "all right among 300 does not mean that none can be wrong"


def test_few_or_equal_values_have_no_rank() -> None:
    assert noise.rank_correlation([1, 2, 3], [2, 4, 9]) == pytest.approx(1)
    assert noise.rank_correlation([1, 2], [2, 4]) is None
    assert noise.rank_correlation([1, 1, 1], [2, 4, 5]) is None


def test_one_trial_in_twenty_is_spared_and_none_of_a_small_study() -> None:
    spared = [lease for lease in range(4_000) if pruning.is_spared(7, lease, 4_000)]
    assert 150 < len(spared) < 250
    assert [lease for lease in range(20) if pruning.is_spared(7, lease, 10)] == []
    assert [lease for lease in range(4_000) if pruning.is_spared(7, lease, 10)] == [one for one in spared if one >= 20]
    assert spared != [lease for lease in range(4_000) if pruning.is_spared(8, lease, 4_000)]


LOW = ("--first", "LOW")
"""Which chance alone makes no winner."""


def objective(folder: Path, *, examples: int, more: str = "") -> str:
    """The light one: its score is a share of so many."""
    declared = f'metric="score", metric_is_share=True, data=lambda folder, size: {{"validation": {examples}}},'
    return changed(folder / f"share{examples}.py", {'metric="score",': declared + more})


def run(folder: Path, name: str, file: str, *flags: str) -> tuple[Ended, dict[str, Any]]:
    ended = search(folder, "run", name, "--objective", file, *flags)
    assert (ended.status, ended.err) == (0, "")
    report: dict[str, Any] = json.loads((folder / "exports" / name / "report.json").read_text())
    return ended, report


def test_a_tie_goes_to_what_one_would_train_unsearched(tmp_path: Path) -> None:
    ended, report = run(tmp_path, "tie", objective(tmp_path, examples=1), "--trials", "12", *LOW)
    bought = report["bought"]
    assert bought["best"] != 0 and bought["first"] == 0
    assert report["trial"] == 0 and report["hyperparameters"] == {"x": 0.1, "kind": "b"}
    assert "may well be no better, and such a tie goes to what was there first" in report["chosen"]["how"]
    assert bought["verdict"] == "level" and bought["interval"][0] <= 0 < bought["lead"]
    assert "the search bought nothing that is certain not to be chance: +" in ended.out
    assert (tmp_path / "exports" / "tie" / "model.json").exists()
    page = (tmp_path / "exports" / "tie" / "report.md").read_text()
    assert "## What the search bought" in page and "may well be as good as the best" in page
    shown = search(tmp_path, "status", "tie").out
    assert "; chosen: trial 0, as that may well be no better)\ntrial 0:\n  x = 0.1\n" in shown

    refused = search(tmp_path, "run", "tie", "--until", "2")
    said = "search: UNTIL=2 is no value of score, a share. Give one from 0 to 1, or UNTIL=none.\n"
    assert (refused.status, refused.err) == (1, said)


def test_what_is_no_tie_is_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(noise, "SEEDS_AS_EXAMPLES", 10**9)
    file = objective(tmp_path, examples=10**9)
    # What a rung leaves goes by the study's seed, which is random, and by who is first: both are settled here.
    monkeypatch.setattr("search.studies.create.secrets.randbelow", lambda _below: 7)
    assert main(["run", "clear", "--objective", file, "--trials", "12", "--children", "1", *LOW]) == 0
    report = json.loads(Path("exports/clear/report.json").read_text())
    bought = report["bought"]
    assert report["trial"] == bought["best"] != 0 and bought["within_noise"] == 0
    assert bought["verdict"] == "better" and bought["interval"][0] > 0
    out = capsys.readouterr().out
    assert "the search bought +" in out and "points over what one would train unsearched, trial 0" in out
    assert set(bought["rungs"]) == {"2"} and bought["rungs"]["2"]["trials"] >= 3
    assert f"epochs: {bought['epochs']['run']} run, " in out and "may well be as good as the best" in out

    monkeypatch.setattr(noise, "SEEDS_AS_EXAMPLES", 1)
    assert main(["export", "clear"]) == 0
    again = json.loads(Path("exports/clear/report.json").read_text())
    assert again["bought"]["verdict"] == "level", "as it is the more often, the more trials there are"
    assert (again["trial"], again["model"]) == (report["trial"], report["model"]), "what was trained again stays"
    assert again["trial"] == again["bought"]["best"] and "unsearched" not in again["chosen"]["how"]


@pytest.mark.parametrize(("again", "chosen"), [(0.79, 1), (0.5, 0)])
def test_what_was_trained_again_stays_only_where_it_is_in_the_tie_too(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, again: float, chosen: int
) -> None:
    study = new_study(sqlite_url)
    study = dataclasses.replace(
        study, definition={**study.definition, "metric_is_share": True, "data": {"validation": 100}, "first": [{}]}
    )
    values = [0.8, again, 0.81]
    rows = [TrialRow(number, number, "complete", value, True, number) for number, value in enumerate(values)]
    monkeypatch.setattr(of_a_study, "_trained_again", lambda *_: 1)
    found = of_a_study.chosen_trial(storage_at(sqlite_url).engine, study, rows)
    assert found is not None and found.number == chosen


def test_its_own_model_is_kept_though_others_are_better(tmp_path: Path) -> None:
    file = objective(tmp_path, examples=1)
    assert search(tmp_path, "run", "tie", "--objective", file, "--trials", "30", "--no-refit", *LOW).status == 0
    exported = search(tmp_path, "export", "tie")
    assert (exported.status, exported.err) == (0, "")
    report = json.loads((tmp_path / "exports" / "tie" / "report.json").read_text())
    assert (report["trial"], report["exported"]) == (0, "chosen trial") and report["bought"]["best"] != 0
    assert json.loads((tmp_path / "exports" / "tie" / "model.json").read_text())["x"] == 0.1


def test_spared_trials_say_what_pruning_may_have_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pruning, "SPARED_ONE_IN", 2)
    file = objective(tmp_path, examples=10**6)
    assert main(["run", "many", "--objective", file, "--trials", "40"]) == 0
    report = json.loads(Path("exports/many/report.json").read_text())
    spared = report["bought"]["spared"]
    assert spared["trials"] > 0 and spared["epochs"] == 2 * spared["trials"], "each ran on from epoch 2 to 4"
    assert spared["rate"] is None or spared["trials"] >= 20
    page = Path("exports/many/report.md").read_text()
    many = "1 trial" if spared["trials"] == 1 else f"{spared['trials']} trials"
    of_which = f"{many}, of which {spared['among_the_best']} ended among the best"
    assert f"- run to their end against the pruner, for {spared['epochs']} epochs: {of_which}" in page

    assert main(["run", "more", "--objective", file, "--trials", "60"]) == 0
    report = json.loads(Path("exports/more/report.json").read_text())
    of_all, more = report["bought"]["spared_of_all"], report["bought"]["spared"]
    assert of_all["trials"] == spared["trials"] + more["trials"] >= 20 and of_all["studies"] == 2
    assert of_all["rate"] == (spared["among_the_best"] + more["among_the_best"]) / of_all["trials"]
    page = Path("exports/more/report.md").read_text()
    assert "- run to their end against the pruner in 2 studies of this objective with trials as long: " in page


def test_without_a_first_or_without_noise_nothing_is_claimed() -> None:
    epochs = {"whole_trial": 4, "run": 6, "saved_by_pruning": 2}
    found = {"first": 0, "in_points": False, "lead": 0.5, "interval": None, "within_noise": None, "epochs": epochs}
    found |= {"spared": {"trials": 0}, "spared_of_all": {"studies": 0}, "validated_on": None}
    found |= {"first_is": "what one would train unsearched"}
    assert sentences({**found, "verdict": "no first"})[0].startswith("what the search bought is unknown")
    assert sentences({**found, "verdict": "unknown"}) == [
        "the search bought +0.5000 over what one would train unsearched, trial 0, in trials of 4 epochs; how much of "
        "it is chance is unknown",
        "epochs: 6 run, 2 saved by pruning",
        "what that may have cost is unknown: no trial was run to its end against the pruner",
    ]
    assert "nothing better" in sentences({**found, "verdict": "first"})[0]


@pytest.mark.parametrize(("lease", "to"), [(0, "there first"), (5, "trained again")])
def test_a_report_says_to_what_a_tie_went(monkeypatch: pytest.MonkeyPatch, lease: int, to: str) -> None:
    monkeypatch.setattr(report_json, "best_trial", lambda *_: SimpleNamespace(number=9, value=0.91))
    study = SimpleNamespace(definition={"metric": "score"}, first_in_words="what one would train unsearched")
    winner: Any = SimpleNamespace(study=study, trial=SimpleNamespace(number=lease, lease=lease))
    how = report_json._how(SimpleNamespace(), winner)  # type: ignore[arg-type]
    assert how.endswith(
        f"the best score, 0.9100 of trial 9, may well be no better, and such a tie goes to what was {to}"
    )
    assert how.startswith("what one would train unsearched") == (lease == 0)


@pytest.mark.parametrize(("size", "more"), [("quick", ""), ("hour", " SIZE=hour")])
def test_what_to_type_next_goes_on_with_networks_of_the_same_width(size: str, more: str) -> None:
    shown = Shown(then="resnet_cifar100")
    study: Any = SimpleNamespace(name="night", objective="resnet_cifar10", size_name=size, shown=shown, epochs=2)
    study.first_in_words = "what one would train unsearched"
    report = {"trial": None, "test": None, "validation": None, "references": {}, "model": None}
    lines = outcome(
        report,
        study,
        {"budget": 4, "left": 0, "unused": 0, "ended": None, "goes_on_with": "TRIALS=8"},
        Path("exports/night"),
    )
    assert lines[-2:] == [
        f"next: make search STUDY=resnet_cifar100 SOURCE=night{more} (starts from this model)",
        "or: make search STUDY=night TRIALS=8 (goes on searching)",
    ]


def test_what_json_and_four_decimals_cannot_say(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "def objective(trial):\n"
        "    x = trial.suggest_float('x', 0, 1)\n"
        "    return float('-inf') if trial.number == 1 else 3e-7 + x * 1e-9\n"
    )
    ended, report = run(tmp_path, "tiny", "mine.py", "--trials", "1")
    assert re.search(r"best: trial 0, value 3(\.\d+)?e-07\n", ended.out)
    ended, report = run(tmp_path, "tiny", "mine.py", "--trials", "2", "--direction", "minimize")
    assert "best: trial 1, value -inf\n" in ended.out and report["value"] is None
    assert "best: value infinite (trial 1)" in search(tmp_path, "status", "tiny").out
    page = (tmp_path / "exports" / "tiny" / "report.md").read_text()
    assert "## What the search bought" not in page, "of a plain function there is nothing to say"
