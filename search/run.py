"""What the commands do: search, train the winner again, export. Printing and parsing are the command line's."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna

from search import studies
from search.artifacts import attach
from search.children import launch, share, visible_gpus
from search.contract import Split
from search.errors import SearchError
from search.export import export, winner
from search.fence import FencedStorage
from search.running import Settings
from search.sources import NoSourceError, copy_source, source_model
from search.storage import IN_DATABASE, open_storage, without_secrets
from search.studies import Joined
from search.worker import Screen, Worker

WORKROOT = Path(".search")
OBJECTIVES = studies.ROOT / "objectives"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user asked for; None where nothing was said, which means what is stored, else the default."""

    storage: str
    data_dir: Path
    files: str | None = None
    objective: str | None = None
    size: str | None = None
    trials: int | None = None
    epochs: int | None = None
    train_size: int | None = None
    children: int | None = None
    timeout: float | None = None
    source: str | None = None
    direction: str | None = None
    settings: Settings = field(default_factory=Settings)


def open_worker(options: Options, screen: Screen, *, readonly: bool = False) -> Worker:
    """The database, checked, and this machine's worker on it."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(options.storage, readonly=readonly)
    return Worker(
        storage,
        launch=launch,
        devices=share(options.children, visible_gpus(), _cores()),
        workroot=WORKROOT.resolve(),
        data_dir=options.data_dir.resolve(),
        files_place=options.files,
        settings=options.settings,
        screen=screen,
    )


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def objective_reference(wanted: str) -> str:
    """A name in ``objectives/`` or the path of a file, checked to exist without loading it."""
    if wanted.endswith(".py"):
        if Path(wanted).is_file():
            return os.path.normpath(wanted)
        raise SearchError(f"there is no file {wanted}. Give a name in objectives/ or the path of a .py file.")
    if (OBJECTIVES / f"{wanted}.py").is_file() and wanted != "__init__":
        return wanted
    names = ", ".join(sorted(path.stem for path in OBJECTIVES.glob("*.py") if path.stem != "__init__"))
    raise SearchError(
        f"there is no objective {wanted!r} (there: {names}). Give one: OBJECTIVE=cnn_digits, or a .py file"
    )


def create_or_join(worker: Worker, name: str, options: Options) -> Joined:
    """The study of this name, compared with what was asked for, its budget raised if more was asked for."""
    if not _NAME.fullmatch(name) or name.endswith(".refit"):
        shown = without_secrets(name)
        raise SearchError(
            f"{shown!r} cannot name a study: use letters, digits, '.', '_' and '-', not ending in .refit."
        )
    stored = studies.find(worker.storage.engine, name)
    if stored is None:
        return _create(worker, name, options)
    _refuse_other_flags(stored, options)
    worker.join(stored)
    if options.trials is not None:
        studies.raise_budget(worker.storage, stored, options.trials)
    return stored


def _create(worker: Worker, name: str, options: Options) -> Joined:
    reference = objective_reference(options.objective or name)
    asked = {"budget": options.trials, "epochs": options.epochs, "train_images": options.train_size}
    size_name = options.size or "quick"
    definition = worker.describe(
        reference,
        size=None,
        size_name=size_name,
        changes={key: value for key, value in asked.items() if value is not None},
        direction=options.direction or "minimize",
    )
    if options.direction and definition["direction"] != options.direction:
        raise SearchError(
            f"{reference} is to {definition['direction']}, not to {options.direction}. Leave DIRECTION out."
        )
    place, source = _shared_place(options.files), _source(worker.storage, definition, options)
    study = studies.create(
        worker.storage,
        name,
        reference,
        definition,
        size_name=size_name,
        files_place=place,
        source=None if source is None else lambda key: copy_source(worker.storage, source, key, place),
    )
    if options.trials and options.trials > len(worker.storage.leases.rows(study.key)):  # somebody was first, with fewer
        studies.raise_budget(worker.storage, study, options.trials)
    worker.join(
        study, {**definition, **({"source": study.definition["source"]} if "source" in study.definition else {})}
    )
    return study


def _shared_place(files: str | None) -> str | None:
    return files if files is None or files == IN_DATABASE else str(Path(files).resolve())


def _source(storage: FencedStorage, definition: Mapping[str, Any], options: Options) -> Joined | None:
    """The study whose model a new study begins from; None: from scratch."""
    needed = definition.get("needs")
    if options.source == "none" or (needed is None and options.source is None):
        return None
    if needed is None:
        raise SearchError(f"this objective takes no source, {options.source!r} was given. Leave SOURCE out.")
    name = options.source or needed
    source = studies.find(storage.engine, name)
    if source is None:
        raise NoSourceError(name, needed)
    source_model(storage, source)
    return source


def for_source(options: Options, objective: str) -> Options:
    """What the search for a missing source takes over from the one that needs it: size, machine and time."""
    return dataclasses.replace(
        options, objective=objective, trials=None, epochs=None, train_size=None, source=None, direction=None
    )


def less_time(options: Options, seconds: float) -> Options:
    """With what is left of the time limit; a second, if nothing is."""
    return (
        options
        if options.timeout is None
        else dataclasses.replace(options, timeout=max(1.0, options.timeout - seconds))
    )


def _refuse_other_flags(stored: Joined, options: Options) -> None:
    size, source = stored.size, (stored.definition.get("source") or {}).get("study", "none")
    for flag, asked, there in (
        ("OBJECTIVE", options.objective and os.path.normpath(options.objective), stored.objective),
        ("SIZE", options.size, stored.size_name),
        ("EPOCHS", options.epochs, size.epochs),
        ("TRAIN_SIZE", options.train_size, size.train_images),
        ("SOURCE", options.source, source),
        ("DIRECTION", options.direction, stored.definition["direction"]),
    ):
        if asked is not None and asked != there:
            raise SearchError(
                f"the study {stored.name!r} was created with {flag}={there}, {flag}={asked} was given. "
                f"Go on without {flag}, or give a new STUDY."
            )


def unstop(worker: Worker, study: Joined) -> None:
    """A study that stopped because its objective raised goes on."""
    attributes = worker.storage.get_study_user_attrs(study.study_id)
    stopped = attributes.get(studies.STOPPED) or {}
    if stopped.get("why"):
        worker.storage.set_study_user_attr(study.study_id, studies.STOPPED, {**stopped, "why": None})


def refit(worker: Worker, study: Joined) -> Joined:
    """Trains the best trial's hyperparameters on every training image, here or wherever somebody took it over."""
    again = studies.ensure_refit(worker.storage, study)
    worker.join(again, again.definition)
    unstop(worker, again)
    worker.work([again.key])
    return again


