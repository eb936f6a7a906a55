"""Scores class by class: of all, of the most common, of superclasses; and the tables in which a report shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from search.contract import Number, Table

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.floating[Any]]

TOP = 20

COLUMNS = {"name": "class"} | {name: name for name in ("precision", "recall", "f1", "support", "predicted")}


def _top_table(way: str, title: str) -> Table:
    scores = {"macro_precision": "Macro precision", "macro_recall": "recall", "macro_f1": "f1"}
    return Table(
        title=f"`{way}`: {title}",
        numbers=[Number(key=f"top_classes.{way}.{key}", title=score) for key, score in scores.items()],
        rows=f"top_classes.{way}.classes",
        columns=COLUMNS,
    )


TABLES = (
    Table(
        title="Superclasses",
        numbers=(
            Number(
                key="superclass.accuracy_of_predicted_class",
                title="accuracy of the predicted class's superclass",
                unit="%",
            ),
            Number(
                key="superclass.accuracy_of_summed_probabilities",
                title="of the superclass with the highest summed probability",
                unit="%",
            ),
            Number(
                key="superclass.errors_inside",
                title="wrong predictions that stay in the right superclass",
                unit="%",
            ),
        ),
    ),
    Table(
        title=f"The {TOP} most common classes, three ways",
        text="All classes are equally common here, so that support ranks nothing and ties decide.",
        when="top_classes.balanced",
        tables=(
            _top_table("support", "by support, ties by class index, scored on all images"),
            _top_table("predicted", "by how often the model predicts them, scored on all images"),
            _top_table(
                "conditional_on_true_class",
                "the notebooks' table: only images of these classes kept before scoring, so that the others' false "
                "positives vanish and precision and F1 are too high",
            ),
        ),
    ),
    Table(title="Classes", rows="per_class", columns=COLUMNS),
)
"""Where the metrics hold nothing of one, it is not shown."""


def confusion(y_true: Labels, predicted: Labels, classes: int) -> Labels:
    """Counts (true, predicted)."""
    return np.bincount(y_true * classes + predicted, minlength=classes**2).reshape(classes, classes)


def per_class(matrix: Labels, class_names: Sequence[str]) -> list[dict[str, Any]]:
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


def averages(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Macro and weighted means. Balanced accuracy leaves out classes that do not occur, as scikit-learn's does."""
    support = np.array([row["support"] for row in rows], dtype=float)
    result = {}
    for score in ("precision", "recall", "f1"):
        values = np.array([row[score] for row in rows])
        result[f"macro_{score}"] = float(values.mean())
        result[f"weighted_{score}"] = float((values * support).sum() / max(support.sum(), 1.0))
    recalls = [row["recall"] for row in rows if row["support"]]
    return {**result, "balanced_accuracy": sum(recalls) / max(len(recalls), 1)}


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
        "confusion_matrix": confusion(coarse, by_class, len(coarse_names)).tolist(),
        "names": list(coarse_names),
    }


def top_classes(y_true: Labels, predicted: Labels, class_names: Sequence[str]) -> dict[str, Any]:
    """The 20 most common classes, by support and by predictions, scored on all images; and the notebooks' table.

    Ties go by class index: where all classes are equally common, support ranks nothing, and ``balanced`` says so.
    ``conditional_on_true_class`` keeps only the images of the 20 classes whose first image comes first among the most
    common, before it scores: the others' false positives vanish, so its precision and F1 are too high.
    """
    matrix = confusion(y_true, predicted, len(class_names))
    support, guesses = matrix.sum(axis=1), matrix.sum(axis=0)
    first_seen = np.full(len(class_names), len(y_true))
    np.minimum.at(first_seen, y_true, np.arange(len(y_true)))
    met = np.lexsort((first_seen, -support))[:TOP]
    kept = np.isin(y_true, met)
    rows = per_class(matrix, class_names)
    filtered = per_class(confusion(y_true[kept], predicted[kept], len(class_names)), class_names)
    return {
        "balanced": bool((support == support[0]).all()),
        "ties_broken_by": "class_index",
        "support": _table([rows[i] for i in np.argsort(-support, kind="stable")[:TOP]]),
        "predicted": _table([rows[i] for i in np.argsort(-guesses, kind="stable")[:TOP]]),
        "conditional_on_true_class": _table([filtered[i] for i in met]),
    }


def _table(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"classes": rows, **averages(rows)}
