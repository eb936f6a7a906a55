"""An environment that has the project's packages and more: what its users bring, which it does without itself.

``make integration`` makes it first. Where a package cannot be had that fails: nothing is skipped.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".search" / "integration"
PYTHON = FOLDER / "bin" / "python"
_THE_SAME = ("numpy", "protobuf", "scikit-learn", "scipy")
"""What the project has too, in the version that it has."""
PINNED = Path(__file__).with_name("requirements.txt")


def make() -> int:
    """Exit status 0 when all are there."""
    mark = FOLDER / "made"
    wanted = hashlib.sha256(PINNED.read_bytes() + (ROOT / "requirements.txt").read_bytes()).hexdigest()
    if mark.is_file() and mark.read_text() == wanted:
        return 0
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(FOLDER)], check=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(FOLDER)}))
    (packages / "project.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    own = FOLDER / "constraints.txt"
    own.write_text("".join(f"{name}=={importlib.metadata.version(name)}\n" for name in _THE_SAME))
    # uv knows where there are wheels of PyTorch for CPUs alone; where it cannot get there, pip takes what it finds.
    uv = [sys.executable, "-m", "uv", "pip", "install", "-q", "--torch-backend", "cpu", "--python", str(PYTHON)]
    pip = [str(PYTHON), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    for install in (uv, pip):
        done = subprocess.run(
            [*install, "-r", str(PINNED), "-c", str(own)], stderr=subprocess.PIPE, text=True, check=False
        )
        if done.returncode == 0:
            break
    if done.returncode == 0:
        mark.write_text(wanted)
    else:
        print(f"{done.stderr}error: the packages of {PINNED} cannot be installed here, see above", file=sys.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(make())
