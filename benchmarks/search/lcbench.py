"""LCBench: learning curves of multilayer perceptrons on 34 tables, by YAHPO Gym's surrogate (Apache-2.0).

The folder ``lcbench`` (model.onnx, encoding.json, config_space.json) lies where SEARCH_SURROGATES points. Seven
hyperparameters, 52 epochs; the curves are without noise. Zimmer, Lindauer, Hutter: Auto-PyTorch Tabular (2021);
Pfisterer et al.: YAHPO Gym (2022). The runtime of the surrogate's network, which nothing else needs, is put into a
folder of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import BaseTrial

from benchmarks.search.task import Array

ORDER = ("batch_size", "learning_rate", "momentum", "weight_decay", "num_layers", "max_units", "max_dropout")
"""In which the surrogate wants them, behind the epoch."""
SECONDS, ACCURACY = 0, 1
"""Columns of what it answers."""
EPOCHS = 52
RUNTIME = Path(".search") / "onnxruntime"


def make_runtime() -> None:
    """By pip as it is set up here; what it needs is there."""
    if not (RUNTIME / "made").exists():
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--upgrade", "--target", str(RUNTIME)]
        subprocess.run([*pip, "onnxruntime==1.32.0"], check=True)
        (RUNTIME / "made").touch()


class Surrogate:
    """The network that answers for all tasks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        space = json.loads((folder / "config_space.json").read_text())["hyperparameters"]
        self.space = {one["name"]: one for one in space}
        self.codes: dict[str, int] = json.loads((folder / "encoding.json").read_text())["OpenML_task_id"]

    @property
    def tasks(self) -> list[LCBench]:
        """All 34."""
        return [LCBench(self, name) for name in self.space["OpenML_task_id"]["choices"]]

    @cached_property
    def _session(self) -> Any:
        sys.path.append(str(RUNTIME))
        import onnxruntime  # noqa: PLC0415 - nothing else needs it

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(str(self._folder / "model.onnx"), options)

    def answer(self, code: int, inputs: Array) -> Array:
        """(n, 8), the epoch before ``ORDER`` -> (n, 6)."""
        tasks = np.full((len(inputs), 1), code, np.int32)
        found = self._session.run(None, {"x_cat": tasks, "x_cont": inputs.astype(np.float32)})
        return np.asarray(found[0], dtype=float)


class LCBench:
    """One task."""

    epochs, rungs = EPOCHS, (3, 9, 27)

    def __init__(self, surrogate: Surrogate, name: str) -> None:
        self.name = f"lcbench-{name}"
        self._surrogate, self._code = surrogate, surrogate.codes[name]
        self.first: Mapping[str, Any] = {each: surrogate.space[each]["default"] for each in ORDER}

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """The benchmark's own space."""
        found: dict[str, Any] = {}
        for name in ORDER:
            one = self._surrogate.space[name]
            suggest = trial.suggest_int if one["type"] == "uniform_int" else trial.suggest_float
            found[name] = suggest(name, one["lower"], one["upper"], log=bool(one["log"]))
        return found

    def curves(self, points: Sequence[Mapping[str, Any]]) -> tuple[Array, Array]:
        """As ``Curves``."""
        inputs = np.empty((len(points), EPOCHS, 1 + len(ORDER)))
        inputs[:, :, 0] = np.arange(1, EPOCHS + 1)
        inputs[:, :, 1:] = np.array([[point[name] for name in ORDER] for point in points])[:, None]
        found = self._surrogate.answer(self._code, inputs.reshape(-1, inputs.shape[-1]))
        found = found.reshape(len(points), EPOCHS, -1)
        return found[:, :, SECONDS], found[:, :, ACCURACY]
