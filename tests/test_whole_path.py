"""The main job on tiny CIFAR files: search, refit, test, export; then the same on CIFAR-100 from its model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cifar_files import write_cifar10, write_cifar100
from tests.commands import search

SHORT = ("--trials", "2", "--epochs", "2", "--train-size", "200")
LOOKS = {"study", "trial", "metric", "validation", "test", "model", "data", "environment", "test_openings"}
SCORES = {
    "accuracy",
    "accuracy_ci95",
    "top5_accuracy",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "nll",
    "ece",
    "per_class",
    "confusion_matrix",
}
FILES = {
    "model.keras",
    "report.json",
    "report.md",
    "classification_report.csv",
    "hyperparameters.json",
    "model_summary.txt",
    "confusion_matrix.png",
    "learning_curve.png",
}


def report(folder: Path, study: str) -> dict[str, Any]:
    return json.loads((folder / "exports" / study / "report.json").read_text())


@pytest.mark.timeout(1200)
def test_search_refit_export_and_transfer(tmp_path: Path) -> None:
    import keras

    data = str(write_cifar100(write_cifar10(tmp_path / "data")))
    ran = search(tmp_path, "run", "cnn_cifar10", *SHORT, "--data-dir", data)
    assert ran.status == 0, ran.err
    assert "test accuracy of the refit" in ran.out
    assert "look no. 1" in ran.out

    folder, found = tmp_path / "exports" / "cnn_cifar10", report(tmp_path, "cnn_cifar10")
    assert {path.name for path in folder.iterdir()} >= FILES
    assert found.keys() >= LOOKS
    assert found["test"].keys() >= SCORES
    assert found["exported"] == "refit"
    assert found["test_openings"] == 1
    assert found["test"]["n"] == 100
    assert found["validation"]["n"] == 100
    one_way = found["validation"]["without_flip_averaging"]
    assert one_way["accuracy"] == pytest.approx(found["value"], abs=1e-6)
    assert 0 < found["cost"]["training_share"] < 1 and found["cost"]["memory"] > found["cost"]["worker_memory"] > 0
    assert found["model"]["sha256"] == hashlib.sha256((folder / "model.keras").read_bytes()).hexdigest()
    model = keras.models.load_model(folder / "model.keras")
    assert model.predict(np.zeros((2, 32, 32, 3), np.uint8), verbose=0).shape == (2, 10)

    # A second export takes no second look, and says and shows the same.
    again = search(tmp_path, "export", "cnn_cifar10", "--test", "--data-dir", data)
    assert again.status == 0, again.err
    assert report(tmp_path, "cnn_cifar10")["test_openings"] == 1
    assert report(tmp_path, "cnn_cifar10")["test"] == found["test"]
    assert {path.name for path in folder.iterdir()} >= FILES

    # What the definition says is held: another training set is another study.
    other = search(tmp_path, "run", "cnn_cifar10", "--epochs", "5", "--data-dir", data)
    assert other.status == 1
    assert "EPOCHS=2" in other.err and "EPOCHS=5" in other.err

    ran = search(tmp_path, "run", "cnn_cifar100", *SHORT, "--data-dir", data)
    assert ran.status == 0, ran.err
    transferred = report(tmp_path, "cnn_cifar100")
    assert transferred["source"]["study"] == "cnn_cifar10"
    assert transferred["source"]["refit"] is True
    assert transferred["chosen"]["control"]["params"]["init"] == "scratch"
    assert transferred["test"]["superclass"].keys() >= {"accuracy_of_predicted_class"}
    assert transferred["test"]["top_classes"].keys() >= {"support", "predicted", "conditional_on_true_class"}
    text = (tmp_path / "exports" / "cnn_cifar100" / "report.md").read_text()
    assert "the control" in text and "conditional_on_true_class" in text
