"""A sampler or a pruner as a person types it: ``TPESampler(multivariate=True)``, ``mypackage.MySampler``, ``asha``."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any

from search.errors import SearchError


def spec_from_text(text: str) -> dict[str, Any]:
    """The name and the keywords, whose values are literals. SearchError for what is none."""
    try:
        node = ast.parse(text.strip(), mode="eval").body
        call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
        if call.args or not all(one.arg for one in call.keywords):
            raise ValueError
        keywords = {str(one.arg): ast.literal_eval(one.value) for one in call.keywords}
        # As a study stores them, so that what is typed again is the same.
        return {"name": _dotted(call.func), "keywords": json.loads(json.dumps(keywords, allow_nan=False))}
    except (SyntaxError, TypeError, ValueError):
        raise SearchError(
            f"{text!r} names no sampler and no pruner: give a class, if need be with keywords that are plain values, "
            "such as TPESampler(multivariate=True) or mypackage.MySampler"
        ) from None


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    if isinstance(node, ast.Name):
        return node.id
    raise ValueError


def spec_in_words(spec: Mapping[str, Any] | None, default: str) -> str:
    """As it would be typed; ``default`` where none is stored."""
    if spec is None:
        return default
    keywords = ", ".join(f"{name}={value!r}" for name, value in sorted(spec["keywords"].items()))
    return f"{spec['name']}({keywords})" if keywords else str(spec["name"])


def is_somebodys_own(spec: Mapping[str, Any] | None) -> bool:
    """Whether it is imported from a package of the user's."""
    return spec is not None and "." in spec["name"]
