"""What ends a study or a trial before its budget: hours, a value, a trial's own time, the size of its network."""

from __future__ import annotations

import dataclasses
import json
import re
import sqlite3
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

from search.commands.main import main
from search.contract import Size
from search.database.engine import open_readonly
from search.database.leases import Progress
from search.database.study_attributes import is_set, text_of
from search.errors import SearchError
from search.rules import durations
from search.show.time_left import seconds_left
from search.studies.limits import Limits, change_limits, limits_of
from search.worker.loop import Worker
from tests.commands import LIGHT, Ended, changed, search, until
from tests.faults import SETTINGS, new_study, storage_at
from tests.test_worker import Script, work, worker_on

EPOCH = 0.1


def leases(folder: Path, columns: str) -> list[Any]:
    with sqlite3.connect(folder / "studies.db") as connection:
        return connection.execute(f"SELECT {columns} FROM leases ORDER BY number").fetchall()  # noqa: S608


def trials(folder: Path) -> list[optuna.trial.FrozenTrial]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.load_study(study_name="light", storage=f"sqlite:///{folder}/studies.db").get_trials()


def run(folder: Path, *flags: str, objective: str = LIGHT, **environment: str) -> Ended:
    return search(folder, "run", "light", "--objective", objective, "--no-refit", *flags, **environment)


def said(folder: Path, text: str) -> str:
    """The light objective, whose train says how large its network is."""
    before = "    for epoch in range(state"
    return changed(folder / "mine.py", {before: f"    {text}\n{before}"})


def test_hours_are_of_all_trials_and_exact_to_an_epoch(tmp_path: Path) -> None:
    hours, pause = 2.0 / 3600, str(EPOCH)
    first = run(tmp_path, "--hours", str(hours), "--children", "2", "--epochs", "40", LIGHT_PAUSE=pause)
    used_up = f"the time of HOURS={hours:g} is used up"
    assert first.status == 1 and f"{used_up} before a trial of 'light' was complete. Give more: " in first.err
    assert used_up in first.out
    seconds = [row[0] for row in leases(tmp_path, "seconds")]
    assert 2.0 <= sum(seconds) < 2.0 + 2 * 4 * EPOCH, "each of the two ends the epoch that it is at"
    assert "open" in {row[0] for row in leases(tmp_path, "state")}, "what ran is handed over, not ended"
    status = json.loads(search(tmp_path, "status", "light", "--json").out)
    assert (status["state"], status["ended"]) == ("finished", used_up)

    again = run(tmp_path, LIGHT_PAUSE=pause)
    assert again.status == 1 and sum(row[0] for row in leases(tmp_path, "seconds")) == sum(seconds)
    more = run(tmp_path, "--hours", str(2 * hours), "--children", "2", LIGHT_PAUSE=pause)
    assert more.status == 1 and f"the time of HOURS={2 * hours:g} is used up" in more.out
    assert 4.0 <= sum(row[0] for row in leases(tmp_path, "seconds")) < 4.0 + 2 * 4 * EPOCH
    assert any(json.loads(row[0]) for row in leases(tmp_path, "resumed_from")), "they go on where they were"


def test_without_trials_the_budget_grows_as_long_as_hours_are_left(tmp_path: Path) -> None:
    usual = 6
    ended = run(tmp_path, "--hours", str(3 / 3600), "--epochs", "2", LIGHT_PAUSE=str(EPOCH))
    assert ended.status == 0 and "however many trials that is" in ended.out
    shown = json.loads(search(tmp_path, "status", "light", "--json").out)
    assert shown["goes_on_with"] == f"HOURS={6 / 3600:g}"
    assert not re.search(r"^trials:.* of \d", search(tmp_path, "status", "light").out, re.MULTILINE), "of no number"
    assert len(leases(tmp_path, "number")) > usual
    fixed = run(tmp_path, "--trials", "200")
    assert fixed.status == 0 and len(leases(tmp_path, "number")) == 200
    assert limits_of(open_readonly(f"sqlite:///{tmp_path}/studies.db"), _light(tmp_path)).endless is False


