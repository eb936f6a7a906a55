"""``export STUDY``: the best model and its report as a folder, also during a search."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optuna import load_study

from search.commands import options as typed
from search.commands.machine import Machine, opened
from search.contract import Split
from search.errors import SearchError
from search.export.attach import attach
from search.export.export import export
from search.export.looks_at_test import Opened
from search.rules.readable import readable
from search.settings import EXPORTS
from search.studies.study import existing
from search.studies.study_files import files_of, reading_files_of
from search.studies.winner import Winner, winner_of

WITHOUT_MODEL = "without a model: the function leaves none in search.run(trial).model"


def run(parsed: argparse.Namespace) -> int:
    """Exit status."""
    options = typed.read(parsed)
    with opened(options, readonly=parsed.no_model, makes_file=False) as machine:
        winner = winner_of(machine.storage, existing(machine.storage.engine, parsed.study))
        if not parsed.no_model:
            winner = _with_declaration(machine, winner)
        if parsed.test and winner.study.is_plain:
            raise SearchError(
                f"{winner.study.objective} is a plain function, of whose test data nobody here knows. Leave TEST out."
            )
        target = Path(parsed.to) if parsed.to else EXPORTS / winner.study.name
        report = export_winner(machine, winner, options.files, target, test=parsed.test, model=not parsed.no_model)
        best = ""
        if report["trial"] is not None:
            best = f"trial {report['trial']}, {report['metric']} {readable(report['value'])}, "
        machine.screen.say(f"{best}exported to {target}/")
        if report["model"] is None and not parsed.no_model:
            missing = "without a model: it is not among this study's files"
            machine.screen.say(WITHOUT_MODEL if winner.study.is_plain else missing)
    return 0


def export_winner(
    machine: Machine, winner: Winner, files_place: str | None, target: Path, *, test: bool, model: bool = True
) -> dict[str, Any]:
    """Its figures are computed in a child. ``model`` False: only what the database itself knows. Returns the report."""
    study = winner.study
    files = (files_of if model else reading_files_of)(machine.storage, study, files_place)

    def evaluate(folder: Path, split: Split, opened: Opened) -> Mapping[str, Any]:
        return machine.asker.evaluate(study.objective, folder, split, opened, machine.worker.data_dir(study))

    asked = None if study.is_plain else evaluate
    report = export(machine.storage, winner, files, target, asked, test=test, model=model)
    if report["model"] is not None:
        cached = machine.worker.cached
        attach(load_study(study_name=study.name, storage=cached), cached, files.store, target, study.shown)
    return report


def _with_declaration(machine: Machine, winner: Winner) -> Winner:
    """A study from before it was stored is shown as its objective's file says here."""
    if "shown" in winner.study.definition or winner.record is None:
        return winner
    return dataclasses.replace(winner, study=machine.checked(winner.study))
