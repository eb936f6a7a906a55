"""Where a study's data lie on this machine: as it was said last, so that it need not be said again."""

from __future__ import annotations

import os
from pathlib import Path

from search.files.paths import below
from search.studies.study import Study

_NAME = "data_dir"
"""In the study's folder below the one that this machine's workers share."""


def data_folder(workroot: Path, study: Study, default: Path, *, is_typed: bool) -> Path:
    """``default`` where it was typed for this command, or nothing that is still there is remembered."""
    if is_typed:
        return default
    try:
        known = Path(_file(workroot, study).read_text().strip())
    except OSError:
        return default
    return known if known.is_absolute() and known.is_dir() else default


def remember(workroot: Path, study: Study, folder: Path) -> None:
    """For later commands on this machine."""
    file = _file(workroot, study)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    part.write_text(f"{folder}\n")
    part.replace(file)


def _file(workroot: Path, study: Study) -> Path:
    """A refit's are its study's."""
    return below(workroot, study.refit["key"] if study.refit else study.key) / _NAME
