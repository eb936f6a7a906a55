"""Figures of what ``evaluate`` returned: found where the objective declares them, written as it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from search.contract import Number, Shown, Table

Metrics = Mapping[str, Any]


def headline(metrics: Metrics, shown: Shown) -> str:
    """The first figure, with its interval where it has one: ``86.28 % (85.59 % to 86.94 %)``."""
    number = headline_number(metrics, shown)
    value = at(metrics, number.key)
    if value is None:
        return "not measured"
    interval = interval_of(metrics, number)
    return formatted(value, number.unit) + (
        f" ({formatted(interval[0], number.unit)} to {formatted(interval[1], number.unit)})" if interval else ""
    )


def headline_title(metrics: Metrics, shown: Shown) -> str:
    """What the headline is a figure of: ``accuracy``."""
    return headline_number(metrics, shown).title


def as_headline(value: float, metrics: Metrics, shown: Shown) -> str:
    """A score to set the headline against, in its unit."""
    return formatted(value, headline_number(metrics, shown).unit)


def formatted(value: float, unit: str = "") -> str:
    """``86.28 %``, ``0.8628``, ``12.5000 s``, ``10000``."""
    if unit == "%":
        return percent(value)
    return plain(value) + (f" {unit}" if unit else "")


def percent(value: float) -> str:
    """``86.28 %``."""
    return f"{100 * value:.2f} %"


def plain(value: float, decimals: int = 4) -> str:
    """A count is written in full."""
    return f"{value}" if isinstance(value, int) else f"{value:.{decimals}f}"


def memory_size(count: int) -> str:
    """Of bytes: ``1.2 GiB``, and less than a tenth of one as ``46 MiB``."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 / 10 else f"{count / 2**20:.0f} MiB"


def memory_at_most(found: Mapping[str, Any]) -> str:
    """``memory at most: a training process 1.2 GiB, the worker 0.1 GiB``; empty where nobody measured it."""
    if not found["memory"]:
        return ""
    worker = f", the worker {memory_size(found['worker_memory'])}" if found["worker_memory"] else ""
    return f"memory at most: a training process {memory_size(found['memory'])}{worker}"


def headline_number(metrics: Metrics, shown: Shown) -> Number:
    return next(iter(numbers_of(metrics, shown)), Number(key="", title="score"))


def interval_of(metrics: Metrics, number: Number) -> Sequence[float] | None:
    found: Sequence[float] | None = at(metrics, number.interval) if number.interval else None
    return found


def numbers_of(metrics: Metrics, shown: Shown) -> Sequence[Number]:
    """Those declared, and what else is there under its own name: of a mapping in it only where nothing is declared."""
    if not shown.numbers:
        return [Number(key=key, title=key) for key in _numeric(metrics)]
    known = set(_declared(shown))
    others = (key for key in _numeric(metrics) if "." not in key and key not in known)
    return [*shown.numbers, *(Number(key=key, title=key) for key in others)]


def not_shown(metrics: Metrics, shown: Shown) -> list[str]:
    """The names of what ``evaluate`` returned and no report shows: neither a number nor declared."""
    known = {key.partition(".")[0] for key in _declared(shown)}
    numbers = {key.partition(".")[0] for key in _numeric(metrics)}
    return [key for key in metrics if key not in known | numbers]


def _declared(shown: Shown) -> Iterator[str]:
    """Every key that a declaration names."""

    def of(tables: Sequence[Table]) -> Iterator[str]:
        for table in tables:
            yield from (number.key for number in table.numbers)
            yield from filter(None, (table.rows, table.when))
            yield from of(table.tables)

    yield from (key for number in shown.numbers for key in (number.key, number.interval) if key)
    yield from of(shown.tables)


def _numeric(metrics: Metrics, prefix: str = "") -> Iterator[str]:
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _numeric(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{key}"


def at(metrics: Metrics, key: str) -> Any:
    """What a dotted key leads to; None where the metrics do not hold it."""
    found: Any = metrics
    for name in key.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
