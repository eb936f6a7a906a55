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
from types import CodeType, ModuleType

from optuna.trial import BaseTrial

from search.contract import Objective, SearchError, Spec
from search.rules.spec import spec_from_text

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
    sampler: Spec | None = None
    pruner: Spec | None = None
    """What a plain function's file names beside it."""


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
        module = _shipped(reference)
    found = getattr(module, "OBJECTIVE", None) or getattr(module, "objective", None)
    if isinstance(found, Objective):
        return Loaded(found, digest)
    if callable(found) and not inspect.isclass(found):
        return Loaded(found, digest, *(_spec(module, name) for name in ("sampler", "pruner")))
    raise SearchError(
        f"{reference} holds no objective. End it with OBJECTIVE = Objective(...), or define objective(trial)."
    )


def _shipped(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"objectives.{name}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in {"objectives", "search"}:
            raise
        raise SearchError(
            f"the objective {name!r} needs {error.name}, which is not installed here. Install this project with its "
            "extra, '.[keras]', or type: pip install keras tensorflow matplotlib pooch scikit-learn"
        ) from None


def _spec(module: ModuleType, name: str) -> Spec | None:
    """As text or a Spec. An object of Optuna's is the script's own: workers do not load the file, so cannot have it."""
    found = getattr(module, name, None)
    if isinstance(found, str):
        return Spec(**spec_from_text(found))
    return found if isinstance(found, Spec) else None
