"""The benchmarks run, in their shortest form, and go on from their tables."""

from __future__ import annotations

import csv
import itertools
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import equal_cost, levers, recipes, train
from benchmarks.intervals import paired
from benchmarks.search import pays
from benchmarks.table import append, read
from search.child.hardware import processor
from search.studies.provenance import code_hash
from tests.cifar_files import write_cifar10
from tests.commands import ROOT


def test_the_service_beside_optuna(tmp_path: Path) -> None:
    table = tmp_path / "service.csv"
    short = ["--finished", "20", "--workers", "2", "--databases", "sqlite", "--seconds", "1", "--table", str(table)]
    command = [sys.executable, "-m", "benchmarks.service", *short]
    first = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(first.stdout.splitlines())
    found = {(row["side"], row["what"]) for row in rows}
    assert found >= {("ours", "claim"), ("ours", "status"), ("ours", "report and decision"), ("optuna", "birth")}
    assert all(float(row["median_ms"]) > 0 and row["finished"] == "20" for row in rows)
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert again.stdout == "", "what is there is not measured again"


def test_each_lever_was_on_in_half_of_the_runs_beside_as_many_of_each_other() -> None:
    kept = [lever for lever in levers.LEVERS if lever != "silu"]  # which was given up
    signs = [[2 * int(row[lever]) - 1 for lever in kept] for row in read(levers.TABLE)]
    assert len(signs) == 16
    columns = list(zip(*signs, strict=True))
    for i, one in enumerate(columns):
        assert sum(one) == 0
        for j, other in enumerate(columns[:i]):
            assert sum(a * b for a, b in zip(one, other, strict=True)) == 0
            for third in columns[:j]:
                assert sum(a * b * c for a, b, c in zip(one, other, third, strict=True)) == 0, "resolution IV"


def test_levers_at_equal_cost_are_not_mixed_with_each_other_or_with_two_others() -> None:
    design = equal_cost.design()
    kept = [lever for lever in equal_cost.LEVERS if lever != "deep"]  # which was given up
    columns = [[2 * row[lever] - 1 for row in design] for lever in kept]
    assert len(design) == 16 and all(sum(one) == 0 for one in columns)
    assert all(sum(map(math.prod, zip(*two, strict=True))) == 0 for two in itertools.combinations(columns, 2))
    assert all(sum(map(math.prod, zip(*three, strict=True))) == 0 for three in itertools.combinations(columns, 3))


def test_what_is_said_of_levers_at_equal_cost_is_what_their_table_says() -> None:
    results, said = read(equal_cost.TABLE), str(equal_cost.__doc__)
    assert len(results) == 16
    for name, points, half, longer in equal_cost.worth(results):
        assert f"- ``{name}``: {points:+.2f} ± {half:.2f}, {longer:.2f} times" in said, name
    points, half = equal_cost.crops(results)
    assert f"- ``crops``: {points:+.2f} ± {half:.2f} over" in said


@pytest.mark.parametrize("levers_on", [(), ("progressive",), ("growing",), ("progressive", "growing")])
def test_phases_of_a_training_of_equal_cost_cover_it(levers_on: tuple[str, ...]) -> None:
    found = equal_cost.phases({lever: lever in levers_on for lever in equal_cost.LEVERS})
    assert found[-1].until == 1
    assert [phase.until for phase in found] == sorted({phase.until for phase in found})
    begins = [0.0, *(phase.until for phase in found)][:-1]
    small = {begin for begin, phase in zip(begins, found, strict=True) if phase.side == 24}
    assert small == ({begin for begin in begins if begin < 0.4} if "progressive" in levers_on else set())
    assert {phase.batch for phase in found} == ({64, 256} if "growing" in levers_on else {128})


def test_a_training_of_equal_cost_from_its_beginning_to_its_row(tmp_path: Path) -> None:
    data, table = write_cifar10(tmp_path / "data", train=400, test=10), tmp_path / "equal_cost.csv"
    short = ["--epochs", "1", "--train-images", "300", "--validation-images", "50", "--data-dir", str(data)]
    known = {
        "precision": equal_cost.precision(),
        "epochs": "1",
        "train_images": "300",
        "validation_images": "50",
        "plain": "10",
        "flip": "11",
        "crops": "12",
        "images": "300",
    }
    known |= {"images_per_second": "10"}
    for run, on in enumerate(equal_cost.design()):
        if run != 15:  # which has all levers on but the deep one
            levers_on = {lever: int(is_on) for lever, is_on in on.items()}
            append(table, equal_cost.FIELDS, [{**known, **levers_on, "run": run}])
    command = [sys.executable, "-m", "benchmarks.equal_cost", *short, "--table", str(table)]
    first = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    added = read(table)[-1]
    assert (added["run"], {added[lever] for lever in equal_cost.LEVERS}) == ("15", {"0", "1"})
    assert 200 < float(added["images"]) < 450, "an update costs less or more"
    assert all(0 <= float(added[score]) <= 100 for score in equal_cost.SCORES)
    assert [line.split()[0] for line in first.stdout.splitlines()] == [*equal_cost.LEVERS, "crops"]
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert again.stdout == first.stdout and len(read(table)) == 16, "what is there is not trained again"


def test_what_a_lever_is_worth_is_found_again() -> None:
    worth = dict(zip(levers.LEVERS, (1.5, -0.4, 0.0, 0.3, 0.2, 0.0, -0.1, 0.6), strict=True))
    rows = []
    for row in read(levers.TABLE):
        value = 88 + sum(points for lever, points in worth.items() if row[lever] == "1")
        noise = 0.08 if row["whitening"] == row["batch_256"] else -0.08  # no lever's own
        rows.append({**row, "average_flip": str(value + noise)})
    found = {lever: (points, half) for lever, points, half in levers.effects(rows)}
    assert all(points == pytest.approx(worth[lever], abs=half) for lever, (points, half) in found.items())
    _, half = found["whitening"]
    assert half == pytest.approx(2.3646 * 0.08 * (16 / 7) ** 0.5 * 2 / 16**0.5, rel=0.1)


