"""What the README says can be typed can be typed, and what it says is there is there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from search.commands.parser import parser
from search.settings import DEFAULTS, DIRECTION, HOST, KEPT_MODELS, PLAIN_TRIALS, PORT, SIZE, STORAGE, TIMEOUTS

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[0].split()


def blocks(language: str) -> list[str]:
    """The code blocks of one language; those without any are for a shell."""
    every = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return [block for its, block in every if its == language]


def typed() -> Iterator[list[str]]:
    """The words of each command in a shell block or, in the running text, between backticks."""
    lines = [line for block in blocks("") for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL))
    for line in lines:
        if re.search(r"\bmake\b|-m search", line):
            inner = line.replace("'", " ") if line.strip().startswith("ssh ") else line
            yield shlex.split(inner, comments=True)


MAKES = [words for words in typed() if words[:1] == ["make"] and len(words) > 1]
SEARCHES = [words[words.index("-m") + 2 :] for words in typed() if "-m" in words]


def test_enough_is_found_to_be_checked() -> None:
    assert {words[1] for words in MAKES} >= {"search", "worker", "status", "refit", "export", "check", "dashboard"}
    assert {words[0] for words in SEARCHES} >= {"worker", "status", "dashboard"}


@pytest.mark.parametrize("words", MAKES, ids=" ".join)
def test_make_has_it(words: list[str]) -> None:
    assert words[1] in TARGETS
    if words[2:] == []:
        return  # named in the text
    variables = dict(word.split("=", 1) for word in words[2:])
    storage = variables.pop("STORAGE", None)
    assert storage is None or "export SEARCH_STORAGE := $(value STORAGE)" in MAKEFILE
    clean = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    planned = subprocess.run(
        ["make", "-n", *words[1:]], cwd=ROOT, env=clean, capture_output=True, text=True, check=True
    )
    command = planned.stdout.splitlines()[-1]
    for name, value in variables.items():
        flag = f"--{name.lower().replace('_', '-')}"
        assert f"'{value}'" in command or flag in command, f"make {words[1]} does nothing with {name}"
    if "-m search" in command:
        assert parser().parse_args(shlex.split(command)[3:])


@pytest.mark.parametrize("words", SEARCHES, ids=" ".join)
def test_the_command_line_has_it(words: list[str]) -> None:
    until = next((place for place, word in enumerate(words) if word in {">", "&&", "|"}), len(words))
    assert parser().parse_args(words[:until])


def test_variables_in_the_text_are_make_s() -> None:
    listed = re.search(r"^variables = (.*?)\nunknown", MAKEFILE, re.MULTILINE | re.DOTALL)
    assert listed is not None
    names = set(re.findall("[A-Z_]+", listed[1]))
    named = set(re.findall(r"\b([A-Z][A-Z_]+)=", TEXT)) - {"SEARCH_STORAGE"}
    assert len(named) >= 8 and named <= names
    assert "SEARCH_STORAGE" in MAKEFILE


def test_shell_blocks_are_shell() -> None:
    assert len(blocks("")) >= 8
    for block in blocks(""):
        checked = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr


def test_python_blocks_run() -> None:
    own, plain = blocks("python")
    names: dict[str, object] = {}
    exec(compile(own, "mine.py", "exec"), names)  # noqa: S102 - the README's own example
    objective = names["objective"]
    assert callable(objective) and objective(optuna.trial.FixedTrial({"x": 2.0})) == 0
    compile(plain, "plain.py", "exec")
    module = re.search(r"^from (objectives\.\w+) import OBJECTIVE$", plain, re.MULTILINE)
    assert module is not None and (ROOT / f"{module[1].replace('.', '/')}.py").is_file()


def tree() -> set[str]:
    """Every path of the layout; two spaces are one folder deeper."""
    (block,) = (block for block in blocks("text") if block.startswith("Makefile"))
    paths, folders = set(), [""]
    for line in block.splitlines():
        if line.startswith(" " * 20):
            continue  # more of the line above
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        path = folders[depth] + name
        folders[depth + 1 :] = [path] if name.endswith("/") else []
        paths.add(path)
    return paths


def test_the_layout_is_the_layout() -> None:
    """Every room is in it, and the ways through it lead from file to file."""
    paths = tree()
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []
    rooms = {
        f"{path.parent.relative_to(ROOT).as_posix()}/"
        for folder in ("search", "objectives", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert rooms - paths == set()
    beside = {f"search/{path.name}" for path in (ROOT / "search").glob("[a-z]*.py")}
    assert beside - paths == set()
    ways = re.findall(r"`((?:commands|child|studies|worker|database|export)/\w+\.py)`", TEXT)
    assert len(ways) >= 12 and all((ROOT / "search" / way).is_file() for way in ways)


@pytest.mark.parametrize(
    ("phrase", "holds"),
    [
        ("the lease expires in a minute", DEFAULTS.lease == 60),
        ("at most 20 seconds are left", DEFAULTS.grace == 20),
        ("A trial that dies three times without a new checkpoint", DEFAULTS.attempts == 3),
        ("three trials in a row raise before any report", DEFAULTS.failures == 3),
        ("The three best models of a study are kept", KEPT_MODELS == 3),
        ("as uploads cost less than 2 % of the time", DEFAULTS.upload_share == 0.02),
        (
            "DIRECTION is minimize if not given, as in Optuna, and TRIALS 20",
            (DIRECTION, PLAIN_TRIALS) == ("minimize", 20),
        ),
        ("says nothing for 25 seconds counts as away", TIMEOUTS.silence == 25),
        ("in which a lock is not to be had for 10", TIMEOUTS.lock == 10),
        ("SIZE is `quick` if not given", SIZE == "quick"),
        ("SQLite (`studies.db`, the default)", STORAGE == "sqlite:///studies.db"),
        ("optuna-dashboard on http://127.0.0.1:8080", (HOST, PORT) == ("127.0.0.1", 8080)),
    ],
)
def test_defaults_are_what_the_text_says(phrase: str, holds: bool) -> None:
    assert phrase in re.sub(r"\s+", " ", TEXT)
    assert holds


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)]+)\)", TEXT)
    titles = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    headings = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    for target in targets:
        if target.startswith("#"):
            assert target[1:] in headings
        elif not target.startswith("https://"):
            assert (ROOT / target).exists()
    assert targets
