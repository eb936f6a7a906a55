"""``worker [STUDY …]``: join open studies from this machine until their budgets are used up."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Sequence

from search.commands import options as typed
from search.commands.machine import Machine, opened
from search.database.url import masked
from search.errors import SearchError
from search.settings import FIRST_SEARCH
from search.studies.ended import what_ended
from search.studies.limits import growing
from search.studies.objective_file import objective_reference, refuse_untrusted
from search.studies.study import REFIT, Study, all_studies, existing, find
from search.worker.signals import take_signals


def run(parsed: argparse.Namespace) -> int:
    """Exit status."""
    options = typed.read(parsed)
    if parsed.wait:
        options = dataclasses.replace(options, settings=dataclasses.replace(options.settings, linger=math.inf))
    with opened(options, makes_file=parsed.wait) as machine:
        if options.changed and not parsed.studies:
            raise SearchError("CHANGED says yes for one study. Name it: make worker STUDY=… CHANGED=1")
        worker, say = machine.worker, machine.screen.say
        wanted = _wanted(machine, parsed.studies, wait=parsed.wait)
        if not parsed.wait and not all_studies(machine.storage.engine):
            raise SearchError(
                f"there is no study in {masked(options.storage)} yet. Create one: {FIRST_SEARCH}, or wait until "
                "somebody does: make worker WAIT=1"
            )
        if not _open(machine, wanted) and not parsed.wait:
            say(f"nothing is left to do. Create a study: {FIRST_SEARCH}, or give one more TRIALS or HOURS")
            return 0
        trust = bool(parsed.studies) or parsed.trust
        joined = _join(machine, wanted, strict=bool(parsed.studies), trust=trust, changed=options.changed)
        if not joined and not parsed.wait:
            raise SearchError("no open study can be joined from this machine, see above.")
        take_signals(worker)
        worker.limit(options.timeout)
        say(f"working on {', '.join(study.name for study in joined)}" if joined else "waiting for something to do")
        worker.work([study.key for study in joined], more=lambda: _more(machine, parsed.studies, trust=trust))
        say("handed over" if worker.stopping else "nothing is left to do")
    return 0


def _wanted(machine: Machine, names: Sequence[str], *, wait: bool) -> list[Study]:
    """The studies named, each with its refit; without names all that are open. Who waits may name what is to come."""
    engine = machine.storage.engine
    if not names:
        return _open(machine, all_studies(engine))
    studies = [found for name in names if (found := find(engine, name) if wait else existing(engine, name))]
    return studies + [refit for name in names if (refit := find(engine, name + REFIT))]


def _open(machine: Machine, studies: Sequence[Study]) -> list[Study]:
    """Those whose budget is not used up, or grows, and, where a limit has ended them, somebody who still trains."""
    openings = machine.storage.leases.openings([study.key for study in studies], machine.worker.holder)
    engine = machine.storage.engine
    held, grows = {key for key, one in openings.items() if one.held}, growing(engine)
    left = [one for one in studies if one.key in openings or one.study_id in grows]
    return [one for one in left if one.key in held or not what_ended(engine, one)]


def _join(machine: Machine, wanted: Sequence[Study], *, strict: bool, trust: bool, changed: bool) -> list[Study]:
    """Those that this machine can work on. ``strict``: SearchError for the first that it cannot.

    ``trust``: also those whose objective is a file that only the database names. ``changed``: see ``Machine.checked``.
    """
    joined = []
    for study in wanted:
        machine.asked.add(study.key)
        try:
            if not trust:
                refuse_untrusted(study)
            objective_reference(study.objective)
            machine.warm(study.objective, trials=machine.unfinished(study))
            checked = machine.checked(existing(machine.storage.engine, study.name), changed=changed)
            machine.worker.join(checked)
            joined.append(checked)
        except SearchError as reason:
            if strict:
                raise
            machine.screen.say(f"without {study.name}: {reason}")
    return joined


def _more(machine: Machine, names: Sequence[str], *, trust: bool) -> list[str]:
    """The keys of what is open by now, joined where this machine can; each that it cannot is said once."""
    engine = machine.storage.engine
    if names:
        found = (find(engine, one) for name in names for one in (name, name + REFIT))
        there = [study for study in found if study is not None]
    else:
        there = all_studies(engine)
    new = [study for study in there if study.key not in machine.asked]
    if not new:
        return []
    new = _open(machine, new)
    with machine.asking_beside() as beside:
        return [study.key for study in _join(beside, new, strict=False, trust=trust, changed=False)]
