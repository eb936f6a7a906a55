"""Our own among Optuna's user attributes: with a prefix that nobody else uses, so that theirs stay theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search.settings import PREFIX

UNPREFIXED = {"epochs": dict, "reason": str}
"""What version 0.1 wrote of trials without the prefix and is still read, and of which type."""

PRUNED_BY = "pruned_by"
"""Of a pruned trial: see ``rules/pruning.py``."""
NETWORK = "network"
"""Of a trial whose objective says it: ``parameters`` and ``flops``."""
SPARED_AT = "spared_at"
"""Of a trial that runs to its end all the same: the epoch at which the pruner would have stopped it."""
OTHER_FILE = "file"
"""Of a trial that ran other content of the objective's own file than the study was created with: which."""


def named(name: str) -> str:
    """Our attribute of this name, as Optuna stores it."""
    return PREFIX + name


def own(attributes: Mapping[str, Any], name: str, *, old: bool) -> Any:
    """The value of our attribute of this name, or None. ``old``: of a study that version 0.1 made."""
    if named(name) in attributes:
        return attributes[named(name)]
    value = attributes.get(name)
    return value if old and isinstance(value, UNPREFIXED.get(name, ())) else None
