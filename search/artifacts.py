"""Pictures and reports attached to an Optuna study, so that the dashboard shows them. Models are not artifacts."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

from optuna.artifacts import get_all_artifact_meta, upload_artifact
from optuna.storages import BaseStorage
from optuna.study import Study

from search.files import Store

_SHOWN = ("report.md", "learning_curve.png", "confusion_matrix.png", "classification_report.csv")


class ArtifactStore:
    """Optuna's three methods over one of our stores."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """The bytes of an artifact."""
        return self._store.open_reader(_name(artifact_id))

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Stores an artifact."""
        self._store.write(_name(artifact_id), content_body, lambda: None)

    def remove(self, artifact_id: str) -> None:
        """Removes an artifact's bytes."""
        self._store.remove(_name(artifact_id))


def _name(artifact_id: str) -> str:
    return f"artifacts/{artifact_id}"


def attach(study: Study, storage: BaseStorage, store: Store, folder: Path) -> None:
    """Attaches what an export shows. An artifact cannot be taken back, so that equal content is attached once."""
    there = {meta.filename for meta in get_all_artifact_meta(study, storage=storage)}
    for name in _SHOWN:
        path = folder / name
        if not path.is_file():
            continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        shown = f"{path.stem}-{digest}{path.suffix}"
        if shown not in there:
            copy = folder / shown
            copy.write_bytes(path.read_bytes())
            try:
                upload_artifact(
                    artifact_store=ArtifactStore(store), file_path=str(copy), study_or_trial=study, storage=storage
                )
            finally:
                copy.unlink()
