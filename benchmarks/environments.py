"""Environments of their own, for what a benchmark compares with and the project does without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PYTORCH, NEPS = Path(".search") / "pytorch", Path(".search") / "neps"
_PACKAGES = {PYTORCH: ("torch", "numpy"), NEPS: ("neural-pipeline-search==0.17.0",)}


def python(environment: Path) -> str:
    """Its interpreter."""
    return str(environment / "bin" / "python")


def make(environment: Path) -> None:
    """Where it is missing, by pip as it is set up here."""
    if not (environment / "made").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=True)
        subprocess.run([python(environment), "-m", "pip", "install", "-q", *_PACKAGES[environment]], check=True)
        (environment / "made").touch()


def lend_pytorch() -> None:
    """Lets this process import it, for the CPU; whatever else the environment holds comes from the project's own."""
    packages = PYTORCH / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    if str(packages) not in sys.path:
        sys.path.append(str(packages))
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
