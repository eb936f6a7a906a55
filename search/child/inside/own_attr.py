"""What an objective attaches to its trial, as it may go over the pipe."""

from __future__ import annotations

import json
from typing import Any

from search.child.pipe import LONGEST


def as_json(key: str, value: Any) -> Any:
    """The value as JSON gives it back. Raises TypeError for what is none, ValueError for what is too long."""
    text = json.dumps(value)
    if len(text) > LONGEST // 2:
        raise ValueError(f"the attribute {key!r} is {len(text)} bytes of JSON, which is too long")
    return json.loads(text)
