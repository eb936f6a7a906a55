"""What a kept model is worth: loaded with Keras alone, checked, scored, and described in files beside it."""

from __future__ import annotations

import csv
import hashlib
import json
import os
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
from objectives.training.metrics_by_class import MEANS, SCORES
from objectives.training.model_folder import predict
from search.contract import SearchError, Split

BATCH = 500
_WIDTH = 160
"""Columns of a summary: no row of ours is wider."""

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
    _write_report(folder / model_folder.CLASSIFICATION_REPORT, result)
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


def _write_report(path: Path, found: Mapping[str, Any]) -> None:
    """As scikit-learn's classification report: a class a line, then accuracy and means."""
    rows = [(row["name"], *(row[score] for score in SCORES), row["support"]) for row in found["per_class"]]
    means = [(f"{mean} avg", *(found[f"{mean}_{score}"] for score in SCORES), found["n"]) for mean in MEANS]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("class", "precision", "recall", "f1-score", "support"))
        for name, *values, support in [*rows, ("accuracy", None, None, found["accuracy"], found["n"]), *means]:
            writer.writerow((name, *("" if value is None else f"{value:.4f}" for value in values), support))


def _write_summary(path: Path, model: keras.Model) -> None:
    lines: list[str] = []
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(_WIDTH)  # else Keras cuts its table off behind 80 columns
    try:
        model.summary(line_length=_WIDTH, expand_nested=True, show_trainable=True, print_fn=lines.append)
    finally:
        del os.environ["COLUMNS"]
        os.environ.update({} if before is None else {"COLUMNS": before})
    path.write_text("\n".join(lines) + "\n")
