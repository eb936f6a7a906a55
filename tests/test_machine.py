"""How a machine's cores, memory and GPUs are lent to its training processes, and what those took."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from search.child import hardware
from search.child.ask import Asker
from search.child.inside.describe import describe
from search.child.process import Child, launch
from search.child.seat import Seat
from search.commands.machine import opened
from search.commands.options import Options
from search.commands.refit import refit_winner
from search.contract import Devices, Size, size_from_json
from search.database.leases import Spent
from search.errors import SearchError
from search.rules import durations
from search.rules.devices import children_by_default, is_better_alone, share
from search.rules.durations import seconds_of_refit
from search.studies.create import create
from search.studies.study import Study
from search.studies.winner import Speed
from search.worker.loop import Worker
from search.worker.time_of_refit import TimeOfRefit
from tests import light
from tests.commands import LIGHT, search, until
from tests.faults import SETTINGS, declare, light_launch, new_study, storage_at
from tests.test_child import Quiet, changed, control_groups
from tests.test_worker import Script, trials

GIB = 1 << 30


def test_a_refit_is_reckoned_by_what_the_children_do_together() -> None:
    """One training on all cores does less than one on each; on a GPU it is the one that was measured."""
    one = seconds_of_refit(10_000, 100.0, children=1)
    assert 100 < one - durations.TO_LOAD - durations.OF_A_TRIAL < 120
    together = seconds_of_refit(10_000, 100.0, children=4)
    assert one / 4 < together < one / 2


@pytest.mark.parametrize(("minutes", "epochs"), [(1, 10), (7, 17), (8, 20), (60, 30), (None, 10)])
def test_time_that_the_search_leaves_goes_into_epochs_of_the_refit(
    sqlite_url: str, minutes: float | None, epochs: int
) -> None:
    """Twenty seconds an epoch and no fewer epochs than usual, nor more than three times as many; where a limit ends it
    no fewer than a trial's three."""
    assert epochs_of_refit(sqlite_url, minutes) == epochs
    assert epochs_of_refit(sqlite_url, minutes, of_the_size=False) == (3 if minutes == 1 else epochs)
    for asked in ({"refit_epochs": 30}, {"epochs": 9}, {"train_images": 3}):
        found = epochs_of_refit(sqlite_url, minutes, of_the_size=False, asked=asked)
        assert found == 10, "as many as somebody asked for"
    if minutes:
        assert epochs_of_refit(sqlite_url, minutes, 1.0) == 3, "a limit that is given goes before the size's minutes"
    if minutes in {7, 8}:
        assert epochs_of_refit(sqlite_url, minutes, winner=Speed(5, 50.0)) == 10, "what is slower has fewer"
        assert epochs_of_refit(sqlite_url, minutes, winner=Speed(0, 50.0)) == epochs, "by what it did here"


def epochs_of_refit(
    url: str,
    minutes: float | None,
    limit: float | None = None,
    *,
    of_the_size: bool = True,
    asked: Mapping[str, Any] | None = None,
    winner: Speed | None = None,
) -> int:
    """By a limit, or the size's minutes; 10 usually. Another machine searches too."""
    made = new_study(url)
    size = {**made.definition["size"], "refit_epochs": 10, "minutes": minutes if of_the_size else None}
    given = limit if of_the_size else minutes
    study = dataclasses.replace(
        made,
        definition={
            **made.definition,
            "size": size,
            "sizes": {made.size_name: {**size, **(asked or {})}},
            "data": {"images": round(2_000 / durations.MARGIN), "validation": 90},
        },
    )
    searched, times = study.images(study.size)[0], SimpleNamespace(last=99.0, longest=99.0)
    trial = SimpleNamespace(
        joined=SimpleNamespace(study=study),
        lease=SimpleNamespace(number=0),
        training_seconds=searched / 100,
        times=times,
        is_alone=True,
    )
    worker: Any = SimpleNamespace(
        trials={0: trial},
        seats=[Seat(Devices(), launch)],
        settings=SETTINGS,
        outage=SimpleNamespace(attempt=lambda ask: ask()),
        joined={study.key: SimpleNamespace(has_others=lambda: True)},
    )
    kept = TimeOfRefit(worker, study, None if given is None else 60 * given)
    assert kept.epochs(None) is None, "nothing was measured yet"
    assert kept() == 0, "the others have to be waited for"
    worker.trials = {}
    assert kept.epochs(Speed(5, 1_000.0)) == kept.epochs(None), "no faster than what was seen here"
    assert kept.epochs(Speed(5, None)) == kept.epochs(None)
    return kept.epochs(winner) or 10


