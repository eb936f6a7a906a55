"""Every message between a worker and its child: JSON lines, a dataclass each. Never pickle.

The names of the fields are the keys of the JSON, the class's name is its ``type``.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from search.rules.failures import Cause
from search.trial_run import StopReason

Json = Any


class Message:
    """One of the dataclasses below."""


class OfTrial(Message):
    """What a child says while it runs a trial."""


@dataclass
class Unreadable(Message):
    """This end's own: what came was no message. Nothing that follows it can be trusted."""

    why: str


# -- to the child ------------------------------------------------------------------------------------------------------


@dataclass
class Load(Message):
    """Get ready for this objective's tasks. Not answered: what fails is said at the first task."""


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
    first: Sequence[str] = ()
    """Points to be tried first, by name; none: those that the objective says."""
    winners: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    """Parameters of those among ``first`` that are other studies' winners."""
    sampler: Mapping[str, Json] | None = None
    pruner: Mapping[str, Json] | None = None
    """As ``Spec``; None: what the file says."""


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
    trial_id: int
    study_id: int
    study_name: str
    direction: str
    seed: int
    workdir: str
    data_dir: str
    source: str | None
    resume: str | None
    resumed_from: int
    """The epoch of ``resume``; 0: it begins."""
    trial_name: str
    """The same for every claim of the trial, and no other's."""
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
    file: str | None
    """The hash of somebody's own file, as the study goes by it."""
    limits: Mapping[str, float]
    """On the network's ``parameters`` and ``flops``."""


@dataclass
class Stop(Message):
    """End this run at the next batch."""

    run: str
    reason: StopReason


@dataclass
class Answer(Message):
    """To a question of a trial, or to ``TestSet``; an ``error`` is raised in the child."""

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
class Suggest(OfTrial):
    """Waits for an ``Answer``. ``distribution`` is Optuna's JSON."""

    name: str
    distribution: str


@dataclass
class ShouldPrune(OfTrial):
    """Waits for an ``Answer``."""


@dataclass
class Report(OfTrial):
    """A plain function's ``trial.report``."""

    value: float
    step: int

    def __post_init__(self) -> None:
        if self.step < 0:
            raise ValueError(f"step {self.step} is reported; it cannot be negative")


@dataclass
class UserAttr(OfTrial):
    key: str
    value: Json


@dataclass
class SystemAttr(OfTrial):
    """Of the trial; for Optuna's own parts, as its artifacts and its terminator."""

    key: str
    value: Json


@dataclass
class AskTrials(OfTrial):
    """Waits for an ``Answer``: the study's trials, or that with this id alone, as ``frozen.py`` writes them."""

    trial_id: int | None


@dataclass
class AskStudyAttrs(OfTrial):
    """Waits for an ``Answer``."""

    whose: Literal["user", "system"]


@dataclass
class EndStudy(OfTrial):
    """Nothing more is to be begun once this trial has ended."""


@dataclass
class Constraint(OfTrial):
    key: str
    value: float


@dataclass
class Network(OfTrial):
    """An objective's ``context.built``."""

    parameters: int
    flops: float | None

    def said(self) -> dict[str, float]:
        """What is known of it."""
        return {"parameters": self.parameters} | ({} if self.flops is None else {"flops": self.flops})


@dataclass
class Resumable(OfTrial):
    """A plain function goes on from its checkpoints, and stops when it is told to."""


@dataclass
class Epoch(OfTrial):
    """An objective's ``context.report``, or a plain function's ``run.report``: epoch ``step`` is finished."""

    step: int
    values: Mapping[str, float]
    checkpoint: str | None

    def __post_init__(self) -> None:
        if self.step < 1:
            raise ValueError(f"epoch {self.step} is reported; epochs count from 1")


@dataclass
class Beat(OfTrial):
    """It lives."""


@dataclass
class Last(OfTrial):
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
class TooLarge(Last):
    """The network is larger than the study allows; nothing was trained."""

    why: str


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
    """The inverse; ``Unreadable`` for what nobody here has encoded."""
    try:
        fields = json.loads(line)
        kind = _KINDS[fields.pop("type")]
        for name, hint in _hints(kind).items():
            if not _is_a(fields[name], hint):
                raise TypeError(f"{name} is {fields[name]!r}")
        message: Message = kind(**fields)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        what = f"{type(error).__name__}: {error}".splitlines()[0][:_SHOWN]
        return Unreadable(f"wrote {line[:_SHOWN]!r} into its pipe, which is no message ({what})")
    return message


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _is_a(value: Json, hint: Any) -> bool:
    """Whether JSON holds what a field's type says."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return value in inner
    if origin is types.UnionType:
        return any(_is_a(value, one) for one in inner)
    if origin is Mapping:
        return isinstance(value, dict) and all(_is_a(one, inner[1]) for one in value.values())
    if origin is Sequence:
        return isinstance(value, list) and all(_is_a(one, inner[0]) for one in value)
    if hint in {int, float}:
        return isinstance(value, int if hint is int else int | float) and not isinstance(value, bool)
    return hint is Any or isinstance(value, hint)


_SHOWN = 80
"""Characters of what cannot be read."""
_KINDS: dict[str, type] = {
    name: kind
    for name, kind in globals().items()
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind is not Unreadable
}
