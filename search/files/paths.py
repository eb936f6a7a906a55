"""What a row of the database may name on a machine's disk: whoever can write the row may be anybody."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from search.errors import SearchError


def is_key(text: Any) -> bool:
    """Whether this is a study's key: a UUID as ``str(uuid.uuid4())`` writes it."""
    try:
        return isinstance(text, str) and str(uuid.UUID(text)) == text
    except ValueError:
        return False


def below(root: Path, name: str) -> Path:
    """``root / name``, which lies below ``root`` wherever links lead. SearchError where it does not."""
    path = root / name
    top = root.resolve()
    try:
        found = path.resolve()
    except (OSError, ValueError):  # a ring of links, a name with a zero byte
        found = top
    if found == top or not found.is_relative_to(top):
        raise SearchError(f"{name!r} does not lie below {root}, so it is left alone. Remove what names it.")
    return path
