"""A trial's folder on this machine, one a claim: log, checkpoints, and what training leaves to be kept.

A claim's folder is its own, so that a worker that has lost its lease without noticing writes into nobody's files.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LocalCheckpoint:
    """A complete checkpoint of a finished epoch on this machine's disk."""

    step: int
    path: Path


class TrialFolder:
    """``STUDY_KEY/NUMBER-TOKEN-NONCE`` below the folder that this machine's workers share."""

    def __init__(self, study: Path, number: int, token: int, nonce: str) -> None:
        self.path = study / f"{number}-{token}-{nonce[:8]}"
        self.log = self.path / "log.txt"
        self._study, self._number = study, number
        self._checkpoints = self.path / "checkpoints"

    def path_for(self, step: int, suffix: str) -> Path:
        """Where a checkpoint of this step lies."""
        self._checkpoints.mkdir(parents=True, exist_ok=True)
        return self._checkpoints / f"{step:06d}{suffix}"

    def take(self, step: int, path: Path) -> None:
        """Takes a checkpoint over from the training process; of those before it one stays. Can be done again."""
        if path.exists():
            self._move(path, self.path_for(step, path.suffix))
        for old in _complete(self._checkpoints)[:-2]:
            remove(old.path)

    @staticmethod
    def _move(path: Path, target: Path) -> None:
        if target.is_dir():
            remove(target)  # of this epoch, repeated: a folder replaces no folder
        try:
            path.replace(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            # Written to another file system: copied under a name that is not complete, then renamed.
            _copy(path, target)
            remove(path)

    def newest(self) -> LocalCheckpoint | None:
        """The newest of this claim."""
        return next(reversed(_complete(self._checkpoints)), None)

    def of_earlier_claims(self, epoch: int) -> list[LocalCheckpoint]:
        """Those that earlier claims left on this machine, of epochs up to this one."""
        return [
            checkpoint
            for folder in self._study.glob(f"{self._number}-*/checkpoints")
            if folder != self._checkpoints
            for checkpoint in _complete(folder)
            if checkpoint.step <= epoch
        ]

    def remove_checkpoints(self, step: int) -> None:
        """Of this epoch, of every claim."""
        for folder in self._study.glob(f"{self._number}-*/checkpoints"):
            for checkpoint in _complete(folder):
                if checkpoint.step == step:
                    remove(checkpoint.path)

    def copy_in(self, checkpoint: LocalCheckpoint) -> LocalCheckpoint:
        """A copy of our own: its old holder may still be writing beside it."""
        target = self.path_for(checkpoint.step, checkpoint.path.suffix)
        _copy(checkpoint.path, target)
        return LocalCheckpoint(checkpoint.step, target)

    def log_tail(self, size: int) -> Path | None:
        """The last bytes of the log as a file to store; None where nothing was logged."""
        if not self.log.is_file():
            return None
        tail = self.log.with_name("tail.txt")
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - size))
            tail.write_bytes(log.read())
        return tail

    def add_to_log(self, text: str) -> None:
        """What its worker has to say of the trial."""
        self.path.mkdir(parents=True, exist_ok=True)
        with self.log.open("a") as log:
            log.write(text)

    def bound_log(self, size: int) -> None:
        """Keeps the end of a log that has grown longer; its writer appends, so that it goes on behind."""
        try:
            if self.log.stat().st_size <= size:
                return
        except FileNotFoundError:
            return
        with self.log.open("r+b") as file:
            file.seek(-size // 4, os.SEEK_END)
            end = file.read()
            file.seek(0)
            file.write(b"[the beginning of this log was removed]\n" + end)
            file.truncate()

    def clear(self) -> None:
        """Removes all but the logs, of every claim."""
        clear(self._study, self._number)


def numbers_in(study: Path) -> set[int]:
    """The leases that have folders here."""
    names = (path.name.partition("-")[0] for path in study.iterdir()) if study.is_dir() else ()
    return {int(name) for name in names if name.isdigit()}


def clear(study: Path, number: int) -> None:
    """Removes what the claims of a lease left, all but the logs."""
    for folder in study.glob(f"{number}-*"):
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != "log.txt":
                path.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """A checkpoint, file or folder; one that is gone already is fine."""
    if path.is_dir():
        # Under a name that is not complete: who is killed at this leaves no half of one.
        part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
        path.rename(part)
        shutil.rmtree(part, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _copy(path: Path, target: Path) -> None:
    """Under a name that is not complete, then renamed."""
    part = target.with_suffix(".part")
    remove(part)
    if path.is_dir():
        shutil.copytree(path, part)
        remove(target)
    else:
        shutil.copyfile(path, part)
    part.replace(target)


def _complete(folder: Path) -> list[LocalCheckpoint]:
    names = folder.iterdir() if folder.is_dir() else ()
    return sorted(
        (LocalCheckpoint(int(path.stem), path) for path in names if path.suffix != ".part" and path.stem.isdigit()),
        key=lambda one: one.step,
    )
