"""The service in an environment of somebody's own: a wheel, what it declares to need, and nothing else."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from search.database.engine import open_readonly
from search.show import status
from tests import iris_sgd, resumable
from tests.commands import ROOT, first_epoch, until


def needed(requirements: list[str], extra: str = "") -> Iterator[importlib.metadata.Distribution]:
    """What is installed here of these and of what they need in turn."""
    seen: set[str] = set()
    queue = [(one, extra) for one in requirements]
    while queue:
        text, extra = queue.pop()
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
            continue
        found = importlib.metadata.distribution(wanted.name)
        queue += [(one, extra) for extra in wanted.extras for one in found.requires or ()]
        if found.name not in seen:
            seen.add(found.name)
            queue += [(one, "") for one in found.requires or ()]
            yield found


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` of a fresh environment with the wheel. What it needs is linked, so that no network is."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("search", "objectives"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    uv = [sys.executable, "-m", "uv"]
    build = [*uv, "build", "--wheel", "--no-build-isolation", "--offline", "--python", sys.executable]
    subprocess.run([*build, "-o", str(folder), str(source)], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "bare")], check=True)
    python = folder / "bare" / "bin" / "python"
    install = [*uv, "pip", "install", "--offline", "--no-deps", "--python", str(python), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder / "bare")}))
    (info,) = packages.glob("search-*.dist-info")
    declared = importlib.metadata.Distribution.at(info).requires or []
    assert any('extra == "keras"' in one and one.startswith("tensorflow") for one in declared)
    for found in needed(declared):
        for top in {one.parts[0] for one in found.files or () if one.parts[0] not in {"..", "__pycache__"}}:
            if not (packages / top).exists():
                (packages / top).symlink_to(Path(str(found.locate_file(top))).resolve())
    return folder / "bare" / "bin"


def ran(program: Path, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": "/usr/bin:/bin", "HOME": str(folder), **environment}
    command = [str(program), *arguments]
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, timeout=120, check=False)


def test_it_needs_neither_keras_nor_tensorflow(bare: Path, tmp_path: Path) -> None:
    for package in ("tensorflow", "keras", "sklearn"):
        assert ran(bare / "python", tmp_path, "-c", f"import {package}").returncode == 1
    shown = ran(bare / "search", tmp_path, "--help")
    assert shown.returncode == 0 and shown.stdout.startswith("usage: search ")
    refused = ran(bare / "search", tmp_path, "run", "cnn_digits")
    assert (refused.returncode, refused.stderr) == (
        1,
        "search: the objective 'cnn_digits' needs keras, which is not installed here. Install this project with its "
        "extra, '.[keras]', or type: pip install keras tensorflow matplotlib pooch scikit-learn\n",
    )


def test_a_plain_function_is_searched_where_one_stands(bare: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("def objective(trial):\n    return trial.suggest_float('x', -10, 10) ** 2\n")
    done = ran(bare / "search", tmp_path, "run", "mine.py", "--trials", "3")
    assert (done.returncode, done.stderr) == (0, "")
    assert "next: search run mine --trials 6 (goes on searching)" in done.stdout
    there = {path.name for path in tmp_path.iterdir()} - {"__pycache__", ".cache"}
    assert there == {".search", "exports", "mine.py", "studies.db", "studies.db.files"}
    report = json.loads((tmp_path / "exports" / "mine" / "report.json").read_text())
    assert report["environment"]["revision"] is None and "tensorflow" not in report["environment"]["versions"]
    missing = ran(bare / "search", tmp_path, "run", "other", "--objective", str(Path(iris_sgd.__file__)))
    assert "ModuleNotFoundError: No module named 'sklearn'" in missing.stderr


def test_a_killed_trial_goes_on_there(bare: Path, tmp_path: Path) -> None:
    shutil.copy(str(resumable.__file__), tmp_path / "mine.py")
    url, slow = f"sqlite:///{tmp_path}/studies.db", {"RESUMABLE_STEPS": "40", "RESUMABLE_PAUSE": "0.1"}
    command = [str(bare / "search"), "run", "mine.py", "--trials", "1", "--lease", "1s"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    environment = {"PATH": "/usr/bin:/bin", **slow}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, **quiet) as process:  # type: ignore[call-overload]
        until("five steps", lambda: first_epoch(url, "mine") >= 5)
        process.send_signal(signal.SIGKILL)
    killed_at = first_epoch(url, "mine")
    done = ran(bare / "search", tmp_path, "run", "mine", "--lease", "1s", RESUMABLE_STEPS="40")
    assert (done.returncode, done.stderr) == (0, "")
    (lease,) = status.study(open_readonly(url), "mine")["leases"]
    assert lease["state"] == "complete" and lease["resumed_from"][0] in {killed_at - 1, killed_at}
