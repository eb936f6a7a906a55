"""The training process's loop: one task after another, each ending in one message."""

from __future__ import annotations

import contextlib
import numbers
import os
import socket
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna

from search.child.inside.describe import as_json, describe
from search.child.inside.load import Function, Loaded, load
from search.child.inside.pipe_end import Line
from search.child.inside.remote_context import RemoteContext, TooLargeError
from search.child.inside.remote_trial import RemoteTrial
from search.child.pipe import Pipe
from search.child.protocol import (
    Definition,
    Describe,
    Done,
    Evaluate,
    Failed,
    Go,
    Load,
    Metrics,
    Pruned,
    Stopped,
    TestSet,
    TooLarge,
)
from search.contract import Objective, SearchError, Unusable
from search.errors import UnsupportedError
from search.rules.content import short
from search.rules.failures import cause_and_reason, first_line


def run_trial(line: Line, objective: Objective | Function, go: Go) -> None:
    """One trial; its last message is done, pruned, stopped or failed."""
    trial = RemoteTrial(line, go)
    if not isinstance(objective, Objective):
        line.send(_end_of(objective, trial))
        return
    context = RemoteContext(line, go, objective.metric)
    context.workdir.mkdir(parents=True, exist_ok=True)
    try:
        value = objective.train(objective.suggest(trial), context)
    except TooLargeError as why:
        line.send(TooLarge(str(why)))
        return
    if context.told_to_stop:
        line.send(Stopped())
    else:
        line.send(Done(_number(value)))


def _end_of(function: Function, trial: RemoteTrial) -> Done | Pruned | Stopped:
    """How a plain function ended. Of one that was told to stop it does not matter what it returns."""
    try:
        value = function(trial)
    except optuna.TrialPruned as reason:
        return Stopped() if trial.was_stopped else Pruned(first_line(reason))
    except Exception:
        if not trial.was_stopped:
            raise
        traceback.print_exc()  # who leaves in the middle may stumble; what counts is the last step
        return Stopped()
    return Stopped() if trial.was_stopped else Done(_number(value))


def _number(value: Any) -> float:
    """As Optuna, which takes a single number in a sequence too."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value) > 0:
        if len(value) > 1 and all(isinstance(one, numbers.Number) for one in value):
            raise UnsupportedError(
                f"the objective returned {len(value)} values, and several objectives are not supported. "
                "Return one number, then type the command again"
            )
        value = value[0] if len(value) == 1 else value
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"the objective returned {value!r}, not a number") from None


@contextlib.contextmanager
def _failures(line: Line) -> Iterator[None]:
    """Whatever ends a task early becomes one message; a bug's traceback goes to the log."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the boundary: reported, with its traceback, never passed over
        if not isinstance(error, Unusable | SearchError):
            traceback.print_exc()
        line.send(Failed(*cause_and_reason(error)))


def serve(end: socket.socket, reference: str) -> None:
    """Answers one task after another until the pipe ends."""
    line = Line(Pipe(end))
    loaded: Loaded | None = None
    failed: Exception | None = None
    while True:
        task = line.receive()
        if isinstance(task, Load):
            try:
                loaded = loaded or load(reference)
            except Exception as error:  # noqa: BLE001 - raised at the first task, which says so
                failed = error
            continue
        if not isinstance(task, Describe | Evaluate | Go):
            raise TypeError(f"{task} is no task")
        _log_to(Path(task.log))
        with _failures(line):
            if failed is not None:
                raise failed
            loaded = loaded or load(reference)
            objective = loaded.objective
            if isinstance(task, Describe):
                own = {"file": {"sha256": loaded.sha256}} if loaded.sha256 else {}
                line.send(Definition(describe(objective, task, sampler=loaded.sampler, pruner=loaded.pruner) | own))
            elif isinstance(task, Go):
                _refuse_another_file(reference, loaded, task)
                run_trial(line, objective, task)
            elif isinstance(objective, Objective):
                line.send(Metrics(as_json(dict(_evaluate(line, objective, task)))))


def _evaluate(line: Line, objective: Objective, task: Evaluate) -> Mapping[str, Any]:
    """On the test data only once the look at them is recorded."""
    data_dir = Path(task.data_dir)
    if task.split == "test":
        look = TestSet(objective.test_checksum(data_dir) if objective.test_checksum else None)
        try:
            line.ask(look)
        except ValueError as refused:
            raise SearchError(str(refused)) from None
    return objective.evaluate(Path(task.folder), data_dir, task.split)


def _refuse_another_file(reference: str, loaded: Loaded, go: Go) -> None:
    """It may have been edited since this worker joined."""
    if go.file is not None and go.file != loaded.sha256:
        raise SearchError(
            f"{reference} was changed meanwhile: {short(go.file)} when this search began, now {short(loaded.sha256)}. "
            "Go back to what it was, or type the command again with CHANGED=1"
        )


def _log_to(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
