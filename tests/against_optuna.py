"""The tests of what the service takes for granted of Optuna, with another version: ``make contract OPTUNA=4.9.0``.

The versions that passed stand in the README.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = ("test_storage.py", "test_leases.py", "test_remote_trial.py", "test_plain.py", "test_pruning.py", "test_run.py")


def main(version: str) -> int:
    """The exit status of the tests; 1 where this version cannot be had."""
    folder = ROOT / ".search" / f"optuna-{version}"
    python = folder / "bin" / "python"
    if not (folder / "made").is_file():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
        (packages / "project.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
        install = [str(python), "-m", "pip", "install", "-q", "--ignore-installed", "--no-deps", f"optuna=={version}"]
        if subprocess.run(install, check=False).returncode:
            print(f"error: there is no optuna {version} to be had here", file=sys.stderr)
            return 1
        (folder / "made").touch()
    print(f"optuna {version}:", flush=True)
    command = [str(python), "-m", "pytest", "-n", "2", "-W", "ignore", *(f"tests/{name}" for name in TESTS)]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("error: OPTUNA is missing. Type: make contract OPTUNA=4.9.0")
    sys.exit(main(sys.argv[1]))