def test_what_a_search_leaves_of_its_time_goes_into_epochs_of_the_refit(tmp_path: Path, sqlite_url: str) -> None:
    """Of the light objective with images to train on; nine epochs are three times the usual ones."""
    file = changed(
        tmp_path / "mine.py",
        "    metric=",
        '    data=lambda folder, size: {"images": 100, "validation": 20},\n    metric=',
    )
    arguments = ("run", "mine", "--objective", file, "--trials", "2", "--timeout", "2m")
    ran = search(tmp_path, *arguments, SEARCH_STORAGE=sqlite_url, LIGHT_PAUSE="0.1")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.count("mine.refit has 9 epochs, not 3: the search left time for them") == 1
    report = json.loads((tmp_path / "exports" / "mine" / "report.json").read_text())
    assert (report["size"]["refit_epochs"], len(report["curves"]["refit"]["score"])) == (9, 9)
    assert "left time" not in search(tmp_path, *arguments, SEARCH_STORAGE=sqlite_url).out, "it is there already"


def test_who_asks_for_fewer_epochs_or_images_gets_no_more_than_that() -> None:
    timed = dataclasses.replace(light.OBJECTIVE, sizes={"quick": Size(budget=1, epochs=1, minutes=5)})
    found = [
        describe(timed, declare(changes, direction="maximize"))["size"]["minutes"]
        for changes in ({}, {"epochs": 2}, {"train_images": 9})
    ]
    assert found == [5, None, None]


@pytest.mark.parametrize(
    ("gpus", "cores", "memory", "children"),
    [
        ((), 1, 64 * GIB, 1),
        ((), 2, 64 * GIB, 2),
        ((), 2, 3 * GIB, 1),
        ((), 4, 7 * GIB, 3),
        ((), 2, GIB, 1),
        ((), 64, 512 * GIB, 8),
        ((), 4, math.inf, 4),
        (("0",), 16, 64 * GIB, 1),
        (("0", "1", "2"), 2, GIB, 3),
    ],
)
def test_so_many_children_where_nobody_says(gpus: tuple[str, ...], cores: int, memory: float, children: int) -> None:
    assert children_by_default(gpus, cores, memory) == children


def test_cores_and_gpus_are_divided() -> None:
    assert share(3, (), 8) == [Devices(3), Devices(3), Devices(2)]
    assert share(2, (), 1) == [Devices(1)] * 2
    assert share(2, ("0", "1", "2"), 8) == [Devices(4, ("0", "2")), Devices(4, ("1",))]


@pytest.mark.parametrize(
    ("one", "only_trial", "others_run", "alone"),
    [
        (Devices(1), True, False, True),
        (Devices(1), False, False, False),
        (Devices(1), True, True, False),
        (Devices(4, ("0",)), True, False, False),
    ],
)
def test_only_what_has_nothing_beside_it_is_given_all_cores(
    one: Devices, only_trial: bool, others_run: bool, alone: bool
) -> None:
    """What runs is not sent away for it, and on a GPU it needs no more of them."""
    assert is_better_alone(one, only_trial=only_trial, others_run=others_run) == alone


def test_images_are_counted_as_the_cut_leaves_them() -> None:
    """Of the study's own size as it was cut, of another as it would be; never more than there are."""
    data = {"images": 1_437, "train": 1_157, "validation": 280}
    asked = Size(budget=1, epochs=1, train_images=100_000, refit_images=100_280, validation_images=300)
    definition = {"size": dataclasses.asdict(asked), "data": data}
    study = Study("s", 1, "key", "objective", definition, 0, 0, None, "code", "quick")
    assert study.images(asked) == (1_157, 1_437)
    assert study.images(dataclasses.replace(asked, train_images=None, refit_images=None)) == (1_157, 1_437)
    assert study.images(dataclasses.replace(asked, train_images=600, refit_images=900)) == (600, 900)
    full = Size(budget=1, epochs=1, validation_images=400)
    assert study.images(full) == (1_037, 1_437)
    assert study.images(dataclasses.replace(full, validation_images=5_000)) == (0, 1_437)
    assert dataclasses.replace(study, definition={"size": dataclasses.asdict(asked)}).images(full) == (0, 0)


