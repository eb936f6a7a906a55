"""What came of a search, in the lines that it ends with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.export.bought_in_words import sentences
from search.export.numbers import as_headline, headline, headline_title
from search.rules.readable import counted, readable
from search.settings import SIZE
from search.studies.objective_file import is_shipped
from search.studies.study import Study


def outcome(report: Mapping[str, Any], study: Study, status: Mapping[str, Any], target: Path) -> list[str]:
    """``report`` is the export's, which lies at ``target``."""
    if report["trial"] is None:
        lines = ["", f"nothing was searched: this is {study.first_in_words}"]
    else:
        bought = report["bought"]
        what = "best" if bought is None or bought["best"] == report["trial"] else "chosen"
        lines = ["", f"{what}: trial {report['trial']}, {report['metric']} {readable(report['value'])}"]
        lines += sentences(bought) if bought else []
        control = report["chosen"]["control"]
        if control and control["state"] == "complete" and control["number"] != report["trial"]:
            lines.append(f"from scratch at equal budget, trial {control['number']}: {readable(control['value'])}")
    if report["test"]:
        title, score = headline_title(report["test"], study.shown), headline(report["test"], study.shown)
        epochs = counted(report["size"]["refit_epochs"], "epoch")
        whose = f"the refit ({epochs})" if report["exported"] == "refit" else "the chosen trial"
        lines.append(f"test {title} of {whose}: {score}, look no. {report['test_openings']}")
    elif study.epochs:
        lines.append("test: not opened (the chosen trial was not trained again yet)")
    metrics = report["test"] or report["validation"] or {}
    lines += [f"{name}: {as_headline(score, metrics, study.shown)}" for name, score in report["references"].items()]
    lines.append(f"exported to {target}/ (report.md)")
    if report["model"] and study.shown.usage:
        model = str(target / report["model"]["file"])
        lines += ["", *study.shown.usage.replace("{model}", model).splitlines()]
    return [*lines, "", *_next(study, status)]


def _next(study: Study, status: Mapping[str, Any]) -> list[str]:
    more = f" {status['goes_on_with']}" if status["goes_on_with"] else ""
    what = "goes on searching" if status["budget"] else "searches"
    commands = [] if status["unused"] else [f"make search STUDY={study.name}{more} ({what})"]
    then = study.shown.then
    if then and is_shipped(then):
        source = "" if study.name == study.objective else f" SOURCE={study.name}"
        size = "" if study.size_name == SIZE else f" SIZE={study.size_name}"
        commands.insert(0, f"make search STUDY={then}{source}{size} (starts from this model)")
    lines = [f"{'or' if number else 'next'}: {command}" for number, command in enumerate(commands)]
    left = 0 if status["ended"] else status["left"]
    return [f"{counted(left, 'trial')} left: make search STUDY={study.name}"] if left else lines