def test_what_is_said_of_the_levers_is_what_their_table_says() -> None:
    results = read(levers.TABLE)
    for name, points, half in [*levers.effects(results), *levers.within(results)]:
        assert f"- ``{name}``: {points:+.2f} ± {half:.2f}" in str(levers.__doc__), name


def test_what_a_recipe_is_worth_is_paired_by_seed() -> None:
    def row(seed: int, side: str, value: float) -> dict[str, str]:
        return {"seed": str(seed), "side": side, "val_accuracy": str(value)}

    rows = [row(seed, "MODERN", 80 + seed) for seed in range(8)]
    rows += [row(seed, "float32", 80 + seed + (0.1 if seed % 2 else -0.1)) for seed in range(7)]
    found = recipes.gains(rows, "float32")
    assert found == pytest.approx([-0.1, 0.1] * 3 + [-0.1]), "the eighth has no other half"
    points, half = paired(found)
    assert points == pytest.approx(-0.1 / 7)
    assert half == pytest.approx(2.4469 * ((0.07 - 7 * (0.1 / 7) ** 2) / 6) ** 0.5 / 7**0.5, rel=1e-4)


def test_a_side_is_a_recipe_and_what_it_is_computed_in(tmp_path: Path) -> None:
    objective, table = recipes.declared("resnet_cifar10"), tmp_path / "pays.csv"
    modern = recipes.recipe(objective, "MODERN")
    assert modern is not None and modern[0] == objective.points["MODERN"]
    assert recipes.recipe(objective, "float32") == (modern[0], "float32")
    assert recipes.recipe(objective, "progressive") == ({**modern[0], "progressive_resizing": 0.25}, modern[1])
    assert recipes.recipe(objective, "found-1", table) is None, "its search has not been made"
    row = {"search": "from_the_notebook", "arm": "search", "found": '{"optimizer": "adamw"}'}
    append(table, pays.FIELDS, [{**row, "pair": pair} for pair in (0, 1)])
    assert recipes.recipe(objective, "found-1", table) == ({"optimizer": "adamw"}, modern[1])
    with pytest.raises(ValueError, match="progresive"):
        recipes.recipe(objective, "progresive")


def test_a_pair_of_recipes_from_its_trainings_to_its_interval(tmp_path: Path) -> None:
    data, table = write_cifar10(tmp_path / "data", train=400, test=10), tmp_path / "recipes.csv"
    short = ["--seeds", "2", "--width", "2", "--epochs", "2", "--train-images", "256", "--sides", "progressive"]
    places = ["--data-dir", str(data), "--table", str(table)]
    command = [sys.executable, "-m", "benchmarks.recipes", *short, *places]
    known = {"processor": processor(), "code": code_hash(), "objective": "resnet_cifar10", "seed": "0"}
    known |= {"width": "2", "epochs": "2", "train_images": "256", "val_accuracy": "10.00", "images_per_second": "1"}
    for side in ("MODERN", "progressive"):
        hp, precision = recipes.recipe(recipes.declared("resnet_cifar10"), side) or ({}, "")
        point = {"precision": precision, "hyperparameters": json.dumps(hp, sort_keys=True), "side": side}
        append(table, recipes.FIELDS, [{**known, **point}])
    first = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    rows = read(table)
    assert [row["seed"] for row in rows] == ["0", "0", "1", "1"], "what was there before is gone on from"
    assert {row["side"] for row in rows[2:]} == {"MODERN", "progressive"}
    assert "points over MODERN in 2 pairs" in first.stdout
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert again.stdout == first.stdout and len(read(table)) == 4, "what is there is not trained again"
    unknown = subprocess.run([*command, "--sides", "growing"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert unknown.returncode == 2 and "resnet_cifar10 has no side growing" in unknown.stderr


def test_a_notebook_from_its_training_to_its_row(tmp_path: Path) -> None:
    data, table = write_cifar10(tmp_path / "data", train=400, test=50), tmp_path / "notebooks.csv"
    short = ["--runs", "resnet_cifar10", "--epochs", "1", "--train-images", "100"]
    places = ["--data-dir", str(data), "--folder", str(tmp_path / "work"), "--table", str(table)]
    command = [sys.executable, "-m", "benchmarks.notebooks", *short, *places]
    subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    with table.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["run"], row["width"], row["epochs"], row["best_epoch"]) == ("resnet_cifar10", "16", "1", "1")
    assert (row["train"], row["test_images"]) == ("100", "50") and 0 <= float(row["macro_f1"]) <= 100
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "resnet_cifar10, width 16" in again.stdout and "(80.95)" in again.stdout
    assert "study" not in again.stdout, "what is there is not trained again"


def test_a_step_as_a_trial_runs_it_beside_others(tmp_path: Path) -> None:
    data, table = write_cifar10(tmp_path, train=5_600, test=10), tmp_path / "train.csv"
    sides = ["--sides", *train.KERAS, "--networks", "cnn-4", "--rounds", "1", "--seconds", "0.2"]
    command = [sys.executable, "-m", "benchmarks.train", *sides, "--data-dir", str(data), "--table", str(table)]
    subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["side"] for row in rows} - {"trial-bfloat16"} == set(train.KERAS)
    assert all(float(row["images_per_second"]) > 0 for row in rows)
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert again.stdout.count("of bare") == len(rows)
