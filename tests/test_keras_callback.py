"""``search.keras.RunCallback``, beside what ``check`` shows: when it stops, what it keeps, what it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import pytest

from search import BadCheckpointError
from search.contract import SearchError
from search.keras import MODEL, RunCallback
from search.trial_run import Run

X = np.linspace(-1, 1, 64, dtype="float32")[:, None]


class Recorded(Run):
    """A run that keeps what is reported, and is pruned behind a step."""

    def __init__(self, folder: Path, *, pruned_behind: int = 100, maximize: bool = False) -> None:
        super().__init__(folder=folder, number=0, run_id="one", seed=7, maximize=maximize)
        self.reports: list[tuple[int, float]] = []
        self.names: set[str] = set()
        self._pruned_behind = pruned_behind

    def _report(self, step: int, values: Mapping[str, float], checkpoint: Path | None) -> bool:  # noqa: ARG002
        self.reports.append((step, values["value"]))
        self.names = set(values)
        if step >= self._pruned_behind:
            self.ended = "pruned"
        return self.ended is None

    def stopping(self) -> bool:
        return self.ended is not None


def fitted(run: Run, *, epochs: int = 4, units: int = 3, monitor: str = "val_loss") -> RunCallback:
    keras.utils.set_random_seed(run.seed)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(units), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.05), loss="mse")
    keep = RunCallback(run, monitor)
    model.fit(X, X**2, validation_data=(X, X**2), epochs=epochs, initial_epoch=run.step, callbacks=[keep], verbose=0)
    return keep


def goes_on(run: Recorded, folder: Path, step: int) -> Recorded:
    """Elsewhere, from the last checkpoint."""
    folder.mkdir()
    again = Recorded(folder)
    again.checkpoint, again.step = run.folder / "checkpoint.npz", step
    return again


def test_a_fit_is_reported_stopped_kept_and_goes_on_where_its_checkpoint_is_its_own(tmp_path: Path) -> None:
    whole = Recorded(tmp_path / "whole")
    keep = fitted(whole)
    assert [step for step, _ in whole.reports] == [1, 2, 3, 4] and whole.names == {"loss", "val_loss", "value"}
    assert keep.best == min(value for _, value in whole.reports)
    kept = keras.models.load_model(whole.model / MODEL)
    assert float(kept.evaluate(X, X**2, verbose=0)) == pytest.approx(keep.best)

    pruned = Recorded(tmp_path / "pruned", pruned_behind=2)
    fitted(pruned)
    assert [step for step, _ in pruned.reports] == [1, 2] and not (pruned.model / MODEL).exists()

    again = goes_on(pruned, tmp_path / "again", 2)
    resumed = fitted(again)
    assert again.reports == whole.reports[2:] and resumed.best == keep.best

    ended = goes_on(whole, tmp_path / "ended", 4)
    assert fitted(ended).best == keep.best and ended.reports == [], "no epoch is left"
    assert (ended.model / MODEL).exists()

    most = Recorded(tmp_path / "most", maximize=True)
    assert fitted(most).best == max(value for _, value in most.reports)

    with pytest.raises(SearchError, match="fit reports loss, val_loss, and no val_accuracy"):
        fitted(Recorded(tmp_path / "other"), monitor="val_accuracy")
    unlike = goes_on(pruned, tmp_path / "unlike", 2)
    with pytest.raises(BadCheckpointError, match="is of another model"):
        fitted(unlike, units=5)
    damaged = goes_on(pruned, tmp_path / "damaged", 2)
    damaged.checkpoint = tmp_path / "damaged.npz"
    whole_file = (pruned.folder / "checkpoint.npz").read_bytes()
    for content in (b"", whole_file[: len(whole_file) // 2], b"nothing of the kind"):
        damaged.checkpoint.write_bytes(content)
        with pytest.raises(BadCheckpointError, match="the checkpoint of step 2 cannot be read"):
            fitted(damaged)
