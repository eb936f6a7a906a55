"""``report.json`` as a page for people, shown as its objective declares.

Every figure comes from the report; what was not measured is said to be so, or not said at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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


def markdown(report: Report, shown: Shown, files: Sequence[str]) -> str:
    """The whole page. ``files`` are the names beside it, so that only pictures that are there are shown."""
    metrics = report["test"] or report["validation"] or {}
    parts = [
        f"# {report['study']}, {_trial(report)}: {report['exported']}",
        _verdict(report, shown),
        _scores(report, shown),
        _reported(report),
        _chosen(report),
        _bought(report),
        _hyperparameters(report, shown),
        *[_section(metrics, table) for table in shown.tables],
        *[f"![{picture.title}]({picture.file})" for picture in shown.pictures if picture.file in files],
        _origin(report),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


# -- what the test says ------------------------------------------------------------------------------------------------


def _verdict(report: Report, shown: Shown) -> str:
    test, looks = report["test"], report["test_openings"]
    if report["kind"] == "function":
        return f"**{report['metric']} {readable(report['value'])}**, as trial {report['trial']} has returned it."
    if not test:
        opened = f"The test set was opened {looks} time(s)" if looks else "The test set was never opened for this study"
        if report["trial"] is None:
            return f"{opened}; no figure is part of this export, as nothing was searched on validation data."
        value = f"{report['metric']} {readable(report['value'])} of trial {report['trial']}"
        bought = report.get("bought")
        too_good = not bought or (bought["best"] == report["trial"] and bought["complete"] > 1)
        best = f" It is the best of several trials on the same {shown.examples} and so a little too good."
        return f"{opened}; no test figure is part of this export. What is known: {value}.{best if too_good else ''}"
    interval = ", 95 % interval" if interval_of(test, headline_number(test, shown)) else ""
    lines = [
        f"**Test {headline_title(test, shown)} {headline(test, shown)}**{interval}, look no. {looks} at the test set."
    ]
    others = {name: count for name, count in report["test_openings_by_study"].items() if name != report["study"]}
    if others:
        lines.append(f"- looks by other studies: {', '.join(f'{name} {count}' for name, count in others.items())}")
    lines += [f"- {name}: {as_headline(score, test, shown)}" for name, score in report["references"].items()]
    return "\n".join(lines)


def _trial(report: Report) -> str:
    return "unsearched" if report["trial"] is None else f"trial {report['trial']}"


def _scores(report: Report, shown: Shown) -> str:
    columns = {name: report[name] for name in ("validation", "test") if report[name]}
    rows = []
    for number in _every_number(columns, shown):
        values = [at(metrics, number.key) for metrics in columns.values()]
        # A share stays one here: percent signs in every cell say nothing.
        unit = "" if number.unit == "%" else number.unit
        if any(value is not None for value in values):
            rows.append([number.title, *("" if value is None else formatted(value, unit) for value in values)])
    if not rows:
        return ""
    note = f"\n\n{_spent(report, shown)}" if report["test"] and report["exported"] == "refit" else ""
    return "## Scores\n\n" + _table(["", *columns], rows) + note


def _reported(report: Report) -> str:
    """Of a plain function, which names its figures as it likes."""
    rows = [[name, plain(value)] for name, value in (report["reported"] or {}).items() if value is not None]
    return "## What its last step reported\n\n" + _table(["", "value"], rows) if rows else ""


def _every_number(columns: Mapping[str, Metrics], shown: Shown) -> Sequence[Number]:
    found = {number.key: number for metrics in columns.values() for number in numbers_of(metrics, shown)}
    return list(found.values())


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


# -- how it was chosen -------------------------------------------------------------------------------------------------


def _chosen(report: Report) -> str:
    chosen = report["chosen"]
    states = ", ".join(f"{count} {state}" for state, count in chosen["states"].items())
    lines = [f"- {counted(chosen['from'], 'trial')} ({states}); chosen: {chosen['how']}"]
    lines.append(f"- sampler `{chosen['sampler']}`, pruner `{chosen['pruner']}`")
    if chosen["turned_down"]:
        lines.append(f"- turned down, as their networks were too large: {chosen['turned_down']} more")
    for number, first in enumerate(chosen["first"]):
        if first:
            what = chosen["first_is"] if number == 0 else "tried before the sampler"
            title = first.get("title") or f"first[{number}]"
            lines.append(f"- {title} ({what}), trial {first['number']}: {_value(first)}")
    if chosen["control"]:
        lines.append(
            f"- from scratch at equal budget (the control), "
            f"trial {chosen['control']['number']}: {_value(chosen['control'])}"
        )
    if others := chosen["of_another_file"]:
        lines.append(
            f"- the objective's file was changed during the search: trials {', '.join(map(str, others))} ran another "
            "version than the study was created with, and their values may be of something else"
        )
    source = report["source"]
    if source:
        lines.append(
            f"- source of the weights: {_source(source)} of {source['study']} (SHA-256 {source['sha256'][:16]}…)"
        )
    return "## How it was chosen\n\n" + "\n".join(lines)


def _bought(report: Report) -> str:
    found = report.get("bought")
    if not found:
        return ""
    lines = [f"- {sentence}" for sentence in sentences(found)]
    for rung, one in found["rungs"].items():
        if one["correlation"] is not None:
            lines.append(
                f"- rank correlation of epoch {rung} with the end: {one['correlation']:.2f}, over the {one['trials']} "
                "trials that were not pruned"
            )
    return "## What the search bought\n\n" + "\n".join(lines) if lines else ""


def _source(source: Mapping[str, Any]) -> str:
    if source["trial"] is None:
        return "the unsearched training"
    return f"{'the refit of ' if source['refit'] else ''}trial {source['trial']}"


def _value(trial: Mapping[str, Any]) -> str:
    return f"{readable(trial['value'])} ({trial['state']})" if trial["value"] is not None else str(trial["state"])


def _hyperparameters(report: Report, shown: Shown) -> str:
    found = report["hyperparameters"].items()
    rows = [[f"`{name}`", in_its_unit(value, shown.units.get(name))] for name, value in found]
    return "## Hyperparameters\n\n" + _table(["name", "value"], rows) if rows else ""


# -- what the objective declares ---------------------------------------------------------------------------------------


def _section(metrics: Metrics, table: Table, level: int = 2) -> str:
    """A table's section, or nothing where the metrics hold nothing of it."""
    rows = (at(metrics, table.rows) if table.rows else None) or []
    content = [
        _figures(metrics, table.numbers, in_a_line=bool(rows)),
        _rows(rows, table.columns),
        *[_section(metrics, one, level + 1) for one in table.tables],
    ]
    if not any(content):
        return ""
    text = table.text if not table.when or at(metrics, table.when) else ""
    return "\n\n".join(part for part in (f"{'#' * level} {table.title}", text, *content) if part)


