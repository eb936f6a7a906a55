"""``check OBJECTIVE``: one minute before a night: space, data, training, report, checkpoint, evaluation, export."""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path
from typing import Any

from search.commands import options as typed
from search.commands.check_resume import check_resume, ended_as, with_log
from search.commands.export import export_winner
from search.commands.machine import Machine, opened
from search.commands.options import Options
from search.commands.run import create_study, declare
from search.errors import SearchError
from search.export.numbers import at, not_shown, numbers_of
from search.rules.readable import counted, readable
from search.settings import CHECK_EPOCHS, CHECK_IMAGES
from search.studies.objective_file import objective_reference
from search.studies.study import Study
from search.studies.transfer import FROM_SCRATCH
from search.studies.trials import all_trials
from search.studies.winner import winner_of


def run(parsed: argparse.Namespace) -> int:
    """Exit status."""
    reference = objective_reference(parsed.objective)
    with tempfile.TemporaryDirectory(prefix="search-check-") as folder:
        # On one thread two trainings are the same, where anything is; then one sees whether a resumed one is, too.
        options = dataclasses.replace(
            typed.read(parsed), storage=f"sqlite:///{folder}/check.db", files=f"{folder}/files", children=1
        )
        with opened(options, cores=1, workroot=Path(folder) / "work") as machine:
            check(machine, reference, options, Path(folder))
            size = f" SIZE={options.size}" if options.size else ""
            direction = f" DIRECTION={options.direction}" if options.direction else ""
            machine.screen.say(
                f"all well. Next: make search STUDY={Path(reference).stem} OBJECTIVE={reference}{size}{direction}"
            )
    return 0


def check(machine: Machine, reference: str, options: Options, folder: Path) -> None:
    """SearchError at the first thing that does not hold. What it makes lies in ``folder``."""
    say = machine.screen.say
    declared = declare(machine, reference, options)
    is_plain = declared["kind"] == "function"
    say(f"{reference}: loads" + ("" if is_plain else "; `first` lies in the space; the data are there"))
    small = _small(declared, reference, options)
    study = create_study(machine, "check", small, declare(machine, reference, small), None)
    machine.worker.join(study)
    machine.worker.work([study.key])
    row = machine.storage.leases.rows(study.key)[0]
    (trial,) = all_trials(machine.storage.engine, study)
    if trial.state != "complete" or trial.value is None:
        raise with_log(machine, study, f"the short trial ended as {ended_as(machine, trial)}")
    epochs = f" of {counted(row['epoch'], 'epoch')}" if row["epoch"] else ""
    metric = study.definition["metric"]
    say(f"a trial{epochs} ended with {metric} {readable(trial.value)} in {row['seconds']:.0f} s")
    if not is_plain and row["epoch"] == 0:
        raise SearchError("train called context.report for no epoch: nothing could be pruned, watched or resumed.")
    if not machine.worker.joined[study.key].checkpoints_taken:
        what = "search.run(trial).report" if is_plain else "context.report"
        say(f"no checkpoint was given to {what}: a trial that is killed would begin again")
    else:
        check_resume(machine, study)
    if not is_plain:
        _check_what_is_left(machine, study, options, folder)


def _small(declared: dict[str, Any], reference: str, options: Options) -> Options:
    """One short trial, from scratch."""
    short: dict[str, Any] = {} if declared["kind"] == "function" else {"epochs": options.epochs or CHECK_EPOCHS}
    if declared.get("data"):
        short["train_size"] = options.train_size or CHECK_IMAGES
    return dataclasses.replace(options, objective=reference, trials=1, source=FROM_SCRATCH, **short)


def _check_what_is_left(machine: Machine, study: Study, options: Options, folder: Path) -> None:
    winner = winner_of(machine.storage, study)
    report = export_winner(machine, winner, options.files, folder / "export", test=False)
    if report["model"] is None:
        raise SearchError("train left nothing in context.workdir / 'model', so that there is nothing to export.")
    machine.screen.say(f"evaluates and exports: {report['model']['file']}")
    metrics, shown = report["validation"] or {}, study.shown
    names = [number.title for number in numbers_of(metrics, shown) if at(metrics, number.key) is not None]
    machine.screen.say(f"a report shows of it: {', '.join(names) or 'no figure, as evaluate returns no number'}")
    missing = [number.key for number in shown.numbers if at(metrics, number.key) is None]
    if missing:
        machine.screen.say(f"declared, and not among what evaluate returned: {', '.join(missing)}")
    if unknown := not_shown(metrics, shown):
        machine.screen.say(f"returned, and neither a number nor declared, so not shown: {', '.join(unknown)}")
