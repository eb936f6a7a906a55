"""The training process: loads one objective's file and runs trials of it, told over a pipe. It never sees the database.

Started as ``python -m search.child FD OBJECTIVE``. The end of the pipe ends it at once, so that a killed worker leaves
nobody training.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import importlib
import importlib.util
import inspect
import json
import os
import socket
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import distribution_to_json, json_to_distribution
from optuna.trial import BaseTrial

from search.contract import BadCheckpointError, Objective, SearchError, Size, Unusable, parameters, size_from_json
from search.pipe import Message, Pipe
from search.pruning import make_pruner, make_sampler
from search.remote import Line, RemoteContext, RemoteTrial

Function = Callable[[BaseTrial], float]


def load(reference: str) -> Objective | Function:
    """A name in ``objectives/``, or the path of a file that ends with OBJECTIVE or has a function ``objective``."""
    if reference.endswith(".py"):
        path = Path(reference).resolve()
        sys.path.insert(0, str(path.parent))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise SearchError(f"{reference} cannot be loaded as Python. Give a .py file.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(f"objectives.{reference}")
    found = getattr(module, "OBJECTIVE", None) or getattr(module, "objective", None)
    if isinstance(found, Objective) or inspect.isfunction(found):
        return found
    raise SearchError(
        f"{reference} holds no objective. End it with OBJECTIVE = Objective(...), or define objective(trial)."
    )


def describe(objective: Objective | Function, order: Message) -> dict[str, Any]:
    """The part of a study's definition that only the objective's file knows, as JSON."""
    if not isinstance(objective, Objective):
        if unknown := {"epochs", "train_images"} & set(order["changes"]):
            raise SearchError(
                f"a plain function knows no {' or '.join(sorted(unknown))}. Leave EPOCHS and TRAIN_SIZE out."
            )
        size = size_from_json(order["size"]) if order["size"] else _changed(Size(budget=20, epochs=0), order["changes"])
        return {
            "kind": "function",
            "metric": "value",
            "direction": order["direction"],
            "size": _json(size),
            "first": [],
        }
    size = _size(objective, order)
    space = _space(objective)
    _can_be_made(objective, size)
    return {
        "kind": "objective",
        "metric": objective.metric,
        "direction": objective.direction,
        "size": _json(size),
        "space": space,
        "first": [_checked(parameters(hp), space) for hp in objective.first],
        "sampler": _json(objective.sampler),
        "pruner": _json(objective.pruner),
        "data": _json(objective.data(Path(order["data_dir"]), size)),
        "needs": objective.source,
        "without_source": dict(objective.without_source),
        "references": dict(objective.references),
        "sizes": {name: _json(value) for name, value in objective.sizes.items()},
    }


def _size(objective: Objective, order: Message) -> Size:
    if order["size"]:
        return size_from_json(order["size"])
    if order["size_name"] not in objective.sizes:
        raise SearchError(f"there is no size {order['size_name']!r}. Give one of: {', '.join(objective.sizes)}")
    return _changed(objective.sizes[order["size_name"]], order["changes"])


def _changed(size: Size, changes: Mapping[str, Any]) -> Size:
    """The size with what a user asked for instead. A refit takes as many epochs as a trial, and the images in sight."""
    extra: dict[str, Any] = {}
    if "epochs" in changes:
        extra["refit_epochs"] = changes["epochs"]
    if "train_images" in changes:
        extra["refit_images"] = changes["train_images"] + size.validation_images
    return dataclasses.replace(size, **changes, **extra)


def _can_be_made(objective: Objective, size: Size) -> None:
    """A wrong name or keyword shows now and not after the first claim."""
    try:
        make_sampler(_json(objective.sampler), startup=10, seed=0)
        make_pruner(_json(objective.pruner), size)
    except (TypeError, ValueError) as error:
        raise SearchError(f"the sampler or the pruner cannot be made: {error}. Correct its keywords.") from None


def _space(objective: Objective) -> dict[str, Any]:
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    objective.suggest(trial)
    return {name: json.loads(distribution_to_json(value)) for name, value in trial.distributions.items()}


def _checked(first: dict[str, Any], space: Mapping[str, Any]) -> dict[str, Any]:
    # Optuna ignores a misspelt fixed parameter and only warns of one out of range.
    for name, value in first.items():
        if name not in space:
            raise SearchError(f"`first` names {name!r}, which is not in the space: {', '.join(space)}. Correct it.")
        distribution = json_to_distribution(json.dumps(space[name]))
        if not distribution._contains(distribution.to_internal_repr(value)):
            raise SearchError(f"`first` has {name}={value!r}, which lies outside {distribution}. Correct it.")
    return first


def _json(value: Any) -> Any:
    return json.loads(json.dumps(dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value))  # type: ignore[arg-type]


def run_trial(line: Line, objective: Objective | Function, go: Message) -> None:
    """One trial; its last message is done, pruned, stopped or failed."""
    trial = RemoteTrial(line, go)
    if not isinstance(objective, Objective):
        try:
            line.send("done", value=_number(objective(trial)))
        except optuna.TrialPruned as reason:
            line.send("pruned", why=str(reason))
        return
    context = RemoteContext(line, go, objective.metric)
    context.workdir.mkdir(parents=True, exist_ok=True)
    value = objective.train(objective.suggest(trial), context)
    if context.told_to_stop:
        line.send("stopped")
    else:
        line.send("done", value=_number(value))


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"the objective returned {value!r}, not a number") from None


@contextlib.contextmanager
def _failures(line: Line) -> Iterator[None]:
    """Whatever ends a task early becomes one message; a bug's traceback goes to the log."""
    try:
        yield
    except Unusable as reason:
        line.send("failed", cause="unusable", why=str(reason))
    except MemoryError as reason:
        traceback.print_exc()
        line.send("failed", cause="unusable", why=f"out of memory: {reason}".rstrip(": "))
    except OSError as error:
        traceback.print_exc()
        full = error.errno in {errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS}
        line.send("failed", cause="user" if full else "error", why=f"{error}".splitlines()[0][:500])
    except BadCheckpointError as reason:
        line.send("failed", cause="checkpoint", why=str(reason))
    except SearchError as reason:
        line.send("failed", cause="user", why=str(reason))
    except Exception as error:  # noqa: BLE001 - the boundary: reported with its traceback, never passed over
        traceback.print_exc()
        line.send("failed", cause="error", why=f"{type(error).__name__}: {error}".splitlines()[0][:500])


def serve(end: socket.socket, reference: str) -> None:
    """Answers one task after another until the pipe ends."""
    line = Line(Pipe(end))
    objective: Objective | Function | None = None
    while True:
        task = line.receive()
        if task.get("log"):
            _log_to(Path(task["log"]))
        with _failures(line):
            objective = objective or load(reference)
            if task["type"] == "describe":
                line.send("definition", definition=describe(objective, task))
            elif task["type"] == "go":
                run_trial(line, objective, task)
            elif task["type"] == "evaluate" and isinstance(objective, Objective):
                metrics = objective.evaluate(Path(task["folder"]), Path(task["data_dir"]), task["split"])
                line.send("metrics", metrics=_json(dict(metrics)))


def _log_to(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def main() -> None:
    """``python -m search.child FD OBJECTIVE``."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    # Tracing holds the interpreter for seconds; a short switch interval lets the reader see the pipe's end.
    sys.setswitchinterval(0.001)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])


if __name__ == "__main__":
    main()
