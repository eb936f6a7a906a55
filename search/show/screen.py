"""What a person sees while a worker runs: one live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from collections import Counter

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from search.database.leases import Progress
from search.rules.readable import readable
from search.show.printable import printable
from search.show.time_left import seconds_left
from search.show.typed import Typed
from search.show.words import duration
from search.studies.trials import best_trial
from search.worker.joined_study import JoinedStudy
from search.worker.loop import Worker
from search.worker.trial import LeasedTrial

_PRUNED_MEANS = (
    "pruned: stopped at a rung, as its value was not among the best there. That is no failure: it is where a search "
    "saves its time, and it counts as a trial of the budget."
)
_LOOK_EVERY = 2.0
_ERASED = "\r\x1b[2K"
_WORTH_SAYING = 10.0
_IDLE = 3.0
"""Seconds without a trial, after which it is said what is waited for."""


class Terminal:
    """The screen of a worker. ``say`` lines stay; the table is drawn anew below them."""

    def __init__(self, console: Console, typed: Typed | None = None) -> None:
        self._console, self._typed = console, typed or Typed()
        self._live: Live | None = None
        self._looked = 0.0
        self._waiting = self._legend_is_said = False
        self._idle_since: float | None = None
        self._measured: set[str] = set()
        self._progress: dict[str, Progress] = {}
        self._best: dict[str, float | None] = {}

    def say(self, text: str) -> None:
        """One line, above the table where there is one; as it would be typed."""
        if self._waiting:
            self._waiting = False
            self._console.file.write(_ERASED)
        (self._live.console if self._live else self._console).print(
            printable(self._typed.spoken(text)), highlight=False, markup=False, soft_wrap=True
        )

    def tick(self, worker: Worker) -> None:
        """Draws; the database is asked every two seconds at most."""
        self._say_what_is_waited_for(worker)
        if not self._console.is_terminal:
            self._say_measured(worker)
            return
        now = time.monotonic()
        if now - self._looked < _LOOK_EVERY:
            return
        self._looked = now
        if self._live is None:
            self._live = Live(console=self._console, refresh_per_second=2, transient=True)
            self._live.start()
        worker.outage.attempt(lambda: self._look(worker))
        self._live.update(self._drawn(worker))

    def _say_what_is_waited_for(self, worker: Worker) -> None:
        """Once each time that nothing runs here, as what a dead worker held comes free late."""
        if worker.trials or worker.stopping:
            self._idle_since = None
            return
        self._idle_since = self._idle_since or time.monotonic()
        if time.monotonic() - self._idle_since < _IDLE:
            return
        self._idle_since = math.inf  # it is said
        worker.outage.attempt(lambda: self._say_held(worker))

    def _say_held(self, worker: Worker) -> None:
        for key, joined in worker.joined.items():
            if held := worker.storage.leases.held(key):
                self.say(
                    f"{joined.study.name}: nothing to do but what other workers hold ({held.count} of the budget, on "
                    f"{held.hosts}). What a dead one held goes on here within {held.seconds:.0f} s"
                )

    def _say_measured(self, worker: Worker) -> None:
        """Once a study: how long it takes here, now that an epoch was measured."""
        for key, joined in worker.joined.items():
            running = [trial for trial in worker.trials.values() if trial.joined is joined]
            if key in self._measured or not any(one.times.epochs > 1 for one in running):
                continue
            self._measured.add(key)
            left: list[float | None] = []
            worker.outage.attempt(
                lambda: left.append(seconds_left(joined, worker.storage.leases.progress(key), running))  # noqa: B023
            )
            if left and left[0] is not None and left[0] > _WORTH_SAYING:
                self.say(f"{joined.study.name}: at most {duration(left[0])} left, by the first epochs measured here")

    def wait(self, seconds: float) -> None:
        """In a terminal, one line that goes away again; a log needs none."""
        if self._console.is_terminal and seconds > 1:
            self._waiting = True
            self._console.file.write(f"{_ERASED}the training process is at work ({seconds:.0f} s)")
            self._console.file.flush()

    def end(self) -> None:
        """Takes the table away."""
        if self._waiting:
            self._waiting = False
            self._console.file.write(_ERASED)
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _look(self, worker: Worker) -> None:
        for key, joined in worker.joined.items():
            self._progress[key] = worker.storage.leases.progress(key)
            best = best_trial(worker.storage.engine, joined.study)
            self._best[key] = None if best is None else best.value

    def _drawn(self, worker: Worker) -> Group:
        table = Table(box=None, padding=(0, 2, 0, 0))
        counted = {joined.study.shown.examples for joined in worker.joined.values()}
        rate = f"{counted.pop()}/s" if len(counted) == 1 else "examples/s"
        for title in ("study", "trial", "epoch", "value", rate):
            table.add_column(title, justify="left" if title == "study" else "right")
        for trial in worker.trials.values():
            table.add_row(*[Text(printable(cell)) for cell in _row(trial)])
        lines = [Text(printable(line)) for joined in worker.joined.values() if (line := self._summary(worker, joined))]
        if not self._legend_is_said and any(one.leases.get("pruned") for one in self._progress.values()):
            self._legend_is_said = True
            self.say(_PRUNED_MEANS)
        # Below them a line of its own for what a terminal shows of Ctrl-C: at the end of a full one it would push the
        # head up, where nobody takes it away.
        return Group(table, *lines, Text(""))

    def _summary(self, worker: Worker, joined: JoinedStudy) -> str:
        study = joined.study
        progress = self._progress.get(study.key)
        if progress is None or not progress.leases.get("open"):
            return ""
        counts = Counter(progress.leases)
        best = self._best.get(study.key)
        of = "" if joined.limits.endless else f" of {progress.budget}"
        parts = [f"{study.name}: {counts['complete']} complete, {counts['pruned']} pruned, {counts['fail']} failed{of}"]
        if best is not None and not study.refit:
            parts.append(f"best {study.definition['metric']} {readable(best)}")
        left = seconds_left(joined, progress, list(worker.trials.values()))
        if left is not None:
            parts.append(f"at most {duration(left)} left")
        return ", ".join(parts)


def _row(trial: LeasedTrial) -> tuple[str, ...]:
    number = "…" if trial.number is None else str(trial.number)
    value = "" if trial.value is None else readable(trial.value)
    rate = "" if trial.rate is None else f"{trial.rate:,.0f}"
    study = trial.joined.study
    epoch = f"{trial.epoch}/{study.epochs}" if study.epochs else str(trial.epoch or "")
    return study.name, number, epoch, value, rate
