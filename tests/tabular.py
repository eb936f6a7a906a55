"""An Objective that is no image classifier: least squares on scikit-learn's diabetes, in microseconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import BaseTrial
from sklearn.datasets import load_diabetes

from search.contract import Number, Objective, Shown, Size, Split, TrialContext


@dataclass(frozen=True)
class Hyperparameters:
    rate: float


def suggest(trial: BaseTrial) -> Hyperparameters:
    return Hyperparameters(rate=trial.suggest_float("rate", 1e-3, 1e-1, log=True))


def rows(split: str) -> tuple[np.ndarray, np.ndarray]:
    x, y = load_diabetes(return_X_y=True)
    part = {"train": slice(0, 250), "validation": slice(250, 350), "test": slice(350, None), "all": slice(0, 350)}[
        split
    ]
    return x[part] * 20, y[part]


def train(hp: Hyperparameters, context: TrialContext) -> float:
    x, y = rows("all" if context.refit else "train")
    state = {"epoch": 0, "weights": [0.0] * x.shape[1], "bias": 0.0, "best": float("inf")}
    if context.resume:
        state = json.loads(context.resume.read_text())
    for epoch in range(state["epoch"] + 1, context.size.epochs + 1):
        weights, bias = np.array(state["weights"]), state["bias"]
        for _ in range(20):
            wrong = x @ weights + bias - y
            weights, bias = weights - hp.rate * x.T @ wrong / len(y), bias - hp.rate * wrong.mean()
        held_out_x, held_out_y = rows("validation")
        mae = float(np.abs(held_out_x @ weights + bias - held_out_y).mean())
        state = {"epoch": epoch, "weights": weights.tolist(), "bias": float(bias), "best": min(state["best"], mae)}
        path = context.workdir / f"state-{epoch}.json"
        path.write_text(json.dumps(state))
        if not context.report(epoch, {} if context.refit else {"val_mae": mae}, path):
            return float(state["best"])
    model = context.workdir / "model"
    model.mkdir(exist_ok=True)
    (model / "model.json").write_text(json.dumps(state))
    return mae if context.refit else float(state["best"])


def evaluate(folder: Path, data_dir: Path, split: Split) -> Mapping[str, Any]:
    state, (x, y) = json.loads((folder / "model.json").read_text()), rows(split)
    wrong = np.abs(x @ np.array(state["weights"]) + state["bias"] - y)
    half = 1.96 * float(wrong.std()) / len(y) ** 0.5
    mae = float(wrong.mean())
    return {"mae": mae, "mae_ci95": [mae - half, mae + half], "worst": float(wrong.max()), "note": "least squares"}


OBJECTIVE = Objective(
    suggest=suggest,
    train=train,
    evaluate=evaluate,
    metric="val_mae",
    direction="minimize",
    sizes={"quick": Size(budget=4, epochs=4, rungs=(2,), refit_epochs=4)},
    first=({"rate": 0.01},),
    shown=Shown(
        numbers=[
            Number(key="mae", title="mean absolute error", unit="points", interval="mae_ci95", better="down"),
            Number(key="r2", title="R²"),
        ],
        examples="patients",
        training_value="mean absolute error on the training patients",
    ),
)
