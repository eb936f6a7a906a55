"""What a finished training leaves in its ``model`` folder: the service keeps it, evaluation and transfer read it."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from objectives.data import Dataset
from objectives.training.evaluate import HISTORY, MODEL, record_predictions
from search.contract import SearchError

PROBES = 48
"""So many training images' predictions are kept, to compare a reloaded model with the one that was trained."""


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
    write_json(folder / HISTORY, history)
    write_json(folder / "hyperparameters.json", hyperparameters)
    write_json(folder / "training.json", {**training, "versions": versions()})


def read_training(folder: Path) -> dict[str, Any]:
    """``training.json`` of a folder that ``keep`` wrote."""
    path = folder / "training.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SearchError(f"{path} cannot be read ({error}): give the folder of a trained model") from error
    return found


def versions() -> dict[str, str]:
    names = ("keras", keras.backend.backend(), "numpy", "scikit-learn")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in names}


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")
