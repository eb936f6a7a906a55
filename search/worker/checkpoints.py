"""A trial's checkpoints: taken over from its child, uploaded for other machines, found again."""

from __future__ import annotations

import time
from pathlib import Path

from search.database.leases import Lease
from search.rules.keeping import is_worth_uploading
from search.worker.joined_study import JoinedStudy
from search.worker.trial_folder import LocalCheckpoint, TrialFolder


class Checkpoints:
    """Those of one claim."""

    def __init__(self, joined: JoinedStudy, lease: Lease, folder: TrialFolder) -> None:
        self._joined, self._lease, self._folder = joined, lease, folder
        self.trial_number: int | None = None
        """Its number, for messages."""
        self._uploaded = 0
        """The step of the stored one."""
        self._began = time.monotonic()
        self._spent = 0.0
        self.is_local = False
        """Whether the trial goes on from one that an earlier claim left on this machine."""

    def find(self, epoch: int) -> LocalCheckpoint | None:
        """The newest whose epoch is recorded, on this machine's disk: an earlier claim's here, or the stored one."""
        self._began = time.monotonic()
        stored = self._joined.files.find(self._joined.study.key, self._lease.number, "checkpoint")
        self._uploaded = stored.step if stored else 0
        earlier = self._folder.of_earlier_claims(epoch)
        self.is_local = earlier is not None and earlier.step >= self._uploaded
        if earlier is not None and self.is_local:
            return self._folder.copy_in(earlier)
        if stored is None:
            return None
        target = self._folder.path_for(stored.step, Path(stored.name).suffix)
        return LocalCheckpoint(stored.step, self._joined.files.fetch(stored, target))

    def take(self, step: int, path: Path) -> None:
        """A new one, which the child has written. Can be done again."""
        self._folder.take(step, path)
        self._joined.checkpoints_taken += 1
        self.upload()

    def upload(self, *, last: bool = False) -> None:
        """To where other machines find it: as long as it costs little, and the ``last`` at any cost.

        A store that fails costs no trial: it is said, and the next upload may succeed.
        """
        newest, began = self._folder.newest(), time.monotonic()
        if newest is None or newest.step <= self._uploaded:
            return
        cheap = is_worth_uploading(
            uploaded=self._uploaded > 0,
            spent=self._spent,
            elapsed=began - self._began,
            share=self._joined.settings.upload_share,
        )
        if not (last or cheap):
            return
        try:
            self._joined.files.keep(self._lease, "checkpoint", newest.path, step=newest.step, attempts=0)
        except OSError as error:
            self._joined.say(f"the checkpoint of trial {self.trial_number} cannot be stored: {error.strerror or error}")
        else:
            self._uploaded = newest.step
        self._spent += time.monotonic() - began
