"""What a person types: each mistake is one line and status 1, no password is shown, no study is harmed."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import secrets
import socket
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from search.child.inside.describe import describe
from search.child.inside.load import load
from search.commands.main import main
from search.database.storage import open_storage
from search.errors import SearchError
from search.settings import WORK
from search.show.screen import Terminal
from search.studies.create import create
from search.studies.stop import STOPPED
from search.studies.study import Study, existing
from search.studies.trials import best_trial, parameters
from search.worker.loop import Worker
from tests import light
from tests.commands import LIGHT
from tests.faults import declare, storage_at
from tests.test_worker import Script, rows, trials, work

Said = pytest.CaptureFixture[str]
UNREACHABLE = "postgresql://u:hidden@127.0.0.1:1/x"
COMMANDS = {
    "run": ("run", "cnn_digits"),
    "worker": ("worker",),
    "status": ("status",),
    "refit": ("refit", "cnn_digits"),
    "export": ("export", "cnn_digits"),
    "export --no-model": ("export", "cnn_digits", "--no-model"),
    "dashboard": ("dashboard",),
}
KEYS = {"study", "objective", "size", "state", "budget", "trials", "best", "epochs", "leases"}
LEASE_KEYS = {"number", "trial", "holder", "host", "epoch", "resumed_from", "expires_in"}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command leaves in the folder it is called in is not left in the checkout."""
    monkeypatch.chdir(tmp_path)


def refused(said: Said, *arguments: str) -> str:
    """The one line of a command that fails."""
    said.readouterr()
    try:
        status = main(arguments)
    except SystemExit as exit_:  # the parser's
        status = int(exit_.code or 0)
    out, err = said.readouterr()
    assert status == 1 and (out == "" or arguments[0] == "run"), err  # whose plan comes first
    (line,) = err.splitlines()
    assert line.startswith("search: ")
    return line.removeprefix("search: ")


