"""What is lent to one trial, as the training process sees it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from search.child.inside.beat import Heart
from search.child.inside.pipe_end import Line
from search.child.protocol import Epoch, Go, Network
from search.contract import Devices, Unusable, size_from_json
from search.rules.pruning import too_large
from search.trial_run import whole


class TooLargeError(Unusable):
    """The network, for what the study allows."""


class RemoteContext:
    """The TrialContext of a child; ``report`` sends and never waits."""

    def __init__(self, line: Line, go: Go, metric: str) -> None:
        self._line, self._run = line, go.run
        self._needed = set() if go.refit else {metric}
        self.workdir, self.data_dir = Path(go.workdir), Path(go.data_dir)
        self.source = Path(go.source) if go.source else None
        self.resume = Path(go.resume) if go.resume else None
        self.number, self.seed = int(go.number), int(go.seed)
        self.size = size_from_json(go.size)
        self.devices = Devices(int(go.cores), tuple(go.gpus))
        self.refit = bool(go.refit)
        self.told_to_stop = False
        self._heart = Heart(line)
        self._limits = go.limits

    def built(self, parameters: int, flops: float | None = None) -> None:
        self._line.send(Network(whole(parameters, "number of parameters"), None if flops is None else float(flops)))
        if why := too_large({"parameters": parameters, "flops": flops}, self._limits):
            raise TooLargeError(why)

    def report(self, step: int, values: Mapping[str, float], checkpoint: Path | None = None) -> bool:
        epoch = Epoch(whole(step, "epoch"), {}, str(checkpoint) if checkpoint else None)
        numbers = {name: float(value) for name, value in values.items()}
        if missing := self._needed - set(numbers):
            raise ValueError(f"report() of step {step} lacks {', '.join(missing)}; it has {', '.join(numbers)}")
        if not all(math.isfinite(numbers[name]) for name in self._needed):
            raise Unusable(f"{', '.join(self._needed)} is not finite after epoch {step}")
        self._line.send(replace(epoch, values=numbers))
        return not self.stopping()

    def stopping(self) -> bool:
        self._heart.beat()  # a first epoch may take longer than any limit on silence
        self.told_to_stop = self.told_to_stop or self._line.stopped(self._run) is not None
        return self.told_to_stop
