"""Bytes on their way into a store and out of it: a file as it is, a folder as a tar; checksums."""

from __future__ import annotations

import hashlib
import os
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from search.errors import SearchError
from search.files.paths import below

CHUNK_BYTES = 4 << 20


def chunks(content: BinaryIO) -> Iterator[bytes]:
    """The content in pieces; one empty piece of what is empty."""
    empty = True
    while chunk := content.read(CHUNK_BYTES):
        empty = False
        yield chunk
    if empty:
        yield b""


def packed(path: Path) -> BinaryIO:
    """A file as it is, a folder as a tar without times or owners, so that equal content has an equal checksum."""
    if path.is_file():
        return path.open("rb")
    file = tempfile.SpooledTemporaryFile(max_size=64 << 20)  # noqa: SIM115 - the caller closes it
    with tarfile.open(fileobj=file, mode="w") as tar:
        for member in sorted(path.rglob("*")):
            if member.is_file():
                info = tarfile.TarInfo(member.relative_to(path).as_posix())
                info.size = member.stat().st_size
                with member.open("rb") as content:
                    tar.addfile(info, content)
    file.seek(0)
    return file  # type: ignore[return-value]


def unpack(content: BinaryIO, folder: Path) -> None:
    """The inverse for a folder. Its files get the time of their unpacking: they were packed without.

    SearchError, and nothing unpacked, where one would not lie in the folder or is neither file nor folder.
    """
    with tarfile.open(fileobj=content) as tar:
        for member in tar:
            _refuse_unless_plain(member, folder)
        tar.extraction_filter = getattr(tarfile, "data_filter", None)  # Python before 3.11.4 has none
        tar.extractall(folder)  # noqa: S202
    for path in folder.rglob("*"):
        os.utime(path)


def _refuse_unless_plain(member: tarfile.TarInfo, folder: Path) -> None:
    if not (member.isfile() or member.isdir()) or ".." in Path(member.name).parts:
        raise SearchError(f"{member.name!r} in a stored folder is no file that we packed, so nothing is unpacked.")
    below(folder, member.name)


def digest(content: BinaryIO) -> str:
    """SHA-256 of what follows, which is read to its end."""
    return hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