def a_study(url: str, reference: str = LIGHT, name: str = "light", **more: Any) -> Study:
    order = declare({"budget": 4, "epochs": 3, **more}, direction="maximize")
    return create(open_storage(url), name, reference, describe(load(reference).objective, order))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("run", "nosuch"), r"there is no objective 'nosuch' \(there: cnn_cifar10, "),
        (("run", "x", "--objective", "no/such.py"), "there is no file no/such.py. Give "),
        (("check", "nosuch"), "there is no objective 'nosuch' "),
        (("run", "x/y", "--objective", LIGHT), "'x/y' cannot name a study: "),
        (("run", "x.refit", "--objective", LIGHT), "'x.refit' cannot name a study: .*not ending in .refit"),
        (
            ("run", "x", "--trials", "-3"),
            r"TRIALS \(--trials\) needs a whole number of at least 0, '-3' was given\. See: make, or python -m search ",
        ),
        (("run", "x", "--trials", "many"), r"TRIALS \(--trials\) needs a whole number of at least 0, 'many' was given"),
        (("run", "x", "--children", "0"), r"CHILDREN \(--children\) needs a whole number of at least 1, '0' was given"),
        (("run", "x", "--timeout", "soon"), r"TIMEOUT \(--timeout\) needs a time such as 90s, .*'soon' was given"),
        (("run", "x", "--lease", "-1s"), "argument --lease: "),
        (("run", "x", "--direction", "up"), r"DIRECTION \(--direction\) invalid choice: 'up'"),
        (("run",), "the following arguments are required: STUDY"),
        (("status", "x", "first"), "argument TRIAL: invalid int value: 'first'"),
        (("dance",), "argument COMMAND: invalid choice: 'dance'"),
        ((), "the following arguments are required: COMMAND"),
    ],
)
def test_a_mistake_in_an_argument_is_one_line(capsys: Said, arguments: tuple[str, ...], line: str) -> None:
    assert re.match(line, refused(capsys, *arguments))
    assert [path.name for path in Path().iterdir() if not path.name.startswith("studies.db")] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_bad_storage_is_one_line_without_its_password(
    capsys: Said, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url, line in (
        (UNREACHABLE, "the database postgresql://u:***@127.0.0.1:1/x cannot be used: connection "),
        ("nonsense?password=hidden", "not a database URL: 'nonsense?password=***'. Give sqlite:///studies.db or "),
        ("mysql://u:hidden@h/x", "a database of the kind 'mysql' is not supported. Give "),
        ("sqlite://", "a study in memory cannot be shared or resumed. Give a file: "),
        ("sqlite:////nowhere/studies.db", "there is no "),
    ):
        monkeypatch.setenv("SEARCH_STORAGE", url)
        found = refused(capsys, *COMMANDS[command])
        assert found.startswith(line) and "hidden" not in found, found
    assert list(Path().iterdir()) == []


def test_a_password_in_the_arguments_works_and_warns(capsys: Said) -> None:
    for url in (UNREACHABLE, "postgresql://127.0.0.1:1/x?user=u&password=hidden"):
        assert main(["run", "cnn_digits", "--storage", url]) == 1
        out, err = capsys.readouterr()
        warning, line = err.splitlines()
        assert warning == "search: a password on the command line is seen by all users; use SEARCH_STORAGE"
        assert line.startswith("search: the database ") and "hidden" not in out + err


def test_what_differs_is_refused_with_both_values(capsys: Said, sqlite_url: str) -> None:
    study = a_study(sqlite_url)
    for flag, value, there in (
        ("--objective", "cnn_digits", f"OBJECTIVE={LIGHT}, OBJECTIVE=cnn_digits was given"),
        ("--size", "full", "SIZE=quick, SIZE=full was given"),
        ("--epochs", "9", "EPOCHS=3, EPOCHS=9 was given"),
        ("--train-size", "100", "TRAIN_SIZE=None, TRAIN_SIZE=100 was given"),
        ("--source", "other", "SOURCE=none, SOURCE=other was given"),
        ("--direction", "minimize", "DIRECTION=maximize, DIRECTION=minimize was given"),
    ):
        line = refused(capsys, "run", "light", flag, value, "--storage", sqlite_url)
        assert line.startswith(f"the study 'light' was created with {there}. Go on without {flag[2:].upper()[:5]}"), (
            line
        )
        assert "give a new STUDY" in line
    line = refused(capsys, "run", "light", "--trials", "2", "--storage", sqlite_url)
    assert line.startswith("the study 'light' has a budget of 4 trials, which cannot be lowered to 2. Go on without")
    assert [row["token"] for row in rows(sqlite_url, study)] == [0] * 4


def test_a_space_that_changed_is_refused_with_both_values(capsys: Said, sqlite_url: str, tmp_path: Path) -> None:
    """By whoever joins, before anything is claimed."""
    mine = tmp_path / "mine.py"
    mine.write_text(Path(LIGHT).read_text())
    study = a_study(sqlite_url, str(mine), "mine")
    mine.write_text(mine.read_text().replace('suggest_float("x", 0.0, 1.0)', 'suggest_float("x", 0.0, 0.95)'))
    for command in ("run", "worker"):
        line = refused(capsys, command, "mine", "--storage", sqlite_url)
        assert "the study 'mine' was created with space.x.attributes.high = 1.0, here it is 0.95. Go back to" in line
    assert [row["token"] for row in rows(sqlite_url, study)] == [0] * 4


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ('"x": 0.5, "kind": "a"', '"y": 0.5', "`first` names 'y', which is not in the space: x, kind"),
        ('"x": 0.5, "kind": "a"', '"x": 1.5', "`first` has x=1.5, which lies outside FloatDistribution"),
        ("OBJECTIVE = ", "OBJECTIV = ", "holds no objective. End it with OBJECTIVE = Objective"),
        ('metric="score",', 'metric="score", sampler=Spec("TPESampla"),', "optuna.samplers has no 'TPESampla'"),
        ("import json\n", "import json\nimport no_such_module\n", "No module named 'no_such_module'"),
        ("OBJECTIVE = ", "OBJECTIVE == ", "name 'OBJECTIVE' is not defined"),
    ],
)
def test_a_mistake_in_an_objectives_file_is_one_line(
    capsys: Said, sqlite_url: str, before: str, after: str, line: str
) -> None:
    source = Path(LIGHT).read_text().replace("import BadCheckpointError, ", "import BadCheckpointError, Spec, ")
    assert before in source
    Path("mine.py").write_text(source.replace(before, after))
    assert line in refused(capsys, "run", "mine", "--objective", "mine.py", "--storage", sqlite_url)
    assert refused(capsys, "status", "mine", "--storage", sqlite_url).startswith("there is no study 'mine' ")


