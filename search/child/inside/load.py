"""An objective by its name in ``objectives/``, or from somebody's file."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path

from optuna.trial import BaseTrial

from search.contract import Objective, SearchError

Function = Callable[[BaseTrial], float]


def load(reference: str) -> Objective | Function:
    """A name in ``objectives/``, or the path of a file that ends with OBJECTIVE or has a function ``objective``."""
    if reference.endswith(".py"):
        path = Path(reference).resolve()
        sys.path.insert(0, str(path.parent))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise SearchError(f"{reference} cannot be loaded as Python. Give a .py file.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(f"objectives.{reference}")
    found = getattr(module, "OBJECTIVE", None) or getattr(module, "objective", None)
    if isinstance(found, Objective) or inspect.isfunction(found):
        return found
    raise SearchError(
        f"{reference} holds no objective. End it with OBJECTIVE = Objective(...), or define objective(trial)."
    )
