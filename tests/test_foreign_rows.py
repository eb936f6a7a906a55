"""Whoever can write a row of the database neither removes a folder nor runs a file on the machines of the workers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from search.contract import SearchError
from search.database.optuna_tables import STUDY_ATTRIBUTES
from search.database.tables import FILES, LEASES
from search.studies.objective_file import is_shipped
from search.studies.study import ATTRIBUTE, all_studies, find
from search.studies.study_files import files_of
from tests.commands import LIGHT, search
from tests.faults import check, new_study, storage_at
from tests.test_cli import a_study
from tests.test_worker import work

CLOSED = {"number": 0, "state": "complete", "trial_id": None}


@pytest.mark.parametrize("key", ["..", "../victim", ".", "", "victim", "/victim"])
def test_a_lease_of_a_study_that_never_was_removes_nothing(sqlite_url: str, tmp_path: Path, key: str) -> None:
    study = new_study(sqlite_url, budget=1, epochs=2)
    for folder in (tmp_path / "victim", tmp_path / "work" / "victim"):
        folder.mkdir(parents=True)
        (folder / "thesis.tex").write_text("five years")
    key = key.replace("/victim", str(tmp_path / "victim")) if key == "/victim" else key
    with storage_at(sqlite_url).engine.begin() as connection:
        connection.execute(sa.insert(LEASES).values(study_key=key[:36], **CLOSED))
        connection.execute(
            sa.insert(FILES).values(
                study_key=key[:36], number=0, kind="log", name="../victim/thesis.tex", sha256="", size=1, created=0.0
            )
        )
    work(sqlite_url, study, tmp_path)
    assert check(sqlite_url, study, 1) == []
    assert len(list(tmp_path.rglob("thesis.tex"))) == 2
    assert len(storage_at(sqlite_url).leases.rows(key[:36])) == 1, "nothing is done for it"


def test_a_record_that_names_a_file_outside_removes_nothing(sqlite_url: str, tmp_path: Path) -> None:
    """In place of one that is to be replaced."""
    study = new_study(sqlite_url, budget=1, epochs=2)
    mine = tmp_path / "thesis.tex"
    mine.write_text("five years")
    files_of(storage_at(sqlite_url), study)
    row = {"study_key": study.key, "number": 0, "name": "../thesis.tex", "sha256": "", "size": 1, "created": 0.0}
    with storage_at(sqlite_url).engine.begin() as connection:
        connection.execute(sa.insert(FILES).values([{**row, "kind": "log"}, {**row, "kind": "model", "value": 0.0}]))
    work(sqlite_url, study, tmp_path)
    assert check(sqlite_url, study, 1) == [] and mine.read_text() == "five years"


@pytest.mark.parametrize("change", [{"key": "../victim"}, {"seed": "x"}, {"definition": []}, {"objective": None}])
def test_a_record_of_a_study_that_is_none_of_ours_is_no_study(sqlite_url: str, change: dict[str, Any]) -> None:
    study = new_study(sqlite_url)
    engine = storage_at(sqlite_url).engine
    with engine.begin() as connection:
        own = (STUDY_ATTRIBUTES.c.study_id == study.study_id, STUDY_ATTRIBUTES.c.key == ATTRIBUTE)
        stored = json.loads(connection.execute(sa.select(STUDY_ATTRIBUTES.c.value_json).where(*own)).scalar_one())
        changed = sa.update(STUDY_ATTRIBUTES).where(*own).values(value_json=json.dumps(stored | change))
        connection.execute(changed)
    assert all_studies(engine) == [] and find(engine, study.name) is None


def test_a_source_is_unpacked_nowhere_else(sqlite_url: str, tmp_path: Path) -> None:
    study = new_study(sqlite_url)
    source = {"study": "x", "trial": 0, "refit": False, "sha256": "/../../../out"}
    engine = storage_at(sqlite_url).engine
    with engine.begin() as connection:
        own = (STUDY_ATTRIBUTES.c.study_id == study.study_id, STUDY_ATTRIBUTES.c.key == ATTRIBUTE)
        stored = json.loads(connection.execute(sa.select(STUDY_ATTRIBUTES.c.value_json).where(*own)).scalar_one())
        stored["definition"]["source"] = source
        connection.execute(sa.update(STUDY_ATTRIBUTES).where(*own).values(value_json=json.dumps(stored)))
    changed = find(engine, study.name)
    assert changed is not None
    with pytest.raises(SearchError, match=r"does not lie below .*so it is left alone"):
        work(sqlite_url, changed, tmp_path)


def test_a_file_that_only_the_database_names_is_not_run(sqlite_url: str, tmp_path: Path) -> None:
    """Unless the study is named, or every row trusted; a shipped objective is."""
    ran, spy = tmp_path / "ran", tmp_path / "spy.py"
    spy.write_text(Path(LIGHT).read_text())
    a_study(sqlite_url, LIGHT, "mine")
    a_study(sqlite_url, str(spy), "spied")
    spy.write_text(spy.read_text() + f"\nPath({str(ran)!r}).touch()\n")

    refused = search(tmp_path, "worker")
    assert refused.status == 1 and not ran.exists()
    assert "without spied: the database says to run " in refused.out
    assert "Name the study: make worker STUDY=spied, or trust every row: TRUST=1" in refused.out
    named = search(tmp_path, "worker", "mine")
    assert (named.status, named.err) == (0, "")
    trusted = search(tmp_path, "worker", "--trust")
    assert (trusted.status, trusted.err) == (0, "") and ran.exists()


@pytest.mark.parametrize("name", ["../tests/light", "training/fit", "data.cifar", "", "__init__", "/cnn_digits"])
def test_a_path_is_no_objective_of_ours(name: str) -> None:
    assert is_shipped("cnn_digits") and not is_shipped(name)
