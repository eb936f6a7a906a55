"""What a kept model is worth: loaded with Keras alone, checked, scored, and described in files beside it."""

from __future__ import annotations

import csv
import hashlib
import json
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from objectives.data import Dataset, cut, load
from objectives.models.deploy import without_flip_averaging
from objectives.training import model_folder, pictures
from objectives.training.metrics import COMPARED, LATENCY, WITHOUT_FLIP_AVERAGING, metrics
from objectives.training.model_folder import predict
from search.contract import SearchError, Split

BATCH = 500

Indices = npt.NDArray[np.int64]


def evaluate(folder: Path, data_dir: Path, split: Split) -> Mapping[str, Any]:
    """Metrics of the model in ``folder`` on the whole test part, or on the validation images that its trial had."""
    training = model_folder.read_training(folder)
    if split == "test":
        return evaluate_model(folder, load(training["data"], data_dir, "test"), None)
    if training["refit"]:
        raise SearchError(f"{folder} was trained on the validation images too: evaluate it on the test part")
    dataset = load(training["data"], data_dir, "train")
    size = training["size"]
    parts = cut(dataset.labels, train=size["train_images"], validation=size["validation_images"])
    if (dataset.checksum, parts.checksum) != (training["data_sha256"], training["split_sha256"]):
        raise SearchError(
            f"{data_dir} holds other {training['data']} data than {folder} was trained on: give that folder"
        )
    return evaluate_model(folder, dataset, parts.validation)


def evaluate_model(folder: Path, dataset: Dataset, indices: Indices | None = None) -> dict[str, Any]:
    """Metrics of ``folder / "model.keras"`` on ``dataset``, or on some ``indices`` of it, and ``model``'s identity.

    Adds classification_report.csv, confusion_matrix.png, learning_curve.png (where there is a history.json) and
    model_summary.txt to the folder. Raises RuntimeError where the loaded model does not predict what the training
    process recorded for the same images.
    """
    model = model_folder.load_checked(folder)
    chosen = np.arange(len(dataset)) if indices is None else indices
    y_true = dataset.labels[chosen]
    probabilities = _probabilities(model, dataset, chosen)
    result = metrics(y_true, probabilities, dataset.class_names, dataset.superclass_of, dataset.coarse_names)
    if (plain := without_flip_averaging(model)) is not None:
        scores = metrics(y_true, _probabilities(plain, dataset, chosen), dataset.class_names)
        result[WITHOUT_FLIP_AVERAGING] = {name: scores[name] for name in COMPARED if name in scores}
    _write_report(
        folder / model_folder.CLASSIFICATION_REPORT, y_true, probabilities.argmax(axis=1), dataset.class_names
    )
    pictures.confusion_matrix(result["confusion_matrix"], dataset.class_names, folder)
    history = folder / model_folder.HISTORY
    if history.is_file():
        pictures.learning_curve(json.loads(history.read_text()), folder)
    _write_summary(folder / model_folder.SUMMARY, model)
    result[LATENCY] = _latency(model, dataset.images[chosen[:1]])
    return {**result, "data_sha256": dataset.checksum, "model": _model(folder / model_folder.MODEL, model)}


def _probabilities(model: keras.Model, dataset: Dataset, chosen: Indices) -> npt.NDArray[np.float32]:
    parts = [predict(model, dataset.images[chosen[i : i + BATCH]]) for i in range(0, len(chosen), BATCH)]
    return np.concatenate(parts)


def _latency(model: keras.Model, image: npt.NDArray[np.uint8]) -> float:
    """Milliseconds that a single image (1, h, w, c) takes on this machine: the median of 20 after the first few."""
    took = []
    for _ in range(25):
        began = time.perf_counter()
        predict(model, image)
        took.append(time.perf_counter() - began)
    return 1000 * statistics.median(took[5:])


def _model(path: Path, model: keras.Model) -> dict[str, Any]:
    """Which file this is, for whoever holds another of the same name."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"file": path.name, "sha256": digest, "parameters": int(model.count_params())}


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
