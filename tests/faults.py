"""Deaths on purpose: ``python -m tests.faults MODE URL FOLDER`` prints one JSON object for the test that started it.

One warm process forks workers that die by SIGKILL, each at its own enumerated point or at a random time; others go on.
What is left in the database is then held against what an undisturbed search must leave.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import json
import os
import random
import secrets
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy as sa

from search.child.inside.describe import describe
from search.child.inside.serve import serve
from search.child.pipe import Pipe
from search.child.process import Child
from search.child.protocol import Describe
from search.child.seat import Seat
from search.contract import Devices
from search.database.fence import FencedStorage
from search.database.storage import open_storage
from search.database.tables import FILES
from search.files.records import Files
from search.files.stores import store_at
from search.settings import KEPT_MODELS, TIMEOUTS, Settings, Timeouts
from search.studies.create import create
from search.studies.study import Study, find
from search.worker.loop import Worker
from tests import light

SETTINGS = Settings(
    lease=0.3, renew=0.1, poll=0.02, poll_at_most=0.1, first_pause=0.02, grace=0.5, silence=20, attempts=50
)
REFERENCE = str(Path(light.__file__).resolve())


_opened: dict[str, FencedStorage] = {}
"""By URL: what the warm process has opened. Forks find its SQL compiled, which is most of a short worker's life."""


def storage_at(url: str, timeouts: Timeouts = TIMEOUTS) -> FencedStorage:
    """The storage of this database; its connections are this process's own. The first to ask says how patient."""
    if url not in _opened:
        _opened[url] = open_storage(url, timeouts)
    return _opened[url]


class Quiet:
    def say(self, text: str) -> None: ...

    def tick(self, worker: Worker) -> None: ...

    def wait(self, seconds: float) -> None: ...

    def end(self) -> None: ...


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Points:
    """Counts the points passed; dies at the one asked for."""

    def __init__(self, at: int | None, names: Path | None = None) -> None:
        self.at, self.passed, self.names = at, 0, names

    def pass_by(self, name: str) -> None:
        if self.names is not None:
            with self.names.open("a") as file:
                file.write(name + "\n")
        if self.passed == self.at:
            die()
        self.passed += 1

    @contextlib.contextmanager
    def around(self, name: str) -> Iterator[None]:
        self.pass_by(f"before {name}")
        yield
        self.pass_by(f"after {name}")

    def wrap(self, owner: Any, attribute: str) -> None:
        original = getattr(owner, attribute)

        def wrapped(*arguments: Any, **keywords: Any) -> Any:
            with self.around(attribute):
                return original(*arguments, **keywords)

        setattr(owner, attribute, wrapped)

    def watch(self, engine: sa.Engine | None, *, statements: bool = False) -> None:
        """Renames and messages of this process, commits and perhaps statements of this engine."""
        for attribute in ("replace", "rename"):
            self.wrap(os, attribute)
        for attribute in ("send", "available"):
            self.wrap(Pipe, attribute)
        if engine is not None:
            self.wrap(engine.dialect, "do_commit")
            if statements:
                sa.event.listen(engine, "before_cursor_execute", lambda *_: self.pass_by("before statement"))
                sa.event.listen(engine, "after_cursor_execute", lambda *_: self.pass_by("after statement"))


def forked(body: Callable[[], None]) -> int:
    """A process that runs this and ends without any of the parent's clean-up."""
    for storage in _opened.values():
        storage.engine.dispose()  # no connection is to be inherited
    pid = os.fork()
    if pid:
        return pid
    try:
        body()
    except BaseException as error:  # noqa: BLE001 - the parent reads the status
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def light_launch(child_points: Callable[[], Points] | None) -> Callable[[str, Devices], Child]:
    """A child is a fork of this process."""

    def launch(reference: str, _devices: Devices) -> Child:
        ours, theirs = socket.socketpair()
        points = child_points() if child_points else None

        def body() -> None:
            ours.close()
            faulthandler.disable()  # pytest's, which would tell of deaths that are meant
            # Its log is what it writes to its descriptors, whatever this process has put in their place.
            sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, closefd=False) for number in (1, 2))
            if points is not None:
                points.watch(None)
            serve(theirs, reference)

        pid = forked(body)
        theirs.close()

        def wait(seconds: float) -> int | None:
            ended, status = os.waitpid(pid, 0 if seconds else os.WNOHANG)
            return os.waitstatus_to_exitcode(status) if ended else None

        return Child(ours, pid, _once(wait))

    return launch


def _once(wait: Callable[[float], int | None]) -> Callable[[float], int | None]:
    known: list[int | None] = []

    def once(seconds: float) -> int | None:
        if not known and (status := wait(seconds)) is not None:
            known.append(status)
        return known[0] if known else None

    return once


