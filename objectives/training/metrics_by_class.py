"""Scores class by class: of all, of the most common, of superclasses; and the tables in which a report shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from search.contract import Number, Table

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.floating[Any]]

TOP = 20
SCORES, MEANS = ("precision", "recall", "f1"), ("macro", "weighted")

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
    from sklearn.metrics import confusion_matrix  # noqa: PLC0415 - a second that training has no use for

    return confusion_matrix(y_true, predicted, labels=range(classes))  # type: ignore[no-any-return]


def scores(
    y_true: Labels, predicted: Labels, class_names: Sequence[str], among: Sequence[int] | None = None
) -> dict[str, Any]:
    """``classes``, a row a class, and their macro and weighted means; of all, or ``among`` these, in this order.

    A class that is never predicted counts as precision 0.
    """
    from sklearn.metrics import precision_recall_fscore_support  # noqa: PLC0415

    labels = list(range(len(class_names)) if among is None else among)
    columns = precision_recall_fscore_support(y_true, predicted, labels=labels, zero_division=0.0)
    guesses = np.bincount(predicted, minlength=len(class_names))
    rows = [
        {
            "name": class_names[label],
            **{name: float(column[i]) for name, column in zip(SCORES, columns, strict=False)},
            "support": int(columns[3][i]),
            "predicted": int(guesses[label]),
        }
        for i, label in enumerate(labels)
    ]
    means: dict[str, float] = {}
    for mean in MEANS:
        found = precision_recall_fscore_support(y_true, predicted, labels=labels, average=mean, zero_division=0.0)
        means |= {f"{mean}_{name}": float(value) for name, value in zip(SCORES, found, strict=False)}
    return {"classes": rows, **means}


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
    classes = len(class_names)
    support, guesses = np.bincount(y_true, minlength=classes), np.bincount(predicted, minlength=classes)
    first_seen = np.full(classes, len(y_true))
    np.minimum.at(first_seen, y_true, np.arange(len(y_true)))
    met = np.lexsort((first_seen, -support))[:TOP]
    kept = np.isin(y_true, met)
    by_support, by_guesses = (np.argsort(-counts, kind="stable")[:TOP].tolist() for counts in (support, guesses))
    return {
        "balanced": bool((support == support[0]).all()),
        "ties_broken_by": "class_index",
        "support": scores(y_true, predicted, class_names, by_support),
        "predicted": scores(y_true, predicted, class_names, by_guesses),
        "conditional_on_true_class": scores(y_true[kept], predicted[kept], class_names, met.tolist()),
    }