def _figures(metrics: Metrics, numbers: Sequence[Number], *, in_a_line: bool) -> str:
    values = [(number, at(metrics, number.key)) for number in numbers]
    found = [(number, value) for number, value in values if value is not None]
    if in_a_line and found:
        return ", ".join(f"{number.title} {formatted(value, number.unit)}" for number, value in found) + "."
    return "\n".join(f"- {number.title}: {formatted(value, number.unit)}" for number, value in found)


def _rows(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    if not rows:
        return ""
    return _table(list(columns.values()), [[_cell(row.get(key)) for key in columns] for row in rows])


def _cell(value: Any) -> str:
    """Three decimals: a row is one of many, of few examples each."""
    if value is None:
        return ""
    return plain(value, 3) if isinstance(value, int | float) else f"{value}"


# -- where it comes from -----------------------------------------------------------------------------------------------


def _origin(report: Report) -> str:
    environment, cost, data, model = report["environment"], report["cost"], report["data"] or {}, report["model"]
    lines = [
        f"- study `{report['study']}`, objective `{report['objective']}`{_size(report)}",
        f"- seeds: {', '.join(f'{name} {seed}' for name, seed in report['seeds'].items())}",
        f"- trained {cost['seconds']:.0f} s in {counted(cost['epochs'], 'epoch')}; {cost['epochs_repeated']} of them "
        f"({cost['seconds_lost']:.0f} s) were repeated after {counted(cost['interruptions'], 'interruption')}",
        *_shares(cost),
        *[f"- data {name}: {value}" for name, value in data.items()],
    ]
    if model:
        parameters = f", {model['parameters']} parameters" if model.get("parameters") else ""
        lines.append(f"- `{model['file']}`: SHA-256 `{model.get('sha256', 'unknown')}`{parameters}")
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    lines += [
        f"- Python {environment['python']}, {versions}",
        f"- {environment['platform']}, {environment['cores']} cores, revision {environment['revision'] or 'unknown'}",
    ]
    return "## Where it comes from\n\n" + "\n".join(lines)


def _size(report: Report) -> str:
    """A plain function has none."""
    if report["kind"] == "function":
        return ""
    return f", size {report['size']['name']}, trained in {report['size'].get('precision', 'float32')}"


def _shares(cost: Mapping[str, Any]) -> list[str]:
    """What nobody measured is not said."""
    lines = []
    if cost["training_share"] is not None:
        lines.append(f"- training steps took {cost['training_share']:.0%} of the time of search and refit")
    if memory := memory_at_most(cost):
        lines.append(f"- {memory}")
    return lines


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
