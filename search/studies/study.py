"""A study as its database describes it, found by its name. Reads without Optuna."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import sqlalchemy as sa

from search.contract import Shown, Size, seed_for, size_from_json
from search.database.optuna_tables import STUDIES, STUDY_ATTRIBUTES
from search.errors import unknown_study
from search.files.paths import is_key
from search.report_declaration import shown_from_json
from search.rules.noise import deviation
from search.rules.sampling import first_parameters
from search.rules.spec import spec_in_words
from search.studies.attributes import named

ATTRIBUTE = named("study")
OLD_ATTRIBUTE = "search"
"""What version 0.1 called it: ours, if what it holds is."""
REFIT = ".refit"
"""A refit's name is its study's with this behind it."""


@dataclass(frozen=True)
class Study:
    """One study as its database describes it. ``definition`` is what the objective's file said when it was created."""

    name: str
    study_id: int
    key: str
    objective: str
    definition: Mapping[str, Any]
    seed: int
    startup: int
    files_place: str | None
    code: str
    size_name: str
    refit: Mapping[str, Any] | None = field(default=None)
    """For a refit: study, key, trial, value and params of what is trained again."""
    is_old: bool = False
    """Made by version 0.1, whose attributes had no prefix."""

    @property
    def size(self) -> Size:
        """The stored size; its budget is the one at creation."""
        return size_from_json(self.definition["size"])

    @property
    def usual_budget(self) -> int:
        """What a study of its size has where nobody says otherwise."""
        return int(self.definition["sizes"][self.size_name]["budget"])

    @property
    def epochs(self) -> int:
        """What one whole trial of this study takes; 0 for a plain function, of which nobody knows."""
        return self.size.refit_epochs if self.refit and not self.is_plain else self.size.epochs

    @property
    def maximize(self) -> bool:
        """The direction."""
        return bool(self.definition["direction"] == "maximize")

    @property
    def is_plain(self) -> bool:
        """Whether it is of somebody's ``objective(trial)``, and not of an ``Objective``."""
        return bool(self.definition["kind"] == "function")

    @property
    def sampler_in_words(self) -> str:
        """As it would be typed; a plain function that names none has Optuna's."""
        return spec_in_words(self.definition.get("sampler"), "TPESampler")

    @property
    def pruner_in_words(self) -> str:
        """Likewise."""
        return spec_in_words(self.definition.get("pruner"), "MedianPruner")

    @property
    def shown_metric(self) -> str:
        """What the value of a trial is; a refit has no validation images left. That of a plain function is its own."""
        return self.shown.training_value if self.refit and not self.is_plain else str(self.definition["metric"])

    @property
    def shown(self) -> Shown:
        """How its reports show what its objective leaves."""
        # Before ``shown`` was stored, references stood by themselves.
        return shown_from_json(self.definition.get("shown") or {"references": self.definition.get("references", {})})

    def images(self, size: Size) -> tuple[int, int]:
        """Those of a trial of this size, and those of its refit; no more than there are, where that is known."""
        data = self.definition.get("data") or {}
        every = int(data.get("images", 0))
        if not every:
            return size.train_images or 0, size.refit_images or 0
        # The study's own cut may have found fewer to validate on than its size asks for.
        own = size.validation_images == self.size.validation_images
        held_out = int(data.get("validation", size.validation_images)) if own else size.validation_images
        others = max(0, every - held_out)
        return min(size.train_images or others, others), min(size.refit_images or every, every)

    def noise(self, *values: float) -> float | None:
        """The standard deviation of a trial's value near these, from one training to the next; None: unknown."""
        examples, value = (self.definition.get("data") or {}).get("validation"), fmean(values)
        if not examples or not self.definition.get("metric_is_share") or not 0 <= value <= 1:
            return None
        return deviation(value, int(examples))

    def fixed(self, lease: int) -> dict[str, Any]:
        """The parameters that this lease does not ask the sampler for."""
        if self.refit:
            return dict(self.refit["params"])
        return first_parameters(self.definition, lease)

    def is_first(self, lease: int) -> bool:
        """Whether this lease's trial is given, by ``first`` or as a refit, and not sampled."""
        return bool(self.refit) or lease < len(self.definition["first"])

    @property
    def first_in_words(self) -> str:
        """What the first point is: of another study's winner whose."""
        title = next(iter(self.definition.get("first_titles") or ()), None)
        is_winner = title in (self.definition.get("first_winners") or {})
        return f"the winner of {title}" if is_winner else "what one would train unsearched"

    def trial_seed(self, trial_number: int) -> int:
        """For data order and weights; the sampler has its own."""
        return seed_for(self.seed, "trial", trial_number)


def all_studies(engine: sa.Engine) -> list[Study]:
    """Every study of ours, oldest first."""
    return _read(engine)


def find(engine: sa.Engine, name: str) -> Study | None:
    """The study of this name, if it is one of ours."""
    return next(iter(_read(engine, STUDIES.c.study_name == name)), None)


def existing(engine: sa.Engine, name: str) -> Study:
    """The study of this name, or SearchError with the names that there are."""
    study = find(engine, name)
    if study is None:
        raise unknown_study(name, [other.name for other in all_studies(engine)])
    return study


def stored(engine: sa.Engine, study: Study) -> Study | None:
    """The study as it is by now, or None where it is gone."""
    return next((one for one in _read(engine, STUDIES.c.study_id == study.study_id) if one.key == study.key), None)


def still_there(engine: sa.Engine, study: Study) -> bool:
    """False once somebody deleted it with Optuna's tools, even if SQLite has given its id to another."""
    return stored(engine, study) is not None


def _read(engine: sa.Engine, *which: sa.ColumnElement[bool]) -> list[Study]:
    query = (
        sa.select(STUDIES.c.study_id, STUDIES.c.study_name, STUDY_ATTRIBUTES.c.key, STUDY_ATTRIBUTES.c.value_json)
        .join(STUDY_ATTRIBUTES, STUDY_ATTRIBUTES.c.study_id == STUDIES.c.study_id)
        .where(STUDY_ATTRIBUTES.c.key.in_((ATTRIBUTE, OLD_ATTRIBUTE)), *which)
        .order_by(STUDIES.c.study_id)
    )
    with engine.connect() as connection:
        rows = list(connection.execute(query))
    rows.sort(key=lambda row: row.key == ATTRIBUTE)  # beside ours an old name is somebody else's
    found = {row.study_id: study for row in rows if (study := _study(row)) is not None}
    return [found[study_id] for study_id in sorted(found)]


_RECORD: dict[str, Any] = {
    "key": str,
    "objective": str,
    "definition": dict,
    "seed": int,
    "startup": int,
    "files_place": str | None,
    "code": str,
    "size_name": str,
    "refit": dict | None,
}
"""What the attribute holds, and of which type."""


def _study(row: Any) -> Study | None:
    """None where the attribute is not of our writing."""
    record = json.loads(row.value_json)
    if not isinstance(record, dict) or not is_key(record.get("key")):
        return None
    if not all(name in record and isinstance(record[name], kind) for name, kind in _RECORD.items()):
        return None
    known = {name: record[name] for name in _RECORD}
    return Study(name=row.study_name, study_id=row.study_id, is_old=row.key == OLD_ATTRIBUTE, **known)
