"""Everything a report says about predictions, as plain JSON: no NaN, no NumPy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.floating[Any]]

BINS = 15
TOP = 20


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
    matrix = _confusion(y_true, predicted, len(class_names))
    correct = int(np.trace(matrix))
    per_class = _per_class(matrix, class_names)
    result: dict[str, Any] = {
        "n": len(y_true),
        "accuracy": correct / len(y_true),
        "accuracy_ci95": wilson(correct, len(y_true)),
        "top5_accuracy": top_k_accuracy(y_true, probabilities, 5),
        **_averages(per_class),
        **_probabilistic(y_true, probabilities),
        "never_predicted": sum(row["predicted"] == 0 for row in per_class),
        "per_class": per_class,
        "confusion_matrix": matrix.tolist(),
    }
    if len(class_names) > TOP:
        result["top_classes"] = top_classes(y_true, predicted, class_names)
    if superclass_of is not None and coarse_names is not None:
        result["superclass"] = superclass(y_true, probabilities, superclass_of, coarse_names)
    return result


def wilson(successes: int, n: int, z: float = 1.959963984540054) -> list[float]:
    """[low, high] of Wilson's 95 % interval of a proportion."""
    p, spread = successes / n, z * z / n
    middle = (p + spread / 2) / (1 + spread)
    half = z * math.sqrt(p * (1 - p) / n + spread / (4 * n)) / (1 + spread)
    return [max(0.0, middle - half), min(1.0, middle + half)]


def top_k_accuracy(y_true: Labels, probabilities: Probabilities, k: int) -> float:
    """The share of images whose class is among the ``k`` most probable; ties by class index."""
    ranked = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float((ranked == y_true[:, None]).any(axis=1).mean())


def calibration_error(y_true: Labels, probabilities: Probabilities, bins: int = BINS) -> float:
    """Expected calibration error: equal-width bins of the highest probability (Guo et al., arXiv 1706.04599)."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == y_true
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(bin_of, weights=confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(y_true))


def superclass(
    y_true: Labels, probabilities: Probabilities, superclass_of: Sequence[int], coarse_names: Sequence[str]
) -> dict[str, Any]:
    """Superclass scores from fine predictions: of the predicted class, and of the summed probabilities.

    ``errors_inside`` is the share of wrong fine predictions whose superclass is right.
    """
    mapping = np.asarray(superclass_of, dtype=np.int64)
    predicted, coarse = probabilities.argmax(axis=1), mapping[y_true]
    by_class = mapping[predicted]
    by_sum = (probabilities @ np.eye(len(coarse_names))[mapping]).argmax(axis=1)
    wrong = predicted != y_true
    return {
        "accuracy_of_predicted_class": float((by_class == coarse).mean()),
        "accuracy_of_summed_probabilities": float((by_sum == coarse).mean()),
        "errors_inside": float((by_class == coarse)[wrong].mean()) if wrong.any() else 0.0,
        "confusion_matrix": _confusion(coarse, by_class, len(coarse_names)).tolist(),
        "names": list(coarse_names),
    }


def top_classes(y_true: Labels, predicted: Labels, class_names: Sequence[str]) -> dict[str, Any]:
    """The 20 most common classes, by support and by predictions, scored on all images; and the notebooks' table.

    Ties go by class index: where all classes are equally common, support ranks nothing, and ``balanced`` says so.
    ``conditional_on_true_class`` keeps only the images of the 20 classes whose first image comes first among the most
    common, before it scores: the others' false positives vanish, so its precision and F1 are too high.
    """
    matrix = _confusion(y_true, predicted, len(class_names))
    support, guesses = matrix.sum(axis=1), matrix.sum(axis=0)
    first_seen = np.full(len(class_names), len(y_true))
    np.minimum.at(first_seen, y_true, np.arange(len(y_true)))
    met = np.lexsort((first_seen, -support))[:TOP]
    kept = np.isin(y_true, met)
    rows = _per_class(matrix, class_names)
    filtered = _per_class(_confusion(y_true[kept], predicted[kept], len(class_names)), class_names)
    return {
        "balanced": bool((support == support[0]).all()),
        "ties_broken_by": "class_index",
        "support": _table([rows[i] for i in np.argsort(-support, kind="stable")[:TOP]]),
        "predicted": _table([rows[i] for i in np.argsort(-guesses, kind="stable")[:TOP]]),
        "conditional_on_true_class": _table([filtered[i] for i in met]),
    }


def _table(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"classes": rows, **_averages(rows)}


def _confusion(y_true: Labels, predicted: Labels, classes: int) -> Labels:
    """Counts (true, predicted)."""
    return np.bincount(y_true * classes + predicted, minlength=classes**2).reshape(classes, classes)


def _per_class(matrix: Labels, class_names: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for i, name in enumerate(class_names):
        hits, support, predicted = int(matrix[i, i]), int(matrix[i].sum()), int(matrix[:, i].sum())
        rows.append(
            {
                "name": name,
                "precision": hits / predicted if predicted else 0.0,
                "recall": hits / support if support else 0.0,
                "f1": 2 * hits / (support + predicted) if support + predicted else 0.0,
                "support": support,
                "predicted": predicted,
            }
        )
    return rows


def _averages(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Macro and weighted means. Balanced accuracy leaves out classes that do not occur, as scikit-learn's does."""
    support = np.array([row["support"] for row in rows], dtype=float)
    result = {}
    for score in ("precision", "recall", "f1"):
        values = np.array([row[score] for row in rows])
        result[f"macro_{score}"] = float(values.mean())
        result[f"weighted_{score}"] = float((values * support).sum() / max(support.sum(), 1.0))
    recalls = [row["recall"] for row in rows if row["support"]]
    return {**result, "balanced_accuracy": sum(recalls) / max(len(recalls), 1)}


def _probabilistic(y_true: Labels, probabilities: Probabilities) -> dict[str, float]:
    of_truth = probabilities[np.arange(len(y_true)), y_true]
    brier = (probabilities**2).sum(axis=1) - 2 * of_truth + 1
    return {
        "nll": float(-np.log(np.maximum(of_truth, np.finfo(np.float32).tiny)).mean()),
        "brier": float(brier.mean()),
        "ece": calibration_error(y_true, probabilities),
        "mean_confidence": float(probabilities.max(axis=1).mean()),
    }