def export_study(
    worker: Worker, study: Joined, options: Options, target: Path, *, test: bool, model: bool = True
) -> dict[str, Any]:
    """``exports/STUDY``, its figures computed in a child."""
    files = (studies.files_of if model else studies.reading_files_of)(worker.storage, study, options.files)
    evaluates = study.definition["kind"] == "objective" and model

    def evaluate(folder: Path, split: Split) -> Mapping[str, Any]:
        return worker.ask(
            study.objective,
            "evaluate",
            "metrics",
            folder=str(folder.resolve()),
            data_dir=str(options.data_dir.resolve()),
            split=split,
        )

    report = export(worker.storage, study, files, target, evaluate if evaluates else None, test=test, model=model)
    if report["model"] is not None:
        attach(study.optuna_study(worker.cached, 0), worker.cached, files.store, target)
    return report


def can_test(worker: Worker, study: Joined) -> bool:
    """Whether the refit of the best trial is done, so that its test score can be taken."""
    return winner(worker.storage, study).refitted is not None


def check(worker: Worker, reference: str, options: Options, say: Callable[[str], None]) -> None:
    """A short look at what a night needs: space, data, training, report, checkpoint, evaluation, export."""
    definition = worker.describe(
        reference, size=None, size_name=options.size or "quick", changes={}, direction=options.direction or "minimize"
    )
    say(f"{reference}: loads; `first` lies in the space; the data are there")
    short: dict[str, Any] = {} if definition["kind"] == "function" else {"epochs": options.epochs or 1}
    if definition.get("data"):
        short["train_size"] = options.train_size or 500
    small = dataclasses.replace(options, objective=reference, trials=1, source=options.source or "none", **short)
    study = create_or_join(worker, "check", small)
    worker.work([study.key])
    row = worker.storage.leases.rows(study.key)[0]
    trial = worker.storage.get_trial(row["trial_id"])
    if trial.state != optuna.trial.TrialState.COMPLETE:
        raise SearchError(f"the short trial ended as {trial.state.name}: {trial.user_attrs.get('reason')}")
    say(
        f"a trial of {row['epoch']} epoch(s) ended with {study.definition['metric']} {trial.value:.4f} "
        f"in {row['seconds']:.0f} s"
    )
    if study.definition["kind"] == "objective":
        if row["epoch"] == 0:
            raise SearchError("train called context.report for no epoch: nothing could be pruned, watched or resumed.")
        if not worker.places[study.key].checkpoints:
            say("no checkpoint was given to context.report: a trial that is killed would begin again")
        report = export_study(worker, study, options, WORKROOT / "check-export", test=False)
        if report["model"] is None:
            raise SearchError("train left nothing in context.workdir / 'model', so that there is nothing to export.")
        say(f"evaluates and exports: {report['model']['file']}")


def seconds(text: str) -> float:
    """``90``, ``90s``, ``30m``, ``2h`` or ``1d`` as seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text.strip())
    value = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]] if match else 0.0
    if not match or not math.isfinite(value) or value <= 0:
        raise ValueError(text)
    return value
