"""What is said is said as whoever reads it types it: for make, or without; and it carries where things lie."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from search.commands.parser import parser
from search.show.typed import Typed
from tests.commands import LIGHT, ROOT, search
from tests.test_structure import MAKE_VARIABLES

MAKE, ALONE = Typed(), Typed("search")
SAID = [
    ("Go on: make search STUDY=x.", "Go on: search run x."),
    ("next: make search STUDY=a.b TRIALS=12 (goes on)", "next: search run a.b --trials 12 (goes on)"),
    ("See make status STUDY=x TRIAL=0, mend it, make refit STUDY=x", "See search status x 0, mend it, search refit x"),
    ("Name it: make worker STUDY=… CHANGED=1", "Name it: search worker … --changed"),
    ("make export STUDY=x TEST=1", "search export x --test"),
    ("make check OBJECTIVE=my/file.py SIZE=hour", "search check my/file.py --size hour"),
    ("Watch: make dashboard, or make status.", "Watch: search dashboard, or search status."),
    ("TRIALS=0 trains it. Give TRIALS of at least 1.", "--trials 0 trains it. Give --trials of at least 1."),
    ("the time of HOURS=0.5 is used up", "the time of --hours 0.5 is used up"),
    ("or say where it is: FILES=FOLDER. If", "or say where it is: --files FOLDER. If"),
    ("give a new STUDY, or say yes: CHANGED=1", "give a new STUDY, or say yes: --changed"),
    ("MAX_PARAMS=none or MAX_FLOPS=none", "--max-params none or --max-flops none"),
    ("/data/TEST/FILES.txt and SEARCH_STORAGE and TRIALSHIP", "/data/TEST/FILES.txt and SEARCH_STORAGE and TRIALSHIP"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "alone"), SAID)
def test_it_is_translated(text: str, alone: str) -> None:
    assert MAKE.spoken(text) == text
    assert ALONE.spoken(text) == alone


def test_where_things_lie_is_carried_to_what_takes_it() -> None:
    places = {"STORAGE": "sqlite:///my studies.db", "DATA_DIR": "/data"}
    assert Typed(None, places).spoken("make search STUDY=x.") == (
        "make search STUDY=x STORAGE='sqlite:///my studies.db' DATA_DIR=/data."
    )
    assert Typed("search", places).spoken("make status STUDY=x TRIAL=1") == (
        "search status x 1 --storage 'sqlite:///my studies.db'"
    )
    assert Typed(None, places).spoken("make check OBJECTIVE=f.py") == "make check OBJECTIVE=f.py DATA_DIR=/data"
    typed = "make search STUDY=x DATA_DIR=/other"
    assert Typed(None, {"DATA_DIR": "/data"}).spoken(typed) == typed


def test_every_variable_and_every_command_in_the_sources_is_known() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "search").rglob("*.py"))
    for target in set(re.findall(r"make ([a-z]+) (?:STUDY|OBJECTIVE|TRIALS)", sources)):
        assert "make" not in ALONE.spoken(f"make {target} STUDY=x"), target
    for name in set(MAKE_VARIABLES) - {"STUDY", "TRIAL"}:
        assert ALONE.spoken(f"give {name} now") == f"give --{name.lower().replace('_', '-')} now"


def test_a_command_without_make_speaks_of_flags_and_its_commands_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEARCH_BY_MAKE")
    place = ("--storage", f"sqlite:///{tmp_path}/my studies.db")
    ran = search(tmp_path, "run", "light", "--objective", LIGHT, "--trials", "2", *place)
    (following,) = [line for line in ran.out.splitlines() if line.startswith("next: ")]
    assert following == f"next: python -m search run light --trials 4 --storage '{place[1]}' (goes on searching)"
    refused = search(tmp_path, "run", "light", "--trials", "1", *place)
    assert "Go on without --trials, or give a new STUDY." in refused.err
    refused = search(tmp_path, "run", "light", "--trials", "many")
    assert refused.err == (
        "search: argument --trials: needs a whole number of at least 0, 'many' was given. "
        "See: python -m search run --help\n"
    )
    refused = search(tmp_path, "run", "light", "--trails", "4")
    unknown = "search: unknown: --trails 4. Did you mean --trials? See: python -m search run --help\n"
    assert refused.err == unknown, "the command's own help"
    shown = search(tmp_path, "status", "nosuch", *place)
    assert f"Create it: python -m search run nosuch --objective … --storage '{place[1]}'" in shown.err


def test_no_password_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    from search.show.typed import as_called

    for url in (
        "postgresql://u:secret@h/d",
        "postgresql://u:sec/secret@h/d",
        "postgresql://h/d?user=u&password=secret",
        "postgresql://h/d?PASSWORD=secret",
    ):
        for by_make in (None, "make STORAGE"):
            monkeypatch.setenv("SEARCH_STORAGE", url)
            monkeypatch.delenv("SEARCH_BY_MAKE", raising=False)
            if by_make:
                monkeypatch.setenv("SEARCH_BY_MAKE", by_make)
            called = as_called(parser().parse_args(["status", "x", "--storage", url]))
            assert "secret" not in called.spoken("make status STUDY=x")
    monkeypatch.setenv("SEARCH_BY_MAKE", "make STORAGE")
    monkeypatch.setenv("SEARCH_STORAGE", "postgresql://u@h/d")
    assert as_called().spoken("make status") == "make status STORAGE=postgresql://u@h/d"
