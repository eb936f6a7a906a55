"""A search of a size with patience goes on as long as it finds something."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import optuna

from tests.commands import changed, search

SIZE = "Size(budget=3, patience=2, epochs=2, refit_epochs=3)"


def objective(
    folder: Path,
    *,
    found: list[float],
    examples: int | None = None,
    slow: float | None = None,
    unusable: float | None = None,
) -> str:
    """The light one, without luck, which tries these x first: its value is half of 1 - |x - .6|. ``slow``: takes two
    seconds longer. ``unusable``: leads to none."""
    changes = {
        "(seed_for(context.seed, epoch) / 2**31)": "0.5",
        "Size(budget=6, epochs=4, rungs=(2,), refit_epochs=3)": SIZE,
        'first=("MIDDLE", {"x": 0.9, "kind": "b"})': f'first=tuple({{"x": x, "kind": "a"}} for x in {found})',
    }
    if slow is not None:
        changes["    for epoch in range(state"] = f"    time.sleep(2 * (hp.x == {slow}))\n    for epoch in range(state"
    if unusable is not None:
        changes["    model.mkdir("] = f'    _misbehave("nan" if hp.x == {unusable} else "")\n    model.mkdir('
    if examples is not None:
        share = f'metric="score", metric_is_share=True, data=lambda folder, size: {{"validation": {examples}}},'
        changes['metric="score",'] = share
    return changed(folder / "mine.py", changes)


def tried(folder: Path, *flags: str, name: str = "light", **more: Any) -> tuple[int, str]:
    """(how many trials, what was said)."""
    children = () if "--children" in flags else ("--children", "1")
    flags = ("run", name, "--objective", objective(folder, **more), "--no-refit", *children, *flags)
    ended = search(folder, *flags)
    assert (ended.status, ended.err) == (0, "")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return len(optuna.load_study(study_name=name, storage=f"sqlite:///{folder}/studies.db").trials), ended.out


def test_as_long_as_something_better_is_found(tmp_path: Path) -> None:
    better = [0.0, 0.3, 0.2, 0.5, 0.1, 0.0, 0.0, 0.0, 0.0]
    number, said = tried(tmp_path, found=better)
    assert number == 3 + 1 + 2, "two behind the second, then two behind the fourth"
    assert re.search(r"^quick +3 to 9 +2 ", said, re.MULTILINE)
    assert "trial 1 would be the winner: the budget is 4 trials now" in said
    assert "trial 3 would be the winner: the budget is 6 trials now" in said
    again, said = tried(tmp_path, found=better)
    assert again == number, "the same command finds nothing to do"
    assert re.search(r"^quick +6 to 9 +2 ", said, re.MULTILINE), "what it came to is no new beginning"
    assert tried(tmp_path, "--trials", "7", found=better)[0] == 7
    assert tried(tmp_path, found=better)[0] == 7, "what somebody asked for is as many as that"


def test_who_ends_before_the_first_point_is_judged_beside_it(tmp_path: Path) -> None:
    two = ("--children", "2")
    assert tried(tmp_path, *two, name="good", found=[0.6, 0.5, 0.4, 0.3], slow=0.6)[0] == 3
    number, said = tried(tmp_path, *two, name="poor", found=[0.0, 0.5, 0.3, 0.2, 0.1], slow=0.0)
    assert number == 1 + 1 + 2 and "trial 1 would be the winner: the budget is 4 trials now" in said


def test_who_ends_before_a_first_point_that_comes_to_nothing_is_the_winner(tmp_path: Path) -> None:
    two, found = ("--children", "2"), [0.0, 0.5, 0.3, 0.2, 0.1]
    number, said = tried(tmp_path, *two, found=found, slow=0.0, unusable=0.0)
    assert number == 1 + 1 + 2 and "trial 1 would be the winner: the budget is 4 trials now" in said


def test_no_more_than_three_times_as_many(tmp_path: Path) -> None:
    assert tried(tmp_path, found=[step / 20 for step in range(12)])[0] == 9


def test_not_beside_a_good_first_point_nor_for_what_may_be_chance_nor_where_trials_are_asked_for(
    tmp_path: Path,
) -> None:
    assert tried(tmp_path, name="good", found=[0.6, 0.5, 0.4, 0.3])[0] == 3
    assert tried(tmp_path, name="chance", found=[0.4, 0.5, 0.6, 0.3], examples=50)[0] == 3
    assert tried(tmp_path, name="found", found=[0.4, 0.5, 0.6, 0.3], examples=50_000)[0] == 5
    number, said = tried(tmp_path, "--trials", "3", name="asked", found=[0.4, 0.5, 0.6, 0.3])
    assert number == 3 and re.search(r"^quick +3 +2 ", said, re.MULTILINE)