def work(
    url: str, name: str, folder: Path, *, points: Points | None = None, statements: bool = False,
    child_points: Callable[[], Points] | None = None, seats: int = 1,
) -> None:  # fmt: skip
    """A worker on this study until its budget is used up, in this process."""
    storage = storage_at(url)
    worker = Worker(
        storage,
        [Seat(Devices(), light_launch(child_points)) for _ in range(seats)],
        workroot=folder,
        data_dir=folder,
        screen=Quiet(),
        settings=SETTINGS,
    )
    study = find(storage.engine, name)
    assert study is not None
    if points is not None:
        points.watch(storage.engine, statements=statements)
    worker.join(study)
    worker.work([study.key])
    worker.close()


def declare(changes: Mapping[str, Any], direction: str = "minimize") -> Describe:
    """The question to a child that a new study of size quick begins with."""
    return Describe(log="", data_dir=".", size=None, size_name="quick", changes=changes, direction=direction)


def new_study(
    url: str,
    *,
    budget: int = 1,
    epochs: int = 3,
    rungs: tuple[int, ...] = (),
    hopeless: bool = False,
    objective: str = REFERENCE,
    changes: Mapping[str, Any] | None = None,
) -> Study:
    """A study of the light objective, or of a file that changes it; a hopeless one prunes at the first rung."""
    storage = storage_at(url)
    definition = describe(light.OBJECTIVE, declare({"budget": budget, "epochs": epochs, "rungs": rungs}))
    definition |= changes or {}
    if hopeless:
        definition |= {"first": [], "pruner": {"name": "ThresholdPruner", "keywords": {"lower": 2.0}}}
    return create(storage, f"s{secrets.token_hex(6)}", objective, definition)


def check(url: str, study: Study, budget: int) -> list[str]:
    """What is wrong with a study whose budget should be used up, exactly and honestly; nothing, if all is well."""
    return check_trials(url, study, budget) + _check_files(storage_at(url), study)


def check_trials(url: str, study: Study, budget: int) -> list[str]:
    """The same but for its files, which may lie elsewhere."""
    storage = storage_at(url)
    wrong: list[str] = []

    def want(what: str, found: Any, wanted: Any) -> None:
        if found != wanted:
            wrong.append(f"{study.name}: {what}: {found!r}, not {wanted!r}")

    rows = storage.leases.rows(study.key)
    trials = optuna.load_study(study_name=study.name, storage=storage).trials
    want("trials", len(trials), budget)
    want("numbers", [trial.number for trial in trials], list(range(budget)))
    want("unfinished", [trial.number for trial in trials if not trial.state.is_finished()], [])
    want("failed", [trial.user_attrs.get("search:reason") for trial in trials if trial.state.name == "FAIL"], [])
    want("open leases", [row["number"] for row in rows if row["state"] == "open"], [])
    want("lease of each trial", sorted(row["trial_id"] or -1 for row in rows), sorted(t._trial_id for t in trials))
    for trial in trials:
        row = next((one for one in rows if one["trial_id"] == trial._trial_id), None)
        curve = light.curve(trial.params.get("x", 0.0), study.trial_seed(trial.number), study.size.epochs)
        steps = len(trial.intermediate_values)
        reports = sorted(trial.intermediate_values.items())  # a database gives rows in any order
        want(f"reports of {trial.number}", reports, list(enumerate(curve[:steps], 1)))
        want(f"history of {trial.number}", trial.user_attrs.get("search:epochs", {}).get("score"), curve[:steps])
        want(f"epoch of {trial.number}", row and row["epoch"], steps)
        want(f"state of {trial.number}", row and row["state"], trial.state.name.lower())
        if trial.state.name == "COMPLETE":
            want(f"value of {trial.number}", trial.value, max(curve))
            want(f"length of {trial.number}", steps, study.size.epochs)
    return wrong


def _check_files(storage: Any, study: Study) -> list[str]:
    store = store_at(None, storage.engine)
    Files(storage.engine, store, storage.leases).sweep(study.key)
    with storage.engine.connect() as connection:
        recorded = connection.execute(sa.select(FILES).where(FILES.c.study_key == study.key)).all()
    kinds = Counter(row.kind for row in recorded)
    wrong = [f"{study.name}: a checkpoint is left"] if kinds["checkpoint"] or kinds["checkpoint before"] else []
    if kinds["model"] > KEPT_MODELS + 1:  # the best, and the first point's
        wrong.append(f"{study.name}: {kinds['model']} models are kept")
    stored, names = set(store.names(f"{study.key}/")), {row.name for row in recorded}
    if stored != names:
        wrong.append(f"{study.name}: stored and recorded files differ: {stored ^ names}")
    return wrong


def points_of(url: str, folder: Path, *, hopeless: bool, statements: bool, of_child: bool) -> int:
    """How many points an undisturbed trial has."""
    study = new_study(url, hopeless=hopeless, rungs=(1,))
    counted = folder / f"points-{study.name}"

    def body() -> None:
        if of_child:
            work(url, study.name, folder, child_points=lambda: Points(None, counted))
        else:
            work(url, study.name, folder, points=Points(None, counted), statements=statements)

    _, status = os.waitpid(forked(body), 0)
    assert status == 0, "the undisturbed run failed"
    return len(counted.read_text().splitlines())


