"""Every score of a set of predictions, as plain JSON (no NaN, no NumPy), and the title under which a report shows it.

What is said class by class is computed in ``metrics_by_class.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from objectives.training import metrics_by_class
from objectives.training.metrics_by_class import Labels, Probabilities
from search.contract import Number

BINS = 15

WITHOUT_FLIP_AVERAGING = "without_flip_averaging"
"""Where the same network's scores stand, had it seen each image one way only."""

LATENCY = "milliseconds_an_image"
NUMBERS = (
    Number(key="accuracy", title="accuracy", unit="%", interval="accuracy_ci95"),
    Number(key=f"{WITHOUT_FLIP_AVERAGING}.accuracy", title="accuracy without flip averaging", unit="%"),
    Number(key="top5_accuracy", title="top-5 accuracy", unit="%"),
    Number(key="macro_precision", title="macro precision"),
    Number(key="macro_recall", title="macro recall"),
    Number(key="macro_f1", title="macro F1"),
    Number(key="weighted_precision", title="weighted precision"),
    Number(key="weighted_recall", title="weighted recall"),
    Number(key="weighted_f1", title="weighted F1"),
    Number(key="balanced_accuracy", title="balanced accuracy"),
    Number(key="nll", title="negative log-likelihood", better="down"),
    Number(key="brier", title="Brier score", better="down"),
    Number(key="ece", title="calibration error", better="down"),
    Number(key="mean_confidence", title="mean confidence"),
    Number(key="never_predicted", title="classes that are never predicted", better="down"),
    Number(key="n", title="images"),
    Number(key=LATENCY, title="latency of one image, where it was scored", unit="ms"),
)
"""Those of ``metrics`` that a report shows, the headline first."""
COMPARED = (
    *("accuracy", "accuracy_ci95", "top5_accuracy", "macro_precision", "macro_recall", "macro_f1", "nll", "ece"),
    "top_classes",
)
"""Those that are also given without flip averaging."""


def metrics(
    y_true: Labels,
    probabilities: Probabilities,
    class_names: Sequence[str],
    superclass_of: Sequence[int] | None = None,
    coarse_names: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Scores of ``probabilities`` (n, classes) against ``y_true`` (n,).

    ``superclass_of`` (classes,) and the superclasses' names add superclass scores.

    A class that is never predicted counts as precision 0. Where there are more than 20 classes, ``top_classes`` holds
    the 20 most common ones, three ways.
    """
    if len(y_true) == 0 or not np.isfinite(probabilities).all():
        raise ValueError("metrics need at least one image and finite probabilities")
    probabilities = np.asarray(probabilities, dtype=np.float64)
    predicted = probabilities.argmax(axis=1)
    correct = int((predicted == y_true).sum())
    by_class = metrics_by_class.scores(y_true, predicted, class_names)
    rows = by_class.pop("classes")
    result: dict[str, Any] = {
        "n": len(y_true),
        "accuracy": correct / len(y_true),
        "accuracy_ci95": wilson(correct, len(y_true)),
        **by_class,
        **_by_scikit_learn(y_true, probabilities, predicted),
        "ece": calibration_error(y_true, probabilities),
        "mean_confidence": float(probabilities.max(axis=1).mean()),
        "never_predicted": sum(row["predicted"] == 0 for row in rows),
        "per_class": rows,
        "confusion_matrix": metrics_by_class.confusion(y_true, predicted, len(class_names)).tolist(),
    }
    if len(class_names) > metrics_by_class.TOP:
        result["top_classes"] = metrics_by_class.top_classes(y_true, predicted, class_names)
    if superclass_of is not None and coarse_names is not None:
        result["superclass"] = metrics_by_class.superclass(y_true, probabilities, superclass_of, coarse_names)
    return result


def wilson(successes: int, n: int) -> list[float]:
    """[low, high] of Wilson's 95 % interval of a proportion."""
    from scipy.stats import binomtest  # noqa: PLC0415 - a second that training has no use for

    found = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    return [float(found.low), float(found.high)]


def calibration_error(y_true: Labels, probabilities: Probabilities, bins: int = BINS) -> float:
    """Expected calibration error: equal-width bins of the highest probability (Guo et al., arXiv 1706.04599)."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == y_true
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(bin_of, weights=confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(y_true))


def _by_scikit_learn(y_true: Labels, probabilities: Probabilities, predicted: Labels) -> dict[str, float]:
    from sklearn import metrics as of  # noqa: PLC0415

    labels = range(probabilities.shape[1])
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)  # to float64's last digit
    return {
        "balanced_accuracy": float(of.recall_score(y_true, predicted, labels=np.unique(y_true), average="macro")),
        "top5_accuracy": float(of.top_k_accuracy_score(y_true, probabilities, k=5, labels=labels)),
        "nll": float(of.log_loss(y_true, probabilities, labels=labels)),
        "brier": float(of.brier_score_loss(y_true, probabilities, labels=labels, scale_by_half=False)),
    }
