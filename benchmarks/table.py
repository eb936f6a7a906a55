"""The small tables beside the benchmarks: a result a row, appended as it comes; a run goes on from what is there."""

from __future__ import annotations

import csv
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

_ONE_AT_A_TIME = threading.Lock()


def read(table: Path) -> list[dict[str, str]]:
    """Those that there are; none where the file is not there yet."""
    if not table.exists():
        return []
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def append(table: Path, fields: Sequence[str], results: Iterable[Mapping[str, Any]]) -> None:
    """Behind what is there, by one thread at a time; a new table begins with its header."""
    with _ONE_AT_A_TIME, table.open("a", newline="") as file:
        writer = csv.DictWriter(file, fields, lineterminator="\n")
        if not file.tell():
            writer.writeheader()
        writer.writerows(results)
