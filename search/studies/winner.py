"""A study's winner: its best trial, and the models that are kept of it. Without a search: what was trained instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import sqlalchemy as sa

from search.database.fence import FencedStorage
from search.errors import SearchError
from search.studies.refit import is_searched, refit_of, why_failed
from search.studies.study import Study, find
from search.studies.study_files import reading_files_of
from search.studies.trials import TrialRow, best_trial, chosen_trial, history, parameters

FileRecord = sa.Row[Any]


@dataclass(frozen=True)
class Winner:
    """What a transfer begins from and an export gives away."""

    study: Study
    trial: TrialRow | None
    """None: the budget was of no trials, and only the refit was trained."""
    searched: FileRecord | None
    """The record of the best trial's own model."""
    refit: Study | None
    """The refit of this trial, however far."""
    refitted: FileRecord | None
    """The record of its model, once it is complete."""

    refit_failed: str | None = None
    """How the refit ended, where it has no model to show for it."""

    @property
    def record(self) -> FileRecord | None:
        """The better of the two."""
        return self.refitted or self.searched


@dataclass(frozen=True)
class Speed:
    """How fast a trial was trained, wherever that was."""

    lease: int
    images_per_second: float | None
    """None where it did not say."""


def winner_of(storage: FencedStorage, study: Study) -> Winner:
    """For an export. SearchError where no trial is complete, and for a refit, which has no winner of its own."""
    if study.refit:
        raise SearchError(f"{study.name!r} is a refit. Export its study: make export STUDY={study.refit['study']}")
    winner = find_winner(storage, study)
    if winner is None and not is_searched(storage, study):
        raise SearchError(
            f"the training of {study.name!r} is not finished. Go on with it: make refit STUDY={study.name}"
        )
    if winner is None:
        raise SearchError(f"no trial of {study.name!r} is complete yet. See how far: make status STUDY={study.name}")
    return winner


def find_winner(storage: FencedStorage, study: Study) -> Winner | None:
    """None where no trial is complete, nor what was trained unsearched."""
    best = chosen_trial(storage.engine, study)
    refit = refit_of(storage, study, best)
    again = best_trial(storage.engine, refit) if refit else None
    refitted = _model_of(storage, refit, again) if refit and again else None
    failed = why_failed(storage, refit) if refit else None
    if best is None and refitted is None:
        return None
    return Winner(study, best, _model_of(storage, study, best) if best else None, refit, refitted, failed)


def speed_of_the_winner(storage: FencedStorage, study: Study) -> Speed | None:
    """Of the trial to be trained again, in the middle one of its epochs; None where there is none."""
    chosen = chosen_trial(storage.engine, study)
    if chosen is None or chosen.lease is None:
        return None
    epochs = history(storage.engine, study, chosen)
    seconds = [one for one in epochs.get("training_seconds", ()) if one]
    return Speed(chosen.lease, study.images(study.size)[0] / median(seconds) if seconds else None)


def winning_parameters(storage: FencedStorage, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Of those of these names that are studies with a winner: what it was trained with."""
    found = {}
    for name in names:
        study = find(storage.engine, name)
        winner = find_winner(storage, study) if study else None
        if winner is not None:
            trained = winner.trial or (best_trial(storage.engine, winner.refit) if winner.refit else None)
            found[name] = parameters(storage.engine, trained) if trained else {}
    return found


def _model_of(storage: FencedStorage, study: Study, trial: TrialRow) -> FileRecord | None:
    if trial.lease is None:
        return None
    return reading_files_of(storage, study).find(study.key, trial.lease, "model")
