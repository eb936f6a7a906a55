"""PyTorch, which the project does without, in an environment of its own for the benchmarks that want it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ENVIRONMENT = Path(".search") / "pytorch"
PYTHON = ENVIRONMENT / "bin" / "python"


def make_pytorch() -> None:
    """The environment, where it is missing, by pip as it is set up here."""
    if not (ENVIRONMENT / "made").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
        subprocess.run([str(PYTHON), "-m", "pip", "install", "-q", "torch", "numpy"], check=True)
        (ENVIRONMENT / "made").touch()


def lend_pytorch() -> None:
    """Lets this process import it, for the CPU; whatever else the environment holds comes from the project's own."""
    packages = ENVIRONMENT / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    if str(packages) not in sys.path:
        sys.path.append(str(packages))
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