@pytest.mark.parametrize(
    ("own", "files", "limit"),
    [
        ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": "4096"}, 4096),
        ("9:memory:/job", {"memory/job/memory.limit_in_bytes": "8192"}, 8192),
        ("0::/hidden", {"memory.max": "1024", "a/memory.max": "16"}, 1024),
    ],
)
def test_a_containers_memory_is_what_it_may_use(tmp_path: Path, own: str, files: dict[str, str], limit: int) -> None:
    control_groups(tmp_path, own, files)
    assert hardware.memory(tmp_path / "cgroup", tmp_path / "own") == limit
    whole = hardware.memory(tmp_path / "nowhere", tmp_path / "nothing")
    assert hardware.peak_memory() < whole < math.inf


@pytest.mark.parametrize(
    ("cpuinfo", "has"),
    [
        ("model name\t: a\nflags\t\t: avx512f avx512_bf16 amx_tile\n", True),
        ("flags\t\t: avx512f amx_bf16\n", True),
        ("flags\t\t: avx2 avx512f avx512_vnni\n", False),
        ("", False),
    ],
)
def test_a_processor_has_bfloat16_or_not(tmp_path: Path, cpuinfo: str, has: bool) -> None:
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert hardware.has_bfloat16(cpuinfo=tmp_path / "cpuinfo") == has
    assert not hardware.has_bfloat16(cpuinfo=tmp_path / "nowhere")


@pytest.mark.parametrize(("has", "chosen", "guide"), [(True, "bfloat16", 80), (False, "float32", 40)])
def test_bfloat16_is_chosen_where_a_study_is_created(
    monkeypatch: pytest.MonkeyPatch, has: bool, chosen: str, guide: float
) -> None:
    monkeypatch.setattr("search.child.inside.describe.has_bfloat16", lambda _gpus: has)
    size = Size(budget=1, epochs=1, precision="bfloat16", images_per_second=80)
    wanted = dataclasses.replace(light.OBJECTIVE, sizes={"quick": size})
    created = describe(wanted, declare({}))["size"]
    assert (created["precision"], created["images_per_second"]) == (chosen, guide)
    monkeypatch.setattr("search.child.inside.describe.has_bfloat16", lambda _gpus: not has)
    joined = describe(wanted, dataclasses.replace(declare({}), size=created))["size"]
    assert joined["precision"] == chosen, "who joins goes by the study"


def test_a_precision_that_nobody_knows_is_refused() -> None:
    wanted = dataclasses.replace(light.OBJECTIVE, sizes={"quick": Size(budget=1, epochs=1, precision="bf16")})  # type: ignore[arg-type]
    with pytest.raises(SearchError, match=r"the precision 'bf16'\. Give one of: float32, bfloat16"):
        describe(wanted, declare({}))


def test_who_joins_without_bfloat16_is_told(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hardware, "has_bfloat16", lambda _gpus: False)
    definition = describe(light.OBJECTIVE, declare({}, direction="maximize"))
    definition["size"]["precision"] = "bfloat16"
    study = create(storage_at(sqlite_url), "lower", LIGHT, definition)
    with opened(Options(storage=sqlite_url, data_dir=tmp_path)) as machine:
        assert machine.checked(study).size.precision == "bfloat16"
    assert "lower computes in bfloat16, which this processor has not" in capsys.readouterr().out


def test_a_study_of_a_newer_version_is_one_line() -> None:
    stored = {**dataclasses.asdict(Size(budget=1, epochs=1)), "colour": "red"}
    with pytest.raises(SearchError, match=r"its size has colour, .* Renew this checkout: git pull"):
        size_from_json(stored)


