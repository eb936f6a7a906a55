"""NePS's PriorBand as an arm of the replay: one worker, in an environment of its own.

Its prior is what all arms try first, of medium confidence, and it is tried first to its end here too. Its lowest
fidelity is the first rung. Mallik et al.: PriorBand (2023).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from benchmarks.environments import NEPS, python
from benchmarks.search.simulate import seen_of
from benchmarks.search.task import Task
from search.contract import seed_for

SIDE = (python(NEPS), "-W", "ignore", str(Path(__file__).with_name("priorband_of_neps.py")))
Ask = Callable[[float | None], dict[str, Any]]
"""Tells a loss, None in the beginning, and is answered with what to train next."""


def search(task: Task, *, costs: Sequence[float], seed: int, side: Sequence[str] = SIDE) -> list[float]:
    """The winner's accuracy, without noise, after each cost in whole trials: of those that were trained to their end
    the best."""
    rng = np.random.default_rng(seed_for(seed, task.name))
    curves: dict[str, Any] = {}
    waiting, found = sorted(costs), []
    spent, ends = 0.0, []
    with asked(task, seed, side) as ask:
        wanted = ask(None)
        while waiting:
            before, epochs = 0.0, wanted["epochs"]
            if wanted["goes_on"] in curves:
                before, (seconds, values, seen) = curves[wanted["goes_on"]]
            else:
                seconds, values = task.curve(wanted["params"])
                seen = seen_of(values, rng)
            curves[wanted["id"]] = float(seconds[epochs - 1]), (seconds, values, seen)
            spent += float(seconds[epochs - 1]) - before
            while waiting and spent > waiting[0] * task.whole:
                waiting.pop(0)
                found.append(max(ends)[1] if ends else float(task.curve(task.first)[1][-1]))
            if epochs == task.epochs:
                ends.append((float(seen.max()), float(values[-1])))
            wanted = ask(-float(seen.max() if epochs == task.epochs else seen[epochs - 1]))
    return found


@contextmanager
def asked(task: Task, seed: int, side: Sequence[str]) -> Iterator[Ask]:
    """As long as it is asked, the other side runs."""
    with subprocess.Popen(side, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout  # noqa: S101 - for the types
        told = {"space": space(task), "least": task.rungs[0], "epochs": task.epochs, "seed": seed_for(seed, "neps")}

        def ask(loss: float | None) -> dict[str, Any]:
            process.stdin.write((json.dumps(told) if loss is None else str(loss)) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the other side ended with {process.wait()} on {task.name}, seed {seed}")
            found: dict[str, Any] = json.loads(line)
            return found

        try:
            yield ask
        finally:
            process.stdin.close()


def space(task: Task) -> dict[str, Mapping[str, Any]]:
    """Of one random point, as its parameters are not conditional."""
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    task.suggest(trial)
    found: dict[str, Mapping[str, Any]] = {}
    for name, one in trial.distributions.items():
        if isinstance(one, CategoricalDistribution):
            found[name] = {"first": task.first[name], "choices": list(one.choices)}
        elif isinstance(one, (FloatDistribution, IntDistribution)):
            numbers = {"low": one.low, "high": one.high, "log": one.log, "whole": isinstance(one, IntDistribution)}
            found[name] = {"first": task.first[name], **numbers}
    return found
