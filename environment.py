"""Makes or renews .venv with what requirements.txt pins; ``make`` runs it before every target that needs packages.

Standard library only, since it runs before anything is installed, with whichever Python 3.11 to 3.13 make found. Two
at once wait for each other; one that was killed half-way is finished by the next. ``requirements-gpu.txt`` is installed
too where an NVIDIA driver answers. Whether anything is to be done is told by the files' contents, not by their times.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

VENV = Path(".venv")
PYTHON = VENV / "bin" / "python"
PINNED = Path("requirements.txt")
PINNED_GPU = Path("requirements-gpu.txt")
INSTALLED = VENV / "installed"  # written last: which pins this environment holds
LOCK = VENV / "make.lock"  # not .lock: that one is uv's, which would wait for us


def main() -> int:
    """Exit status 0 when .venv holds what is pinned; 1 after one line that says what to do."""
    os.chdir(Path(__file__).resolve().parent)
    if _is_current():
        return 0
    VENV.mkdir(exist_ok=True)
    with _alone():
        return 0 if _is_current() else _make()


def _make() -> int:
    if not _works(PYTHON) and not _create():
        package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        return _failed(f"{sys.executable} has no venv module. Install it (apt-get install {package}), then make again.")
    gpu = driver_answers()
    files = [PINNED, PINNED_GPU] if gpu else [PINNED]
    _say(f"Setting up {VENV} from {' and '.join(map(str, files))}: about a minute, once.")
    INSTALLED.unlink(missing_ok=True)
    if not _install(files):
        return _failed(
            f"the packages of {files[-1]} could not be installed, see above. Check the network, then: make .venv"
        )
    if gpu and not _keras_sees_gpu():
        _say("*** The NVIDIA driver sees a GPU, but Keras does not: training runs on the CPU. Compare nvidia-smi. ***")
    temporary = INSTALLED.with_suffix(".new")
    temporary.write_text(_pins(gpu))
    temporary.replace(INSTALLED)
    return 0


def _is_current() -> bool:
    if not INSTALLED.exists() or not _works(PYTHON, "import uv"):
        return False
    installed = INSTALLED.read_text()
    return installed == _pins(gpu=True) or (installed == _pins(gpu=False) and not driver_answers())


def _pins(gpu: bool) -> str:
    files = [PINNED, PINNED_GPU] if gpu else [PINNED]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    return "\n".join(digests)


def driver_answers() -> bool:
    """Whether nvidia-smi lists a GPU here."""
    if shutil.which("nvidia-smi") is None:
        return False
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listed.returncode == 0 and "GPU" in listed.stdout


def _keras_sees_gpu() -> bool:
    code = "import keras, sys; sys.exit(not keras.distribution.list_devices('gpu'))"
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run([PYTHON, "-c", code], env=quiet, check=False).returncode == 0


def _works(python: Path, code: str = "") -> bool:
    """Whether this interpreter starts and runs a line; not so where the Python below it is gone or another version."""
    if not python.exists():
        return False
    return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0


def _create() -> bool:
    """An empty environment. False where this Python came without the parts that make one, as on a bare Debian."""
    if any(importlib.util.find_spec(name) is None for name in ("venv", "ensurepip")):
        return False
    for entry in VENV.iterdir():
        if entry == LOCK:
            continue  # held by us, waited for by others
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    command = [sys.executable, "-m", "venv", "--without-pip", str(VENV)]
    return subprocess.run(command, check=False).returncode == 0 and _works(PYTHON)


def _install(files: list[Path]) -> bool:
    """With uv, itself pinned in requirements.txt; with pip where uv cannot be had or fails."""
    chosen = [argument for path in files for argument in ("-r", str(path))]
    if not _works(PYTHON, "import pip") and not _runs("-m", "ensurepip", shown=False):
        return False
    if _install_uv():
        # Compiled once: where nothing may be written later, each process would compile TensorFlow anew.
        compiled = ("--compile-bytecode", "--require-hashes")
        if _runs_shown("-m", "uv", "pip", "install", "--python", str(PYTHON), *compiled, *chosen):
            return True
        _say("uv could not install them; trying pip, which takes a few minutes.")
    return _runs("-m", "pip", "install", "--require-hashes", *chosen)


def _install_uv() -> bool:
    pinned = re.search(r"^uv==(?:.*\\\n)*.*", PINNED.read_text(), re.MULTILINE)
    if pinned is None:
        raise ValueError(f"{PINNED} pins no uv")
    alone = VENV / "uv.txt"
    alone.write_text(pinned.group() + "\n")
    return _runs("-m", "pip", "install", "--quiet", "--retries=2", "--require-hashes", "-r", str(alone))


def _runs(*arguments: str, shown: bool = True) -> bool:
    output = sys.stderr if shown else subprocess.DEVNULL
    return subprocess.run([PYTHON, *arguments], stdout=output, check=False).returncode == 0


def _runs_shown(*arguments: str) -> bool:
    """With uv: one line in a terminal that grows with what is downloaded; its own lines where it fails."""
    sizes: dict[str, float] = {}
    done: set[str] = set()
    said: list[str] = []
    with subprocess.Popen([PYTHON, *arguments], stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            said.append(line)
            if match := re.match(r"Downloading (\S+) \(([\d.]+)(KiB|MiB|GiB)\)", line):
                sizes[match[1]] = float(match[2]) * {"KiB": 1 / 1024, "MiB": 1, "GiB": 1024}[match[3]]
            elif match := re.match(r"\s*Downloaded (\S+)", line):
                done.add(match[1])
            _draw(sum(sizes.get(name, 0) for name in done), sum(sizes.values()))
    if process.returncode:
        _say("".join(said).rstrip())
    elif sizes and sys.stderr.isatty():
        _say("")
    return process.returncode == 0


def _draw(there: float, of: float) -> None:
    if of and sys.stderr.isatty():
        filled = round(30 * there / of)
        bar = f"[{'#' * filled}{'.' * (30 - filled)}] {there:.0f} of {of:.0f} MiB"
        print(f"\r{bar}", end="", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    with LOCK.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"Waiting for another make that sets up {VENV}.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _failed(line: str) -> int:
    _say(f"error: {line}")
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
