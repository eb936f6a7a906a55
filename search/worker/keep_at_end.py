"""What of a trial's folder is kept when it ends: its model, if it is one of the best, and the end of its log."""

from __future__ import annotations

from search.database.leases import Lease
from search.worker.joined_study import JoinedStudy
from search.worker.trial_folder import TrialFolder


def keep_model(joined: JoinedStudy, lease: Lease, folder: TrialFolder, value: float, *, feasible: bool) -> None:
    """What training left in ``model``; what an earlier claim of this trial left goes. Raises LeaseLost, OSError."""
    model = folder.path / "model"
    left = model.is_dir() and any(model.iterdir())
    if left and feasible and joined.files.is_worth_keeping(joined.study.key, lease.number, value):
        joined.files.keep(lease, "model", model, value=value)
    else:
        joined.files.drop(lease, "model")


def keep_log(joined: JoinedStudy, lease: Lease, folder: TrialFolder, trial_number: int | None) -> None:
    """A log that cannot be stored costs no trial: that is said. Raises LeaseLost."""
    try:
        tail = folder.log_tail(joined.settings.log_stored)
        if tail is not None:
            joined.files.keep(lease, "log", tail)
    except OSError as error:
        joined.say(f"the log of trial {trial_number} cannot be stored: {error.strerror or error}")
