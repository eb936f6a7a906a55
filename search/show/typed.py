"""Commands and variables in what is said, as whoever reads it types them.

Everything is written for make, ``make search STUDY=x TRIALS=4``, and translated where it is shown: without make it
reads ``search run x --trials 4``. What was typed to say where things lie is repeated, so that the command works.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from search.rules.readable import Foreign

BY_MAKE = "SEARCH_BY_MAKE"
"""The environment variable that the Makefile sets: the names of those where things lie that were typed."""

_COMMANDS = {
    "search": "run",
    "worker": "worker",
    "status": "status",
    "refit": "refit",
    "export": "export",
    "check": "check",
    "dashboard": "dashboard",
    "delete": "delete",
}
_PLACES = {
    "STORAGE": set(_COMMANDS) - {"check"},
    "FILES": set(_COMMANDS) - {"check"},
    "DATA_DIR": {"search", "worker", "refit", "export", "check"},
}
"""Where things lie, and the targets that take it."""
_YES = {"CHANGED", "TEST", "TRUST", "WAIT"}
_WHERE = {"STUDY", "TRIAL"}
"""Without a flag: by their place."""
_VARIABLES = (
    *("OBJECTIVE", "SIZE", "TRIALS", "EPOCHS", "TRAIN_SIZE", "CHILDREN", "TIMEOUT", "SOURCE", "FIRST", "SAMPLER"),
    *("PRUNER", "HOURS", "UNTIL", "TRIAL_TIMEOUT", "MAX_PARAMS", "MAX_FLOPS", "DIRECTION", "CHANGED", "TRUST", "TO"),
    *("TEST", "PORT", "WAIT", *_PLACES),
)
_VALUE = r"(?:'[^']*'|[^\s,;()]*[^\s,;().:])"
_COMMAND = re.compile(rf"\bmake ({'|'.join(_COMMANDS)})\b((?: [A-Z_]+={_VALUE})*)")
_VARIABLE = re.compile(rf"(?<![\w/.'\"-])({'|'.join(_VARIABLES)})\b(?![/.]\w| = )(?:=({_VALUE}))?")


@dataclass(frozen=True)
class Typed:
    """How a person called this program."""

    program: str | None = None
    """What stands before a command; None: make."""
    places: Mapping[str, str] = field(default_factory=dict)
    """What was typed of where things lie, by the variable's name."""

    def spoken(self, text: str) -> str:
        """The text with every command and variable as this person would type it, unless it is somebody else's."""
        if isinstance(text, Foreign):
            return text
        parts, end = [], 0
        for match in _COMMAND.finditer(text):
            parts += [self._variables(text[end : match.start()]), self._command(match[1], match[2])]
            end = match.end()
        return "".join([*parts, self._variables(text[end:])])

    def _command(self, target: str, typed: str) -> str:
        pairs = dict(re.findall(rf"([A-Z_]+)=({_VALUE})", typed))
        pairs |= {
            name: shlex.quote(value)
            for name, value in self.places.items()
            if target in _PLACES[name] and name not in pairs
        }
        if self.program is None:
            return " ".join(["make", target, *(f"{name}={value}" for name, value in pairs.items())])
        by_place = {*_WHERE, "OBJECTIVE"} if target == "check" else _WHERE
        places = [value for name, value in pairs.items() if name in by_place]
        flags = [_flag(name, value) for name, value in pairs.items() if name not in by_place]
        return " ".join([self.program, _COMMANDS[target], *places, *flags])

    def _variables(self, text: str) -> str:
        if self.program is None:
            return text
        return _VARIABLE.sub(lambda match: _flag(match[1], match[2]), text)


def _flag(name: str, value: str | None) -> str:
    flag = f"--{name.lower().replace('_', '-')}"
    return flag if name in _YES or value is None else f"{flag} {value}"


def as_called(parsed: argparse.Namespace | None = None) -> Typed:
    """By make or by itself, and with which places; nothing of a password is repeated."""
    by_make = os.environ.get(BY_MAKE)
    flags = {"STORAGE": "storage", "FILES": "files", "DATA_DIR": "data_dir"}
    typed = {name: getattr(parsed, flag, None) for name, flag in flags.items()}
    if by_make is not None and "STORAGE" in by_make.split():  # it came by the environment, for what it may hold
        typed["STORAGE"] = os.environ.get("SEARCH_STORAGE")
    places = {name: str(value) for name, value in typed.items() if value and not _has_secret(str(value))}
    if by_make is not None:
        return Typed(None, places)
    return Typed("search" if Path(sys.argv[0]).name == "search" else "python -m search", places)


def _has_secret(value: str) -> bool:
    """Rather once too often."""
    return re.search(r"://.*:.*@|password", value, re.IGNORECASE) is not None
