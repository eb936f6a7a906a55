"""What is no image classifier is shown under its own names: nothing speaks of images or accuracy unasked."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests import tabular
from tests.commands import search

FILE = str(Path(tabular.__file__).resolve())
FOREIGN = ("image", "accuracy", "unknown parameters", "not measured", "uint8", "None", "nan")


def test_a_regression_is_shown_as_it_declares(tmp_path: Path, sqlite_url: str) -> None:
    place = ("--storage", sqlite_url)
    ran = search(tmp_path, "run", "table", "--objective", FILE, *place)
    assert (ran.status, ran.err) == (0, "")
    report = json.loads((tmp_path / "exports" / "table" / "report.json").read_text())
    page = (tmp_path / "exports" / "table" / "report.md").read_text()
    test = report["test"]
    score = f"{test['mae']:.4f} points ({test['mae_ci95'][0]:.4f} points to {test['mae_ci95'][1]:.4f} points)"
    assert f"test mean absolute error of the refit (4 epochs): {score}, look no. 1" in ran.out
    assert re.search(r"table.refit trial 0: complete, mean absolute error on the training patients \d", ran.out)
    assert f"**Test mean absolute error {score}**, 95 % interval, look no. 1" in page
    validation = report["validation"]
    assert f"| mean absolute error ↓ | {validation['mae']:.4f} points | {test['mae']:.4f} points |" in page
    assert f"| worst | {validation['worst']:.4f} | {test['worst']:.4f} |" in page, "not declared, but returned"
    assert "which has seen the validation patients." in page and "R²" not in page
    shown = [ran.out, page, *(search(tmp_path, *asked, *place).out for asked in (("status",), ("status", "table")))]
    for text in shown:
        assert [word for word in FOREIGN if word in text] == []


def test_check_says_what_is_expected_and_what_is_not_understood(tmp_path: Path) -> None:
    ran = search(tmp_path, "check", FILE)
    assert (ran.status, ran.err) == (0, "")
    assert "a report shows of it: mean absolute error, worst\n" in ran.out
    assert "declared, and not among what evaluate returned: r2\n" in ran.out
    assert "returned, and neither a number nor declared, so not shown: note\n" in ran.out
    assert "bit for bit" in ran.out
    assert [word for word in FOREIGN if word in ran.out] == []


@pytest.mark.parametrize("key", ["mae", "r2"])
def test_where_the_headline_is_missing_the_page_says_so(key: str) -> None:
    from search.export.numbers import headline, numbers_of

    metrics = {"worst": 3.0} if key == "r2" else {"mae": 2.0, "worst": 3.0}
    assert headline(metrics, tabular.OBJECTIVE.shown) == ("not measured" if key == "r2" else "2.0000 points")
    assert [one.key for one in numbers_of(metrics, tabular.OBJECTIVE.shown)] == ["mae", "r2", "worst"]
