"""What a kept model is worth: loaded with Keras alone, checked, scored, and described in files beside it."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from objectives.data import Dataset
from objectives.training import figures
from objectives.training.metrics import metrics
from search.contract import SearchError

MODEL = "model.keras"
PREDICTIONS = "predictions.npz"
HISTORY = "history.json"
BATCH = 500
TOLERANCE = 1e-2
"""Of a probability, absolute: a model may be trained on a GPU, whose convolutions keep 10 bits, and loaded without one.
On one machine the difference is about 1e-6."""

Indices = npt.NDArray[np.int64]


def record_predictions(folder: Path, model: keras.Model, dataset: Dataset, indices: Indices) -> None:
    """Write what ``model`` says, in the process that trained it, of a few images: ``folder / "predictions.npz"``.

    Holds ``indices`` (n,), the uint8 ``images`` themselves (n, h, w, c), so that the check needs no data set, and
    float32 ``probabilities`` (n, classes).
    """
    images = dataset.images[indices]
    part = folder / f".{PREDICTIONS}"
    with part.open("wb") as file:
        np.savez(file, indices=indices, images=images, probabilities=predict(model, images))
    part.replace(folder / PREDICTIONS)


def evaluate_model(folder: Path, dataset: Dataset, indices: Indices | None = None) -> dict[str, Any]:
    """Metrics of ``folder / "model.keras"`` on ``dataset``, or on some ``indices`` of it, and ``model``'s identity.

    Adds classification_report.csv, confusion_matrix.png, learning_curve.png (where there is a history.json) and
    model_summary.txt to the folder. Raises RuntimeError where the loaded model does not predict what the training
    process recorded for the same images.
    """
    model = load_checked(folder)
    chosen = np.arange(len(dataset)) if indices is None else indices
    y_true = dataset.labels[chosen]
    probabilities = np.concatenate(
        [predict(model, dataset.images[chosen[i : i + BATCH]]) for i in range(0, len(chosen), BATCH)]
    )
    result = metrics(y_true, probabilities, dataset.class_names, dataset.superclass_of, dataset.coarse_names)
    _write_report(folder / "classification_report.csv", y_true, probabilities.argmax(axis=1), dataset.class_names)
    figures.confusion_matrix(result["confusion_matrix"], dataset.class_names, folder / "confusion_matrix.png")
    if (folder / HISTORY).is_file():
        figures.learning_curve(json.loads((folder / HISTORY).read_text()), folder / "learning_curve.png")
    _write_summary(folder / "model_summary.txt", model)
    content = (folder / MODEL).read_bytes()
    identity = {"file": MODEL, "sha256": hashlib.sha256(content).hexdigest(), "parameters": int(model.count_params())}
    return {**result, "data_sha256": dataset.checksum, "model": identity}


def load_checked(folder: Path) -> keras.Model:
    """The model of ``folder``, loaded with Keras alone in safe mode, after it has repeated its recorded predictions."""
    for name in (MODEL, PREDICTIONS):
        if not (folder / name).is_file():
            raise SearchError(f"{folder} holds no {name}: it is written when a trial's training ends")
    model = keras.models.load_model(folder / MODEL, compile=False)
    with np.load(folder / PREDICTIONS, allow_pickle=False) as recorded:
        images, expected = recorded["images"], recorded["probabilities"]
    found = predict(model, images)
    difference = float(np.abs(found - expected).max()) if found.shape == expected.shape else float("inf")
    if not difference <= TOLERANCE:
        raise RuntimeError(
            f"{folder / MODEL} does not predict what its training process predicted for the same {len(images)} images: "
            f"probabilities differ by {difference:.2g}, more than {TOLERANCE}"
        )
    return model


def predict(model: keras.Model, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Probabilities (n, classes) of one batch of images (n, h, w, c)."""
    return np.asarray(model.predict_on_batch(images), dtype=np.float32)


def _write_report(path: Path, y_true: Indices, predicted: Indices, class_names: tuple[str, ...]) -> None:
    """scikit-learn's classification report, a class a line, then accuracy and means."""
    from sklearn.metrics import classification_report  # noqa: PLC0415 - a second that training has no use for

    report = classification_report(
        y_true,
        predicted,
        labels=range(len(class_names)),
        target_names=class_names,
        output_dict=True,
        zero_division=0,
    )
    columns = ("precision", "recall", "f1-score", "support")
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("class", *columns))
        for name, scores in report.items():
            if name == "accuracy":
                writer.writerow((name, "", "", f"{scores:.4f}", len(y_true)))
            else:
                writer.writerow((name, *(f"{scores[c]:.4f}" for c in columns[:-1]), int(scores["support"])))


def _write_summary(path: Path, model: keras.Model) -> None:
    lines: list[str] = []
    model.summary(line_length=110, expand_nested=True, print_fn=lines.append)
    path.write_text("\n".join(lines) + "\n")
