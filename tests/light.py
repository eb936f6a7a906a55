"""A light objective with everything that a trial can do, in microseconds: the fault tests run it instead of Keras.

Its curve is a pure function of (hyperparameters, seed, epoch) that is accumulated in the checkpoint, so that a resume
from anywhere but the last state shows in the values.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import BaseTrial

from search.contract import BadCheckpointError, Objective, Size, Split, TrialContext, Unusable, seed_for


@dataclass(frozen=True)
class Hyperparameters:
    x: float
    kind: str


def suggest(trial: BaseTrial) -> Hyperparameters:
    return Hyperparameters(x=trial.suggest_float("x", 0.0, 1.0), kind=trial.suggest_categorical("kind", ["a", "b"]))


def curve(x: float, seed: int, epochs: int) -> list[float]:
    total, values = 0.0, []
    for epoch in range(1, epochs + 1):
        total += (1 - abs(x - 0.6)) * (seed_for(seed, epoch) / 2**31)
        values.append(total / epoch)
    return values


def train(hp: Hyperparameters, context: TrialContext) -> float:
    pause = float(os.environ.get("LIGHT_PAUSE", "0"))
    state: dict[str, Any] = {"epoch": 0, "total": 0.0, "best": 0.0}
    if context.resume:
        if os.environ.get("LIGHT_MOOD") == "refuses":
            raise BadCheckpointError(f"the checkpoint {context.resume.name} is of another version")
        state = json.loads(context.resume.read_text())
    if mood := os.environ.get("LIGHT_MOOD"):
        _misbehave("raises" if mood == f"raises at {hp.x}" else mood)
    epochs = context.size.refit_epochs if context.refit else context.size.epochs
    for epoch in range(state["epoch"] + 1, epochs + 1):
        print(f"epoch {epoch}", flush=True)
        end = time.monotonic() + pause
        while time.monotonic() < end and not context.stopping():
            time.sleep(0.005)
        if context.stopping():
            return float(state["best"])
        total = state["total"] + (1 - abs(hp.x - 0.6)) * (seed_for(context.seed, epoch) / 2**31)
        state = {"epoch": epoch, "total": total, "best": max(state["best"], total / epoch)}
        path = context.workdir / f"state-{epoch}.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(state | {"padding": "x" * int(os.environ.get("LIGHT_BYTES", "0"))}))
        part.replace(path)
        if not context.report(epoch, {"score": total / epoch}, path):
            break
        if os.environ.get("LIGHT_MOOD") == "dies":
            os.kill(os.getpid(), 9)
        if os.environ.get("LIGHT_MOOD") == "sleeps":
            time.sleep(3600)
    model = context.workdir / "model"
    model.mkdir(exist_ok=True)
    (model / "model.json").write_text(json.dumps({"x": hp.x, **state}))
    return float(state["best"])


def _misbehave(mood: str) -> None:
    if mood == "raises":
        raise RuntimeError("the light objective was told to raise")
    if mood == "hangs":
        time.sleep(3600)
    if mood == "nan":
        raise Unusable("loss is not finite after epoch 1")
    if mood == "segfault":
        os.kill(os.getpid(), 11)
    if mood == "killed":
        os.kill(os.getpid(), 9)
    if mood == "memory":
        raise MemoryError("the light objective was told to have none")


def evaluate(folder: Path, data_dir: Path, split: Split) -> Mapping[str, Any]:
    state = json.loads((folder / "model.json").read_text())
    return {"accuracy": state["best"], "model": {"file": "model.json", "parameters": 1}}


OBJECTIVE = Objective(
    suggest=suggest,
    train=train,
    evaluate=evaluate,
    metric="score",
    sizes={
        "quick": Size(budget=6, epochs=4, rungs=(2,), refit_epochs=3),
        "full": Size(budget=20, epochs=9, rungs=(1, 3), refit_epochs=9),
    },
    points={"MIDDLE": {"x": 0.5, "kind": "a"}, "LOW": {"x": 0.1, "kind": "b"}},
    first=("MIDDLE", {"x": 0.9, "kind": "b"}),
)
