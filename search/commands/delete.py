"""``delete STUDY``: the study and its refit, with their trials and files; what was exported stays."""

from __future__ import annotations

import argparse
import contextlib
import shutil

from optuna import load_study
from optuna.artifacts import get_all_artifact_meta

from search.commands import options as typed
from search.commands.machine import Machine, opened
from search.database.fence import FencedStorage
from search.errors import SearchError
from search.files.artifacts import ArtifactStore
from search.files.paths import below
from search.rules.readable import counted
from search.settings import EXPORTS, WORK
from search.studies.forget import forget_deleted
from search.studies.study import REFIT, Study, existing, find
from search.studies.study_files import reading_files_of
from search.studies.trials import all_trials


def run(parsed: argparse.Namespace) -> int:
    """Exit status."""
    options = typed.read(parsed)
    with opened(options, makes_file=False) as machine:
        storage, engine = machine.storage, machine.storage.engine
        study = existing(engine, parsed.study)
        refit = find(engine, study.name + REFIT)
        # The refit first: who is killed in between finds both by the same name.
        gone = [*([refit] if refit and refit.refit and refit.refit["key"] == study.key else []), study]
        for one in gone:
            _refuse_held(storage, one)
        trials = sum(len(all_trials(engine, one)) for one in gone)
        for one in gone:
            _remove_artifacts(machine, one, options.files)
            storage.delete_study(one.study_id)
        for key in forget_deleted(storage, options.files):
            shutil.rmtree(below(WORK.resolve(), key), ignore_errors=True)
        stays = f"; {EXPORTS / study.name}/ stays" if (EXPORTS / study.name).is_dir() else ""
        machine.screen.say(
            f"deleted: {', '.join(one.name for one in reversed(gone))}, {counted(trials, 'trial')}{stays}"
        )
    return 0


def _remove_artifacts(machine: Machine, study: Study, files_place: str | None) -> None:
    """What exports attached: once the study is gone, nothing names them."""
    store = reading_files_of(machine.storage, study, files_place).store
    cached = machine.worker.cached
    for artifact in get_all_artifact_meta(load_study(study_name=study.name, storage=cached), storage=cached):
        with contextlib.suppress(OSError):  # a share that is not there
            ArtifactStore(store).remove(artifact.artifact_id)


def _refuse_held(storage: FencedStorage, study: Study) -> None:
    """SearchError where somebody trains."""
    if held := storage.leases.held(study.key):
        raise SearchError(
            f"{study.name!r} is trained on {held.hosts}. End that with Ctrl-C there, or if nobody is there any more "
            f"wait {held.seconds:.0f} s, then type it again."
        )
