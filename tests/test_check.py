"""``check``: what it looks at, and that an objective which does not go on after a kill is not "all well"."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.commands.main import main
from search.rules.same_curve import Difference, differences, worst_beyond_chance
from tests import resumable
from tests.commands import LIGHT, ROOT, changed

Said = pytest.CaptureFixture[str]
PLAIN = Path(resumable.__file__)
GOES_ON = (
    'if run.checkpoint:\n        state = json.loads((run.checkpoint / "state.json" if as_folder else run.checkpoint)'
)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def checked(capsys: Said, file: str) -> tuple[int, str, str]:
    status = main(["check", file])
    out, err = capsys.readouterr()
    assert status in {0, 1} and (status == 0) == (err == "") == ("all well" in out)
    return status, out, err


def test_it_looks_at_everything_and_leaves_no_study(capsys: Said, tmp_path: Path) -> None:
    _, out, err = checked(capsys, LIGHT)
    assert "a trial of 3 epochs ended with score 0." in out and "evaluates and exports: model.json" in out
    assert "gone on, the trial is bit for bit what it is undisturbed" in out, err
    assert out.splitlines()[-1] == f"all well. Next: make search STUDY=light OBJECTIVE={LIGHT}"
    assert list(tmp_path.iterdir()) == []


def test_it_is_one_trial_also_of_a_size_with_patience(capsys: Said, tmp_path: Path) -> None:
    file = changed(tmp_path / "mine.py", {"Size(budget=6, ": "Size(budget=6, patience=3, "})
    status, out, _ = checked(capsys, file)
    assert status == 0 and out.count("check trial") == 1


def test_a_plain_function_that_goes_on_is_all_well(capsys: Said) -> None:
    status, out, _ = checked(capsys, str(PLAIN))
    assert status == 0 and "gone on, the trial is bit for bit what it is undisturbed" in out


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        # Its curve is the same; it has trained everything again all the same.
        (
            f'{GOES_ON}.read_text())\n    assert run.step == state["step"], (run.step, state)',
            "run.step = 0",
            "trained epochs again that its checkpoint was of (",
        ),
        (
            'assert run.step == state["step"], (run.step, state)',
            'state["total"] /= 2 if run.step else 1',
            "is another: value of epoch ",
        ),
        ('assert run.step == state["step"]', "assert not run.step", "the trial ended as FAIL: AssertionError"),
    ],
)
def test_a_plain_function_that_does_not_is_not(
    capsys: Said, tmp_path: Path, before: str, after: str, said: str
) -> None:
    status, out, err = checked(capsys, changed(tmp_path / "mine.py", {before: after}, PLAIN))
    assert status == 1 and said in err and err.count("\n") == 1
    assert "ended with value" in out, "undisturbed there is nothing wrong with it"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        # It goes on, and ends at once.
        ('    print(f"begins', '    if run.step:\n        return -1.0\n    print(f"begins', "it reported no "),
        # What it had come to is not what it returns where no step is left.
        (
            '    return state["total"]',
            '    return state["total"] if run.step < 4 else 0.0',
            "the trial returned 0.0000",
        ),
    ],
)
def test_what_it_returns_is_compared_too(capsys: Said, tmp_path: Path, before: str, after: str, said: str) -> None:
    status, _, err = checked(capsys, changed(tmp_path / "mine.py", {before: after}, PLAIN))
    assert status == 1 and said in err


@pytest.mark.parametrize("every", [2, 3, 5])
def test_a_checkpoint_now_and_then_is_enough(
    capsys: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    monkeypatch.setenv("RESUMABLE_STEPS", "12")
    monkeypatch.setenv("RESUMABLE_PAUSE", "0.05")
    given = f"checkpoint=checkpoint if step % {every} == 0 else None"
    status, out, err = checked(capsys, changed(tmp_path / "mine.py", {"checkpoint=checkpoint": given}, PLAIN))
    assert status == 0 and f"killed with SIGKILL behind epoch {every} and gone on" in out, err


def test_an_objective_that_ignores_its_checkpoint_is_not(capsys: Said, tmp_path: Path) -> None:
    status, _, err = checked(capsys, changed(tmp_path / "mine.py", {"if context.resume:": "if False:"}))
    assert status == 1 and "it does not begin at its checkpoint" in err


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (", checkpoint=checkpoint", "", "no checkpoint was given to search.run(trial).report"),
        ('os.environ.get("RESUMABLE_STEPS", "4")', '"1"', "it has one step only"),
    ],
)
def test_what_cannot_go_on_is_said(capsys: Said, tmp_path: Path, before: str, after: str, said: str) -> None:
    status, out, _ = checked(capsys, changed(tmp_path / "mine.py", {before: after}, PLAIN))
    assert status == 0 and said in out


def test_the_end_of_the_log_is_shown_where_a_trial_fails(capsys: Said, tmp_path: Path) -> None:
    file = changed(tmp_path / "mine.py", {"    run = search.run(trial)": "    print('words'); 1 / 0"}, PLAIN)
    status, out, err = checked(capsys, file)
    assert status == 1 and "ended as FAIL: ZeroDivisionError" in err
    assert "words\n" in out and "in objective\n" in out


def test_a_keras_model_under_fit_goes_on_bit_for_bit(capsys: Said) -> None:
    """With dropout, Adam and arrays that are shuffled; and the callback says what it misses."""
    status, out, _ = checked(capsys, str(ROOT / "examples" / "keras_loop.py"))
    assert status == 0 and "gone on, the trial is bit for bit what it is undisturbed" in out


ROW = {"loss": [3.0, 2.0, 1.0], "epoch_seconds": [1.0, 1.1, 1.2]}


@pytest.mark.parametrize(
    ("resumed", "again", "found"),
    [
        ([3.0, 2.0, 1.0], [3.0, 2.0, 1.0], None),
        ([3.0, 2.0, float("nan")], [3.0, 2.0, 1.0], "nan"),
        ([9.0, 2.0, 1.0], [3.0, 2.0, 1.0], None),  # before it was killed
        ([3.0, 2.0, 1.1], [3.0, 2.0, 1.0], Difference("loss", 3, 1.1, 1.0, 0.0)),
        ([3.0, 2.5, 1.5], [3.0, 2.0, 1.0], Difference("loss", 2, 2.5, 2.0, 0.0)),
        ([3.0, 2.2, 1.2], [3.0, 2.1, 1.0], None),  # two that nobody disturbed differ as much
        ([3.0, 2.2, 1.5], [3.0, 2.1, 1.0], Difference("loss", 3, 1.5, 1.0, 2.1 - 2.0)),
        ([3.0, 2.0], [3.0, 2.0, 1.0], Difference("loss", 3, None, 1.0, 0.0)),
    ],
)
def test_a_curve_is_the_same_or_within_what_two_others_differ(
    resumed: list[float], again: list[float], found: Difference | str | None
) -> None:
    curves = {"loss": resumed, "epoch_seconds": [9.0] * 3}, ROW, {"loss": again}
    all_found = differences(*curves, behind=1, until=3)
    worst = worst_beyond_chance(all_found)
    assert str(worst and worst.resumed) == found if isinstance(found, str) else worst == found
    assert all(one.name == "loss" and one.epoch > 1 for one in all_found)
