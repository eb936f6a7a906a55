"""``worker [STUDY …]``: join open studies from this machine until their budgets are used up."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from search.commands import options as typed
from search.commands.machine import Machine, opened
from search.errors import SearchError
from search.settings import FIRST_SEARCH
from search.studies.objective_file import objective_reference
from search.studies.study import REFIT, Study, all_studies, existing, find
from search.worker.signals import take_signals


def run(parsed: argparse.Namespace) -> int:
    """Exit status."""
    options = typed.read(parsed)
    with opened(options) as machine:
        if options.changed and not parsed.studies:
            raise SearchError("CHANGED says yes for one study. Name it: make worker STUDY=… CHANGED=1")
        worker, say, unfinished = machine.worker, machine.screen.say, machine.storage.leases.unfinished
        wanted = _wanted(machine, parsed.studies)
        if not any(unfinished(study.key) for study in wanted):
            say(f"nothing is left to do: every budget is used up. Create a study: {FIRST_SEARCH}")
            return 0
        joined = _join(machine, wanted, strict=bool(parsed.studies), changed=options.changed)
        take_signals(worker)
        worker.limit(options.timeout)
        say(f"working on {', '.join(study.name for study in joined)}")
        worker.work([study.key for study in joined])
        say("handed over" if worker.stopping else "every budget is used up")
    return 0


def _wanted(machine: Machine, names: Sequence[str]) -> list[Study]:
    """The studies named, each with its refit; without names all that are open."""
    engine = machine.storage.engine
    if not names:
        return [study for study in all_studies(engine) if machine.storage.leases.unfinished(study.key)]
    studies = [existing(engine, name) for name in names]
    return studies + [refit for name in names if (refit := find(engine, name + REFIT))]


def _join(machine: Machine, wanted: Sequence[Study], *, strict: bool, changed: bool) -> list[Study]:
    """Those that this machine can work on. ``strict``: SearchError for the first that it cannot."""
    joined = []
    for study in wanted:
        try:
            objective_reference(study.objective)
            checked = machine.checked(existing(machine.storage.engine, study.name), changed=changed)
            machine.worker.join(checked)
            joined.append(checked)
        except SearchError as reason:
            if strict:
                raise
            machine.screen.say(f"without {study.name}: {reason}")
    if not joined:
        raise SearchError("no open study can be joined from this machine, see above.")
    return joined
