"""``report.json`` as a page for people, shown as its objective declares: the sentences stand in ``report.md.j2``.

Every figure comes from the report; what was not measured is said to be so, or not said at all.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from search.contract import Number, Shown, Table
from search.export.bought_in_words import sentences
from search.export.numbers import (
    Metrics,
    as_headline,
    at,
    formatted,
    headline,
    headline_number,
    headline_title,
    interval_of,
    memory_at_most,
    numbers_of,
    plain,
)
from search.rules.readable import counted, in_its_unit, readable

Report = Mapping[str, Any]
_ARROWS = {"": "", "up": " ↑", "down": " ↓"}


def markdown(report: Report, shown: Shown, files: Sequence[str]) -> str:
    """The whole page. ``files`` are the names beside it, so that only pictures that are there are shown."""
    page = _template().render({**report, **_prepared(report, shown, files)})
    return re.sub(r"\n{3,}", "\n\n", page).strip() + "\n"


@functools.cache
def _template() -> jinja2.Template:
    loader = jinja2.PackageLoader("search", "export")
    made = jinja2.Environment(  # noqa: S701 - Markdown, which has no entities
        loader=loader, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    made.globals |= {"at": at, "counted": counted, "readable": readable}
    return made.get_template("report.md.j2")


def _prepared(report: Report, shown: Shown, files: Sequence[str]) -> dict[str, Any]:
    """What the template says of the report, in words and rows."""
    columns = {name: report[name] for name in ("validation", "test") if report[name]}
    metrics, chosen, found = report["test"] or {}, report["chosen"], report.get("bought")
    others = {name: count for name, count in report["test_openings_by_study"].items() if name != report["study"]}
    return {
        "shown": shown,
        "headline": headline(metrics, shown),
        "headline_title": headline_title(metrics, shown),
        "has_interval": bool(interval_of(metrics, headline_number(metrics, shown))),
        "as_headline": lambda score: as_headline(score, metrics, shown),
        "too_good": not found or (found["best"] == report["trial"] and found["complete"] > 1),
        "other_looks": ", ".join(f"{name} {count}" for name, count in others.items()),
        "score_columns": list(columns),
        "scores": _scores(columns, shown),
        "spent": _spent(report, shown) if report["test"] and report["exported"] == "refit" else "",
        "reported": [[name, plain(one)] for name, one in (report.get("reported") or {}).items() if one is not None],
        "states": ", ".join(f"{count} {state}" for state, count in chosen["states"].items()),
        "chosen": chosen | {"first": _first(chosen)},
        "outcome_of": _outcome,
        "source_in_words": _source(report["source"]),
        "bought": _bought(found) if found else [],
        "hyperparameters": [
            [f"`{name}`", in_its_unit(value, shown.units.get(name))]
            for name, value in report["hyperparameters"].items()
        ],
        "figures_of": _figures,
        "rows_of": _rows,
        "pictures": [picture for picture in shown.pictures if picture.file in files],
        "memory": memory_at_most(report["cost"]),
    }


def _scores(columns: Mapping[str, Metrics], shown: Shown) -> list[list[str]]:
    rows = []
    every = {number.key: number for metrics in columns.values() for number in numbers_of(metrics, shown)}
    for number in every.values():
        values = [at(metrics, number.key) for metrics in columns.values()]
        # A share stays one here: percent signs in every cell say nothing.
        unit = "" if number.unit == "%" else number.unit
        if any(value is not None for value in values):
            title = f"{number.title}{_ARROWS[number.better]}"
            rows.append([title, *("" if value is None else formatted(value, unit) for value in values)])
    return rows


def _spent(report: Report, shown: Shown) -> str:
    size, trained = report["size"], (report["training"] or {}).get(shown.trained_on)
    searched = (report["data"] or {}).get("train")
    small = f" (trained on {searched:,} {shown.examples} in {counted(size['epochs'], 'epoch')})" if searched else ""
    large = f" (on {trained:,} {shown.examples} in {counted(size['refit_epochs'], 'epoch')})" if trained else ""
    if report["trial"] is None:
        return f"Test is of what was trained without a search{large}."
    return (
        f"Validation is of the trial chosen{small}; test is of the refit{large}, which has seen the validation "
        f"{shown.examples}."
    )


def _first(chosen: Mapping[str, Any]) -> list[dict[str, Any] | None]:
    return [
        one and {**one, "place": place, "what": chosen["first_is"] if place == 0 else "tried before the sampler"}
        for place, one in enumerate(chosen["first"])
    ]


def _bought(found: Mapping[str, Any]) -> list[str]:
    return sentences(found) + [
        f"rank correlation of epoch {rung} with the end: {one['correlation']:.2f}, over the {one['trials']} trials "
        "that were not pruned"
        for rung, one in found["rungs"].items()
        if one["correlation"] is not None
    ]


def _source(source: Mapping[str, Any] | None) -> str:
    if source is None or source["trial"] is None:
        return "the unsearched training"
    return f"{'the refit of ' if source['refit'] else ''}trial {source['trial']}"


def _outcome(trial: Mapping[str, Any]) -> str:
    return f"{readable(trial['value'])} ({trial['state']})" if trial["value"] is not None else str(trial["state"])


def _figures(metrics: Metrics, numbers: Sequence[Number]) -> list[tuple[str, str]]:
    values = [(number, at(metrics, number.key)) for number in numbers]
    return [(number.title, formatted(value, number.unit)) for number, value in values if value is not None]


def _rows(metrics: Metrics, table: Table) -> list[list[str]]:
    rows = (at(metrics, table.rows) if table.rows else None) or []
    return [[_cell(row.get(key)) for key in table.columns] for row in rows]


def _cell(value: Any) -> str:
    """Three decimals: a row is one of many, of few examples each."""
    if value is None:
        return ""
    return plain(value, 3) if isinstance(value, int | float) else f"{value}"