def test_what_cannot_be_done_yet_says_what_to_type(capsys: Said, sqlite_url: str) -> None:
    study = a_study(sqlite_url)
    at = ("--storage", sqlite_url)
    for command in ("export", "refit"):
        assert "no trial of 'light' " in refused(capsys, command, "light", *at)
        assert refused(capsys, command, "other", *at).startswith(
            "there is no study 'other' in this database (there: light)"
        )
    assert refused(capsys, "worker", "other", *at).startswith("there is no study 'other' ")
    assert refused(capsys, "status", "light", "0", *at).startswith("the study 'light' has no trial 0. ")
    assert "exports" not in {path.name for path in Path().iterdir()}
    for row in rows(sqlite_url, study):
        lease = storage_at(sqlite_url).leases.claim(study.key, "one", "host", secrets.token_hex(8))
        assert lease is not None and lease.number == row["number"]
        storage_at(sqlite_url).leases.close(lease, "fail")
    assert main(["worker", *at]) == 0
    assert capsys.readouterr().out.startswith("nothing is left to do. Create a study: make")


def test_status_counts_what_is_there(
    capsys: Said, storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two trials done, one handed over, then claimed again, one not begun; as JSON, as lines, and a single trial."""
    study = a_study(storage_url, rungs=())
    monkeypatch.setenv("LIGHT_PAUSE", "0.15")

    def third_is_running(worker: Worker) -> None:
        running = worker.trials.get(worker.seats[0])
        if running is None or running.number != 2 or running.epoch < 1:
            script._act = third_is_running  # not yet
        else:
            worker.stop()

    script = Script(third_is_running)
    work(storage_url, study, tmp_path, script)
    monkeypatch.setenv("SEARCH_STORAGE", storage_url)

    def status(*arguments: str) -> Any:
        capsys.readouterr()
        assert main(["status", *arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    found = status("light")
    assert found.keys() >= KEYS and all(lease.keys() >= LEASE_KEYS for lease in found["leases"])
    whole = {"study": "light", "objective": LIGHT, "size": "quick", "state": "open", "budget": 4}
    assert found.items() >= whole.items()
    assert found["trials"] == {"complete": 2, "pruned": 0, "fail": 0, "running": 0, "waiting": 1}
    complete = trials(storage_url, study)[:2]
    best = max(complete, key=lambda trial: trial.value or 0.0)
    assert found["best"] == {"number": best.number, "value": best.value, "params": best.params}
    assert [lease["number"] for lease in found["leases"]] == [0, 1, 2], "the closed ones too; none that was not begun"
    waiting = found["leases"][2]
    assert (waiting["trial"], waiting["holder"], waiting["expires_in"], waiting["resumed_from"]) == (2, None, None, [])
    assert found["epochs"].items() >= {"run": 6 + waiting["epoch"], "saved_by_pruning": 0, "repeated": 0}.items()

    storage_at(storage_url).leases.seconds = 30.0
    storage_at(storage_url).leases.claim(study.key, "me", "here", secrets.token_hex(8))
    running = status("light")
    assert running["trials"] == {"complete": 2, "pruned": 0, "fail": 0, "running": 1, "waiting": 0}
    assert (running["state"], running["leases"][2]["holder"], running["leases"][2]["host"]) == ("running", "me", "here")
    assert 0 < running["leases"][2]["expires_in"] <= 30
    assert [one["trials"] for one in status()] == [running["trials"]]

    one = status("light", "0")
    assert one["params"] == light.OBJECTIVE.tried_first()[0]
    assert list(one["reports"].values()) == one["attributes"]["search:epochs"]["score"]
    assert one["log"] == ["epoch 1", "epoch 2", "epoch 3"], "of another machine: from the files"
    assert main(["status", "light"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "trials: 2 complete, 1 running of 4"
    assert refused(capsys, "status", "other").startswith("there is no study 'other' in this database (there: light)")


def test_a_study_goes_on_with_its_own_sampler(capsys: Said, sqlite_url: str) -> None:
    flags = ("--epochs", "2", "--no-refit", "--storage", sqlite_url)
    assert main(["run", "light", "--objective", LIGHT, "--trials", "1", *flags]) == 0
    study = existing(open_storage(sqlite_url).engine, "light")
    assert study.definition["sampler"] == {"name": "quadratic", "keywords": {}}
    text, file = Path(LIGHT).read_text(), Path("named.py")
    file.write_text(
        text.replace("import BadCheckpointError, ", "import BadCheckpointError, Spec, ").replace(
            'metric="score",', 'metric="score", sampler=Spec("RandomSampler"),'
        )
    )
    assert main(["run", "named", "--objective", str(file), "--trials", "1", *flags]) == 0
    file.write_text(text)
    line = refused(capsys, "run", "named", "--trials", "2", *flags[3:])
    assert 'was created with sampler.name = "RandomSampler", here it is "quadratic"' in line


def test_what_another_study_found_is_tried_first(capsys: Said, sqlite_url: str) -> None:
    flags = ("--trials", "4", "--epochs", "2", "--no-refit", "--storage", sqlite_url)
    assert main(["run", "before", "--objective", LIGHT, *flags]) == 0
    engine = open_storage(sqlite_url).engine
    found = best_trial(engine, existing(engine, "before"))
    assert found is not None
    assert main(["run", "after", "--objective", LIGHT, *flags, "--first", "LOW,before"]) == 0
    first, second, *_ = trials(sqlite_url, existing(engine, "after"))
    assert first.params == light.OBJECTIVE.points["LOW"]
    assert second.params == parameters(engine, found)
    assert existing(engine, "after").first_in_words == "what one would train unsearched"

    file = Path("half.py")
    text = Path(LIGHT).read_text().replace(', "kind": "a"}', "}").replace(', "kind": "b"}', "}")
    file.write_text(text.replace('trial.suggest_categorical("kind", ["a", "b"])', '"a"'))
    assert main(["run", "half", "--objective", str(file), *flags, "--first", "before"]) == 0
    assert trials(sqlite_url, existing(engine, "half"))[0].params == {"x": second.params["x"]}
    assert existing(engine, "half").first_in_words == "the winner of before"
    # It is what it was when the study was created, whatever becomes of the other.
    assert main(["run", "before", *flags[2:], "--trials", "9"]) == 0
    assert main(["run", "half", *flags[2:], "--trials", "5"]) == 0
    file.write_text(
        text.replace('suggest_float("x"', 'suggest_float("y"').replace(
            'trial.suggest_categorical("kind", ["a", "b"])', '"a"'
        )
    )
    line = refused(capsys, "run", "none", "--objective", str(file), *flags, "--first", "before")
    assert line.startswith("FIRST names 'before', and the winner of that study has none of the parameters")


def test_of_another_studys_winner_only_what_lies_in_this_space_is_taken() -> None:
    """The rest is as in the objective's own first point, not drawn at random."""
    winner = {"x": 0.7, "kind": "c", "other": 3}
    order = dataclasses.replace(declare({}), first=["before", "LOW"], winners={"before": winner})
    found = describe(light.OBJECTIVE, order)
    assert found["first"] == [{"x": 0.7, "kind": "a"}, light.OBJECTIVE.points["LOW"]]
    assert found["first_winners"] == {"before": winner}
    wrong = dataclasses.replace(order, winners={"before": {"x": "high", "kind": 1}})
    with pytest.raises(SearchError, match="has none of the parameters that are searched here: x, kind"):
        describe(light.OBJECTIVE, wrong)


def test_no_more_examples_are_asked_for_than_there_are() -> None:
    counted = dataclasses.replace(light.OBJECTIVE, data=lambda *_: {"train": 80, "validation": 20})
    assert describe(counted, declare({"train_images": 80}))["size"]["train_images"] == 80
    with pytest.raises(SearchError, match=r"TRAIN_SIZE=81 was given, and the data have 80 examples to train on"):
        describe(counted, declare({"train_images": 81}))


def test_first_is_picked_by_name(capsys: Said, sqlite_url: str) -> None:
    go = ("run", "light", "--objective", LIGHT, "--trials", "2", "--epochs", "2", "--no-refit", "--storage", sqlite_url)
    assert refused(capsys, *go, "--first", "HIGH").startswith("no point is called 'HIGH': there are MIDDLE, LOW. ")
    assert main([*go, "--first", "LOW"]) == 0
    study = existing(open_storage(sqlite_url).engine, "light")
    first, second = trials(sqlite_url, study)
    assert first.params == light.OBJECTIVE.points["LOW"] and second.params != light.OBJECTIVE.tried_first()[1]
    assert main([*go[:-2], "--storage", sqlite_url]) == 0, "what the study was created with is what it goes by"
    line = refused(capsys, *go, "--first", "MIDDLE,LOW")
    assert "FIRST=LOW, FIRST=MIDDLE,LOW was given" in line
    Path("mine.py").write_text("def objective(trial):\n    return trial.suggest_float('x', 0, 1)\n")
    line = refused(capsys, "run", "mine", "--objective", "mine.py", "--first", "A", "--storage", sqlite_url)
    assert line == "a plain function knows no points by name. Leave FIRST out."
    assert "needs names such as NOTEBOOK" in refused(capsys, "run", "mine", "--first", ",")


def test_a_terminal_obeys_no_name_and_no_log(capsys: Said, sqlite_url: str, tmp_path: Path) -> None:
    """What a database or a training says is shown with its control characters escaped."""
    evil, shown = "\x1b[2J\x07\u202e\x9b1m\r", r"\x1b[2J\x07\u202e\x9b1m\r"
    study = a_study(sqlite_url, name=f"light{evil}")
    log = tmp_path / WORK / study.key / "0-1" / "log.txt"
    log.parent.mkdir(parents=True)
    log.write_text(f"epoch{evil} 1\n")
    lease = storage_at(sqlite_url).leases.claim(study.key, "me", f"host{evil}", secrets.token_hex(8))
    assert lease is not None
    trial_id = storage_at(sqlite_url).create_new_trial(study.study_id)
    with storage_at(sqlite_url).engine.begin() as connection:
        storage_at(sqlite_url).leases.prove(connection, lease, born=trial_id)
    storage_at(sqlite_url).set_study_user_attr(study.study_id, STOPPED, {"why": f"because{evil}"})
    capsys.readouterr()
    for arguments in ((), (study.name,), (study.name, "0"), (f"other{evil}",)):
        main(["status", *arguments, "--storage", sqlite_url])
        out, err = capsys.readouterr()
        assert shown in out + err and not set("\x1b\x07\u202e\x9b\r") & set(out + err)
    assert f"epoch{shown} 1" not in out and f"the database says{shown}" not in err
    Terminal(Console()).say(f"said{evil}")
    assert capsys.readouterr().out == f"said{shown}\n"


def test_each_process_has_its_own_log_of_what_it_asks(capsys: Said, sqlite_url: str, tmp_path: Path) -> None:
    """Named in the line of an error, and gone with an answer that needs it no more."""
    Path("bad.py").write_text("print('words of my own')\n1 / 0\n")
    line = refused(capsys, "run", "bad", "--objective", "bad.py", "--storage", sqlite_url)
    (log,) = (tmp_path / WORK).glob("describe-*.log")
    assert f"The traceback is in {log}" in line and "words of my own" in log.read_text()
    os.utime(log, (1, 1))
    others = tmp_path / WORK / f"describe-{socket.gethostname()}-1.log"
    others.write_text("of another process")
    a_study(sqlite_url)
    assert main(["run", "light", "--storage", sqlite_url]) == 0
    assert [path.name for path in (tmp_path / WORK).glob("*.log")] == [others.name]
    assert others.read_text() == "of another process"
