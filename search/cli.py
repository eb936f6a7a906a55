"""The command line: parse, call, print, exit. The only one that reads the settings from the environment."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.arguments import parser
from search.errors import SearchError

if TYPE_CHECKING:
    from search.run import Options
    from search.screen import Terminal
    from search.studies import Joined
    from search.worker import Worker

DEFAULT_STORAGE = "sqlite:///studies.db"


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m search``. What a user can mend is one line and status 1; a bug is a traceback."""
    parsed = parser(COMMANDS).parse_args(arguments)
    try:
        return int(parsed.command(parsed) or 0)
    except SearchError as error:
        print(f"search: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("search: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:
        from search.storage import lost  # noqa: PLC0415

        if (line := lost(error)) is None:
            raise  # a bug
        print(f"search: {line}", file=sys.stderr)
        return 1


# -- commands -------------------------------------------------------------------------------------------------------


def _run(parsed: argparse.Namespace) -> int:
    _search(parsed.study, _options(parsed), refit=not parsed.no_refit)
    return 0


def _search(name: str, options: Options, *, refit: bool = True) -> bool:
    """Search, refit, export. False where it was interrupted or its time was up."""
    from search import run, studies  # noqa: PLC0415 - so that --help answers at once

    if options.objective:
        run.objective_reference(options.objective)
    worker, screen = _worker(options)
    try:
        study, options = _joined(worker, screen, name, options)
        if study is None:
            screen.say(f"the source is not done, so {name} was not begun. Go on: the same command")
            return False
        run.unstop(worker, study)
        worker.take_signals()
        _introduce(worker, screen, study)
        worker.limit(options.timeout)
        worker.work([study.key])
        if not worker.stopping and refit and study.definition["kind"] == "objective":
            run.refit(worker, study)
        screen.end()
        if worker.interrupted:
            screen.say(f"handed over. Go on, here or on another machine: make search STUDY={study.name}")
            return False
        if worker.stopping and studies.best_trial(worker.storage, study) is None:
            screen.say(f"the time was up before a trial was complete. Go on: make search STUDY={study.name}")
        elif refit or worker.stopping:
            _finish(worker, screen, study, options)
        else:
            screen.say(
                f"the budget is used up. Next: make refit STUDY={study.name}, "
                f"then make export STUDY={study.name} TEST=1"
            )
        return not worker.stopping
    finally:
        screen.end()
        worker.close()


def _joined(
    worker: Worker, screen: Terminal, name: str, options: Options
) -> tuple[Joined, Options] | tuple[None, Options]:
    """The study. A source without a model is searched first, with the same size and time; None if that was stopped."""
    from search import run  # noqa: PLC0415
    from search.sources import NoSourceError  # noqa: PLC0415

    try:
        return run.create_or_join(worker, name, options), options
    except NoSourceError as missing:
        screen.say(f"{missing.name} has no model to begin from yet, so it is searched first")
        worker.close()
        began = time.monotonic()
        if not _search(missing.name, run.for_source(options, missing.objective)):
            return None, options
        options = run.less_time(options, time.monotonic() - began)
        return run.create_or_join(worker, name, options), options


def _introduce(worker: Worker, screen: Terminal, study: Joined) -> None:
    from search.screen import introduction  # noqa: PLC0415

    cores = sum(seat.devices.cores for seat in worker.seats)
    budget = len(worker.storage.leases.rows(study.key))
    for line in introduction(study, budget, cores, any(seat.devices.gpus for seat in worker.seats)):
        screen.say(line)


def _finish(worker: Worker, screen: Terminal, study: Joined, options: Options) -> None:
    """Exports and says what came of it."""
    from search import run, studies  # noqa: PLC0415

    if studies.best_trial(worker.storage, study) is None:
        raise SearchError(
            f"no trial of {study.name!r} was completed, so there is nothing to export. "
            f"See why: make status STUDY={study.name}"
        )
    target = Path("exports") / study.name
    test = run.can_test(worker, study)
    report = run.export_study(worker, study, options, target, test=test)
    for line in _summary(report, worker, study, target):
        screen.say(line)


def _summary(report: dict[str, Any], worker: Worker, study: Joined, target: Path) -> list[str]:
    from search.report import percent, with_interval  # noqa: PLC0415

    rows = worker.storage.leases.rows(study.key)
    saved = sum(study.epochs - row["epoch"] for row in rows if row["state"] == "pruned")
    run = sum(row["epoch"] + row["repeated"] for row in rows)
    lines = ["", f"best: trial {report['trial']}, {report['metric']} {report['value']:.4f}"]
    if study.epochs:
        lines.append(f"epochs: {run} run, {saved} saved by pruning")
    if report["test"]:
        lines.append(f"test accuracy of the refit: {with_interval(report['test'])}, look no. {report['test_openings']}")
    elif study.epochs:
        lines.append("test: not opened (the best trial was not trained again yet)")
    lines += [f"{name}: {percent(score)}" for name, score in report["references"].items()]
    lines.append(f"exported to {target}/ (report.md)")
    if report["model"] and report["model"]["file"].endswith(".keras"):
        lines += [
            "",
            "import keras",
            f'model = keras.models.load_model("{target}/{report["model"]["file"]}")',
            "probabilities = model.predict(images)  # uint8 images of 0 to 255, (n, height, width, channels)",
        ]
    return [*lines, "", f"next: {_next(study, len(rows))}"]


def _next(study: Joined, budget: int) -> str:
    if study.objective.endswith("_cifar10"):
        source = "" if study.name == study.objective else f" SOURCE={study.name}"
        return f"make search STUDY={study.objective.removesuffix('10')}100{source} (starts from this model)"
    return f"make search STUDY={study.name} TRIALS={2 * budget} (goes on searching)"


def _work(parsed: argparse.Namespace) -> int:
    from search import run, studies  # noqa: PLC0415

    options = _options(parsed)
    worker, screen = _worker(options)
    try:
        engine = worker.storage.engine
        if parsed.studies:
            wanted = [studies.existing(engine, name) for name in parsed.studies]
            wanted += [refit for name in parsed.studies if (refit := studies.find(engine, f"{name}.refit"))]
        else:
            wanted = [one for one in studies.all_studies(engine) if worker.storage.leases.unfinished(one.key)]
        if not any(worker.storage.leases.unfinished(one.key) for one in wanted):
            screen.say("nothing is left to do: every budget is used up. Create a study: make search STUDY=cnn_digits")
            return 0
        joined = []
        for study in wanted:
            try:
                run.objective_reference(study.objective)
                worker.join(study)
                joined.append(study)
            except SearchError as reason:
                if parsed.studies:
                    raise
                screen.say(f"without {study.name}: {reason}")
        if not joined:
            raise SearchError("no open study can be joined from this machine, see above.")
        worker.take_signals()
        worker.limit(options.timeout)
        screen.say(f"working on {', '.join(study.name for study in joined)}")
        worker.work([study.key for study in joined])
        screen.say("handed over" if worker.stopping else "every budget is used up")
        return 0
    finally:
        screen.end()
        worker.close()


def _refit(parsed: argparse.Namespace) -> int:
    from search import run, studies  # noqa: PLC0415

    options = _options(parsed)
    worker, screen = _worker(options)
    try:
        study = studies.existing(worker.storage.engine, parsed.study)
        if study.refit:
            raise SearchError(
                f"{study.name!r} is a refit already. Give its study: make refit STUDY={study.refit['study']}"
            )
        if study.definition["kind"] == "function":
            raise SearchError(
                f"{study.name!r} is of a plain function, which has no training images. "
                f"Its best parameters: make export STUDY={study.name}"
            )
        worker.join(study)
        worker.take_signals()
        worker.limit(options.timeout)
        again = run.refit(worker, study)
        screen.say(
            "handed over" if worker.stopping else f"{again.name} is done. Next: make export STUDY={study.name} TEST=1"
        )
        return 0
    finally:
        screen.end()
        worker.close()


def _export(parsed: argparse.Namespace) -> int:
    from search import run, studies  # noqa: PLC0415

    options = _options(parsed)
    worker, screen = _worker(options, readonly=parsed.no_model)
    try:
        study = studies.existing(worker.storage.engine, parsed.study)
        target = Path(parsed.to) if parsed.to else Path("exports") / study.name
        report = run.export_study(worker, study, options, target, test=parsed.test, model=not parsed.no_model)
        screen.say(f"trial {report['trial']}, {report['metric']} {report['value']:.4f}, exported to {target}/")
        if report["model"] is None and not parsed.no_model and study.definition["kind"] == "objective":
            screen.say("without a model: it is not among this study's files")
        return 0
    finally:
        worker.close()


def _check(parsed: argparse.Namespace) -> int:
    from search import run  # noqa: PLC0415

    reference = run.objective_reference(parsed.objective)
    with tempfile.TemporaryDirectory(prefix="search-check-") as folder:
        parsed.storage = f"sqlite:///{folder}/check.db"
        parsed.files = str(Path(folder) / "files")
        options = _options(parsed)
        worker, screen = _worker(options)
        try:
            run.check(worker, reference, options, screen.say)
            screen.say(f"all well. Next: make search STUDY={Path(reference).stem} OBJECTIVE={reference}")
            return 0
        finally:
            screen.end()
            worker.close()


def _status(parsed: argparse.Namespace) -> int:
    from search import status, status_tables  # noqa: PLC0415
    from search.storage import open_readonly  # noqa: PLC0415

    engine = open_readonly(_storage(parsed))
    if parsed.trial is not None:
        found: Any = status.trial(engine, parsed.study, parsed.trial)
        found["log"] = status_tables.log_end(engine, found, _storage(parsed), parsed.files)
        lines = status_tables.trial(found)
    elif parsed.study is not None:
        found = status.study(engine, parsed.study)
        lines = status_tables.study(found)
    else:
        found = status.studies(engine)
        lines = status_tables.studies(found)
    print(json.dumps(found, indent=2) if parsed.json else "\n".join(lines))
    return 0


def _dashboard(parsed: argparse.Namespace) -> int:
    from search.artifacts import ArtifactStore  # noqa: PLC0415
    from search.dashboard import serve  # noqa: PLC0415
    from search.files import reading_store  # noqa: PLC0415
    from search.storage import open_readonly, parse, place_for  # noqa: PLC0415

    url = _storage(parsed)
    place = parsed.files or os.environ.get("SEARCH_FILES") or place_for(parse(url))
    serve(
        url,
        artifacts=ArtifactStore(reading_store(place, open_readonly(url))),
        host=parsed.host,
        port=parsed.port,
        announce=lambda address: print(f"watch {address} (Ctrl-C ends)", flush=True),
    )
    return 0


# -- arguments ------------------------------------------------------------------------------------------------------


def _storage(parsed: argparse.Namespace) -> str:
    return parsed.storage or os.environ.get("SEARCH_STORAGE") or DEFAULT_STORAGE


def _options(parsed: argparse.Namespace) -> Options:
    from search.run import Options  # noqa: PLC0415
    from search.running import Settings  # noqa: PLC0415
    from search.storage import masked  # noqa: PLC0415

    given = {name: getattr(parsed, name, None) for name in _ASKED}
    storage = _storage(parsed)
    if parsed.storage and "***" in masked(parsed.storage):
        print("search: a password on the command line is seen by all users; use SEARCH_STORAGE", file=sys.stderr)
    times = {name: getattr(parsed, name, None) for name in ("lease", "silence")}
    chosen = {name: value for name, value in times.items() if value is not None}
    if "lease" in chosen:
        chosen["renew"] = chosen["lease"] / 4
    return Options(
        storage=storage,
        data_dir=Path(getattr(parsed, "data_dir", None) or os.environ.get("SEARCH_DATA_DIR") or "data"),
        files=parsed.files or os.environ.get("SEARCH_FILES") or None,
        settings=Settings(**chosen),
        **given,
    )


_ASKED = ("objective", "size", "trials", "epochs", "train_size", "children", "timeout", "source", "direction")


def _worker(options: Options, *, readonly: bool = False) -> tuple[Worker, Terminal]:
    from rich.console import Console  # noqa: PLC0415

    from search.run import open_worker  # noqa: PLC0415
    from search.screen import Terminal  # noqa: PLC0415

    screen = Terminal(Console())
    return open_worker(options, screen, readonly=readonly), screen


COMMANDS = {
    "run": _run,
    "worker": _work,
    "status": _status,
    "refit": _refit,
    "export": _export,
    "check": _check,
    "dashboard": _dashboard,
}
