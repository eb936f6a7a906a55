"""What is exported is the best trial's or its refit's, and an export replaces nothing but an export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna

from tests.commands import LIGHT, search


def report(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "exports" / "light" / "report.json").read_text())


def record(url: str, name: str) -> dict[str, Any]:
    return dict(optuna.load_study(study_name=name, storage=url).user_attrs["search:study"])


def test_the_refit_is_of_this_study_and_its_best_trial(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    assert search(tmp_path, "run", "light", "--objective", LIGHT, "--trials", "3").status == 0
    assert report(tmp_path)["exported"] == "refit"
    assert report(tmp_path)["test_openings"] == 1

    # Deleted with Optuna's tools, its refit left behind: the new study's refit is trained anew.
    before = record(url, "light.refit")
    optuna.delete_study(study_name="light", storage=url)
    ran = search(tmp_path, "run", "light", "--objective", LIGHT, "--trials", "3")
    assert ran.status == 0, ran.err
    after = record(url, "light.refit")
    assert after["key"] != before["key"]
    assert after["refit"]["key"] == record(url, "light")["key"]
    assert report(tmp_path)["exported"] == "refit"

    # A better trial that somebody added has no lease and no model, and the export says so.
    study = optuna.load_study(study_name="light", storage=url)
    added = {"params": {"x": 0.6}, "distributions": {"x": optuna.distributions.FloatDistribution(0, 1)}}
    study.add_trial(optuna.trial.create_trial(value=5.0, **added))
    exported = search(tmp_path, "export", "light")
    assert exported.status == 0, exported.err
    assert "without a model" in exported.out
    assert report(tmp_path)["value"] == 5.0
    assert report(tmp_path)["model"] is None


def test_an_export_replaces_nothing_else(tmp_path: Path) -> None:
    assert search(tmp_path, "run", "light", "--objective", LIGHT, "--trials", "2", "--no-refit").status == 0
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years")
    refused = search(tmp_path, "export", "light", "--to", str(mine))
    assert refused.status == 1
    assert "something else than an export" in refused.err
    assert (mine / "thesis.txt").read_text() == "years"

    (mine / "thesis.txt").unlink()
    assert search(tmp_path, "export", "light", "--to", str(mine)).status == 0
    first = json.loads((mine / "report.json").read_text())
    assert first["exported"] == "chosen trial"
    assert first["test"] is None
    assert first["test_openings"] == 0
    assert first["validation"]["accuracy"] == first["value"]
    assert search(tmp_path, "export", "light", "--to", str(mine), "--test").status == 0
    assert json.loads((mine / "report.json").read_text())["test_openings"] == 1


def test_a_look_that_was_taken_is_shown_and_not_taken_again(tmp_path: Path) -> None:
    assert search(tmp_path, "run", "light", "--objective", LIGHT, "--trials", "2").status == 0
    scored = report(tmp_path)["test"]
    assert scored is not None
    assert search(tmp_path, "export", "light", "--test").status == 0
    assert report(tmp_path)["test_openings"] == 1
    assert report(tmp_path)["test"] == scored


def judged(folder: Path, name: str, checksum: str = "'c' * 64", scored: str = "OLD(*given)") -> str:
    """The light objective with test data of their own; ``scored``: what its evaluation of them does."""
    text = Path(LIGHT).read_text().replace('metric="score",', 'metric="score", test_checksum=lambda _: CHECKSUM,')
    text = text.replace("CHECKSUM", checksum).replace("evaluate=evaluate,", "evaluate=judge,")
    judge = f"OLD = evaluate\ndef judge(*given): return {scored} if given[2] == 'test' else OLD(*given)\nOBJECTIVE ="
    (folder / f"{name}.py").write_text(text.replace("OBJECTIVE =", judge))
    return f"{name}.py"


def looks(folder: Path, study: str) -> dict[str, int]:
    """What the report says without a model."""
    assert search(folder, "export", study, "--no-model").status == 0
    report = json.loads((folder / "exports" / study / "report.json").read_text())
    assert report["test_openings"] == sum(report["test_openings_by_study"].values())
    return dict(report["test_openings_by_study"])


def test_a_look_is_on_record_before_the_test_data_are_scored(tmp_path: Path) -> None:
    """By the child's word for them; studies with the same test data are counted together."""
    for name, more in (("one", {}), ("dies", {"scored": "1 / 0"}), ("without", {"checksum": "1 / 0"})):
        begun = search(
            tmp_path, "run", name, "--objective", judged(tmp_path, name, **more), "--trials", "1", "--no-refit"
        )
        assert begun.status == 0, begun.err
    died = search(tmp_path, "export", "dies", "--test")
    assert died.status == 1 and "ZeroDivisionError" in died.err
    assert looks(tmp_path, "dies") == {"dies": 1}
    closed = search(tmp_path, "export", "without", "--test")
    assert closed.status == 1 and looks(tmp_path, "without") == {}, "they could not be opened"
    scored = search(tmp_path, "export", "one", "--test")
    assert (scored.status, scored.err) == (0, "")
    assert looks(tmp_path, "one") == looks(tmp_path, "dies") == {"dies": 1, "one": 1}
