"""A folder that all workers see, or the one beside a SQLite file."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path
from typing import BinaryIO

import sqlalchemy as sa

from search.errors import SearchError
from search.files.packing import chunks
from search.files.paths import below
from search.files.stores import MARK, Between, nothing


class Store:
    """Files below a folder, each written under a temporary name and renamed."""

    def __init__(self, place: str, _engine: sa.Engine) -> None:
        self.folder = Path(place).absolute()
        self.place = str(self.folder)

    def prepare(self) -> None:
        """Makes the folder and marks it. SearchError where it cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".writable-"):
                pass
            (self.folder / MARK).touch()
        except OSError as error:
            raise SearchError(
                f"files cannot be kept in {self.folder}: {error.strerror}. Give another folder: FILES=FOLDER"
            ) from None

    def is_there(self) -> bool:
        """Whether it bears the mark: an empty place to mount it at does not."""
        return (self.folder / MARK).is_file()

    def open_reader(self, name: str, between: Between = nothing) -> BinaryIO:  # noqa: ARG002 - opening takes no time
        return below(self.folder, name).open("rb")

    def write(self, name: str, content: BinaryIO, between: Between) -> None:
        if not self.is_there():
            raise FileNotFoundError(errno.ENOENT, "its folder is not there", str(self.folder))
        target = below(self.folder, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        try:
            with part.open("wb") as file:
                for chunk in chunks(content):
                    file.write(chunk)
                    between()
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
            _sync_folder(target.parent)
        except OSError:
            part.unlink(missing_ok=True)
            raise

    def remove(self, name: str) -> None:
        with contextlib.suppress(SearchError):  # what lies elsewhere is not ours to remove
            below(self.folder, name).unlink(missing_ok=True)

    def names(self, prefix: str) -> list[str]:
        base = below(self.folder, prefix)
        return [path.relative_to(self.folder).as_posix() for path in base.rglob("*") if path.is_file()]


def _sync_folder(folder: Path) -> None:
    """Else a power cut can leave a record without its file."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
