"""Metrics, against scikit-learn and by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import (
    balanced_accuracy_score,
    brier_score_loss,
    classification_report,
    confusion_matrix,
    log_loss,
    top_k_accuracy_score,
)

from objectives.data.cifar100 import COARSE_NAMES, FINE_NAMES, SUPERCLASS
from objectives.training.metrics import calibration_error, metrics, wilson
from objectives.training.metrics_by_class import superclass, top_classes

NAMES = tuple(FINE_NAMES.split())
COARSE = tuple(COARSE_NAMES.split())


def _predictions(n: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    y_true = random.integers(0, classes, n)
    logits = random.normal(size=(n, classes)) + 2.0 * np.eye(classes)[y_true]
    logits[:, 0] = -20  # a class that is never predicted
    exponentials = np.exp(logits)
    return y_true, exponentials / exponentials.sum(axis=1, keepdims=True)


def test_metrics_are_scikit_learns() -> None:
    y_true, probabilities = _predictions(2_000, 100)
    found = metrics(y_true, probabilities, NAMES, SUPERCLASS, COARSE)
    predicted, labels = probabilities.argmax(axis=1), range(100)
    report = classification_report(
        y_true, predicted, labels=labels, target_names=NAMES, output_dict=True, zero_division=0
    )
    for mean in ("macro", "weighted"):
        for ours, theirs in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert found[f"{mean}_{ours}"] == pytest.approx(report[f"{mean} avg"][theirs])
    for row in found["per_class"]:
        assert row["f1"] == pytest.approx(report[row["name"]]["f1-score"])
        assert row["support"] == report[row["name"]]["support"]
    assert found["accuracy"] == pytest.approx(report["accuracy"])
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y_true, predicted))
    assert found["top5_accuracy"] == pytest.approx(top_k_accuracy_score(y_true, probabilities, k=5, labels=labels))
    assert found["nll"] == pytest.approx(log_loss(y_true, probabilities, labels=labels))
    assert found["brier"] == pytest.approx(brier_score_loss(y_true, probabilities, labels=labels, scale_by_half=False))
    assert found["confusion_matrix"] == confusion_matrix(y_true, predicted, labels=labels).tolist()
    assert found["never_predicted"] >= 1 and found["n"] == 2_000
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_metrics_of_few_images_and_certain_errors_are_still_numbers() -> None:
    certain = np.eye(10, dtype=np.float32)[[3, 4]]
    found = metrics(np.array([3, 5]), certain, tuple("abcdefghij"))
    assert found["accuracy"] == 0.5 and np.isfinite(found["nll"]) and "top_classes" not in found
    json.dumps(found, allow_nan=False)
    with pytest.raises(ValueError, match="finite"):
        metrics(np.array([0]), np.array([[np.nan, 1.0]]), ("a", "b"))


def test_wilsons_interval() -> None:
    low, high = wilson(7_800, 10_000)
    assert (high - low) / 2 == pytest.approx(0.0081, abs=5e-5)
    assert low < 0.78 < high
    assert wilson(0, 10) == pytest.approx([0.0, 0.2775], abs=1e-4)
    assert wilson(10, 10) == pytest.approx([0.7225, 1.0], abs=1e-4)
    assert wilson(8, 10) == pytest.approx([0.4902, 0.9433], abs=1e-4)


def test_calibration_error_by_hand() -> None:
    """Four images at .9 of which two are right, and two at .6, one right: |.9 - .5| * 4/6 + |.6 - .5| * 2/6."""
    probabilities = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 2)
    assert calibration_error(np.array([0, 0, 1, 1, 0, 1]), probabilities) == pytest.approx(0.3)
    assert calibration_error(np.array([0]), np.array([[1.0, 0.0]])) == 0.0


def test_top_classes_by_support_break_ties_by_class_index() -> None:
    y_true = np.random.default_rng(1).permutation(np.repeat(np.arange(30), 10))
    table = top_classes(y_true, y_true, NAMES[:30])
    assert table["balanced"] is True
    assert [row["name"] for row in table["support"]["classes"]] == list(NAMES[:20])
    uneven = np.concatenate([y_true, [29, 29, 7]])
    table = top_classes(uneven, uneven, NAMES[:30])
    assert table["balanced"] is False
    assert [row["name"] for row in table["support"]["classes"]][:3] == [NAMES[29], NAMES[7], NAMES[0]]


def test_only_the_notebooks_table_hides_false_positives() -> None:
    """20 classes met first, 2 images each, all right; 10 later classes, also 2, all taken for class 0."""
    y_true = np.concatenate([np.repeat(np.arange(29, 9, -1), 2), np.repeat(np.arange(10), 2)])
    predicted = np.where(y_true < 10, 29, y_true)
    table = top_classes(y_true, predicted, NAMES[:30])
    notebook = table["conditional_on_true_class"]
    assert [row["name"] for row in notebook["classes"]] == [NAMES[i] for i in range(29, 9, -1)]
    assert notebook["macro_precision"] == 1.0
    by_guesses = table["predicted"]["classes"][0]
    assert (by_guesses["name"], by_guesses["predicted"], by_guesses["precision"]) == (NAMES[29], 22, 2 / 22)
    by_support = {row["name"]: row for row in table["support"]["classes"]}
    assert by_support[NAMES[0]]["recall"] == 0.0 and by_support[NAMES[15]]["precision"] == 1.0


def test_superclass_scores_two_ways() -> None:
    """Classes 0 and 1 are one superclass, 2 the other: the sum of two weak guesses can be right."""
    probabilities = np.array([[0.3, 0.3, 0.4], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7]])
    found = superclass(np.array([0, 1, 2]), probabilities, (0, 0, 1), ("animal", "thing"))
    assert found["accuracy_of_predicted_class"] == pytest.approx(2 / 3)
    assert found["accuracy_of_summed_probabilities"] == 1.0
    assert found["errors_inside"] == 0.5
    assert found["confusion_matrix"] == [[1, 1], [0, 1]]