def _light(folder: Path) -> Any:
    from search.studies.study import existing

    return existing(open_readonly(f"sqlite:///{folder}/studies.db"), "light")


def over_grid(folder: Path, grid: str) -> str:
    """The light objective, searched by Optuna's grid."""
    sampler = f'sampler=Spec("GridSampler", {{"search_space": {grid}}}),'
    imports = {"from search.contract import ": "from search.contract import Spec, "}
    return changed(folder / "mine.py", imports | {"first=(": f"{sampler}\n    first=("})


def test_a_grid_that_is_done_ends_a_study_without_a_number_of_trials(tmp_path: Path) -> None:
    """Also where the grid is larger than the budget that the study begins with."""
    file = over_grid(tmp_path, '{"x": [0.1, 0.2, 0.3, 0.4], "kind": ["a", "b"]}')
    ended = run(tmp_path, "--hours", "1", "--epochs", "1", "--children", "1", objective=file)
    assert (ended.status, ended.err) == (0, "")
    tried = [(trial.params["x"], trial.params["kind"]) for trial in trials(tmp_path)]
    assert len(tried) > 6 and {(x, kind) for x in (0.1, 0.2, 0.3, 0.4) for kind in "ab"} <= set(tried)
    again = run(tmp_path, "--hours", "2", objective=file)
    assert (again.status, again.err) == (0, "") and len(trials(tmp_path)) == len(tried)


def test_hours_for_a_grid_that_is_done_end_as_well(tmp_path: Path) -> None:
    file = over_grid(tmp_path, '{"x": [0.1, 0.2], "kind": ["a"]}')
    ended = run(tmp_path, "--trials", "8", "--epochs", "1", objective=file)
    assert (ended.status, ended.err) == (0, "") and "nothing more is to be tried; left of the budget: " in ended.out
    more = run(tmp_path, "--hours", "1", objective=file)
    assert more.status == 0 and "nothing more is to be tried; left of the budget: " in more.out
    assert limits_of(open_readonly(f"sqlite:///{tmp_path}/studies.db"), _light(tmp_path)).endless is False


def test_a_study_that_grows_is_open_though_no_unit_is_left(tmp_path: Path) -> None:
    assert run(tmp_path, "--trials", "2", "--epochs", "1").status == 0
    storage, study = storage_at(f"sqlite:///{tmp_path}/studies.db"), _light(tmp_path)
    change_limits(storage, study, {"hours": 2 / 3600}, trials=None)
    assert json.loads(search(tmp_path, "status", "light", "--json").out)["state"] == "open"
    joined = search(tmp_path, "worker", "--trust", LIGHT_PAUSE=str(EPOCH))
    assert (joined.status, joined.err) == (0, "") and "working on light" in joined.out
    assert len(trials(tmp_path)) > 2
    assert json.loads(search(tmp_path, "status", "light", "--json").out)["state"] == "finished"


def test_a_study_whose_end_was_half_written_ends(sqlite_url: str, tmp_path: Path) -> None:
    study, storage = new_study(sqlite_url, budget=2), storage_at(sqlite_url)
    change_limits(storage, study, {"hours": 1.0}, trials=None)
    assert storage.leases.close_unbegun(study.key) == 2, "and then its worker was killed"
    work(sqlite_url, study, tmp_path)
    assert limits_of(storage.engine, study) == Limits(hours=1.0, endless=False, budget_is_given=True)
    change_limits(storage, study, {"hours": None}, trials=None)
    change_limits(storage, study, {"hours": 1.0}, trials=None)
    assert limits_of(storage.engine, study).endless
    assert [row["state"] for row in storage.leases.rows(study.key)] == ["open", "open"]


def test_an_attribute_is_set_only_as_long_as_nobody_else_has(storage_url: str) -> None:
    study = new_study(storage_url)

    def tried(text: str | None, wanted: str) -> tuple[bool, str | None]:
        with storage_at(storage_url).engine.begin() as connection:
            done = is_set(connection, study.study_id, "mine", text, wanted)
            return done, text_of(connection, study.study_id, "mine")

    assert tried(None, "1") == (True, "1")
    assert tried(None, "2") == (False, "1"), "also where there was none when it was read"
    assert tried("2", "3") == (False, "1")
    assert tried("1", "3") == (True, "3")


