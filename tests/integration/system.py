"""Installs what the integration tests need beside Python: ``make integration`` runs it first.

As root, or by ``sudo`` where that asks for no password. Where a piece cannot be had it fails: nothing is skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence

PACKAGES = {"pgbouncer": "pgbouncer"}
"""Program -> Debian's package with it."""
_ADMINISTRATORS = "/usr/local/sbin:/usr/sbin:/sbin"


def program(name: str) -> str | None:
    """Where it lies; also one that only administrators have in their path."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), _ADMINISTRATORS]))


def install(packages: Mapping[str, str] = PACKAGES) -> int:
    """Exit status 0 when all are there; 1 after one line that says what to do."""
    missing = sorted({package for name, package in packages.items() if program(name) is None})
    if not missing:
        return 0
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
        if not _apt_get(arguments):
            break
    absent = sorted(name for name in packages if program(name) is None)
    if absent:
        line = f"error: {', '.join(absent)} cannot be installed here. Type as root: apt-get install {' '.join(missing)}"
        print(line, file=sys.stderr)
    return 1 if absent else 0


def _apt_get(arguments: Sequence[str]) -> bool:
    rights = [] if os.geteuid() == 0 else ["sudo", "-n"]
    command = [*rights, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", *arguments]
    try:
        # Its output is for who reads on; standard output is the tests'.
        return subprocess.run(command, stdout=sys.stderr, check=False).returncode == 0
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    sys.exit(install())
