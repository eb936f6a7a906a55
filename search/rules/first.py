"""What is tried before the sampler is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def first_parameters(definition: Mapping[str, Any], number: int) -> dict[str, Any]:
    """What lease ``number`` does not ask the sampler for: its entry of ``first``, and what goes without a source."""
    always = {} if definition.get("source") else dict(definition.get("without_source", {}))
    first = definition["first"]
    return {**(first[number] if number < len(first) else {}), **always}
