"""What an objective leaves and how a report shows it, as data: the part of the contract that trains nothing.

Objectives take these from ``search.contract``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Number:
    """One figure among what ``evaluate`` returns. Every ``key`` here may lead into a mapping: ``superclass.accuracy``.

    What the metrics do not hold is not shown.
    """

    key: str
    title: str
    unit: str = ""
    """``%`` multiplies by 100; anything else follows the number."""
    interval: str | None = None
    """The key of its 95 % interval, [low, high]."""
    better: Literal["up", "down", ""] = ""
    """Whether a higher one is better, or a lower."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Something of what ``evaluate`` returns that is shown under a title of its own: figures, rows, or more tables."""

    title: str
    text: str = ""
    when: str = ""
    """A key without whose truth ``text`` is not said."""
    numbers: Sequence[Number] = ()
    """A list or, above rows, one line."""
    rows: str = ""
    """The key of a list of mappings."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Title by key of a row."""
    tables: Sequence[Table] = ()
    """Those that belong to this one."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A file that ``evaluate`` adds to the folder."""

    file: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What an objective leaves and how a report shows it. Never part of what is compared with a stored study."""

    numbers: Sequence[Number] = ()
    """The first is the headline. None: every number that ``evaluate`` returns, under its own name."""
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    attached: Sequence[str] = ()
    """More files that the dashboard is given, beside pictures and report."""
    private: Sequence[str] = ()
    """Files that ``train`` leaves for ``evaluate`` alone: not exported."""
    model: str = ""
    """The file of the model itself."""
    usage: str = ""
    """Lines that load it; ``{model}`` is its path."""
    training: str = ""
    """A JSON file of the folder that says how the model came to be: the report quotes it. Its ``parameters`` are the
    model's, if they are there."""
    trained_on: str = ""
    """The key in ``training`` of the number of examples that the model was trained on."""
    units: Mapping[str, str] = field(default_factory=dict)
    """What parameters are counted in whose names do not say it, by their names: shown behind the value."""
    examples: str = "examples"
    """What the data are counted in, in the plural."""
    training_value: str = "value on the training data"
    """What a refit's value is, as no validation data are left."""
    references: Mapping[str, float] = field(default_factory=dict)
    """Scores to set the headline against, by the name a reader knows them under."""
    then: str | None = None
    """The objective that goes on from this one's model."""


def shown_from_json(data: Mapping[str, Any] | None) -> Shown:
    """The inverse of ``dataclasses.asdict`` behind JSON. What is missing is not declared; what is unknown is left out,
    as another version may have stored it."""
    known = _known(Shown, data or {})
    return Shown(
        **{
            **known,
            "numbers": tuple(Number(**_known(Number, one)) for one in known.get("numbers", ())),
            "tables": tuple(_table(one) for one in known.get("tables", ())),
            "pictures": tuple(Picture(**_known(Picture, one)) for one in known.get("pictures", ())),
            "attached": tuple(known.get("attached", ())),
            "private": tuple(known.get("private", ())),
        }
    )


def _table(data: Mapping[str, Any]) -> Table:
    known = _known(Table, data)
    numbers = tuple(Number(**_known(Number, one)) for one in known.get("numbers", ()))
    return Table(**{**known, "numbers": numbers, "tables": tuple(_table(one) for one in known.get("tables", ()))})


def _known(kind: type[Any], data: Mapping[str, Any]) -> dict[str, Any]:
    names = {one.name for one in dataclasses.fields(kind)}
    return {name: value for name, value in data.items() if name in names}
