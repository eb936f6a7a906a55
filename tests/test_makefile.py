"""The Makefile hands over what was typed: as flags, safely quoted, to one process that gets signals, and no secrets."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
SECRET = "p4ss$word"  # noqa: S105 - with a character that make would swallow
URL = f"postgresql://u:{SECRET}@127.0.0.1:1/x"
USERS = ("search", "worker", "status", "delete", "refit", "export", "check", "dashboard")
DEVELOPERS = (
    "test",
    "integration",
    "contract",
    "soak",
    "lint",
    "example",
    "bench-service",
    "bench-train",
    "bench-notebooks",
    "bench-levers",
    "bench-recipes",
    "bench-proxies",
    "bench-search",
    "bench-pays",
    ".venv",
)

# Stands where .venv/bin/python does: tells how it was called; as a worker it waits for a signal.
PYTHON = f"""#!{sys.executable}
import json, os, signal, sys
if sys.argv[1:3] == ["-m", "search"]:
    signal.signal(signal.SIGTERM, lambda number, frame: (print("got SIGTERM", flush=True), sys.exit(0)))
    print(json.dumps([sys.argv[3:], dict(os.environ)]), flush=True)
    if sys.argv[3] == "worker":
        signal.pause()
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the Makefile, whose environment is that stand-in."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)
    return tmp_path


def own_environment(**more: str) -> dict[str, str]:
    """Without what a make above this test run has left in it."""
    return {**{name: value for name, value in os.environ.items() if "MAKE" not in name}, **more}


