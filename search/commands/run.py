"""``run STUDY``: create a study or go on with it, search, train the winner again, export it."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.commands import options as typed
from search.commands.export import WITHOUT_MODEL, export_winner
from search.commands.machine import Machine, opened
from search.commands.options import Options
from search.commands.refit import refit_winner
from search.errors import SearchError
from search.export.export import earlier_report
from search.files.stores import shared_place, store_at
from search.rules.content import stored_hash
from search.settings import EXPORTS, SIZE
from search.show import status
from search.show.before_start import introduction
from search.show.outcome import outcome
from search.studies.compare import refuse_other_flags
from search.studies.create import create, new_key, raise_budget, refuse_name
from search.studies.ended import nothing_is_complete, what_ended
from search.studies.limits import change_limits, changed_limits, limits_of
from search.studies.objective_file import hash_of_file, objective_reference
from search.studies.stop import last_stop, let_go_on
from search.studies.study import Study, existing, find
from search.studies.transfer import copy_source, find_source, refuse_other_width, wanted_source
from search.studies.trials import chosen_trial
from search.studies.winner import Winner, find_winner, speed_of_the_winner, winning_parameters
from search.worker.loop import Worker
from search.worker.signals import take_signals
from search.worker.time_of_refit import TimeOfRefit


def run(parsed: argparse.Namespace) -> int:
    """Exit status."""
    options, name = typed.read(parsed), parsed.study
    if name.endswith(".py"):  # the file alone was typed
        name = Path(name).stem
        options = dataclasses.replace(options, objective=options.objective or parsed.study)
    if options.objective:
        objective_reference(options.objective)
    with opened(options) as machine:
        search(machine, name, options, TimeLeft(options.timeout), refit=not parsed.no_refit)
    return 0


@dataclass
class TimeLeft:
    """For work, in seconds; None: as long as it takes. Setting up costs nothing of it, a source's search does."""

    seconds: float | None

    def spend(self, seconds: float) -> None:
        """A second is left, if nothing is."""
        if self.seconds is not None:
            self.seconds = max(1.0, self.seconds - seconds)


def search(machine: Machine, name: str, options: Options, left: TimeLeft, *, refit: bool = True) -> bool:
    """From the study to the export. False where it was interrupted or its time was up."""
    worker, screen = machine.worker, machine.screen
    study = as_asked(machine, name, options)
    if study is not None:
        if refit and (report := as_it_was(machine, study, options)):
            _say_outcome(machine, study, report)
            return True
        _say_plan(machine, study, options)
        study = _checked(machine, study, options)
    else:
        reference = objective_reference(options.objective or name)
        trials = len(machine.seats) if options.trials is None else options.trials
        machine.warm(reference, trials)
        declared = declare(machine, reference, options)
        source = wanted_source(declared, options.source)
        winner = _source(machine, source, declared, options, left) if source else None
        if source and winner is None:
            machine.screen.say(f"the source is not done, so {name} was not begun. Go on: the same command")
            return False
        machine.warm(reference, trials)
        study = create_study(machine, name, options, declared, winner)
        _say_plan(machine, study, options)
    worker.join(study)
    if options.trials is not None:
        raise_budget(machine.storage, study, options.trials)
    change_limits(machine.storage, study, options.limits, trials=options.trials)
    let_go_on(machine.storage, study)
    take_signals(worker)
    again = refit and not study.is_plain
    kept = TimeOfRefit(worker, study, left.seconds)
    worker.limit(left.seconds, reserve=kept if again else None)
    worker.work([study.key])
    in_time = not worker.stopping
    if again and (in_time or _is_kept_for(kept, worker, study)):
        worker.take_up()
        refit_winner(worker, study, kept.epochs(speed_of_the_winner(machine.storage, study)))
    screen.end()
    if worker.interrupted:
        what = "handed over. Go on, here or on another machine" if machine.unfinished(study) else "stopped. Export it"
        screen.say(f"{what}: make search STUDY={study.name}")
        return False
    _finish(machine, study, options, export=refit or worker.stopping)
    return in_time and not worker.stopping


def _is_kept_for(kept: TimeOfRefit, worker: Worker, study: Study) -> bool:
    """Whether the search ended here so that the refit has time; there must be something to train again, and nobody who
    searches on."""
    if worker.interrupted or chosen_trial(worker.storage.engine, study) is None:
        return False
    if worker.joined[study.key].has_others():
        worker.screen.say(f"others search on, so nothing is trained again here. Later: make refit STUDY={study.name}")
        return False
    return kept() > 0


def _say_plan(machine: Machine, study: Study, options: Options) -> None:
    """Of what is stored and asked for: nothing is loaded for it."""
    limits = changed_limits(limits_of(machine.storage.engine, study), options.limits, trials=options.trials)
    budget = max(options.trials or 0, machine.storage.leases.budget(study.key))
    for line in introduction(study, budget, limits, machine.cores, gpus=machine.has_gpus):
        machine.screen.say(line)


def as_it_was(machine: Machine, study: Study, options: Options) -> dict[str, Any] | None:
    """The report of a search of which nothing is left to do; None: something is, or was asked for."""
    engine, storage = machine.storage.engine, machine.storage
    budget = storage.leases.budget(study.key)
    if options.limits or options.changed or options.trials not in {None, budget} or last_stop(engine, study).get("why"):
        return None
    if stored_hash(study.definition) not in {None, hash_of_file(study.objective)}:
        return None  # which is to be said
    found = storage.leases.openings([study.key], machine.worker.holder).get(study.key)
    if found is not None and (found.held or not what_ended(engine, study)):
        return None
    winner, report = find_winner(storage, study), earlier_report(study, EXPORTS / study.name)
    if winner is None or report is None or (winner.refitted is None and not study.is_plain):
        return None
    now = (winner.trial.number if winner.trial else None, budget, winner.refitted is not None)
    then = (report.get("trial"), (report.get("size") or {}).get("budget"), report.get("exported") == "refit")
    model = (report.get("model") or {}).get("file")
    is_whole = (model is not None and (EXPORTS / study.name / model).exists()) or winner.record is None
    return report if now == then and is_whole and (report.get("test") or study.is_plain) else None


