"""A trial and its context as the training process sees them: every question goes to the worker over the pipe."""

from __future__ import annotations

import datetime
import json
import math
import os
import queue
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from optuna.distributions import (
    BaseDistribution,
    CategoricalChoiceType,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)
from optuna.trial import BaseTrial

from search.contract import Devices, Unusable, size_from_json
from search.pipe import Message, Pipe

BEAT_SECONDS = 30.0
"""So often a training that asks between batches says that it lives: a first epoch may take longer than any limit."""


def end_all() -> NoReturn:
    """Ends this process and what it has started, where it leads a session of its own."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


class Line:
    """The child's end of the pipe, read by a thread so that a stop is seen while the main thread trains."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._stopped: str | None = None
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for message in self._pipe.messages():
            if message["type"] == "stop":
                self._stopped = message["run"]
            else:
                self._inbox.put(message)
        end_all()

    def stopped(self, run: str) -> bool:
        """Whether this run was told to stop; a stop that comes late is for an earlier one."""
        return self._stopped == run

    def send(self, kind: str, **fields: Any) -> None:
        try:
            self._pipe.send(kind, **fields)
        except OSError:
            end_all()

    def receive(self) -> Message:
        return self._inbox.get()

    def ask(self, kind: str, **fields: Any) -> Any:
        """Sends and waits for the answer; an error there is raised here."""
        self.send(kind, **fields)
        answer = self.receive()
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer["value"]


class RemoteTrial(BaseTrial):
    """All of Optuna's BaseTrial over the pipe; the worker keeps the real one."""

    def __init__(self, line: Line, go: Message) -> None:
        self._line = line
        self._number = int(go["number"])
        self._started = datetime.datetime.fromisoformat(go["datetime_start"])
        self._distributions = {name: json_to_distribution(text) for name, text in go["distributions"].items()}
        self._params = dict(go["params"])
        self._user_attrs = dict(go["user_attrs"])
        self._constraints: dict[str, float] = dict(go["constraints"])
        self._reported = {int(step) for step in go["reported"]}

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        value = self._line.ask("suggest", name=name, distribution=distribution_to_json(distribution))
        if isinstance(distribution, CategoricalDistribution):
            value = distribution.to_external_repr(distribution.to_internal_repr(value))
        self._params[name] = value
        self._distributions[name] = distribution
        return value

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return float(self._suggest(name, FloatDistribution(low, high, log=log, step=step)))

    def suggest_uniform(self, name: str, low: float, high: float) -> float:
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> float:
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> float:
        return self.suggest_float(name, low, high, step=q)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return int(self._suggest(name, IntDistribution(low, high, log=log, step=step)))

    def suggest_categorical(self, name: str, choices: Sequence[CategoricalChoiceType]) -> Any:
        return self._suggest(name, CategoricalDistribution(choices))

    def report(self, value: float, step: int) -> None:
        value, step = float(value), int(step)
        if step < 0:
            raise ValueError(f"The `step` argument is {step} but cannot be negative.")
        if step not in self._reported:
            self._reported.add(step)
            self._line.send("report", value=value, step=step)

    def should_prune(self) -> bool:
        return bool(self._line.ask("should_prune"))

    def set_user_attr(self, key: str, value: Any) -> None:
        self._line.send("user_attr", key=key, value=json.loads(json.dumps(value)))
        self._user_attrs[key] = value

    def set_constraint(self, key: str, value: float) -> None:
        self._line.send("constraint", key=key, value=float(value))
        self._constraints[key] = float(value)

    @property
    def params(self) -> dict[str, Any]:
        return dict(self._params)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        return dict(self._distributions)

    @property
    def user_attrs(self) -> dict[str, Any]:
        return dict(self._user_attrs)

    @property
    def constraints(self) -> dict[str, float]:
        return dict(self._constraints)

    @property
    def datetime_start(self) -> datetime.datetime | None:
        return self._started

    @property
    def number(self) -> int:
        return self._number


class RemoteContext:
    """The TrialContext of a child; ``report`` sends and never waits."""

    def __init__(self, line: Line, go: Message, metric: str) -> None:
        self._line, self._run = line, str(go["run"])
        self._needed = set() if go["refit"] else {metric}
        self.workdir, self.data_dir = Path(go["workdir"]), Path(go["data_dir"])
        self.source = Path(go["source"]) if go["source"] else None
        self.resume = Path(go["resume"]) if go["resume"] else None
        self.number, self.seed = int(go["number"]), int(go["seed"])
        self.size = size_from_json(go["size"])
        self.devices = Devices(int(go["cores"]), tuple(go["gpus"]))
        self.refit = bool(go["refit"])
        self.told_to_stop = False
        self._beat = time.monotonic()

    def report(self, step: int, values: Mapping[str, float], checkpoint: Path | None = None) -> bool:
        numbers = {name: float(value) for name, value in values.items()}
        if missing := self._needed - set(numbers):
            raise ValueError(f"report() of step {step} lacks {', '.join(missing)}; it has {', '.join(numbers)}")
        if not all(math.isfinite(numbers[name]) for name in self._needed):
            raise Unusable(f"{', '.join(self._needed)} is not finite after epoch {step}")
        self._line.send("epoch", step=int(step), values=numbers, checkpoint=str(checkpoint) if checkpoint else None)
        return not self.stopping()

    def stopping(self) -> bool:
        now = time.monotonic()
        if now - self._beat > BEAT_SECONDS:
            self._beat = now
            self._line.send("beat")
        self.told_to_stop = self.told_to_stop or self._line.stopped(self._run)
        return self.told_to_stop
