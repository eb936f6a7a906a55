"""An objective by its name in ``objectives/``, or from somebody's file."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

from optuna.trial import BaseTrial

from search.contract import Objective, SearchError

Function = Callable[[BaseTrial], float]


class _Source(SourceFileLoader):
    """Runs exactly what it has read: Python's cache tells a file from an older one by its second and its size only."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name, path)
        self.content = self.get_data(path)

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002 - importlib's
        return self.source_to_code(self.content, self.path)


@dataclass(frozen=True)
class Loaded:
    """An objective, and of somebody's own file the hash of what it was loaded from."""

    objective: Objective | Function
    sha256: str | None


def load(reference: str) -> Loaded:
    """A name in ``objectives/``, or the path of a file that ends with OBJECTIVE or has a function ``objective``."""
    digest = None
    if reference.endswith(".py"):
        path = Path(reference).resolve()
        sys.path.insert(0, str(path.parent))
        loader = _Source(path.stem, str(path))
        digest = hashlib.sha256(loader.content).hexdigest()
        spec = importlib.util.spec_from_file_location(path.stem, path, loader=loader)
        if spec is None:
            raise SearchError(f"{reference} cannot be loaded as Python. Give a .py file.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        loader.exec_module(module)
    else:
        module = importlib.import_module(f"objectives.{reference}")
    found = getattr(module, "OBJECTIVE", None) or getattr(module, "objective", None)
    if isinstance(found, Objective) or inspect.isfunction(found):
        return Loaded(found, digest)
    raise SearchError(
        f"{reference} holds no objective. End it with OBJECTIVE = Objective(...), or define objective(trial)."
    )