def go_on(machine: Machine, name: str, options: Options) -> Study | None:
    """The study of this name, if there is one: compared with what was asked for and with its objective's file."""
    study = as_asked(machine, name, options)
    return None if study is None else _checked(machine, study, options)


def as_asked(machine: Machine, name: str, options: Options) -> Study | None:
    """The study of this name, if there is one. SearchError where a flag contradicts it. Nothing is loaded."""
    refuse_name(name)
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
        first=options.first,
        sampler=options.sampler,
        pruner=options.pruner,
    )
    return study


def _checked(machine: Machine, study: Study, options: Options) -> Study:
    more = max(0, (options.trials or 0) - machine.storage.leases.budget(study.key))
    machine.warm(study.objective, trials=more + machine.unfinished(study))
    # What stopped it is meant to be mended.
    mended = bool(last_stop(machine.storage.engine, study).get("why"))
    return machine.checked(study, changed=options.changed or mended)


def declare(machine: Machine, objective: str, options: Options) -> dict[str, Any]:
    """What the objective's file says, for the size that was asked for."""
    reference = objective_reference(objective)
    declared = machine.asker.describe(
        reference,
        size_name=options.size or SIZE,
        changes=options.changes,
        direction=options.direction,
        first=options.first or (),
        winners=winning_parameters(machine.storage, options.first or ()),
        sampler=options.sampler,
        pruner=options.pruner,
    )
    if options.direction and declared["direction"] != options.direction:
        raise SearchError(
            f"{reference} is to {declared['direction']}, not to {options.direction}. Leave DIRECTION out."
        )
    if options.size and declared["kind"] == "function":
        raise SearchError(f"{reference} is a plain function, which has no sizes. Leave SIZE out.")
    if options.trials == 0 and not declared["first"]:
        raise SearchError(
            f"TRIALS=0 trains what an objective would train unsearched, and {reference} names nothing in `first`. "
            "Give TRIALS of at least 1."
        )
    return declared


def create_study(
    machine: Machine, name: str, options: Options, declared: Mapping[str, Any], source: Winner | None
) -> Study:
    """A new one of what was declared, begun from the model of ``source``."""
    key, place, definition = new_key(), shared_place(options.files), dict(declared)
    store_at(place, machine.storage.engine)  # else a study would stand whose files have no place
    if source is not None:
        definition["source"] = copy_source(machine.storage, source, key, place)
    study = create(
        machine.storage,
        name,
        objective_reference(options.objective or name),
        definition,
        key=key,
        size_name=options.size or SIZE,
        files_place=place,
    )
    if study.key != key:  # somebody was first
        return go_on(machine, name, options) or study
    return study


def _source(
    machine: Machine, name: str, declared: Mapping[str, Any], options: Options, left: TimeLeft
) -> Winner | None:
    """The winner of the study to begin from. Without a model it is searched first, in half of the time; None where that
    was stopped, or was not enough."""
    begun, winner = find_source(machine.storage, name)
    if begun is not None:
        refuse_other_width(begun, declared, options.size or SIZE)
    elif name != declared["needs"]:  # a name that somebody typed, and may have mistyped
        existing(machine.storage.engine, name)
    if winner is not None:
        return winner
    machine.screen.say(f"{name} has no model to begin from yet, so it is searched first")
    began, objective = time.monotonic(), begun.objective if begun else declared["needs"]
    wanted = options.for_source(objective, begun=begun is not None)
    in_time = search(machine, name, wanted, TimeLeft(left.seconds and left.seconds / 2))
    left.spend(time.monotonic() - began)
    winner = find_source(machine.storage, name)[1]
    is_done = in_time or (winner is not None and winner.refitted is not None)
    if not is_done or machine.worker.interrupted:
        return None
    machine.worker.take_up()  # its last epoch may have taken longer than it was given
    return winner


def _finish(machine: Machine, study: Study, options: Options, *, export: bool) -> None:
    """Exports and says what came of it, or what to type where that is not to be."""
    say, winner = machine.screen.say, find_winner(machine.storage, study)
    if winner is None and machine.worker.stopping:
        say(f"the time was up before a trial was complete. Go on: make search STUDY={study.name}")
    elif winner is None:
        raise nothing_is_complete(machine.storage.engine, study)
    elif not export:
        ended = what_ended(machine.storage.engine, study)
        why = ended.why if ended else "the budget is used up"
        again = "" if study.is_plain else f"make refit STUDY={study.name}, then "
        say(f"{why}. Next: {again}make export STUDY={study.name}{'' if study.is_plain else ' TEST=1'}")
    else:
        target = EXPORTS / study.name
        winner = dataclasses.replace(winner, study=study)
        test = winner.refitted is not None and not study.is_plain
        report = export_winner(machine, winner, options.files, target, test=test)
        _say_outcome(machine, study, report)
        if study.is_plain and report["model"] is None:
            say(WITHOUT_MODEL)


def _say_outcome(machine: Machine, study: Study, report: Mapping[str, Any]) -> None:
    found = status.study(machine.storage.engine, study.name)
    for line in outcome(report, study, found, EXPORTS / study.name):
        machine.screen.say(line)