def test_a_refit_has_all_cores_and_nothing_beside_it(storage_url: str, tmp_path: Path) -> None:
    study, launched = new_study(storage_url, budget=4, epochs=2), []

    def noted(reference: str, devices: Devices) -> Child:
        launched.append(devices)
        return light_launch(None)(reference, devices)

    worker = Worker(
        storage_at(storage_url),
        [Seat(Devices(1), noted) for _ in range(2)],
        workroot=tmp_path / "work",
        data_dir=tmp_path,
        screen=Script(),
        settings=SETTINGS,
        cores=3,
    )
    try:
        worker.join(study)
        worker.work([study.key])
        assert launched == [Devices(1)] * 2
        again = refit_winner(worker, study)
        assert launched == [Devices(1)] * 2 + [Devices(3)]
        (left,) = [seat for seat in worker.seats if seat.child is not None]
        assert left.child_for(study.objective) is left.child, "questions go to whoever is warm"
    finally:
        worker.close()
    assert [trial.state.name for trial in trials(storage_url, again)] == ["COMPLETE"]


def test_a_child_loads_before_its_first_trial(tmp_path: Path) -> None:
    note = tmp_path / "note"
    file = changed(tmp_path / "mine.py", "import time\n", f"import time\nopen({str(note)!r}, 'a').write('loaded')\n")
    seat = Seat(Devices(), launch)
    seat.warm(file)
    until("it has loaded", lambda: note.exists() and note.read_text() == "loaded")
    child = seat.child
    seat.warm(file)
    assert seat.child_for_trial(file, Devices()) is child
    assert child is not None
    os.kill(child.pid, 9)
    until("it is gone", child.gone)
    assert seat.child_for_trial(file, Devices()) is not child, "no trial begins with a dead one"
    seat.dismiss()


def test_what_fails_while_it_loads_is_said_to_who_asks_first(tmp_path: Path) -> None:
    """And is not tried again in the same process, where it may fail otherwise."""
    note = tmp_path / "note"
    fails = f"import time\nopen({str(note)!r}, 'a').write('tried ')\n1 / 0\n"
    file = changed(tmp_path / "broken.py", "import time\n", fails)
    seat = Seat(Devices(), launch)
    seat.warm(file)
    with pytest.raises(SearchError, match=r"ZeroDivisionError: division by zero. The traceback is in (.*)") as said:
        Asker(seat, tmp_path, tmp_path, Quiet()).describe(file, size_name="quick")
    assert note.read_text() == "tried "
    assert "broken.py" in Path(str(said.value).rpartition(" ")[2]).read_text()
    seat.dismiss()


def test_what_trials_took_is_added_up(storage_url: str) -> None:
    storage, study = storage_at(storage_url), new_study(storage_url, budget=3)
    for number, memory in enumerate((3 * GIB, 2 * GIB)):
        lease = storage.leases.claim(study.key, "holder", "host", f"nonce{number}")
        assert lease is not None
        storage.leases.renew(lease, epoch=1, seconds=10.0, trained=6.0, memory=memory, worker_memory=GIB)
        storage.leases.renew(lease, seconds=5.0, trained=4.0, memory=GIB, worker_memory=GIB)
        storage.leases.give_back(lease, counted=False, seconds=5.0)
    died = storage.leases.claim(study.key, "holder", "host", "nonce2")
    assert died is not None
    storage.leases.renew(died, seconds=10.0)  # within its first epoch
    (older,) = [storage.leases.claim(other.key, "holder", "host", "nonce") for other in [new_study(storage_url)]]
    assert older is not None
    storage.leases.renew(older, epoch=1, seconds=100.0)
    assert storage.leases.spent(older.study_key) == Spent(), "nobody knows what was training of what says nothing"
    spent = storage.leases.spent(study.key)
    assert spent == Spent(seconds=50.0, trained=20.0, memory=3 * GIB, worker_memory=GIB)
    assert spent.training_share == 0.4
    assert storage.leases.spent("nobody's") == Spent() and Spent().training_share is None


def test_status_and_report_say_what_trials_took(tmp_path: Path) -> None:
    file = changed(tmp_path / "mine.py", '{"score": ', '{"training_seconds": 1e-4, "score": ')
    assert search(tmp_path, "run", "mine", "--objective", file, "--trials", "2").status == 0
    shown = search(tmp_path, "status", "mine").out
    assert re.search(r"% of it training steps; memory at most: a training process \d+ MiB, the worker ", shown)
    page = (tmp_path / "exports" / "mine" / "report.md").read_text()
    assert "- training steps took " in page and re.search(r"- memory at most: a training process \d+ MiB", page)
