"""``export STUDY``: the best model and its report as a folder, also during a search."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.commands import options as typed
from search.commands.machine import Machine, opened
from search.contract import Split
from search.export.attach import attach
from search.export.folder import export
from search.settings import EXPORTS
from search.studies.as_optuna import as_optuna
from search.studies.files import files_of, reading_files_of
from search.studies.study import existing
from search.studies.winner import Winner, winner_of


def run(parsed: argparse.Namespace) -> int:
    """Exit status."""
    options = typed.read(parsed)
    with opened(options, readonly=parsed.no_model) as machine:
        winner = winner_of(machine.storage, existing(machine.storage.engine, parsed.study))
        target = Path(parsed.to) if parsed.to else EXPORTS / winner.study.name
        report = export_winner(machine, winner, options.files, target, test=parsed.test, model=not parsed.no_model)
        machine.screen.say(f"trial {report['trial']}, {report['metric']} {report['value']:.4f}, exported to {target}/")
        if report["model"] is None and not parsed.no_model and winner.study.definition["kind"] == "objective":
            machine.screen.say("without a model: it is not among this study's files")
    return 0


def export_winner(
    machine: Machine, winner: Winner, files_place: str | None, target: Path, *, test: bool, model: bool = True
) -> dict[str, Any]:
    """Its figures are computed in a child. ``model`` False: only what the database itself knows. Returns the report."""
    study = winner.study
    files = (files_of if model else reading_files_of)(machine.storage, study, files_place)

    def evaluate(folder: Path, split: Split) -> Mapping[str, Any]:
        return machine.asker.evaluate(study.objective, folder, split)

    evaluates = model and study.definition["kind"] == "objective"
    report = export(machine.storage, winner, files, target, evaluate if evaluates else None, test=test)
    if report["model"] is not None:
        cached = machine.worker.cached
        attach(as_optuna(study, cached, 0), cached, files.store, target, study.shown)
    return report
