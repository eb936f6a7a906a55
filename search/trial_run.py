"""What a training of anybody's own needs beside Optuna's trial: ``run = search.run(trial)``.

The newest checkpoint of a trial that was killed, a report that hands the next one over, "stop now", a folder of its
own, a folder whose content is kept. It is the same under ``study.optimize``, where nothing resumes.
"""

from __future__ import annotations

import math
import operator
import os
import re
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from search.contract import seed_for
from search.settings import PREFIX, WORK

if TYPE_CHECKING:  # commands that only read do without Optuna
    from optuna.trial import BaseTrial

StopReason = Literal["pruned", "out of time", "handed over", "lost"]
"""The pruner's verdict; TRIAL_TIMEOUT; the worker ends, and the trial goes on elsewhere; it goes on elsewhere already,
as the worker was away for too long."""
FOLDER_SUFFIX = ".checkpoint-folder"
"""Of a checkpoint that is a folder, where the service keeps it under a name of its own."""


class Run(ABC):
    """One trial as it is trained now. Paths are absolute."""

    def __init__(
        self, *, folder: Path, number: int, run_id: str, seed: int, maximize: bool, refit: bool = False
    ) -> None:
        self.folder = folder
        """This trial's alone, and empty at first, also where a trial goes on: what must outlive a kill is the
        checkpoint's."""
        self.number = number
        """The trial's, as Optuna counts."""
        self.id = run_id
        """The same whenever and wherever the trial goes on, and no other's:
        ``wandb.init(id=run.id, resume="allow")``."""
        self.seed = seed
        """Of this trial: 31 bits that stay the same where it goes on, for weights and the order of the data."""
        self.maximize = maximize
        """The study's direction."""
        self.refit = refit
        """Whether this is the winner, trained again by ``make refit``: perhaps on all data."""
        self.checkpoint: Path | None = None
        """What ``report`` was given last before the trial was interrupted, a file or a folder; None: begin. Who cannot
        use it raises ``search.BadCheckpointError``: then the one before it is tried, or the trial begins again."""
        self.step = 0
        """The step that ``checkpoint`` was reported with; 0: begin. The next is ``run.step + 1``."""
        self.value: float | None = None
        """The value that was reported with it: where no step is left, what to return."""
        self._model, self._reported = folder / "model", 0
        self.ended: StopReason | None = None
        """Why ``report`` said False, or ``stopping`` True."""

    def file(self, name: str) -> Path:
        """A place for a file in this trial's folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def model(self) -> Path:
        """A folder: what lies in it when the objective returns is kept, if the trial is one of the best, and exported.

        Empty at first, also where a trial goes on.
        """
        self._model.mkdir(parents=True, exist_ok=True)
        return self._model

    def report(self, step: int, value: float, checkpoint: str | os.PathLike[str] | None = None, **more: float) -> bool:
        """Step ``step``, from 1, is finished, and the study's value by then is ``value``. False: return now.

        The service records why, whatever is returned then. Under ``study.optimize`` TrialPruned is raised in its place,
        as nobody else could tell. ``checkpoint``, a file or a folder, is copied. ``more`` are figures under names of
        their own, which belong to the history and the report. Raises TrialPruned where the value is not finite,
        ValueError for a step below 1, FileNotFoundError where there is no such checkpoint.
        """
        step, last = whole(step, "step"), max(self._reported, self.step)
        if not 1 <= step <= last + 1:
            raise ValueError(
                f"step {step} is reported behind step {last}: steps count from 1, one by one. A count of batches "
                "belongs among your own figures: report(epoch, value, batches=…)"
            )
        values = {**{name: float(one) for name, one in more.items()}, "value": float(value)}
        if not math.isfinite(values["value"]):
            raise _pruned(f"the value is {values['value']} after step {step}")
        path = None if checkpoint is None else Path(os.fspath(checkpoint)).resolve()
        if path is not None and not path.exists():
            raise FileNotFoundError(f"the checkpoint of step {step} is not there: {path}")
        self._reported = max(last, step)
        return self._report(step, values, path)

    @abstractmethod
    def _report(self, step: int, values: Mapping[str, float], checkpoint: Path | None) -> bool: ...

    @abstractmethod
    def stopping(self) -> bool:
        """Cheap, to be asked after each batch: True to return now. What counts is the last step that was reported."""


def run(trial: BaseTrial) -> Run:
    """The run of this trial, the same whenever it is asked for: from the service, or under ``study.optimize`` in a
    folder below the working directory."""
    known: Run | None = getattr(trial, "search_run", None)
    if known is None:
        known = trial.search_run = _UnderOptuna(trial)  # type: ignore[attr-defined]
    return known


class _UnderOptuna(Run):
    """Reports straight to Optuna's trial. Nothing resumes, so that no checkpoint is kept."""

    def __init__(self, trial: BaseTrial) -> None:
        study: Any = getattr(trial, "study", None)  # a FixedTrial has none
        name = study.study_name if study is not None else "no-study"
        run_id = f"{re.sub(r'[^A-Za-z0-9._-]', '-', name)}-{trial.number}"
        beside = (WORK / "optuna").resolve()
        beside.mkdir(parents=True, exist_ok=True)
        # Of this process alone: studies in memory may have one name in several.
        folder = Path(tempfile.mkdtemp(prefix=f"{run_id}-", dir=beside))
        maximize = study is not None and study.direction.name == "MAXIMIZE"
        seed = seed_for(0, trial.number)
        super().__init__(folder=folder, number=trial.number, run_id=run_id, seed=seed, maximize=maximize)
        self._trial = trial
        self._history: dict[str, list[float | None]] = {}

    def _report(self, step: int, values: Mapping[str, float], checkpoint: Path | None) -> bool:  # noqa: ARG002
        self._trial.report(values["value"], step)
        add_to_history(self._history, step, values)
        self._trial.set_user_attr(f"{PREFIX}epochs", self._history)
        if self._trial.should_prune():
            self.ended = "pruned"
            raise _pruned(f"not among the best at step {step}")
        return True

    def stopping(self) -> bool:
        return False


def add_to_history(history: dict[str, list[float | None]], step: int, values: Mapping[str, float]) -> None:
    """A row a name, an entry a step from 1; None where nothing was reported."""
    for name, value in values.items():
        row = history.setdefault(name, [])
        row += [None] * (step - len(row))
        row[step - 1] = value


def _pruned(why: str) -> Exception:
    from optuna import TrialPruned  # noqa: PLC0415

    return TrialPruned(why)


def whole(number: int, what: str) -> int:
    """NumPy's integers are some too. TypeError for what is none, which says ``what`` it was to be."""
    try:
        return operator.index(number)
    except TypeError:
        raise TypeError(f"{what} {number!r} is reported; it is no whole number") from None
