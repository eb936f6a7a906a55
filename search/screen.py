"""What a person sees while a worker runs: one live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import dataclasses
import json
import time
from collections import Counter
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from search.contract import Size
from search.running import Running
from search.studies import Joined, best_trial
from search.worker import Worker

_PRUNED_MEANS = (
    "pruned: stopped at a rung, as its value was not among the best there. That is no failure: it is",
    "where a search saves its time, and it counts as a trial of the budget.",
)
_LOOK_EVERY = 2.0
_ERASED = "\r\x1b[2K"
_WORTH_SAYING = 10.0
_START, _TRIAL = 20.0, 5.0
"""Seconds to load Keras once, and to build and trace a network for each trial."""


class Terminal:
    """The screen of a worker. ``say`` lines stay; the table is drawn anew below them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._looked = 0.0
        self._waiting = False
        self._measured: set[str] = set()
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._best: dict[str, float | None] = {}

    def say(self, text: str) -> None:
        """One line, above the table where there is one."""
        if self._waiting:
            self._waiting = False
            self._console.file.write(_ERASED)
        (self._live.console if self._live else self._console).print(text, highlight=False, markup=False, soft_wrap=True)

    def tick(self, worker: Worker) -> None:
        """Draws; the database is asked every two seconds at most."""
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
        worker.reaching(lambda: self._look(worker))
        self._live.update(self._drawn(worker))

    def _say_measured(self, worker: Worker) -> None:
        """Once a study: how long it takes here, now that an epoch was measured."""
        for key, place in worker.places.items():
            running = [seat.running for seat in worker.seats if seat.running and seat.running.place is place]
            if key in self._measured or not any(one.epochs_here > 1 for one in running):
                continue
            self._measured.add(key)
            left: list[float | None] = []
            worker.reaching(lambda: left.append(seconds_left(place.study, worker.storage.leases.rows(key), running)))  # noqa: B023
            if left and left[0] is not None and left[0] > _WORTH_SAYING:
                self.say(f"{place.study.name}: at most {duration(left[0])} left, by the first epochs measured here")

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
        for key, place in worker.places.items():
            self._rows[key] = worker.storage.leases.rows(key)
            try:
                best = best_trial(worker.storage, place.study)
            except KeyError:  # the study was deleted; its worker is about to find out
                best = None
            self._best[key] = None if best is None else best.value

    def _drawn(self, worker: Worker) -> Group:
        table = Table(box=None, padding=(0, 2, 0, 0))
        for title in ("study", "trial", "epoch", "value", "images/s"):
            table.add_column(title, justify="left" if title == "study" else "right")
        for seat in worker.seats:
            if seat.running is not None:
                table.add_row(*_row(seat.running))
        lines = [Text(line) for place in worker.places.values() if (line := self._summary(worker, place.study))]
        return Group(table, *lines, *[Text(line, style="dim") for line in _PRUNED_MEANS])

    def _summary(self, worker: Worker, study: Joined) -> str:
        rows = self._rows.get(study.key, [])
        if not rows or all(row["state"] != "open" for row in rows):
            return ""
        counts = Counter(row["state"] for row in rows)
        best = self._best.get(study.key)
        parts = [
            f"{study.name}: {counts['complete']} complete, {counts['pruned']} pruned, {counts['fail']} failed "
            f"of {len(rows)}"
        ]
        if best is not None and not study.refit:
            parts.append(f"best {study.definition['metric']} {best:.4f}")
        left = seconds_left(study, rows, [seat.running for seat in worker.seats if seat.running])
        if left is not None:
            parts.append(f"at most {duration(left)} left")
        return ", ".join(parts)


def _row(running: Running) -> tuple[str, ...]:
    number = "…" if running.number is None else str(running.number)
    value = "" if running.value is None else f"{running.value:.4f}"
    rate = "" if running.rate is None else f"{running.rate:,.0f}"
    return running.place.study.name, number, f"{running.epoch}/{running.place.study.epochs}", value, rate


def seconds_left(study: Joined, rows: list[dict[str, Any]], running: list[Running]) -> float | None:
    """If nothing more were pruned, by the last epochs seen here; None before one was."""
    mine = [one.last_epoch for one in running if one.place.study.key == study.key and one.last_epoch]
    if not mine:
        return None
    epochs = sum(max(0, study.epochs - row["epoch"]) for row in rows if row["state"] == "open")
    return float(sum(mine) / len(mine) * epochs / len(running))


def duration(seconds: float) -> str:
    """``40 s``, ``25 min``, ``3.5 h``, ``2.1 days``."""
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 3600:.1f} h" if seconds < 86400 else f"{seconds / 86400:.1f} days"


def introduction(study: Joined, budget: int, cores: int, gpus: bool) -> list[str]:
    """What the size means, how long it takes here, what to type for the real thing, how to watch."""
    if study.definition["kind"] == "function":
        return [f"{study.name}: {budget} trials of {study.objective}"]
    sizes = {name: _size(data) for name, data in study.definition["sizes"].items()}
    sizes[study.size_name] = dataclasses.replace(study.size, budget=budget)
    lines = [f"study {study.name}, objective {study.objective}, size {study.size_name}", "", _SIZE_HEAD]
    for name, size in sizes.items():
        guess = size.images_per_second and not gpus
        here = f"about {duration(estimate(size, study, cores))}" if guess else "measured once it runs"
        lines.append(_size_line(name, size, study, here))
    if study.size_name != "full" and "full" in sizes:
        lines += ["", f"For the real thing: make search STUDY={study.name}_full OBJECTIVE={study.objective} SIZE=full"]
    return [
        *lines,
        f"Watch: make dashboard, or make status STUDY={study.name}. Ctrl-C hands over; the same command goes on.",
        "",
    ]


_SIZE_HEAD = f"{'size':8}{'trials':>7}{'epochs':>8}{'images':>9}{'refit epochs':>14}{'refit images':>14}  here"


def _size(data: dict[str, Any]) -> Size:
    return Size(**{**json.loads(json.dumps(data)), "rungs": tuple(data["rungs"])})


def _images(size: Size, study: Joined) -> tuple[int, int]:
    data = study.definition.get("data") or {}
    every = int(data.get("images", 0))
    train = size.train_images or max(0, every - size.validation_images)
    return min(train, every) if every else train, size.refit_images or every


def _size_line(name: str, size: Size, study: Joined, here: str) -> str:
    train, refit = _images(size, study)
    return f"{name:8}{size.budget:>7}{size.epochs:>8}{train:>9,}{size.refit_epochs:>14}{refit:>14,}  {here}"


def estimate(size: Size, study: Joined, cores: int) -> float:
    """Seconds, by the size's guide for two cores. Two trials in three are pruned at the first rung, if there is one."""
    train, refit = _images(size, study)
    rung = next((rung for rung in size.rungs if rung < size.epochs), size.epochs)
    epochs = size.budget * (size.epochs / 3 + rung * 2 / 3)
    rate = (size.images_per_second or 500.0) * min(cores, 8) / 2
    return _START + _TRIAL * size.budget + (epochs * train + size.refit_epochs * refit) / rate
