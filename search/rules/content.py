"""The content of somebody's own objective file, by its hash: which one a study goes by, and how it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def short(sha256: str | None) -> str:
    """For people."""
    return sha256[:12] if sha256 else "unknown"


def stored_hash(definition: Mapping[str, Any]) -> str | None:
    """What a study goes by; None: it is of an objective in ``objectives/``, or from before this was stored."""
    return (definition.get("file") or {}).get("sha256")


def changed(definition: Mapping[str, Any], sha256: str) -> dict[str, Any]:
    """The definition with this content, and what it was when the study was created."""
    file = definition["file"]
    return {**definition, "file": {"sha256": sha256, "created": file.get("created", file["sha256"])}}


def what_changed(definition: Mapping[str, Any]) -> str | None:
    """For the record of a trial; None: the file is what it was when the study was created."""
    file = definition.get("file") or {}
    created = file.get("created", file.get("sha256"))
    if created == file.get("sha256"):
        return None
    return f"the objective's file is {short(file['sha256'])}, {short(created)} where the study was created"
