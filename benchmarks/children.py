"""Trainings in processes of their own, as many at once as a search starts here."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from search.child.hardware import cores, memory
from search.rules.devices import children_by_default

T = TypeVar("T")
R = TypeVar("R")


def for_each(wanted: Iterable[T], do: Callable[[T], R], children: int | None = None) -> list[R]:
    """``do`` for each, so many at once; None: as a search does here. The first error ends it."""
    with ThreadPoolExecutor(children or children_by_default((), cores(), memory())) as pool:
        return list(pool.map(do, wanted))


def answer(*command: str, threads: int = 1) -> dict[str, Any]:
    """The JSON that a command prints as its last line; SystemExit with its errors."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
