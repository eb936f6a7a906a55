"""A TrialContext without a service, and trials of it in a process of their own that can be killed."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.contract import Devices, Size

ROOT = Path(__file__).parent.parent


@dataclass
class Context:
    """Keeps what is reported. ``stop_at`` batches: asked to stop; ``kill_at``: the process dies as by kill -9."""

    workdir: Path
    data_dir: Path
    size: Size
    source: Path | None = None
    resume: Path | None = None
    refit: bool = False
    number: int = 0
    seed: int = 11
    devices: Devices = field(default_factory=Devices)
    prune_at: int = 0
    stop_at: int = 0
    kill_at: int = 0
    batches: int = 0
    reports: dict[int, dict[str, float]] = field(default_factory=dict)
    checkpoints: dict[int, Path] = field(default_factory=dict)
    network: tuple[int, float | None] | None = None

    def report(self, step: int, values: Mapping[str, float], checkpoint: Path | None = None) -> bool:
        assert checkpoint is not None and checkpoint.is_file(), "a report comes after its checkpoint"
        assert step not in self.reports, "an epoch is reported once"
        self.reports[step] = dict(values)
        self.checkpoints[step] = checkpoint
        return step != self.prune_at

    def stopping(self) -> bool:
        self.batches += 1
        if self.batches == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.batches == self.stop_at

    def built(self, parameters: int, flops: float | None = None) -> None:
        self.network = (parameters, flops)


def start(runs: list[dict[str, Any]]) -> subprocess.Popen[str]:
    """Runs trials one after another in one new process, as a warm child does; see ``_run``."""
    command = [sys.executable, __file__, json.dumps(runs, default=str)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _run(objective: str, hp: dict[str, Any], size: dict[str, Any], result: str, **context: Any) -> None:
    """One trial of an objective on one core; its reports go to the file ``result``."""
    module = importlib.import_module(f"objectives.{objective}")
    paths = {name: Path(context.pop(name)) for name in ("workdir", "data_dir", "source", "resume") if name in context}
    quick = dataclasses.replace(module.OBJECTIVE.sizes["quick"], **size)
    lent = Context(size=quick, **paths, **context)
    lent.workdir.mkdir(exist_ok=True)
    module.OBJECTIVE.train(module.Hyperparameters(**{**module.OBJECTIVE.tried_first()[0], **hp}), lent)
    Path(result).write_text(json.dumps(lent.reports))


if __name__ == "__main__":
    for run in json.loads(sys.argv[1]):
        _run(**run)
