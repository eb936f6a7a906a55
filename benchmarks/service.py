"""What the service itself costs, without any training: claims, births, reports, decisions, tells; plain Optuna beside.

    python -m benchmarks.service [--finished 10 1000 10000] [--workers 1 16 64] [--seconds 20]   or: make bench-service

In a database with so many finished trials so many processes run trials of three parameters and five epochs, an epoch a
second each, through the very code of a worker; then as many through Optuna's ask, report, should_prune and tell (what
``study.optimize`` calls), in a database that was filled alike. SQLite is a file, PostgreSQL the tests' own server. Each
result is appended to ``benchmarks/service.csv``, and what stands there for this revision is not measured again. Times
are milliseconds, on a machine whose two cores the simulated workers share with the database.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

import optuna
import sqlalchemy as sa
from optuna.distributions import FloatDistribution, distribution_to_json
from optuna.storages._rdb import models as optunas
from optuna.trial import TrialState

from benchmarks.table import append, read
from search.child.protocol import Suggest
from search.database.fence import FencedStorage
from search.database.leases import Lease
from search.database.storage import open_storage
from search.database.tables import LEASES
from search.database.url import parse
from search.settings import DEFAULTS
from search.studies.create import create
from search.studies.provenance import revision
from search.studies.study import Study, existing
from search.worker.joined_study import JoinedStudy, join
from search.worker.reports import Reports

TABLE = Path(__file__).with_name("service.csv")
FIELDS = ("date", "revision", "database", "finished", "workers", "side", "what", "count", "median_ms", "p95_ms")
EPOCHS, RUNGS, PARAMS = 5, (1, 2, 3, 4), ("x", "y", "z")
SPACE = {name: FloatDistribution(0.0, 1.0) for name in PARAMS}
DEFINITION: dict[str, Any] = {
    "kind": "objective",
    "metric": "score",
    "direction": "maximize",
    "first": [],
    "sampler": {"name": "TPESampler", "keywords": {}},
    "pruner": {"name": "asha", "keywords": {}},
    "size": {"budget": 0, "epochs": EPOCHS, "rungs": list(RUNGS)},
}
NAME = "bench"
Times = dict[str, list[float]]


# -- databases ---------------------------------------------------------------------------------------------------------


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty one."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / secrets.token_hex(4)}.db"
        return
    from tests.postgres import Postgres  # noqa: PLC0415 - from a wheel that only this and the tests need

    server = Postgres(connections=300)  # 64 plain Optunas hold more than PostgreSQL's default of 100
    try:
        yield server.create_database()
    finally:
        server.remove()


def plain_url(url: str) -> str:
    """As Optuna wants it."""
    return parse(url).render_as_string(hide_password=False)


def fill(engine: sa.Engine, study_id: int, finished: int, key: str | None) -> None:
    """So many trials, half of them complete; with a ``key`` each has a closed lease."""
    chance = random.Random(1)  # noqa: S311 - not for secrets
    now = "2026-01-01 00:00:00"
    with engine.begin() as connection:
        first = (connection.execute(sa.select(sa.func.max(optunas.TrialModel.trial_id))).scalar() or 0) + 1
        trials, params, values, reports = [], [], [], []
        for number in range(finished):
            trial_id, complete = first + number, number % 2 == 0
            state = TrialState.COMPLETE if complete else TrialState.PRUNED
            trials.append({"trial_id": trial_id, "number": number, "study_id": study_id, "state": state.name})
            text = {name: distribution_to_json(space) for name, space in SPACE.items()}
            params += [
                {
                    "trial_id": trial_id,
                    "param_name": name,
                    "param_value": chance.random(),
                    "distribution_json": text[name],
                }
                for name in PARAMS
            ]
            scores = [chance.random() for _ in range(EPOCHS if complete else 1)]
            reports += [
                {"trial_id": trial_id, "step": step, "intermediate_value": score, "intermediate_value_type": "FINITE"}
                for step, score in enumerate(scores, 1)
            ]
            values.append({"trial_id": trial_id, "objective": 0, "value": scores[-1], "value_type": "FINITE"})
        for model, rows in (
            (
                optunas.TrialModel,
                [{**row, "datetime_start": _time(now), "datetime_complete": _time(now)} for row in trials],
            ),
            (optunas.TrialParamModel, params),
            (optunas.TrialValueModel, values),
            (optunas.TrialIntermediateValueModel, reports),
        ):
            for start in range(0, len(rows), 5000):
                connection.execute(sa.insert(model), rows[start : start + 5000])
        if engine.name == "postgresql":
            connection.execute(sa.text("SELECT setval('trials_trial_id_seq', (SELECT max(trial_id) FROM trials))"))
        if key:
            closed = [{"n": n, "id": first + n, "s": trials[n]["state"].lower()} for n in range(finished)]
            update = sa.update(LEASES).where(LEASES.c.study_key == key, LEASES.c.number == sa.bindparam("n"))
            connection.execute(update.values(trial_id=sa.bindparam("id"), state=sa.bindparam("s"), token=1), closed)


def _time(text: str) -> Any:
    import datetime  # noqa: PLC0415

    return datetime.datetime.fromisoformat(text)


# -- the two sides -----------------------------------------------------------------------------------------------------


@contextmanager
def timed(times: Times, what: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    times.setdefault(what, []).append(1000 * (time.perf_counter() - began))


def joined_to(storage: FencedStorage, study: Study, folder: Path) -> JoinedStudy:
    return join(
        study,
        storage,
        optuna.storages.get_storage(storage),
        holder=f"bench:{os.getpid()}",
        workroot=folder,
        data_dir=folder,
        files_place=None,
        settings=DEFAULTS,
        say=lambda _: None,
        between=lambda: None,
    )


def ours(url: str, folder: Path, seconds: float, pace: float) -> Times:
    """A worker's statements, from claims to tells."""
    times: Times = {}
    storage = open_storage(url)
    study = existing(storage.engine, NAME)
    with timed(times, "join"):
        joined = joined_to(storage, study, folder)
    with timed(times, "first read (Optuna)"):
        joined.cached.get_all_trials(study.study_id, deepcopy=False)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with timed(times, "claim"):
            lease = storage.leases.claim(study.key, joined.holder, "bench", secrets.token_hex(8))
        if lease is None:
            raise RuntimeError("the budget is too small for this measurement")
        _run(joined, lease, times, pace)
    return times


