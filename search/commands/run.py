"""``run STUDY``: create a study or go on with it, search, train the winner again, export it."""

from __future__ import annotations

import argparse
import time

from search.commands import options as typed
from search.commands.export import export_winner
from search.commands.machine import Machine, opened
from search.commands.options import Options
from search.commands.refit import refit_winner
from search.errors import SearchError
from search.files.stores import shared_place
from search.settings import EXPORTS, SIZE
from search.show import status
from search.show.outcome import outcome
from search.show.plan import introduction
from search.studies.compare import refuse_difference, refuse_other_flags
from search.studies.create import create, new_key, raise_budget, refuse_name
from search.studies.reference import objective_reference
from search.studies.stop import let_go_on
from search.studies.study import Study, find
from search.studies.transfer import copy_source, wanted_source
from search.studies.winner import find_winner
from search.worker.signals import take_signals


def run(parsed: argparse.Namespace) -> int:
    """Exit status."""
    options = typed.read(parsed)
    with opened(options) as machine:
        search(machine, parsed.study, options, options.timeout, refit=not parsed.no_refit)
    return 0


def search(machine: Machine, name: str, options: Options, seconds: float | None, *, refit: bool = True) -> bool:
    """From the study to the export, in so many seconds of work. False where it was interrupted or its time was up."""
    began = time.monotonic()
    study = go_on(machine, name, options) or create_study(machine, name, options, seconds)
    if study is None:
        machine.screen.say(f"the source is not done, so {name} was not begun. Go on: the same command")
        return False
    worker, screen = machine.worker, machine.screen
    worker.join(study)
    let_go_on(machine.storage, study)
    take_signals(worker)
    for line in introduction(study, len(machine.storage.leases.rows(study.key)), machine.cores, gpus=machine.has_gpus):
        screen.say(line)
    searched_source = time.monotonic() - began if study.definition.get("source") else 0.0
    worker.limit(None if seconds is None else max(1.0, seconds - searched_source))
    worker.work([study.key])
    if not worker.stopping and refit and study.definition["kind"] == "objective":
        refit_winner(machine, study)
    screen.end()
    if worker.interrupted:
        screen.say(f"handed over. Go on, here or on another machine: make search STUDY={study.name}")
        return False
    _finish(machine, study, options, export=refit or worker.stopping)
    return not worker.stopping


def go_on(machine: Machine, name: str, options: Options) -> Study | None:
    """The study of this name, if there is one: compared with what was asked for, its budget raised if that was more."""
    refuse_name(name)
    if options.objective:
        objective_reference(options.objective)
    study = find(machine.storage.engine, name)
    if study is None:
        return None
    refuse_other_flags(
        study,
        objective=options.objective,
        size=options.size,
        epochs=options.epochs,
        train_size=options.train_size,
        source=options.source,
        direction=options.direction,
    )
    machine.check(study)
    if options.trials is not None:
        raise_budget(machine.storage, study, options.trials)
    return study


def create_study(machine: Machine, name: str, options: Options, seconds: float | None) -> Study | None:
    """A new one, as its objective's file declares it; None where the search for its source, done first, was stopped."""
    reference = objective_reference(options.objective or name)
    size_name = options.size or SIZE
    declared = machine.asker.describe(
        reference, size_name=size_name, changes=options.changes, direction=options.direction
    )
    if options.direction and declared["direction"] != options.direction:
        raise SearchError(
            f"{reference} is to {declared['direction']}, not to {options.direction}. Leave DIRECTION out."
        )
    key, place = new_key(), shared_place(options.files)
    source_name = wanted_source(declared, options.source)
    if source_name is not None:
        source = _source(machine, source_name, options.for_source(declared["needs"]), seconds)
        if source is None:
            return None
        declared["source"] = copy_source(machine.storage, source, key, place)
    study = create(machine.storage, name, reference, declared, key=key, size_name=size_name, files_place=place)
    if study.key != key:  # somebody was first
        refuse_difference(study, declared)
    if options.trials and options.trials > len(machine.storage.leases.rows(study.key)):
        raise_budget(machine.storage, study, options.trials)
    return study


def _source(machine: Machine, name: str, options: Options, seconds: float | None) -> Study | None:
    """The study that another begins from, with a model; None where its search was stopped."""
    source = find(machine.storage.engine, name)
    winner = find_winner(machine.storage, source) if source else None
    if winner is None or winner.record is None:
        machine.screen.say(f"{name} has no model to begin from yet, so it is searched first")
        if not search(machine, name, options, seconds):
            return None
    return find(machine.storage.engine, name)


def _finish(machine: Machine, study: Study, options: Options, *, export: bool) -> None:
    """Exports and says what came of it, or what to type where that is not to be."""
    say, winner = machine.screen.say, find_winner(machine.storage, study)
    if winner is None and machine.worker.stopping:
        say(f"the time was up before a trial was complete. Go on: make search STUDY={study.name}")
    elif not export:
        say(f"the budget is used up. Next: make refit STUDY={study.name}, then make export STUDY={study.name} TEST=1")
    elif winner is None:
        raise SearchError(
            f"no trial of {study.name!r} was completed, so there is nothing to export. "
            f"See why: make status STUDY={study.name}"
        )
    else:
        target = EXPORTS / study.name
        report = export_winner(machine, winner, options.files, target, test=winner.refitted is not None)
        for line in outcome(report, study, status.study(machine.storage.engine, study.name), target):
            say(line)
