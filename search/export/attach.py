"""What an export shows, attached to the Optuna study, so that the dashboard shows it too. Models are not."""

from __future__ import annotations

import hashlib
from pathlib import Path

from optuna.artifacts import get_all_artifact_meta, upload_artifact
from optuna.storages import BaseStorage
from optuna.study import Study

from search.contract import Shown
from search.files.artifacts import ArtifactStore
from search.files.stores import FileStore


def attach(study: Study, storage: BaseStorage, store: FileStore, folder: Path, shown: Shown) -> None:
    """Attaches what an export shows. An artifact cannot be taken back, so that equal content is attached once."""
    there = {meta.filename for meta in get_all_artifact_meta(study, storage=storage)}
    for name in ("report.md", *(picture.file for picture in shown.pictures), *shown.attached):
        path = folder / name
        if not path.is_file():
            continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        named = f"{path.stem}-{digest}{path.suffix}"
        if named not in there:
            copy = folder / named
            copy.write_bytes(path.read_bytes())
            try:
                upload_artifact(
                    artifact_store=ArtifactStore(store), file_path=str(copy), study_or_trial=study, storage=storage
                )
            finally:
                copy.unlink()