def _run(joined: JoinedStudy, lease: Lease, times: Times, pace: float) -> None:
    reports = Reports(joined, lease)
    with timed(times, "birth"):
        reports.begin()
    with timed(times, "suggest 3"):
        for name, space in SPACE.items():
            reports.suggest(Suggest(name, distribution_to_json(space)))
    score = random.random()  # noqa: S311
    for step in range(1, EPOCHS + 1):
        time.sleep(random.uniform(0.5, 1.5) * pace)  # noqa: S311
        with timed(times, "report and decision"):
            reports.epoch(step, {"score": score}, {"seconds": 1.0})
            pruned = reports.is_pruned_at(step)
        if pruned:
            break
    with timed(times, "tell"):
        state, value, by = (TrialState.PRUNED, None, "pruner") if pruned else (TrialState.COMPLETE, score, None)
        reports.tell(state, "", value, {"seconds": 0.0}, by)
    reports.release()


def plain(url: str, _folder: Path, seconds: float, pace: float) -> Times:
    """Optuna's own, as ``study.optimize`` calls it."""
    times: Times = {}
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    study = optuna.load_study(study_name=NAME, storage=plain_url(url), pruner=pruner)
    with timed(times, "first read (Optuna)"):
        study.get_trials(deepcopy=False)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with timed(times, "birth"):
            trial = study.ask()
        with timed(times, "suggest 3"):
            for name in PARAMS:
                trial.suggest_float(name, 0.0, 1.0)
        score, pruned = random.random(), False  # noqa: S311
        for step in range(1, EPOCHS + 1):
            time.sleep(random.uniform(0.5, 1.5) * pace)  # noqa: S311
            with timed(times, "report and decision"):
                trial.report(score, step)
                pruned = trial.should_prune()
            if pruned:
                break
        with timed(times, "tell"):
            study.tell(trial, None if pruned else score, state=TrialState.PRUNED if pruned else None)
    return times