def one_death(url: str, folder: Path, at: int, *, hopeless: bool, statements: bool, of_child: bool) -> list[str]:
    """A worker, or its first child, dies at this point; another worker goes on; what is left is checked."""
    study = new_study(url, hopeless=hopeless, rungs=(1,))

    def first() -> None:
        if of_child:
            deaths = [at]
            work(url, study.name, folder, child_points=lambda: Points(deaths.pop() if deaths else None))
        else:
            work(url, study.name, folder, points=Points(at), statements=statements)

    os.waitpid(forked(first), 0)
    _, status = os.waitpid(forked(lambda: work(url, study.name, folder)), 0)
    wrong = [] if status == 0 else [f"{study.name}: the second worker ended with {status}"]
    who = f"{'pruned' if hopeless else 'complete'}, point {at} of the {'child' if of_child else 'worker'}"
    return [f"{who}: {line}" for line in wrong + check(url, study, 1)]


def enumerate_deaths(
    url: str, folder: Path, *, statements: bool = False, every: int = 1, after: int = 0, lanes: int = 4
) -> dict[str, Any]:
    """A death at every point, or at every so-and-so-many-th; several experiments at once in one database."""
    cases: list[dict[str, Any]] = []
    for hopeless in (False, True):
        for of_child in (False, True):
            kind = {"hopeless": hopeless, "of_child": of_child, "statements": statements}
            points = points_of(url, folder, **kind)
            # Up to its first report a trial that will be pruned lives as any other.
            cases += [{"at": at, **kind} for at in range(points // 2 if hopeless else 0, points)]
    cases = cases[after::every]
    pids, report = [], folder / "wrong.txt"
    report.touch()
    for lane in range(lanes):

        def body(lane: int = lane) -> None:
            for case in cases[lane::lanes]:
                for line in one_death(url, folder, **case):
                    with report.open("a") as file:
                        file.write(line + "\n")

        pids.append(forked(body))
    statuses = [os.waitpid(pid, 0)[1] for pid in pids]
    wrong = report.read_text().splitlines() + [f"a lane ended with {status}" for status in statuses if status]
    return {"deaths": len(cases), "wrong": wrong}


def random_kills(url: str, folder: Path, *, kills: int = 40, budget: int = 20, workers: int = 3) -> dict[str, Any]:
    """Workers killed at random times, each replaced at once, until the budget is used up.

    Every fourth waits until an epoch has ended since the last: where a worker takes long to begin, none would else.
    """
    os.environ["LIGHT_PAUSE"] = "0.4"
    study = new_study(url, budget=budget, epochs=6, rungs=(3,))
    chance = random.Random(7)  # noqa: S311 - not for secrets
    running: list[int] = []
    killed = 0
    began = time.monotonic()
    while True:
        while len(running) < workers:
            running.append(forked(lambda: work(url, study.name, folder, seats=1)))
        if killed < kills:
            before = epochs_finished(url, study)
            while killed % 4 == 3 and epochs_finished(url, study) == before and time.monotonic() - began < 300:
                time.sleep(0.05)
            time.sleep(chance.uniform(0.05, 0.35))
            victim = running.pop(chance.randrange(len(running)))
            os.kill(victim, signal.SIGKILL)
            _, status = os.waitpid(victim, 0)
            killed += os.WIFSIGNALED(status)
            if not os.WIFSIGNALED(status):
                break
        else:
            break
    statuses = [os.waitpid(pid, 0)[1] for pid in running]
    wrong = check(url, study, budget) + [f"a worker ended with {status}" for status in statuses if status]
    rows = storage_at(url).leases.rows(study.key)
    resumed = [step for row in rows for step in json.loads(row["resumed_from"])]
    return {"killed": killed, "seconds": time.monotonic() - began, "resumed_from": resumed, "wrong": wrong}


def epochs_finished(url: str, study: Study) -> int:
    """Of all its trials, by their leases."""
    return sum(row["epoch"] for row in storage_at(url).leases.rows(study.key))


def warm_up(url: str, folder: Path) -> None:
    """One undisturbed trial in this process, so that its forks find everything imported, compiled and connected to."""
    study = new_study(url, rungs=(1,))
    work(url, study.name, folder)
    assert check(url, study, 1) == []
    # A full collection in a fork would copy every page of what it shares with this process.
    gc.freeze()


def main() -> None:
    mode, url, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warm_up(url, folder)
    if mode == "random":
        result = random_kills(url, folder)
    elif mode == "half of the points":
        result = enumerate_deaths(url, folder, every=2, after=int(url.startswith("sqlite")))
    else:
        result = enumerate_deaths(url, folder, statements=mode == "statements")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
