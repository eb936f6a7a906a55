"""A trial's checkpoints: taken over from its child, uploaded for other machines, found again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from search.database.leases import Lease
from search.errors import SearchError
from search.files.records import CHECKPOINT
from search.files.stores import not_there
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
        self._used: LocalCheckpoint | None = None
        self._used_kind = ""
        """The kind of the stored file that it is a copy of; empty: an earlier claim's on this machine."""

    def find(self, epoch: int) -> LocalCheckpoint | None:
        """The newest of an epoch up to this one that can be had, on this machine's disk; None: the trial begins again.

        An earlier claim's here, or a stored one. SearchError where the store is not there on this machine: that is no
        reason to lose what it holds.
        """
        self._began = time.monotonic()
        files, key = self._joined.files, self._joined.study.key
        stored = files.checkpoints(key, self._lease.number)
        self._uploaded = stored[0].step if stored else 0
        if stored and not files.store.is_there():
            raise not_there(files.store)
        local = [(one.step, "", one) for one in self._folder.of_earlier_claims(epoch)]
        candidates = local + [(one.step, one.kind, one) for one in stored if one.step <= epoch]
        # Of one step the local one first: it costs no transfer.
        for step, kind, one in sorted(candidates, key=lambda found: (-found[0], found[1] != "")):
            try:
                self._used, self._used_kind = self._copied(one), kind
            except (SearchError, OSError) as reason:
                self._joined.say(f"trial {self.trial_number} goes on from before epoch {step}: {reason}")
            else:
                self._uploaded = min(self._uploaded, step)  # a newer one that cannot be had is to be replaced
                return self._used
        self._uploaded = 0
        return None

    def _copied(self, one: LocalCheckpoint | sa.Row[Any]) -> LocalCheckpoint:
        if isinstance(one, LocalCheckpoint):
            return self._folder.copy_in(one)
        target = self._folder.path_for(one.step, Path(one.name).suffix)
        return LocalCheckpoint(one.step, self._joined.files.fetch(one, target))

    @property
    def in_use(self) -> bool:
        """Whether the trial went on from one."""
        return self._used is not None

    def discard_used(self) -> None:
        """That one cannot be used by the objective: the next claim finds the one before it. Raises LeaseLost."""
        if self._used is None:
            return
        if self._used_kind:
            self._joined.files.drop(self._lease, self._used_kind)
        self._folder.remove_checkpoints(self._used.step)

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
            self._joined.files.keep(self._lease, CHECKPOINT, newest.path, step=newest.step, attempts=0)
        except OSError as error:
            self._joined.say(f"the checkpoint of trial {self.trial_number} cannot be stored: {error.strerror or error}")
        else:
            self._uploaded = newest.step
        self._spent += time.monotonic() - began
