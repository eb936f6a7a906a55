"""What happens around the epochs of ``fit``, in one Keras callback: rate, order, report, checkpoint, and every stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import keras

from objectives.training.early_stopping import Best
from objectives.training.schedule import LearningRate
from search.contract import TrialContext


class Ordered(Protocol):
    """Batches whose order is a function of (seed, epoch); the epoch is told."""

    epoch: int

    @property
    def num_batches(self) -> int: ...


class Epochs(keras.callbacks.Callback):  # type: ignore[misc]
    """Runs a trial's epochs under its context: rate, order, best, checkpoint, report, stop.

    ``fit`` is never left by an exception, which would skip Keras's own clean-up: where the trial must end,
    ``stop_training`` is set and ``outcome`` says why. An epoch that did not finish leaves no trace.
    """

    def __init__(
        self,
        context: TrialContext,
        batches: Ordered,
        learning_rate: LearningRate,
        save: Callable[[Path, int], None],
        *,
        best: Best | None,
        batch: int,
        epochs: int,
    ) -> None:
        super().__init__()
        self.context, self.batches, self.learning_rate, self.best = context, batches, learning_rate, best
        self.save, self.batch, self.epochs = save, batch, epochs
        self.history: dict[str, list[float]] = {}
        self.seconds = 0.0
        self.outcome: str | None = None
        """None, ``diverged``, ``pruned`` (report said stop), ``stopped`` (asked between batches) or ``collapsed``."""
        self.complaint = ""
        self._clock = _Clock()

    @property
    def unfinished(self) -> bool:
        return self.outcome in ("diverged", "stopped")

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:  # noqa: ARG002
        self.batches.epoch = epoch
        self._clock = _Clock()

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, float] | None = None) -> None:  # noqa: ARG002
        self.learning_rate.before_update()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        self.learning_rate.after_update()
        self._clock.batch()
        if not math.isfinite((logs or {})["loss"]):
            self._diverged("loss", logs or {}, len(self.history.get("loss", ())) + 1, batch)
        elif self._clock.batches < self.batches.num_batches and self.context.stopping():
            # After the last batch only the validation is left: that epoch is finished.
            self._end("stopped")

    def on_test_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:  # noqa: ARG002
        if self.unfinished:
            self.model.stop_evaluating = True

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        if self.unfinished:
            return
        step = epoch + 1
        if self._clock.batches != self.batches.num_batches:
            raise RuntimeError(f"epoch {step} had {self._clock.batches} of {self.batches.num_batches} batches")
        values = {**dict(logs or {}), **self.learning_rate.rates()}
        values["images_per_second"] = self._clock.rate(self.batch)
        values["training_seconds"] = self._clock.batches * self.batch / values["images_per_second"]
        for name in ("loss", "val_loss"):
            if not math.isfinite(values.get(name, 0.0)):
                self._diverged(name, values, step, None)
                return
        self._finish(step, values)

    def _finish(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.history.setdefault(name, []).append(float(value))
        self.seconds += self._clock.seconds()
        self.learning_rate.plateau.epoch(values.get("val_loss", values["loss"]))
        if self.best is not None:
            self.best.finished(step, values["val_accuracy"])
        checkpoint = self.context.workdir / f"checkpoint-{step}.npz"
        self.save(checkpoint, step)
        print(_line(step, self.epochs, values, self._clock.seconds()), flush=True)
        if not self.context.report(step, values, checkpoint):
            self._end("pruned")
        elif self.best is not None and self.best.exhausted and step < self.epochs:
            self._end("collapsed")
            print(f"stopped: no better epoch since epoch {self.best.epoch}", flush=True)

    def _diverged(self, name: str, logs: Mapping[str, float], step: int, batch: int | None) -> None:
        where = f"epoch {step}" if batch is None else f"batch {batch + 1} of epoch {step}"
        self.complaint = f"{name} is {logs[name]} after {where}"
        self._end("diverged")

    def _end(self, outcome: str) -> None:
        self.outcome = outcome
        self.model.stop_training = True


class _Clock:
    """An epoch's seconds and its rate. The first batch traces the graph and is left out of the rate."""

    def __init__(self) -> None:
        self.begun = self.first = self.last = time.monotonic()
        self.batches = 0

    def batch(self) -> None:
        self.last = time.monotonic()
        self.batches += 1
        if self.batches == 1:
            self.first = self.last

    def seconds(self) -> float:
        return time.monotonic() - self.begun

    def rate(self, batch: int) -> float:
        """Training images a second."""
        if self.batches > 1:
            return batch * (self.batches - 1) / max(self.last - self.first, 1e-9)
        return batch * self.batches / max(self.last - self.begun, 1e-9)


def _line(step: int, epochs: int, values: Mapping[str, float], seconds: float) -> str:
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    shown = "  ".join(f"{name} {values[name]:.4f}" for name in names if name in values)
    return f"epoch {step}/{epochs}  {shown}  {values['images_per_second']:.0f} images/s  {seconds:.1f} s"
