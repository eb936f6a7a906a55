"""``refit STUDY``: train the best trial's hyperparameters on all data, here or wherever somebody took it over."""

from __future__ import annotations

import argparse

from search.commands import options as typed
from search.commands.machine import opened
from search.errors import SearchError
from search.rules.readable import counted
from search.studies.refit import ensure_refit, is_complete, refuse_without_run, why_failed
from search.studies.study import Study, existing
from search.worker.loop import Worker
from search.worker.signals import take_signals


def run(parsed: argparse.Namespace) -> int:
    """Exit status."""
    options = typed.read(parsed)
    with opened(options, makes_file=False) as machine:
        study = existing(machine.storage.engine, parsed.study)
        _refuse(study)
        refuse_without_run(machine.storage, study)
        study = machine.checked(study)
        take_signals(machine.worker)
        machine.worker.limit(options.timeout)
        again = refit_winner(machine.worker, study)
        machine.screen.say(
            "handed over"
            if machine.worker.stopping
            else f"{again.name} is done. Next: make export STUDY={study.name}{'' if study.is_plain else ' TEST=1'}"
        )
    return 0


def refit_winner(worker: Worker, study: Study, epochs: int | None = None) -> Study:
    """Works on the refit until it is done, and returns it. SearchError where it failed; when asked it is run again.

    ``epochs``: of one that is not begun yet; None: its size's.
    """
    again = ensure_refit(worker.storage, study, epochs)
    usual = study.size.refit_epochs
    if not study.is_plain and again.epochs != usual and not is_complete(worker.storage, again):
        why = "the search left time for them" if again.epochs > usual else "there is no time for more"
        worker.screen.say(f"{again.name} has {counted(again.epochs, 'epoch')}, not {usual}: {why}")
    worker.join(again)
    worker.work([again.key])
    if reason := why_failed(worker.storage, again):
        raise SearchError(
            f"the refit of {study.name!r} ended as {reason}. See make status STUDY={again.name} TRIAL=0, mend it, then "
            f"make refit STUDY={study.name}"
        )
    return again


def _refuse(study: Study) -> None:
    if study.refit:
        raise SearchError(f"{study.name!r} is a refit already. Give its study: make refit STUDY={study.refit['study']}")
