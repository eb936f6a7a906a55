"""What lies in a trial's ``model`` folder: the service keeps it, evaluation and transfer read it.

``keep`` writes it when the training ends; evaluation adds the classification report, the summary and the pictures.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from objectives.data import Dataset
from search.contract import SearchError

MODEL = "model.keras"
TRAINING = "training.json"
"""How the model came to be: data, architecture, recipe, seeds."""
HYPERPARAMETERS = "hyperparameters.json"
HISTORY = "history.json"
"""What was reported, a list each."""
PREDICTIONS = "predictions.npz"
"""What the training process predicted for a few images."""
CLASSIFICATION_REPORT = "classification_report.csv"
SUMMARY = "model_summary.txt"

PRIVATE = (PREDICTIONS, HISTORY)
"""Read by evaluation alone, so not exported."""
ATTACHED = (CLASSIFICATION_REPORT,)
"""Shown on the dashboard too, beside the pictures."""
USAGE = """\
import keras
model = keras.models.load_model("{model}")
probabilities = model.predict(images)  # uint8 images of 0 to 255, (n, height, width, channels)"""

PROBES = 48
"""So many training images' predictions are kept, to compare a reloaded model with the one that was trained."""
TOLERANCE = 1e-2
"""Of a probability, absolute: a model may be trained on a GPU, whose convolutions keep 10 bits, and loaded without one.
On one machine the difference is about 1e-6."""

Indices = npt.NDArray[np.int64]


def keep(
    folder: Path,
    model: keras.Model,
    dataset: Dataset,
    *,
    history: Mapping[str, list[float]],
    hyperparameters: Mapping[str, Any],
    training: Mapping[str, Any],
) -> None:
    """Writes ``model.keras``, ``predictions.npz``, ``history.json``, ``hyperparameters.json`` and ``training.json``.

    ``model`` takes raw uint8 images; ``dataset`` is the train part, of which ``predictions.npz`` holds some images and
    what this process predicts for them. ``training`` is how the model came to be; versions are added.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / ".model.keras"
    model.save(temporary)
    temporary.replace(folder / MODEL)
    indices = np.unique(np.linspace(0, len(dataset) - 1, PROBES, dtype=np.int64))
    record_predictions(folder, model, dataset, indices)
    _write_json(folder / HISTORY, history)
    _write_json(folder / HYPERPARAMETERS, hyperparameters)
    _write_json(folder / TRAINING, {**training, "versions": _versions()})


def read_training(folder: Path) -> dict[str, Any]:
    """``training.json`` of a folder that ``keep`` wrote."""
    path = folder / TRAINING
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SearchError(f"{path} cannot be read ({error}): give the folder of a trained model") from error
    return found


def record_predictions(folder: Path, model: keras.Model, dataset: Dataset, indices: Indices) -> None:
    """Write what ``model`` says, in the process that trained it, of a few images: ``folder / "predictions.npz"``.

    Holds ``indices`` (n,), the uint8 ``images`` themselves (n, h, w, c), so that the check needs no data set, and
    float32 ``probabilities`` (n, classes).
    """
    images = dataset.images[indices]
    # Called, not by predict: for one batch, building a graph takes ten times as long.
    probabilities = keras.ops.convert_to_numpy(model(images, training=False))
    part = folder / f".{PREDICTIONS}"
    with part.open("wb") as file:
        np.savez(file, indices=indices, images=images, probabilities=probabilities)
    part.replace(folder / PREDICTIONS)


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


def _versions() -> dict[str, str]:
    names = ("keras", keras.backend.backend(), "numpy", "scikit-learn")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in names}


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")
