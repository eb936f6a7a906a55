"""What a search says before it begins: epochs and time of its size."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from search.show.before_start import introduction
from search.studies.limits import Limits
from search.studies.study import Study
from tests.faults import new_study


def timed(url: str, **size: Any) -> Study:
    """Of 1,000 images and 30 a second on two cores, with three epochs of a refit."""
    made = new_study(url)
    quick = {**made.definition["size"], "budget": 6, "validation_images": 100, "images_per_second": 30, **size}
    data = {"images": 1_000, "validation": 100}
    return dataclasses.replace(made, definition={**made.definition, "size": quick, "data": data})


@pytest.mark.parametrize(
    ("size", "budget", "epochs", "here"),
    [
        ({}, 6, "3", "about 12 min"),
        ({"minutes": 1}, 6, "3 to 9", "about 12 min"),  # too short
        ({"minutes": 13}, 6, "3 to 9", "about 13 min"),
        ({"minutes": 60}, 6, "3 to 9", "about 15 min"),  # no more than three times as many epochs
        ({"minutes": 60}, 0, "3", "about 2 min"),  # nothing is searched, so nothing is measured
    ],
)
def test_epochs_and_time_of_a_size_with_minutes(
    sqlite_url: str, size: dict[str, float], budget: int, epochs: str, here: str
) -> None:
    study = timed(sqlite_url, **size)
    (line,) = [one for one in introduction(study, budget, Limits(), 2, gpus=False) if one.startswith("quick ")]
    _, trials, _, images, *rest = line.split()
    assert (trials, images) == (str(budget), "900")
    assert " ".join(rest) == f"{epochs} 1,000 {here}"


@pytest.mark.parametrize(("gpus", "larger"), [(False, "hour"), (True, "full")])
def test_the_real_thing_is_what_can_be_done_here(sqlite_url: str, gpus: bool, larger: str) -> None:
    study = timed(sqlite_url)
    sizes = {**study.definition["sizes"], "hour": study.definition["sizes"]["full"]}
    study = dataclasses.replace(study, definition={**study.definition, "sizes": sizes})
    lines = introduction(study, 6, Limits(), 2, gpus=gpus)
    real = f"make search STUDY={study.name}_{larger} OBJECTIVE={study.objective} SIZE={larger}"
    assert f"For the real thing: {real}" in lines
