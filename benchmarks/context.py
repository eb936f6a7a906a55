"""What a benchmark lends a trial that it trains in its own process, without a service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from search.contract import Devices, Size


@dataclass
class BenchmarkContext:
    """A ``TrialContext``: ``stop`` is asked after each batch; what is reported is kept, checkpoints are not."""

    workdir: Path
    data_dir: Path
    size: Size
    devices: Devices = field(default_factory=Devices)
    seed: int = 0
    number: int = 0
    refit: bool = False
    source: Path | None = None
    resume: Path | None = None
    stop: Callable[[], bool] = lambda: False
    reports: dict[int, dict[str, float]] = field(default_factory=dict)
    network: tuple[int, float | None] | None = None

    def report(self, step: int, values: Mapping[str, float], checkpoint: Path | None = None) -> bool:
        self.reports[step] = dict(values)
        if checkpoint is not None:
            checkpoint.unlink()
        return True

    def stopping(self) -> bool:
        return self.stop()

    def built(self, parameters: int, flops: float | None = None) -> None:
        self.network = (parameters, flops)