def test_two_who_change_different_limits_at_once_both_have(storage_url: str) -> None:
    study, rounds, ready = new_study(storage_url), 12, threading.Barrier(3)

    def change(name: str) -> None:
        storage = storage_at(storage_url)
        for number in range(1, rounds + 1):
            ready.wait(30)
            change_limits(storage, study, {name: float(number)}, trials=None)
            ready.wait(30)

    changers = [threading.Thread(target=change, args=(name,)) for name in ("until", "trial_timeout")]
    for changer in changers:
        changer.start()
    storage, found = storage_at(storage_url), []
    for _ in range(rounds):
        ready.wait(30)
        ready.wait(30)
        found.append(limits_of(storage.engine, study))
    for changer in changers:
        changer.join()
    assert found == [Limits(until=float(number), trial_timeout=float(number)) for number in range(1, rounds + 1)]


def test_time_left_is_what_hours_leave_or_less() -> None:
    left = {}
    for endless in (False, True):
        limits = Limits(hours=1.0, endless=endless)
        joined, running = _two_running(limits)
        for seconds in (0.0, 3000.0, 4000.0):
            progress = Progress({"open": 4, "complete": 1}, {"open": 10, "complete": 5}, seconds)
            left[endless, seconds] = seconds_left(joined, progress, running)
    by_epochs, by_hours = 60.0 * 10 / 2, 3600.0 / 2
    assert [left[False, spent] for spent in (0.0, 3000.0, 4000.0)] == [by_epochs, 300.0, 0.0]
    assert [left[True, spent] for spent in (0.0, 3000.0, 4000.0)] == [by_hours, 300.0, 0.0]


def _two_running(limits: Limits, patience: int | None = None, refit: Any = None) -> Any:
    """(a study of trials of 5 epochs, two of its trials, with a minute an epoch)."""
    study = SimpleNamespace(epochs=5, size=Size(budget=2, epochs=5, patience=patience), refit=refit)
    joined = SimpleNamespace(study=study, limits=limits)
    return joined, [SimpleNamespace(joined=joined, times=SimpleNamespace(last=60.0)) for _ in range(2)]


def test_time_left_is_that_of_a_budget_which_grows_as_far_as_it_can() -> None:
    progress = Progress({"open": 2}, {"open": 4}, 240.0)
    left = []
    for patience, refit in ((None, None), (1, None), (1, {"trial": 0})):
        joined, running = _two_running(Limits(), patience, refit)
        left.append(seconds_left(joined, progress, running))
    as_it_is, grown = 60.0 * (10 - 4) / 2, 60.0 * (30 - 4) / 2
    assert left == [as_it_is, grown, as_it_is], "a refit stays one"


def test_hours_do_not_keep_a_worker_where_every_trial_raises(tmp_path: Path) -> None:
    ended = run(tmp_path, "--hours", "1", LIGHT_MOOD="raises")
    assert ended.status == 1 and re.match(r"search: 3 trials of 'light' in a row raised on .*\n$", ended.err)
    assert "tried once more" not in ended.err, "by nobody"


def test_a_value_that_is_reached_ends_the_study(tmp_path: Path) -> None:
    ended = search(tmp_path, "run", "light", "--objective", LIGHT, "--until", "0", "--children", "1")
    assert (ended.status, ended.err) == (0, "") and "has reached 0" in ended.out
    assert [trial.state.name for trial in trials(tmp_path)] == ["COMPLETE"]
    shown = search(tmp_path, "status", "light").out
    assert re.search(r"best: .*\n  x = ", shown) and re.search(r"^ended: trial 0 has reached 0$", shown, re.MULTILINE)
    assert json.loads(search(tmp_path, "status", "light", "--json").out)["limits"] == {"until": 0.0}, "0 is a limit too"
    assert search(tmp_path, "worker").out.startswith("nothing is left to do. ")
    assert "\nnext: make search STUDY=light UNTIL=none (goes on searching)\n" in ended.out
    more = run(tmp_path, "--until", "none")
    assert more.status == 0 and len(trials(tmp_path)) == 6


