"""What somebody asked for, and what is meant where nothing was typed."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.commands.parser import NO_LIMIT, count
from search.errors import SearchError
from search.settings import (
    DATA,
    DEFAULTS,
    STORAGE,
    Settings,
)
from search.show.typed import Typed, as_called


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user asked for; None where nothing was said, which means what is stored, else the default."""

    storage: str
    data_dir: Path
    files: str | None = None
    objective: str | None = None
    size: str | None = None
    trials: int | None = None
    epochs: int | None = None
    train_size: int | None = None
    children: int | None = None
    timeout: float | None = None
    """Seconds."""
    source: str | None = None
    direction: str | None = None
    first: tuple[str, ...] | None = None
    """Points of the objective, and studies whose winners are tried first, by name."""
    sampler: Mapping[str, Any] | None = None
    pruner: Mapping[str, Any] | None = None
    """A class and its keywords."""
    limits: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the study's Limits; None lifts one."""
    changed: bool = False
    """Yes to another content of the objective's own file."""
    settings: Settings = DEFAULTS
    typed: Typed = field(default_factory=Typed)
    """How it was typed."""

    @property
    def changes(self) -> dict[str, int]:
        """What is to be other than its size says."""
        asked = {"budget": self.trials, "epochs": self.epochs, "train_images": self.train_size}
        return {name: value for name, value in asked.items() if value is not None}

    def for_source(self, objective: str, *, begun: bool) -> Options:
        """What the search for a missing source takes over from the one that needs it: size, machine and time."""
        nothing = dict.fromkeys(("epochs", "train_size", "source", "direction", "first", "sampler", "pruner"))
        # No search for the one is none for the other; what was begun as one goes on as one.
        trials = 0 if self.trials == 0 and not begun else None
        return dataclasses.replace(self, objective=objective, trials=trials, limits={}, **nothing)  # type: ignore[arg-type]


_LIMITS = ("hours", "until", "trial_timeout", "max_params", "max_flops")
_ASKED = (
    "objective",
    "size",
    "trials",
    "epochs",
    "train_size",
    "timeout",
    "source",
    "direction",
    "first",
    "sampler",
    "pruner",
)


def read(parsed: argparse.Namespace) -> Options:
    """Flags before the environment before the defaults. A password among the flags is warned of."""
    warn_of_password(parsed)
    times = {name: getattr(parsed, name, None) for name in ("lease", "silence")}
    return Options(
        storage=storage(parsed),
        data_dir=Path(getattr(parsed, "data_dir", None) or os.environ.get("SEARCH_DATA_DIR") or DATA),
        files=files(parsed),
        limits={
            name: None if value == NO_LIMIT else value
            for name in _LIMITS
            if (value := getattr(parsed, name, None)) is not None
        },
        changed=bool(getattr(parsed, "changed", False)),
        typed=as_called(parsed),
        settings=dataclasses.replace(DEFAULTS, **{name: value for name, value in times.items() if value is not None}),
        children=getattr(parsed, "children", None) or _children_of_environment(),
        **{name: getattr(parsed, name, None) for name in _ASKED},
    )


def _children_of_environment() -> int | None:
    text = os.environ.get("SEARCH_CHILDREN")
    try:
        return count(text) if text else None
    except argparse.ArgumentTypeError as error:
        raise SearchError(f"SEARCH_CHILDREN {error}") from None


def storage(parsed: argparse.Namespace) -> str:
    """The database's URL."""
    return parsed.storage or os.environ.get("SEARCH_STORAGE") or STORAGE


def files(parsed: argparse.Namespace) -> str | None:
    """Where checkpoints and models lie; None: where the study says."""
    return parsed.files or os.environ.get("SEARCH_FILES") or None


def warn_of_password(parsed: argparse.Namespace) -> None:
    """All users of a machine see the arguments of a process."""
    from search.database.url import masked  # noqa: PLC0415 - SQLAlchemy takes longer than --help

    if parsed.storage and "***" in masked(parsed.storage):
        print("search: a password on the command line is seen by all users; use SEARCH_STORAGE", file=sys.stderr)
