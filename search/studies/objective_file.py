"""An objective by what a person types: a name in ``objectives/`` or the path of a file. Nothing is loaded."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from search.errors import SearchError
from search.rules.spec import is_somebodys_own
from search.studies.provenance import OBJECTIVES
from search.studies.study import Study


def objective_reference(wanted: str) -> str:
    """A name in ``objectives/`` or the path of a file, checked to exist without loading it."""
    if wanted.endswith(".py"):
        if Path(wanted).is_file():
            return os.path.normpath(wanted)
        raise SearchError(f"there is no file {wanted}. Give a name in objectives/ or the path of a .py file.")
    if is_shipped(wanted):
        return wanted
    if (beside := Path(f"{wanted}.py")).is_file():
        raise SearchError(f"there is no objective {wanted!r}. Did you mean the file {beside}? OBJECTIVE={beside}")
    names = ", ".join(sorted(path.stem for path in OBJECTIVES.glob("*.py") if path.stem != "__init__"))
    raise SearchError(
        f"there is no objective {wanted!r} (there: {names}). Give one: OBJECTIVE=cnn_digits, or a .py file"
    )


def hash_of_file(reference: str) -> str | None:
    """The SHA-256 of somebody's own file as it is here; None of one in ``objectives/``, or where it is gone."""
    path = Path(reference)
    return hashlib.sha256(path.read_bytes()).hexdigest() if reference.endswith(".py") and path.is_file() else None


def refuse_untrusted(study: Study) -> None:
    """SearchError where the objective is a file outside ``objectives/``, or sampler or pruner are somebody's own:
    whoever wrote the database's row chose what is loaded here."""
    specs = [spec for name in ("sampler", "pruner") if is_somebodys_own(spec := study.definition.get(name))]
    strange = [study.objective] if not is_shipped(study.objective) else [spec["name"] for spec in specs if spec]
    if strange:
        raise SearchError(
            f"the database says to run {strange[0]!r}, which nobody named here. "
            f"Name the study: make worker STUDY={study.name}, or trust every row: TRUST=1"
        )


def is_shipped(name: str) -> bool:
    """Whether ``objectives/`` has an objective of this name."""
    return name.isidentifier() and name != "__init__" and (OBJECTIVES / f"{name}.py").is_file()
