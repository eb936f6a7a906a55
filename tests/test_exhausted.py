"""A sampler that has tried everything ends its study: no point is run twice, nothing is a traceback."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from search.commands.main import main
from search.studies.create import create, raise_budget
from search.studies.study import Study
from tests.commands import LIGHT
from tests.faults import new_study, storage_at
from tests.test_worker import rows, trials, work

XS, KINDS = [0.0, 0.5, 1.0], ["a", "b"]
GRID = sorted(itertools.product(XS, KINDS))
BRUTE = {"name": "BruteForceSampler", "keywords": {}}
SAMPLERS = [BRUTE, {"name": "GridSampler", "keywords": {"search_space": {"x": XS, "kind": KINDS}}}]


def study_with(url: str, folder: Path, sampler: dict[str, Any], budget: int, first: list[Any]) -> Study:
    """The light objective over six points."""
    file = folder / "grid.py"
    file.write_text(Path(LIGHT).read_text().replace('"x", 0.0, 1.0', '"x", 0.0, 1.0, step=0.5'))
    made = new_study(url, budget=budget, epochs=2)
    definition = {
        **made.definition,
        "sampler": sampler,
        "first": first,
        "pruner": {"name": "NopPruner", "keywords": {}},
    }
    return create(storage_at(url), f"{made.name}.grid", str(file), definition)


@pytest.mark.parametrize("first", [[], [{"x": 0.5, "kind": "a"}]], ids=["sampled", "with first"])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: str(sampler["name"]))
def test_an_exhausted_sampler_ends_its_study(
    storage_url: str, tmp_path: Path, sampler: dict[str, Any], first: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    study = study_with(storage_url, tmp_path, sampler, 20, first)
    said = work(storage_url, study, tmp_path).said
    points = [(trial.params["x"], trial.params["kind"]) for trial in trials(storage_url, study)]
    assert set(points) == set(GRID)
    # The grid does not see that ``first`` has tried one of its points.
    run = len(GRID) + (len(first) if sampler is not BRUTE else 0)
    assert len(points) == run
    states = [row["state"] for row in rows(storage_url, study)]
    assert states == ["complete"] * run + ["unused"] * (20 - run)
    assert f"nothing more is to be tried; left of the budget: {20 - run} trials" in said

    capsys.readouterr()
    assert main(["status", study.name, "--json", "--storage", storage_url]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["unused"], found["budget"]) == ("finished", 20 - run, 20)
    assert found["trials"] == {"complete": run, "pruned": 0, "fail": 0, "running": 0, "waiting": 0}
    assert len(found["leases"]) == run
    assert main(["status", study.name, "--storage", storage_url]) == 0
    assert f"nothing more is to be tried; left of the budget: {20 - run} trials" in capsys.readouterr().out


def test_a_higher_budget_goes_on_and_ends_again(storage_url: str, tmp_path: Path) -> None:
    study = study_with(storage_url, tmp_path, BRUTE, 8, [])
    work(storage_url, study, tmp_path)
    raise_budget(storage_at(storage_url), study, 12)
    assert [row["state"] for row in rows(storage_url, study)][6:] == ["open"] * 6
    work(storage_url, study, tmp_path)
    # Optuna's sampler says only behind a trial that there is nothing more.
    assert [row["state"] for row in rows(storage_url, study)] == ["complete"] * 7 + ["unused"] * 5


def test_a_budget_that_is_just_enough_leaves_nothing(storage_url: str, tmp_path: Path) -> None:
    study = study_with(storage_url, tmp_path, SAMPLERS[1], 6, [])
    said = work(storage_url, study, tmp_path).said
    assert sorted((t.params["x"], t.params["kind"]) for t in trials(storage_url, study)) == GRID
    assert not any("nothing more is to be tried" in line for line in said)
