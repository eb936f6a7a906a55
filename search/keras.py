"""For ``model.fit``: a callback by which a training goes on after a kill, is pruned, and keeps its best model.

The only module of the service that needs Keras. Nothing of the service imports it.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from search.contract import BadCheckpointError, SearchError
from search.trial_run import Run

MODEL = "model.keras"
_OURS = {"step", "value", "checkpoint"}
"""Arguments of ``report``, which a figure of the history cannot be called."""


class RunCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """``model.fit(…, epochs=30, initial_epoch=run.step, callbacks=[keep])``, then ``return keep.best``.

    Reports ``monitor`` and the rest of the logs after each epoch, with a checkpoint of all variables of model and
    optimizer and the best epoch's weights; restores them where the trial goes on. What other callbacks count, such as
    the patience of EarlyStopping, begins anew there. With ``keras.utils.set_random_seed(run.seed)`` before the model is
    built TensorFlow shuffles arrays alike in each epoch, so that on one thread the curve is bit for bit the same;
    without it the order of the data is in no checkpoint.

    When training ends by itself the model has its best epoch's weights, and is kept as ``model.keras`` in
    ``run.model``. SearchError where ``fit`` begins at another epoch than ``run.step``, or its logs have no ``monitor``;
    BadCheckpointError where the checkpoint is damaged or of another model: then the one before it is tried.
    """

    def __init__(self, run: Run, monitor: str) -> None:
        super().__init__()
        self.best = math.nan
        """The monitored value of the best epoch, by the study's direction; NaN before there is one."""
        self._run, self._monitor = run, monitor
        self._best_weights: Sequence[np.ndarray] = ()
        self._begun = self._cut = False

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002 - Keras's
        self._begun = self._cut = False
        if self._run.checkpoint is not None:
            self._restore(self._run.checkpoint)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        if not self._begun and epoch != self._run.step:
            raise SearchError(
                f"fit began at epoch {epoch}, and the run goes on behind epoch {self._run.step}. "
                "Give fit initial_epoch=run.step"
            )
        self._begun = True

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        if self._run.stopping():
            self.model.stop_training = self._cut = True

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._cut:  # what counts is the last whole epoch
            return
        figures = {name: float(value) for name, value in (logs or {}).items()}
        if self._monitor not in figures:
            raise SearchError(f"fit reports {', '.join(figures)}, and no {self._monitor}. Monitor one of them")
        value = figures[self._monitor]
        if math.isnan(self.best) or (value > self.best if self._run.maximize else value < self.best):
            self.best, self._best_weights = value, self.model.get_weights()
        checkpoint = self._run.file("checkpoint.npz")
        self._save(checkpoint)
        more = {name: one for name, one in figures.items() if name not in _OURS}
        if not self._run.report(epoch + 1, value, checkpoint, **more):
            self.model.stop_training = True

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        if self._run.ended is None and not math.isnan(self.best):
            self.model.set_weights(self._best_weights)
            self.model.save(self._run.model / MODEL)

    def _save(self, path: Path) -> None:
        parts = {"model": self.model.variables, "optimizer": self.model.optimizer.variables, "best": self._best_weights}
        arrays = {
            f"{name}/{number}": keras.ops.convert_to_numpy(one)
            for name, part in parts.items()
            for number, one in enumerate(part)
        }
        state = json.dumps({"best": self.best, "parts": {name: len(part) for name, part in parts.items()}})
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(file, state=np.array(state), **arrays)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)

    def _restore(self, path: Path) -> None:
        try:
            with np.load(path, allow_pickle=False) as file:
                state = json.loads(str(file["state"]))
                parts = {
                    name: [file[f"{name}/{number}"] for number in range(count)]
                    for name, count in state["parts"].items()
                }
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise BadCheckpointError(
                f"the checkpoint of step {self._run.step} cannot be read ({type(error).__name__}: {error})"
            ) from error
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        for name, variables in (("model", self.model.variables), ("optimizer", self.model.optimizer.variables)):
            there, found = [tuple(one.shape) for one in variables], [one.shape for one in parts[name]]
            if there != found:
                raise BadCheckpointError(
                    f"the checkpoint of step {self._run.step} is of another {name}: it has {len(found)} arrays, here "
                    f"are {len(there)} variables, or others. Build and compile it as in the trial's first run"
                )
            for variable, array in zip(variables, parts[name], strict=True):
                variable.assign(array)
        self.best, self._best_weights = state["best"], parts["best"]
