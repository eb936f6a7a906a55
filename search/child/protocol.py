"""Every message between a worker and its child: JSON lines, a dataclass each. Never pickle.

The names of the fields are the keys of the JSON, the class's name is its ``type``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from search.rules.failures import Cause

Json = Any


class Message:
    """One of the dataclasses below."""


# -- to the child ------------------------------------------------------------------------------------------------------


@dataclass
class Describe(Message):
    """What does the objective's file declare? Answered by ``Definition`` or ``Failed``."""

    log: str
    data_dir: str
    size: Mapping[str, Json] | None
    """A study's own; None: the size of this name, with these changes."""
    size_name: str | None
    changes: Mapping[str, int]
    direction: str
    """Of a plain function."""


@dataclass
class Evaluate(Message):
    """What is the model in this folder worth on this split? Answered by ``Metrics`` or ``Failed``; before the test
    data are scored, ``TestSet`` is said."""

    log: str
    folder: str
    data_dir: str
    split: Literal["validation", "test"]


@dataclass
class Go(Message):
    """Run a trial. Its last message is ``Done``, ``Pruned``, ``Stopped`` or ``Failed``."""

    run: str
    """Names this claim of the trial: a ``Stop`` is for one only."""
    log: str
    number: int
    seed: int
    workdir: str
    data_dir: str
    source: str | None
    resume: str | None
    size: Mapping[str, Json]
    cores: int
    gpus: Sequence[str]
    refit: bool
    params: Mapping[str, Json]
    distributions: Mapping[str, str]
    user_attrs: Mapping[str, Json]
    constraints: Mapping[str, float]
    reported: Sequence[int]
    datetime_start: str | None


@dataclass
class Stop(Message):
    """End this run at the next batch."""

    run: str
    reason: Literal["pruned", "hand over", "fenced"]


@dataclass
class Answer(Message):
    """To ``Suggest``, ``ShouldPrune`` or ``TestSet``; an ``error`` is raised in the child."""

    value: Json = None
    error: str | None = None


# -- from the child ----------------------------------------------------------------------------------------------------


@dataclass
class Definition(Message):
    definition: Mapping[str, Json]


@dataclass
class Metrics(Message):
    metrics: Mapping[str, Json]


@dataclass
class TestSet(Message):
    """The test data are about to be scored. Waits for an ``Answer``, which comes once the look is recorded.

    ``sha256`` None: the objective gives none.
    """

    __test__ = False  # pytest takes the name for a test's
    sha256: str | None


@dataclass
class Suggest(Message):
    """Waits for an ``Answer``. ``distribution`` is Optuna's JSON."""

    name: str
    distribution: str


@dataclass
class ShouldPrune(Message):
    """Waits for an ``Answer``."""


@dataclass
class Report(Message):
    """A plain function's ``trial.report``."""

    value: float
    step: int


@dataclass
class UserAttr(Message):
    key: str
    value: Json


@dataclass
class Constraint(Message):
    key: str
    value: float


@dataclass
class Epoch(Message):
    """An objective's ``context.report``: epoch ``step`` is finished."""

    step: int
    values: Mapping[str, float]
    checkpoint: str | None


@dataclass
class Beat(Message):
    """It lives."""


@dataclass
class Last(Message):
    """What follows frees the child for another trial."""


@dataclass
class Done(Last):
    value: float


@dataclass
class Pruned(Last):
    """A plain function raised TrialPruned."""

    why: str


@dataclass
class Stopped(Last):
    """It ended the batch as it was told to."""


@dataclass
class Failed(Last):
    """For what each cause means see ``rules/failures.py``."""

    cause: Cause
    why: str


# -- on the wire -------------------------------------------------------------------------------------------------------


def encode(message: Message) -> bytes:
    """One line."""
    fields = {one.name: getattr(message, one.name) for one in dataclasses.fields(message)}  # type: ignore[arg-type]
    return json.dumps({"type": type(message).__name__, **fields}).encode() + b"\n"


def decode(line: bytes) -> Message:
    """The inverse."""
    fields = json.loads(line)
    message: Message = _KINDS[fields.pop("type")](**fields)
    return message


_KINDS: dict[str, type] = {
    name: kind for name, kind in globals().items() if isinstance(kind, type) and dataclasses.is_dataclass(kind)
}