def test_a_trial_that_takes_too_long_is_pruned_with_that_reason(tmp_path: Path) -> None:
    ended = run(tmp_path, "--trials", "2", "--trial-timeout", "1s", "--children", "2", LIGHT_PAUSE="30")
    assert ended.status == 1 and "search: no trial of 'light' was completed" in ended.err
    assert search(tmp_path, "status", "light").out.count("it took longer than 1 s") == 2
    assert [trial.state.name for trial in trials(tmp_path)] == ["PRUNED", "PRUNED"]
    reasons = {trial.user_attrs["search:reason"] for trial in trials(tmp_path)}
    assert reasons == {"it took longer than 1 s, as TRIAL_TIMEOUT says"}
    assert {trial.user_attrs["search:pruned_by"] for trial in trials(tmp_path)} == {"time"}


def test_a_trials_time_may_be_limited_while_it_runs(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHT_PAUSE", "0.2")
    study, storage = new_study(sqlite_url, budget=1, epochs=200), storage_at(sqlite_url)

    def limit() -> None:
        until("an epoch is recorded", lambda: storage.leases.rows(study.key)[0]["epoch"] >= 1)
        change_limits(storage, study, {"trial_timeout": 1.0}, trials=None)

    other = threading.Thread(target=limit)
    other.start()
    work(sqlite_url, study, tmp_path, settings=dataclasses.replace(SETTINGS, look_again=0.2))
    other.join()
    (row,) = storage.leases.rows(study.key)
    assert row["state"] == "pruned" and row["epoch"] < 100


def test_time_on_other_machines_counts_as_a_trials_own(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHT_PAUSE", "0.3")
    study = new_study(sqlite_url, budget=1, epochs=9)
    work(sqlite_url, study, tmp_path, Script(Worker.stop))
    before = storage_at(sqlite_url).leases.rows(study.key)[0]
    assert before["state"] == "open" and before["seconds"] > 0
    change_limits(storage_at(sqlite_url), study, {"trial_timeout": before["seconds"] + 0.2}, trials=None)
    work(sqlite_url, study, tmp_path)
    assert storage_at(sqlite_url).leases.rows(study.key)[0]["state"] == "pruned"


def test_a_network_that_is_too_large_costs_nothing_of_the_budget(tmp_path: Path) -> None:
    file = said(tmp_path, "context.built(int(1000 * hp.x), 2.0)")
    random = 'metric="score", sampler=Spec("RandomSampler"),'
    text = Path(file).read_text().replace("from search.contract import ", "from search.contract import Spec, ")
    Path(file).write_text(text.replace('metric="score",', random))
    ended = run(tmp_path, "--trials", "14", "--max-params", "600", objective=file)
    assert (ended.status, ended.err) == (0, "")
    found = trials(tmp_path)
    large = [trial for trial in found if trial.params["x"] > 0.6]
    turned_down = [trial for trial in large if trial.params["x"] != 0.9]
    assert turned_down, "chance has drawn none, which has a probability of .6 ** 12"
    assert all(trial.state.name == "PRUNED" and not trial.intermediate_values for trial in large)
    assert all(trial.constraints["search:parameters"] == trial.params["x"] * 1000 // 1 / 600 - 1 for trial in large)
    assert all("parameters, and at most 600 are wanted" in trial.user_attrs["search:reason"] for trial in large)
    assert len(found) == 14 + len(turned_down), "what the study was given to try first is used up instead"
    assert leases(tmp_path, "count(trial_id), sum(turned_down)") == [(14, len(turned_down))]
    shown = search(tmp_path, "status", "light", str(turned_down[0].number)).out
    assert shown.startswith(f"light trial {turned_down[0].number}: pruned, epoch 0\nreason: ")
    assert len({trial.params["x"] for trial in found}) == len(found), "the next is another"


def test_the_best_is_the_best_of_what_may_be_as_large_as_it_is_by_now(tmp_path: Path) -> None:
    file = Path(said(tmp_path, "context.built(int(1000 * hp.x), 2.0)"))
    file = changed(file, {"(1 - abs(hp.x - 0.6)) * ": "hp.x + 0 * "}, source=file)
    assert run(tmp_path, "--trials", "2", "--first", "MIDDLE,LOW", objective=file).status == 0

    def best(*flags: str) -> float:
        assert run(tmp_path, *flags, objective=file).status == 0
        shown = json.loads(search(tmp_path, "status", "light", "--json").out)
        assert shown["chosen"] == shown["best"]["number"]
        return float(shown["best"]["params"]["x"])

    assert best() == 0.5
    assert best("--max-params", "400") == 0.1
    assert best("--max-params", "none") == 0.5


def test_where_hardly_anything_fits_the_study_stops(sqlite_url: str, tmp_path: Path) -> None:
    study = new_study(sqlite_url, budget=3, objective=said(tmp_path, "context.built(10, 1e9)"))
    change_limits(storage_at(sqlite_url), study, {"max_flops": 1e6}, trials=None)
    with pytest.raises(SearchError) as refused:
        work(sqlite_url, study, tmp_path, settings=dataclasses.replace(SETTINGS, turned_down=5))
    why = f"5 networks of {study.name!r} in a row were too large, last: 1,000,000,000 flops, and at most 1,000,000"
    assert str(refused.value).startswith(why)


def test_a_limit_that_the_objective_says_nothing_of_is_none(tmp_path: Path) -> None:
    ended = run(tmp_path, "--max-params", "10")
    assert ended.status == 1
    assert "parameters of the network are limited, and" in ended.err and "MAX_PARAMS=none" in ended.err
    assert {row[0] for row in leases(tmp_path, "state")} == {"open"}


def test_a_lease_whose_trial_was_turned_down_is_as_new(storage_url: str) -> None:
    study = new_study(storage_url, budget=1, epochs=2)
    leases_of = storage_at(storage_url).leases
    lease = leases_of.claim(study.key, "holder", "host", "nonce")
    assert lease is not None
    leases_of.renew(lease, born=7, resumed_from=[0], seconds=5.0, epoch=3, judged=2)
    assert leases_of.leave_to_others(lease, counted=True, pause=-1.0, error=True, alone=True)
    lease = leases_of.claim(study.key, "holder", "host", "once more")
    assert lease is not None and (lease.epoch, lease.judged, lease.errors, lease.alone) == (3, 2, 1, True)
    leases_of.renew(lease, turned_down=True, seconds=2.0)
    (row,) = leases_of.rows(study.key)
    assert (row["state"], row["trial_id"], row["holder"], row["attempts"]) == ("open", None, None, 0)
    assert leases_of.openings([study.key], "another")[study.key].free == 1
    again = leases_of.claim(study.key, "another", "host", "other")
    assert again is not None and (again.turned_down, again.token) == (1, lease.token + 1)
    assert (again.epoch, again.resumed_from, again.seconds) == (0, (), 0.0)
    assert (again.judged, again.errors, again.alone) == (0, 0, False)
    assert leases_of.seconds_spent(study.key) == 7.0, "HOURS count them all the same"


def test_a_limit_on_what_is_not_said_is_found_though_something_is_and_can_be_lifted(tmp_path: Path) -> None:
    file = said(tmp_path, "context.built(10)")
    ended = run(tmp_path, "--max-flops", "10", "--max-params", "10", objective=file)
    assert ended.status == 1 and "flops of the network are limited, and" in ended.err
    assert "parameters of" not in ended.err
    lifted = run(tmp_path, "--max-flops", "none", objective=file)
    assert (lifted.status, lifted.err) == (0, "")
    assert limits_of(open_readonly(f"sqlite:///{tmp_path}/studies.db"), _light(tmp_path)) == Limits(max_params=10)


def test_what_was_trained_before_its_limit_is_no_trial_for_nothing(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHT_PAUSE", "0.3")
    file = said(tmp_path, "context.built(10, 10.0)")
    study = new_study(sqlite_url, budget=1, epochs=9, objective=file, changes={"first": []})
    work(sqlite_url, study, tmp_path, Script(Worker.stop))
    assert storage_at(sqlite_url).leases.rows(study.key)[0]["epoch"] > 0
    change_limits(storage_at(sqlite_url), study, {"max_params": 5.0}, trials=None)
    work(sqlite_url, study, tmp_path)
    (row,) = storage_at(sqlite_url).leases.rows(study.key)
    assert row["state"] == "pruned" and row["trial_id"] is not None


def test_a_plain_functions_network_is_nobodys_to_limit(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def objective(trial):\n    return trial.suggest_float('x', 0, 1)\n")
    command = ("run", "mine", "--objective", "mine.py", "--trials", "2")
    refused = search(tmp_path, *command, "--max-params", "5")
    assert refused.status == 1 and "is a plain function, which says nothing of its network's size" in refused.err


def test_an_optuna_study_of_two_objectives_is_nobodys_search(tmp_path: Path) -> None:
    optuna.create_study(study_name="mine", storage=f"sqlite:///{tmp_path}/studies.db", directions=2 * ["minimize"])
    (tmp_path / "mine.py").write_text("def objective(trial):\n    return trial.suggest_float('x', 0, 1)\n")
    refused = search(tmp_path, "run", "mine", "--objective", "mine.py", "--trials", "2")
    line = (
        "search: the Optuna study 'mine' exists and has 2 objectives, the search is for one. Give another STUDY name.\n"
    )
    assert (refused.status, refused.err) == (1, line)


def test_hours_that_are_too_few_are_said_to_be(tmp_path: Path) -> None:
    hours = 0.5 / 3600
    command = ("run", "light", "--objective", LIGHT, "--hours", str(hours), "--children", "1", "--epochs", "40")
    ended = search(tmp_path, *command, LIGHT_PAUSE="0.3")
    why = f"the time of HOURS={hours:g} is used up before a trial of 'light' was complete"
    assert ended.status == 1 and why in ended.err


@pytest.mark.parametrize("ends", ["given back", "expired"])
def test_who_still_trains_is_waited_for_when_a_limit_is_reached(storage_url: str, tmp_path: Path, ends: str) -> None:
    study, storage = new_study(storage_url, budget=3), storage_at(storage_url)
    change_limits(storage, study, {"until": 0.0}, trials=None)
    work(storage_url, study, tmp_path)
    assert [row["state"] for row in storage.leases.rows(study.key)] == ["complete", "open", "open"]

    storage.leases.seconds = 600.0 if ends == "given back" else 2.0
    lease = storage.leases.claim(study.key, "another", "host", "nonce")
    assert lease is not None
    worker = worker_on(storage_url, study, tmp_path)
    waiting = threading.Thread(target=worker.work, args=([study.key],))
    waiting.start()
    waiting.join(1.0)
    assert waiting.is_alive(), "somebody trains yet"
    if ends == "given back":
        storage.leases.give_back(lease, counted=False)
    waiting.join(30.0)
    assert not waiting.is_alive()
    worker.close()
    assert [row["state"] for row in storage.leases.rows(study.key)] == ["complete", "open", "open"]


@pytest.mark.parametrize(
    ("flag", "value", "wants"),
    [
        ("--hours", "0", "needs a number above 0, '0' was given"),
        ("--hours", "night", "needs a number such as 8 or .9, 'night' was given"),
        ("--until", "nan", "needs a number such as 8 or .9, 'nan' was given"),
        ("--max-params", "-3", "needs a number above 0, '-3' was given"),
        ("--trial-timeout", "1y", "needs a time such as 90s, 30m or 2h, '1y' was given"),
    ],
)
def test_what_is_no_limit_is_refused(tmp_path: Path, flag: str, value: str, wants: str) -> None:
    refused = run(tmp_path, f"{flag}={value}")
    assert refused.status == 1 and wants in refused.err and len(refused.err.splitlines()) == 1


def test_limits_stay_until_they_are_changed(sqlite_url: str) -> None:
    study, storage = new_study(sqlite_url, budget=1), storage_at(sqlite_url)
    assert limits_of(storage.engine, study) == Limits()
    change_limits(storage, study, {"hours": 2.0}, trials=5)
    change_limits(storage, study, {"until": 0.5}, trials=None)
    assert limits_of(storage.engine, study) == Limits(hours=2.0, until=0.5, budget_is_given=True)
    change_limits(storage, study, {}, trials=None)
    assert limits_of(storage.engine, study) == Limits(hours=2.0, until=0.5, budget_is_given=True)


TIMED = 'metric="score", data=lambda folder, size: {"images": 40, "validation": 10},'


def timed(folder: Path) -> str:
    """The light objective, which says that it does ten images a second, so that a refit of 40 takes 12 s."""
    reported = '{"score": total / epoch, "images_per_second": 10.0}'
    return changed(folder / "timed.py", {'{"score": total / epoch}': reported, 'metric="score",': TIMED})


def at_once(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """In this process and folder, where nothing takes time to load."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(durations, "TO_LOAD", 0.0)
    monkeypatch.setattr(durations, "OF_A_TRIAL", 0.0)


def test_a_time_limit_leaves_time_for_the_refit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once(monkeypatch, tmp_path)
    monkeypatch.setenv("LIGHT_PAUSE", "0.3")
    flags = ["--objective", timed(tmp_path), "--children", "1", "--timeout", "24s"]
    assert main(["run", "light", *flags, "--trials", "500"]) == 0
    report = json.loads((tmp_path / "exports" / "light" / "report.json").read_text())
    assert report["exported"] == "refit" and report["test"]
    seconds = sum(row[0] for row in leases(tmp_path, "seconds"))
    assert 4 < seconds < 16, "the search has what the refit, reckoned as some 14 s, leaves it"


def test_a_refit_is_reckoned_by_epochs_where_nobody_says_how_many_images_they_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once(monkeypatch, tmp_path)
    monkeypatch.setattr(durations, "TO_LOAD", 4.0)
    monkeypatch.setenv("LIGHT_PAUSE", "0.5")
    assert main(["run", "light", "--objective", LIGHT, "--children", "1", "--timeout", "12s", "--trials", "500"]) == 0
    report = json.loads((tmp_path / "exports" / "light" / "report.json").read_text())
    assert report["exported"] == "refit" and report["test"]


def test_a_search_that_ends_in_time_leaves_the_refit_all_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once(monkeypatch, tmp_path)
    monkeypatch.setenv("LIGHT_PAUSE", "1")
    flags = ["--objective", timed(tmp_path), "--children", "1", "--timeout", "22s"]
    # The trial is done after 4 s, the refit takes 4 too: reckoned are 14, which would leave it 4 s of the 22.
    assert main(["run", "light", *flags, "--trials", "1", "--epochs", "4"]) == 0
    report = json.loads((tmp_path / "exports" / "light" / "report.json").read_text())
    assert report["exported"] == "refit"


def test_a_refit_that_has_too_little_room_has_fewer_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at_once(monkeypatch, tmp_path)
    monkeypatch.setenv("LIGHT_PAUSE", "0.3")
    file = Path(timed(tmp_path))
    changed(file, {"refit_epochs=3)": "refit_epochs=9)"}, source=file)
    flags = ["--objective", str(file), "--children", "1", "--timeout", "28s"]
    assert main(["run", "light", *flags, "--trials", "500"]) == 0
    report = json.loads((tmp_path / "exports" / "light" / "report.json").read_text())
    assert report["exported"] == "refit" and 4 <= report["size"]["refit_epochs"] < 9
    assert "epochs, not 9: there is no time for more" in capsys.readouterr().out


def test_a_refit_that_has_no_room_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once(monkeypatch, tmp_path)
    monkeypatch.setenv("LIGHT_PAUSE", "0.2")
    file = Path(timed(tmp_path))
    file.write_text(file.read_text().replace('"images_per_second": 10.0', '"images_per_second": 1.0'))
    flags = ["--objective", str(file), "--children", "1", "--timeout", "15s"]
    assert main(["run", "light", *flags, "--trials", "500"]) == 0
    report = json.loads((tmp_path / "exports" / "light" / "report.json").read_text())
    assert report["exported"] == "chosen trial" and report["test"] is None
