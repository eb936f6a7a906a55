"""Optuna's artifacts, their bytes in one of our stores. Models are none: an artifact's record can never be removed."""

from __future__ import annotations

from typing import BinaryIO

from search.files.stores import FileStore, nothing


class ArtifactStore:
    """Optuna's three methods over one of our stores."""

    def __init__(self, store: FileStore) -> None:
        self._store = store

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """The bytes of an artifact."""
        return self._store.open_reader(_name(artifact_id))

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Stores an artifact."""
        self._store.write(_name(artifact_id), content_body, nothing)

    def remove(self, artifact_id: str) -> None:
        """Removes an artifact's bytes."""
        self._store.remove(_name(artifact_id))


def _name(artifact_id: str) -> str:
    return f"artifacts/{artifact_id}"