# -- measuring ---------------------------------------------------------------------------------------------------------


def measure(side: str, kind: str, finished: int, workers: int, seconds: float) -> Times:
    """All workers' times of one side, and of a command that asks for the study's status."""
    with tempfile.TemporaryDirectory(prefix="bench-service-") as name, database(kind, Path(name)) as url:
        folder = Path(name)
        _prepare(side, url, finished, workers, seconds)
        times = _forked({"ours": ours, "optuna": plain}[side], url, folder, workers, seconds)
        if side == "ours":
            times["status"] = [_status(url) for _ in range(3)]
        return times


def _prepare(side: str, url: str, finished: int, workers: int, seconds: float) -> None:
    if side == "optuna":
        study = optuna.create_study(study_name=NAME, storage=plain_url(url), direction="maximize")
        fill(sa.create_engine(plain_url(url)), study._study_id, finished, None)
        return
    storage = open_storage(url)
    size = {**DEFINITION["size"], "budget": finished + int(workers * seconds) + workers}
    made = create(storage, NAME, "bench.py", {**DEFINITION, "size": size})
    fill(storage.engine, made.study_id, finished, made.key)
    storage.engine.dispose()


def _forked(side: Callable[..., Times], url: str, folder: Path, workers: int, seconds: float) -> Times:
    pids = []
    for worker in range(workers):
        pid = os.fork()
        if pid == 0:
            _simulate(worker, lambda: side(url, folder, seconds, 1.0), folder / f"{worker}.json")
        pids.append(pid)
    statuses = [os.waitpid(pid, 0)[1] for pid in pids]
    if any(statuses):
        raise RuntimeError(f"simulated workers ended with {statuses}")
    together: Times = {}
    for worker in range(workers):
        for what, times in json.loads((folder / f"{worker}.json").read_text()).items():
            together.setdefault(what, []).extend(times)
    return together


def _simulate(worker: int, side: Callable[[], Times], file: Path) -> NoReturn:
    """In a fork, which must not end what its parent has begun."""
    status = 1
    try:
        random.seed(worker)
        time.sleep(random.uniform(0, 2))  # noqa: S311
        file.write_text(json.dumps(side()))
        status = 0
    except BaseException:  # noqa: BLE001 - said, and known by the status
        traceback.print_exc()
    finally:
        os._exit(status)


def _status(url: str) -> float:
    began = time.perf_counter()
    command = [sys.executable, "-m", "search", "status", NAME]
    environment = {**os.environ, "SEARCH_STORAGE": url}
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return 1000 * (time.perf_counter() - began)


def _percentile(times: list[float], share: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def _there(table: Path) -> set[tuple[str, ...]]:
    return {tuple(row[name] for name in FIELDS[1:6]) for row in read(table)}


def main() -> None:
    """Measures what the table does not hold for this revision, the two sides one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--finished", type=int, nargs="+", default=[10, 1000, 10_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--table", type=Path, default=TABLE)
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    at = (revision() or "unknown")[:12]
    for kind in given.databases:
        for finished in given.finished:
            for workers in given.workers:
                for side in ("ours", "optuna"):
                    case = {"revision": at, "database": kind, "finished": finished, "workers": workers, "side": side}
                    if tuple(map(str, case.values())) in _there(given.table):
                        continue
                    found = measure(side, kind, finished, workers, given.seconds)
                    rows = [
                        {
                            "date": date.today().isoformat(),
                            **case,
                            "what": what,
                            "count": len(times),
                            "median_ms": f"{statistics.median(times):.1f}",
                            "p95_ms": f"{_percentile(times, 0.95):.1f}",
                        }
                        for what, times in found.items()
                    ]
                    append(given.table, FIELDS, rows)
                    for row in rows:
                        print(*(f"{row[name]}" for name in FIELDS[2:]), sep="\t", flush=True)


if __name__ == "__main__":
    main()
