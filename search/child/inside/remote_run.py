"""The run of a plain function's trial, as the training process sees it."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.child.inside.beat import Heart
from search.child.inside.pipe_end import Line
from search.child.protocol import Epoch, Go, Resumable
from search.settings import PREFIX
from search.trial_run import FOLDER_SUFFIX, Run


class RemoteRun(Run):
    """``report`` sends and never waits. From the first on, the worker stops it with a word, and not with a signal."""

    def __init__(self, line: Line, go: Go) -> None:
        super().__init__(
            folder=Path(go.workdir) / "run",
            number=go.number,
            run_id=go.trial_name,
            seed=go.seed,
            maximize=go.direction == "maximize",
            refit=go.refit,
        )
        self._model = Path(go.workdir) / "model"
        self.checkpoint = Path(go.resume) if go.resume else None
        self.step = go.resumed_from
        self.value = _reported_with(self.step, go.user_attrs)
        self._line, self._claim, self._heart = line, go.run, Heart(line)
        self._copies, self._counter = Path(go.workdir) / "reported", itertools.count()
        self.folder.mkdir(parents=True, exist_ok=True)
        line.send(Resumable())

    def _report(self, step: int, values: Mapping[str, float], checkpoint: Path | None) -> bool:
        copied = None if checkpoint is None else str(self._copied(step, checkpoint))
        self._line.send(Epoch(step, values, copied))
        return not self.stopping()

    def _copied(self, step: int, checkpoint: Path) -> Path:
        """The service moves what it is given, and who trains writes the next one over it."""
        self._copies.mkdir(exist_ok=True)
        suffix = FOLDER_SUFFIX if checkpoint.is_dir() else checkpoint.suffix
        # A name of its own each time: the worker may still be at the one before.
        target = self._copies / f"{step:06d}-{next(self._counter)}{suffix if suffix != '.part' else ''}"
        if checkpoint.is_dir():
            shutil.copytree(checkpoint, target)
        else:
            shutil.copyfile(checkpoint, target)
        return target

    def stopping(self) -> bool:
        self._heart.beat()
        self.ended = self.ended or self._line.stopped(self._claim)
        return self.ended is not None


def _reported_with(step: int, attributes: Mapping[str, Any]) -> float | None:
    row = (attributes.get(f"{PREFIX}epochs") or {}).get("value") or []
    return row[step - 1] if 0 < step <= len(row) else None
