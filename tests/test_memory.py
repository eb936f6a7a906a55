"""Killed for memory: whose fault it is shows only when nothing runs beside the trial."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from search.child.hardware import out_of_memory_kills
from search.child.seat import Seat
from search.contract import Devices
from search.studies.study import Study
from search.worker.loop import Worker
from tests.faults import SETTINGS, check, light_launch, new_study, storage_at
from tests.test_child import changed
from tests.test_worker import Script, rows, trials


class Kernel:
    """A control group as the kernel shows it, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.events, self.own = folder / "memory.events", folder / "own"
        folder.mkdir()
        self.own.write_text("0::/\n")
        self.events.write_text("oom 0\noom_kill 0\n")
        self.kills = partial(out_of_memory_kills, folder, self.own)


def objective(folder: Path, kernel: Kernel, dies: str, *, begin_together: int = 1) -> str:
    """The light one, which says when it begins and ends, and kills itself where ``dies`` holds.

    Each waits until so many have begun: on a slow machine one begins late.
    """
    before = "    epochs = context.size.refit_epochs if"
    hog = f"""    once, note = Path({str(folder / "once")!r}), Path({str(folder / "note")!r}).open("a")
    once.with_name(f"begun-{{context.number}}").touch()
    while len(list(once.parent.glob("begun-*"))) < {begin_together}:
        time.sleep(0.02)
    print(context.number, "begins", time.monotonic(), file=note, flush=True)
    if {dies}:
        once.touch()
        events = Path({str(kernel.events)!r})
        whole = events.with_name(f"events-{{context.number}}")
        whole.write_text(f"oom 9\\noom_kill {{time.monotonic_ns()}}\\n")
        whole.replace(events)
        os.kill(os.getpid(), 9)
"""
    source = changed(folder / "hog.py", before, hog + before)
    path, end = Path(source), '    model = context.workdir / "model"'
    path.write_text(
        path.read_text().replace(
            end, f'    print(context.number, "ends", time.monotonic(), file=note, flush=True)\n{end}'
        )
    )
    return source


def work(
    url: str, study: Study, folder: Path, kernel: Kernel, *, seats: int = 2, screen: Script | None = None
) -> list[str]:
    screen = screen or Script()
    worker = Worker(
        storage_at(url),
        [Seat(Devices(), light_launch(None)) for _ in range(seats)],
        workroot=folder / "work",
        data_dir=folder,
        screen=screen,
        settings=SETTINGS,
        kernel_kills=kernel.kills,
    )
    worker.join(study)
    worker.work([study.key])
    worker.close()
    return screen.said


def runs(folder: Path) -> list[tuple[int, float, float]]:
    """Trial, begin and end of each run that came to its end."""
    begun: dict[int, float] = {}
    found = []
    for line in (folder / "note").read_text().splitlines():
        number, what, at = line.split()
        if what == "begins":
            begun[int(number)] = float(at)
        else:
            found.append((int(number), begun[int(number)], float(at)))
    return found


def test_a_kill_beside_others_is_tried_once_more_with_nothing_beside_it(
    storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A healthy trial ends well; it waits for those that run, and nobody else begins before it has ended."""
    study, kernel = new_study(storage_url, budget=6, epochs=4), Kernel(tmp_path / "cgroup")
    monkeypatch.setenv("LIGHT_PAUSE", "0.2")
    file = objective(tmp_path, kernel, "hp.x == 0.5 and not once.exists()")
    said = work(storage_url, replace(study, objective=file), tmp_path, kernel)
    (died,) = [line for line in said if "waiting" in line]
    assert died.endswith("killed by signal 9, perhaps for memory; nothing is to run beside it when it begins again")
    assert check(storage_url, study, 6) == []
    number = next(trial.number for trial in trials(storage_url, study) if trial.params["x"] == 0.5)
    ((_, begin, end),) = [run for run in runs(tmp_path) if run[0] == number]
    assert [run for run in runs(tmp_path) if run[0] != number and run[1] < end and run[2] > begin] == []
    others = sorted(run[1:] for run in runs(tmp_path) if run[0] != number)
    assert any(one[1] > other[0] for one, other in pairwise(others)), "else the seats are shared"


@pytest.mark.parametrize("seats", [1, 2])
def test_a_second_kill_with_nothing_beside_it_is_the_hyperparameters_fault(
    storage_url: str, tmp_path: Path, seats: int
) -> None:
    study, kernel = new_study(storage_url, budget=4, epochs=3), Kernel(tmp_path / "cgroup")
    file = objective(tmp_path, kernel, "hp.x == 0.5")
    said = work(storage_url, replace(study, objective=file), tmp_path, kernel, seats=seats)
    assert sum("perhaps for memory" in line for line in said) == 1
    reason = "out of memory: the kernel killed the training process, also when nothing ran beside it"
    (pruned,) = [trial for trial in trials(storage_url, study) if trial.state.name == "PRUNED"]
    assert (pruned.params["x"], pruned.user_attrs["search:reason"]) == (0.5, reason)
    assert sorted(row["state"] for row in rows(storage_url, study)) == ["complete"] * 3 + ["pruned"]


def test_two_that_die_at_once_are_both_tried_alone(storage_url: str, tmp_path: Path) -> None:
    study, kernel = new_study(storage_url, budget=2, epochs=3), Kernel(tmp_path / "cgroup")
    once = '(mine := once.with_name(f"once-{context.number}")).exists() is False and mine.touch() is None'
    file = objective(tmp_path, kernel, once, begin_together=2)
    said = work(storage_url, replace(study, objective=file), tmp_path, kernel)
    assert sum("perhaps for memory" in line for line in said) == 2
    assert check(storage_url, study, 2) == []
    (_, _, end), (_, begin, _) = sorted(runs(tmp_path), key=lambda run: run[1])
    assert begin > end


def test_a_kill_before_the_trial_began_is_nothing_to_it(storage_url: str, tmp_path: Path) -> None:
    """While it waited for its child, or for the trial before it."""
    study, kernel = new_study(storage_url, epochs=3), Kernel(tmp_path / "cgroup")
    before = "    epochs = context.size.refit_epochs if"
    once = str(tmp_path / "once")
    dies = f"    if not Path({once!r}).exists():\n        Path({once!r}).touch()\n        os.kill(os.getpid(), 9)\n"
    kernel.events.write_text("oom 9\noom_kill 9\n")
    study = replace(study, objective=changed(tmp_path / "dies.py", before, dies + before))
    said = work(storage_url, study, tmp_path, kernel)
    assert said[0].endswith("its process was killed by signal 9; it begins again")
    assert check(storage_url, study, 1) == []


def test_who_waits_to_be_alone_is_handed_over(
    storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is told to stop meanwhile keeps nobody's lease, and has not let the trial begin."""
    study, kernel = new_study(storage_url, budget=2, epochs=100), Kernel(tmp_path / "cgroup")
    monkeypatch.setenv("LIGHT_PAUSE", "0.05")
    file = objective(tmp_path, kernel, "hp.x == 0.5 and not once.exists()")
    screen = Script()

    def stop(worker: Worker) -> None:
        if any(trial.waits_to_be_alone for trial in worker.trials.values()):
            worker.stop()

    screen.tick = stop  # type: ignore[method-assign]
    work(storage_url, replace(study, objective=file), tmp_path, kernel, screen=screen)
    assert [(row["state"], row["expires"]) for row in rows(storage_url, study)] == [("open", 0.0)] * 2
    assert (tmp_path / "note").read_text().count("begins") == 2
