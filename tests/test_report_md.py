"""The page: it says what was measured, as the objective declares it, and nothing that nobody declared."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from objectives.training.report import shown
from search.contract import Number, Shown, Table
from search.export.numbers import as_headline, headline, headline_title
from search.export.report_md import markdown
from search.report_declaration import shown_from_json

IMAGES = shown(references={"the notebook's CNN": 0.8421}, then="cnn_cifar100")
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
    "kind": "objective",
    "reported": None,
    "size": {"name": "quick", "epochs": 5, "refit_epochs": 8},
    "trial": 4,
    "metric": "val_accuracy",
    "value": 0.71234,
    "exported": "refit",
    "hyperparameters": {"learning_rate": 0.123456789, "architecture": "cnn", "units": 5},
    "validation": SCORES | {"accuracy": 0.7123, "n": 2000},
    "test": SCORES,
    "model": {"file": "model.keras", "sha256": "ab" * 32, "parameters": 362_026},
    "test_openings": 3,
    "test_openings_by_study": {"mine": 2, "night": 1},
    "chosen": {
        "first_is": "what one would train unsearched",
        "from": 10,
        "states": {"complete": 4, "pruned": 5, "fail": 1},
        "how": "the best",
        "first": [
            {"number": 0, "state": "complete", "value": 0.6},
            {"number": 1, "state": "fail", "value": None},
            None,
        ],
        "control": {"number": 1, "state": "complete", "value": 0.5},
        "of_another_file": {},
        "turned_down": 3,
        "sampler": "quadratic",
        "pruner": "asha",
    },
    "data": {"name": "cifar10", "train": 6000},
    "source": None,
    "references": {"the notebook's CNN": 0.8421},
    "seeds": {"study": 7},
    "cost": {
        "seconds": 100.4,
        "seconds_lost": 5.0,
        "epochs": 30,
        "epochs_repeated": 2,
        "interruptions": 1,
        "training_share": 0.874,
        "memory": 3 << 29,
        "worker_memory": None,
    },
    "training": {"train_images": 50_000, "parameters": 362_026},
    "environment": {
        "python": "3.11.7",
        "platform": "Linux",
        "cores": 2,
        "versions": {"keras": "3.15.0"},
        "revision": None,
    },
}


def test_a_page_with_a_test() -> None:
    page = markdown(REPORT, IMAGES, ["confusion_matrix.png", "model.keras"])
    assert page.startswith("# mine, trial 4: refit\n")
    assert "**Test accuracy 86.28 % (85.59 % to 86.94 %)**, 95 % interval, look no. 3 at the test set." in page
    assert "- the notebook's CNN: 84.21 %" in page
    assert "|  | validation | test |" in page and "| accuracy | 0.7123 | 0.8628 |" in page
    assert "| images | 2000 | 10000 |" in page
    assert "- turned down, as their networks were too large: 3 more\n" in page
    assert (
        "(trained on 6,000 images in 5 epochs); test is of the refit (on 50,000 images in 8 epochs), which has seen"
        in page
    )
    assert "macro recall" not in page, "not measured, so not shown"
    assert "| cat | 0.710 | 0.750 | 0.730 | 1000 | 1056 |" in page
    assert "- 10 trials (4 complete, 5 pruned, 1 fail); chosen: the best" in page
    assert "- first[0] (what one would train unsearched), trial 0: 0.6000 (complete)" in page
    assert "- first[1] (tried before the sampler), trial 1: fail" in page and "first[2]" not in page
    assert "(the control), trial 1: 0.5000 (complete)" in page
    assert (
        "| `learning_rate` | 0.123457 times 0.1 (sgd) or 0.001 (adamw), at a batch of 128 |" in page
        and "| `units` | 5 |" in page
    )
    assert "![Confusion matrix](confusion_matrix.png)" in page and "learning_curve.png" not in page
    assert f"- `model.keras`: SHA-256 `{'ab' * 32}`, 362026 parameters" in page
    assert "- sampler `quadratic`, pruner `asha`\n" in page
    assert "revision unknown" in page and "ran another version" not in page
    assert page.endswith("\n") and "None" not in page and "\n\n\n" not in page


def test_what_was_trained_without_a_search_says_how_long() -> None:
    page = markdown({**REPORT, "trial": None, "value": None, "validation": None}, IMAGES, [])
    assert "\n\nTest is of what was trained without a search (on 50,000 images in 8 epochs).\n\n" in page


def test_one_is_not_many() -> None:
    once = {**REPORT, "size": {**REPORT["size"], "refit_epochs": 1}, "trial": None, "value": None, "validation": None}
    assert "(on 50,000 images in 1 epoch).\n" in markdown(once, IMAGES, [])


def test_a_page_without_one_does_not_pretend() -> None:
    closed = {**REPORT, "test": None, "validation": None, "model": None, "training": None, "data": None}
    page = markdown(
        {**closed, "exported": "without a model", "test_openings": 0, "test_openings_by_study": {}}, IMAGES, []
    )
    assert "The test set was never opened for this study; no test figure is part of this export." in page
    assert "val_accuracy 0.7123 of trial 4. It is the best of several trials on the same images" in page
    assert "Test accuracy" not in page and "84.21" not in page and "## Scores" not in page
    assert "model.keras" not in page and "None" not in page
    assert "The test set was opened 3 time(s); no test figure" in markdown(closed, IMAGES, [])


SUPERCLASS = {"accuracy_of_predicted_class": 0.7, "accuracy_of_summed_probabilities": 0.71, "errors_inside": 0.25}
TOP = {"macro_precision": 0.5, "macro_recall": 0.25, "macro_f1": 0.3, "classes": SCORES["per_class"]}


@pytest.mark.parametrize("balanced", [True, False])
def test_tables_are_there_where_the_metrics_hold_them(balanced: bool) -> None:
    top = {"balanced": balanced, "support": TOP, "predicted": TOP, "conditional_on_true_class": TOP}
    page = markdown({**REPORT, "test": SCORES | {"superclass": SUPERCLASS, "top_classes": top}}, IMAGES, [])
    assert "## Superclasses\n\n- accuracy of the predicted class's superclass: 70.00 %\n- of the superclass" in page
    assert ("All classes are equally common here" in page) == balanced
    assert page.count("\n\nMacro precision 0.5000, recall 0.2500, f1 0.3000.\n\n| class | precision |") == 3
    titles = [line for line in page.splitlines() if line.startswith("#")]
    assert titles[4:7] == ["## Superclasses", "## The 20 most common classes, three ways", titles[6]]
    assert titles[6].startswith("### `support`: by support") and titles[9] == "## Classes"
    page = markdown(REPORT, IMAGES, [])
    assert "Superclasses" not in page and "most common" not in page and "## Classes" in page


def test_without_a_declaration_every_number_has_its_own_name() -> None:
    scores = {"error": 1.25, "passed": True, "rows": 300, "note": "fast", "by_hour": {"noon": 0.5}, "list": [1, 2]}
    validation = scores | {"error": 1.5, "only_here": 2.0}
    report = {**REPORT, "metric": "error", "validation": validation, "test": scores, "references": {"the mean": 2.5}}
    report |= {"training": {"train_images": 50_000}, "model": None}
    page = markdown(report, Shown(), ["confusion_matrix.png"])
    assert (
        "**Test error 1.2500**, look no. 3 at the test set.\n- looks by other studies: night 1\n- the mean: 2.5000"
        in page
    )
    rows = ("| error | 1.5000 | 1.2500 |", "| rows | 300 | 300 |", "| by_hour.noon | 0.5000 | 0.5000 |")
    assert "\n".join(rows) + "\n| only_here | 2.0000 |  |\n" in page
    assert "passed" not in page and "note" not in page and "list" not in page
    assert (headline_title(scores, Shown()), headline(scores, Shown())) == ("error", "1.2500")
    never = markdown({**report, "test": None}, Shown(), [])
    nothing = markdown({**report, "test": {"note": "fast"}, "validation": None, "references": {}}, Shown(), [])
    assert "**Test score not measured**" in nothing and "## Scores" not in nothing
    for text in (page, never, nothing):
        assert not any(word in text for word in ("image", "accuracy", "class", " %", "None", "keras\n"))


def test_a_headline_is_in_its_own_unit() -> None:
    seconds = Shown(numbers=[Number(key="time.mean", title="time", unit="s", interval="time.ci95")])
    found = {"time": {"mean": 12.5, "ci95": [12.0, 13.0]}}
    assert headline(found, seconds) == "12.5000 s (12.0000 s to 13.0000 s)"
    assert as_headline(0.8421, SCORES, IMAGES) == "84.21 %" and as_headline(9.0, found, seconds) == "9.0000 s"
    page = markdown({**REPORT, "test": found, "validation": None}, seconds, [])
    assert "**Test time 12.5000 s (12.0000 s to 13.0000 s)**, 95 % interval, look" in page
    assert "| time | 12.5000 s |" in page


def test_a_declaration_survives_json_and_what_another_version_stored() -> None:
    stored = json.loads(json.dumps(dataclasses.asdict(IMAGES)))
    assert json.loads(json.dumps(dataclasses.asdict(shown_from_json(stored)))) == stored
    again = shown_from_json(stored)
    assert again.numbers == IMAGES.numbers and again.pictures == IMAGES.pictures and again.then == "cnn_cifar100"
    assert again.tables[1].tables[0].numbers[0] == Number(
        key="top_classes.support.macro_precision", title="Macro precision"
    )
    assert markdown(REPORT, again, []) == markdown(REPORT, IMAGES, [])
    assert (
        shown_from_json(None)
        == shown_from_json({})
        == Shown(numbers=(), tables=(), pictures=(), attached=(), private=())
    )
    newer = {"colour": "red", "numbers": [{"key": "a", "title": "A", "colour": "red"}], "tables": [{"title": "T"}]}
    assert shown_from_json(newer) == Shown(numbers=(Number(key="a", title="A"),), tables=(Table(title="T"),))
