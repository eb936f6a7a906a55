"""Trains a network by a recipe under a trial's context, from its beginning or from a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from objectives.training import checkpoint
from objectives.training.backend import as_dataset
from objectives.training.early_stopping import Best, patience_epochs
from objectives.training.epochs import Epochs
from objectives.training.recipe import Recipe, compile_model
from search.contract import TrialContext, Unusable


@dataclass(frozen=True)
class Fitted:
    """What a training came to. The network has the weights of ``epoch``."""

    value: float
    """Best validation accuracy; without validation the last training accuracy. NaN where no epoch was finished."""
    epoch: int
    """The epoch (from 1) of that value; 0 where none was finished."""
    history: dict[str, list[float]]
    """A list for each value reported, one entry an epoch, those before a resume included."""
    seconds: float
    """Spent in finished epochs, on whichever machines."""
    outcome: str | None
    """See ``Epochs.outcome``: ``pruned`` and ``stopped`` mean that nobody waits for this model."""


def fit(
    model: keras.Model,
    network: keras.Model,
    recipe: Recipe,
    train: Any,
    validation: Any | None,
    *,
    context: TrialContext,
    batch: int,
    epochs: int,
    at_first: keras.Model | None = None,
) -> Fitted:
    """Trains ``model``, the ``network`` with normalisation and augmentation in front, for ``epochs`` epochs.

    ``at_first`` is trained in its place in those epochs of ``train`` that are longer; it has the same variables.

    ``train`` and ``validation`` are ``Batches`` of ``batch`` images; without ``validation`` (a refit) all epochs are
    run and the last one counts. Reports each epoch with a checkpoint that continues exactly. Raises Unusable where the
    loss is no longer finite or memory runs out.
    """
    with out_of_memory():
        learning_rate = compile_model(model, network, recipe, epochs=epochs, updates=train.batches_of, batch=batch)
        best = None if validation is None else Best(network, patience_epochs(recipe, epochs))

        def save(path: Path, step: int) -> None:
            _save(path, step, model, run)

        run = Epochs(context, train, learning_rate, save, best=best, batch=batch, epochs=epochs)
        begun = 0 if context.resume is None else _restore(context.resume, model, run)
        for part, end in _parts(model, at_first, train.longer, epochs):
            if begun >= end or run.outcome is not None or (best is not None and best.exhausted):
                continue
            if begun == train.longer > 0 and context.stopping():
                run.outcome = "stopped"  # before all is traced again
                continue
            train.epoch = begun
            part.fit(
                as_dataset(train),
                validation_data=None if validation is None else as_dataset(validation),
                initial_epoch=begun,
                epochs=end,
                shuffle=False,
                callbacks=[run],
                verbose=0,
            )
            begun = end
        if run.outcome == "diverged":
            raise Unusable(run.complaint)
        if best is not None:
            best.install()
    return _fitted(run)


def _parts(model: keras.Model, at_first: keras.Model | None, longer: int, epochs: int) -> list[tuple[keras.Model, int]]:
    """What is trained, and up to which epoch. One optimizer has them all."""
    if at_first is None:
        return [(model, epochs)]
    accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
    at_first.compile(optimizer=model.optimizer, loss=model.loss, metrics=[accuracy])
    return [(at_first, longer), (model, epochs)]


@contextmanager
def out_of_memory() -> Iterator[None]:
    """Turns every way in which memory runs out into ``Unusable``: the hyperparameters ask for too much here."""
    try:
        yield
    except MemoryError as error:
        raise Unusable(f"out of memory: {error}") from error
    except Exception as error:
        # By name and text: the class is TensorFlow's (or JAX's), and this is written against Keras alone.
        first = str(error).strip().splitlines()[:1]
        if type(error).__name__ == "ResourceExhaustedError" or "RESOURCE_EXHAUSTED" in str(error):
            raise Unusable(f"out of memory: {' '.join(first)}") from error
        raise


def _save(path: Path, step: int, model: keras.Model, run: Epochs) -> None:
    state = {
        "epoch": step,
        "epochs": run.epochs,
        "seconds": run.seconds,
        "history": run.history,
        "learning_rate": run.learning_rate.state(),
        "best": None if run.best is None else run.best.state(),
    }
    arrays = {
        "model": [keras.ops.convert_to_numpy(v) for v in model.variables],
        "optimizer": [keras.ops.convert_to_numpy(v) for v in model.optimizer.variables],
        "best": [] if run.best is None else run.best.weights,
    }
    checkpoint.save(path, state, arrays)


def _restore(path: Path, model: keras.Model, run: Epochs) -> int:
    """Puts everything back as ``_save`` found it; returns the number of finished epochs."""
    loaded = checkpoint.load(path)
    state = loaded.state
    if state["epochs"] != run.epochs or (state["best"] is None) != (run.best is None):
        raise checkpoint.other_run(path, f"{state['epochs']} epochs", f"{run.epochs} epochs")
    checkpoint.assign(model.variables, loaded.arrays["model"], path)
    checkpoint.assign(model.optimizer.variables, loaded.arrays["optimizer"], path)
    run.learning_rate.restore(state["learning_rate"])
    if run.best is not None:
        run.best.restore(state["best"], loaded.arrays["best"])
    run.history.update(state["history"])
    run.seconds = float(state["seconds"])
    print(f"goes on after epoch {state['epoch']}/{run.epochs}", flush=True)
    return int(state["epoch"])


def _fitted(run: Epochs) -> Fitted:
    finished = len(run.history.get("loss", ()))
    if not finished:
        value, epoch = math.nan, 0
    elif run.best is not None:
        value, epoch = run.best.value, run.best.epoch
    else:
        value, epoch = run.history["accuracy"][-1], finished
    return Fitted(value, epoch, run.history, run.seconds, run.outcome)
