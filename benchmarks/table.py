"""The small tables beside the benchmarks: a result a row, appended as it comes; a run goes on from what is there."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


def read(table: Path) -> list[dict[str, str]]:
    """Those that there are; none where the file is not there yet."""
    if not table.exists():
        return []
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def append(table: Path, fields: Sequence[str], results: Iterable[Mapping[str, Any]]) -> None:
    """Behind what is there; a new table begins with its header."""
    new = not table.exists()
    with table.open("a", newline="") as file:
        writer = csv.DictWriter(file, fields, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(results)
