"""Which code: the content of what trains, and the revision of this checkout."""

from __future__ import annotations

import functools
import hashlib
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OBJECTIVES = ROOT / "objectives"


@functools.cache
def code_hash() -> str:
    """Of all that trains: the content of ``objectives/**.py``."""
    digest = hashlib.sha256()
    for path in sorted(OBJECTIVES.rglob("*.py")):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


@functools.cache
def revision() -> str | None:
    """The git revision of this checkout, for the record only; None where it was installed, perhaps inside another."""
    if not (ROOT / ".git").exists():
        return None
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