def make(checkout: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=checkout,
        env=own_environment(**environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def called(checkout: Path, *arguments: str, **environment: str) -> tuple[list[str], dict[str, str]]:
    """Arguments after ``-m search`` and environment that the one command of this target got."""
    done = make(checkout, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    received: Any = json.loads(done.stdout.splitlines()[-1])
    return received[0], received[1]


def test_lists_targets_users_first() -> None:
    listed = re.findall(r"^ +make (\S+)", make(ROOT).stdout, re.MULTILINE)
    assert tuple(listed) == USERS + DEVELOPERS
    declared = re.search(r"^\.PHONY: help (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert declared is not None and tuple(declared[1].split()) == USERS + DEVELOPERS


def test_values_arrive_as_typed(checkout: Path) -> None:
    typed = {"STUDY": "it's $HOME; `true`", "DATA_DIR": "two  spaces", "FILES": '"#&|', "SOURCE": "$(STUDY)"}
    arguments, _ = called(checkout, "search", *(f"{name}={value}" for name, value in typed.items()))
    assert arguments[:2] == ["run", typed["STUDY"]]
    assert sorted(arguments[2:]) == ["--data-dir=two  spaces", '--files="#&|', "--source=$(STUDY)"]
    assert called(checkout, "search", "STUDY=x", "TRIALS=-3")[0] == ["run", "x", "--trials=-3"]
    assert called(checkout, "status", "STUDY=x", "TRIAL=3")[0] == ["status", "x", "3"]
    assert called(checkout, "check", "OBJECTIVE=path/to mine.py")[0] == ["check", "path/to mine.py"]
    assert called(checkout, "export", "STUDY=x", "TO=a b")[0] == ["export", "x", "--to=a b"]
    assert make(checkout, "-n", "worker", "TRUST=1").stdout.rstrip().endswith("-m search worker  --trust")
    assert make(checkout, "-n", "worker", "TRUST=0", "CHANGED=0").stdout.rstrip().endswith("-m search worker")
    assert called(checkout, "export", "STUDY=x", "TEST=0")[0] == ["export", "x"], "a look cannot be taken back"
    assert called(checkout, "export", "STUDY=x", "TEST=1")[0] == ["export", "x", "--test"]


@pytest.mark.parametrize("target", ["search", "refit", "export", "check"])
def test_says_what_is_missing_before_anything_is_made(target: str) -> None:
    name = "OBJECTIVE" if target == "check" else "STUDY"
    done = make(ROOT, target)
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(rf".* {name} is missing\. Type: make {target} {name}=cnn_digits\. .*\n", done.stderr)


def test_password_reaches_the_command_by_its_environment_alone(checkout: Path) -> None:
    shown = make(checkout, "-n", "search", "STUDY=x", f"STORAGE={URL}")
    assert shown.returncode == 0 and "p4ss" not in shown.stdout + shown.stderr
    for typed, environment in (((f"STORAGE={URL}",), {}), ((), {"STORAGE": URL}), ((), {"SEARCH_STORAGE": URL})):
        arguments, received = called(checkout, "status", *typed, **environment)
        assert not any("p4ss" in argument for argument in arguments)
        assert {name for name, value in received.items() if "p4ss" in value} == {"SEARCH_STORAGE"}
        assert received["SEARCH_STORAGE"] == URL
        assert "MAKEFLAGS" not in received


@pytest.mark.timeout(60)
def test_a_signal_to_make_reaches_the_worker(checkout: Path) -> None:
    command = ["make", "worker", "STUDY=a b"]
    with subprocess.Popen(
        command, cwd=checkout, env=own_environment(), stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        assert running.stdout is not None
        try:
            assert running.stdout.readline().startswith(".venv/bin/python -m search worker 'a' 'b'")
            assert json.loads(running.stdout.readline())[0] == ["worker", "a", "b"]
            running.send_signal(signal.SIGTERM)  # to make alone, as a service manager may
            assert running.stdout.readline() == "got SIGTERM\n"
        finally:
            os.killpg(running.pid, signal.SIGKILL)


def test_data_beside_the_checkout_is_taken_unless_told(checkout: Path) -> None:
    inner = checkout / "inner"
    inner.mkdir()
    for name in ("Makefile", ".venv"):
        shutil.move(checkout / name, inner)
    assert "SEARCH_DATA_DIR" not in called(inner, "status")[1]
    (checkout / "shared" / "datasets").mkdir(parents=True)
    assert called(inner, "status")[1]["SEARCH_DATA_DIR"] == str(checkout / "shared" / "datasets")
    assert called(inner, "status", SEARCH_DATA_DIR="mine")[1]["SEARCH_DATA_DIR"] == "mine"


def test_no_python_is_one_line(checkout: Path) -> None:
    shutil.rmtree(checkout / ".venv")
    programs = checkout / "programs"
    programs.mkdir()
    for name in ("make", "sh"):
        (programs / name).symlink_to(str(shutil.which(name)))
    old = programs / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")  # what an older Python answers to the question for its version
    old.chmod(0o755)
    done = make(checkout, ".venv", PATH=str(programs))
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.splitlines()[0].startswith("There is no Python 3.11, 3.12 or 3.13 here. Install one")


def test_integration_installs_first_and_fails_where_that_cannot_be(tmp_path: Path) -> None:
    planned = make(ROOT, "-n", "integration").stdout.splitlines()
    assert planned[-3:] == [
        ".venv/bin/python -m tests.integration.system",
        ".venv/bin/python -m tests.integration.environment",
        ".venv/bin/python -m pytest -m integration",
    ]
    code = "from tests.integration.system import install; exit(install({'no-such-program': 'no-such-package'}))"
    environment = own_environment(PATH=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: no-such-program cannot be installed here. Type as root: apt-get install no-such-package\n"
    )


def test_ci_runs_everything_and_pytest_has_the_last_word() -> None:
    ran = re.findall(r"^make (\S+)", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert ran == [".venv", "lint", "integration", "test"]


def test_what_is_mistyped_is_refused_and_every_variable_in_the_help_is_known(checkout: Path) -> None:
    refused = make(checkout, "search", "STUDY=x", "TRAILS=3")
    assert refused.returncode == 2 and refused.stdout == ""
    assert re.search(r" There is no variable TRAILS\. Did .* There are: STUDY OBJECTIVE .* OPTUNA\. ", refused.stderr)
    for typed, meant in (("TRAILS", "TRIALS"), ("EPOCH", "EPOCHS"), ("DIRECTON", "DIRECTION"), ("study", "STUDY")):
        assert f"no variable {typed}. Did you mean {meant}? There are" in make(checkout, "status", f"{typed}=1").stderr
    assert "no variable XYZ. There are" in make(checkout, "status", "XYZ=1").stderr
    shown = set(re.findall(r"\b([A-Z][A-Z_]+)(?==)", make(checkout).stdout)) - {"SEARCH_STORAGE"}
    assert len(shown) > 15
    assert make(checkout, "-n", "status", *(f"{name}=1" for name in shown - {"TRIALS"})).returncode == 0
    assert make(checkout, "-n", "status", "SEARCH_DATA_DIR=there", "-j2").returncode == 0


def test_trial_is_not_taken_for_trials() -> None:
    refused = subprocess.run(
        ["make", "-n", "search", "STUDY=x", "TRIAL=3"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert refused.returncode != 0
    assert "The budget is TRIALS" in refused.stderr
