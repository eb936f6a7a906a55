"""The dashboard is asked over HTTP, on a study that plain Optuna made."""

from __future__ import annotations

import hashlib
import http.client
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa

from search.contract import SearchError
from search.show.dashboard import read_only, readonly_storage, serve

SERVE = """
import sys
from search.show.dashboard import serve
serve(sys.argv[1], port=0, announce=lambda address: print(address, flush=True))
"""


def make_study(url: str, trials: int = 5) -> optuna.Study:
    study = optuna.create_study(study_name="looked_at", storage=url.replace("postgresql:", "postgresql+psycopg:"))
    study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=trials)
    return study


def ask(port: int, path: str, method: str = "GET", body: Any = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    text = None if body is None else json.dumps(body)
    connection.request(method, path, text, {"Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_served_to_be_read_by_its_own_name(storage_url: str) -> None:
    study = make_study(storage_url)
    with subprocess.Popen([sys.executable, "-c", SERVE, storage_url], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:")
            port = int(address.rpartition(":")[2])
            shows_studies_and_keeps_up(study, port)
            changes_nothing(study, port)
            answers_to_its_own_name_only(port)
        finally:
            server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0
    with pytest.raises(optuna.exceptions.StorageInternalError) as refused:
        readonly_storage(storage_url).set_study_user_attr(study._study_id, "touched", True)
    assert "read" in str(refused.value.__cause__) and "only" in str(refused.value.__cause__)


def shows_studies_and_keeps_up(study: optuna.Study, port: int) -> None:
    status, page = ask(port, "/dashboard")
    assert status == 200 and b"<html" in page.lower()
    status, script = ask(port, "/static/bundle.js")
    assert status == 200 and len(script) > 100_000
    status, answer = ask(port, "/api/studies")
    assert status == 200
    assert [s["study_name"] for s in json.loads(answer)["study_summaries"]] == ["looked_at"]
    study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=2)
    status, answer = ask(port, f"/api/studies/{study._study_id}")
    assert status == 200
    assert [trial["number"] for trial in json.loads(answer)["trials"]] == list(range(7))
    assert ask(port, f"/csv/{study._study_id}")[0] == 200


def changes_nothing(study: optuna.Study, port: int) -> None:
    running = study.ask()
    attempts = [
        ("DELETE", f"/api/studies/{study._study_id}", {}),
        ("POST", f"/api/trials/{running._trial_id}/tell", {"state": "fail"}),
        ("POST", f"/api/studies/{study._study_id}/rename", {"study_name": "other"}),
        ("POST", "/api/studies", {"study_name": "new", "directions": ["minimize"]}),
        ("PUT", f"/api/studies/{study._study_id}/note", {"version": 1, "body": "scribble"}),
        ("POST", "/incompatible-rdb-schema", {}),
    ]
    assert [ask(port, path, method, body)[0] for method, path, body in attempts] == [405] * len(attempts)
    assert [trial.state.name for trial in study.get_trials()] == ["COMPLETE"] * 7 + ["RUNNING"]
    assert optuna.get_all_study_names(study._storage) == ["looked_at"]


def answers_to_its_own_name_only(port: int) -> None:
    assert ask(port, "/api/studies", Host="rebound.example")[0] == 403
    assert ask(port, "/api/studies", Host=f"rebound.example:{port}")[0] == 403
    assert ask(port, "/api/studies", Host="localhost:9999")[0] == 200, "through a tunnel with another port"


@pytest.mark.parametrize(
    ("told", "header", "allowed"),
    [
        ("127.0.0.1", "localhost", True),
        ("127.0.0.1", "[::1]:8080", True),
        ("127.0.0.1", "", False),
        ("127.0.0.1", "10.0.0.7:8080", False),
        ("127.0.0.1", "localhost.rebound.example", False),
        ("node7", "NODE7:8080", True),
        ("0.0.0.0", "10.0.0.7:8080", True),  # noqa: S104
        ("0.0.0.0", socket.gethostname(), True),  # noqa: S104
        ("::", "rebound.example", False),
    ],
)
def test_whose_name(told: str, header: str, allowed: bool) -> None:
    answered: list[str] = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return []

    environ = {"HTTP_HOST": header, "REQUEST_METHOD": "GET"}
    list(read_only(application, told)(environ, lambda status, _headers: answered.append(status)))  # type: ignore[arg-type]
    assert answered == ["200 OK" if allowed else "403 Forbidden"]


def test_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "with {braces} and %20?"
    folder.mkdir()
    file = folder / "studies.db.example"
    make_study(sa.URL.create("sqlite", database=str(file)).render_as_string())
    before = hashlib.sha256(file.read_bytes()).digest(), file.stat().st_mtime_ns
    storage = readonly_storage(f"sqlite:///{str(file).replace('%', '%25').replace('?', '%3F')}")
    assert len(storage.get_all_trials(storage.get_study_id_from_name("looked_at"))) == 5
    assert (hashlib.sha256(file.read_bytes()).digest(), file.stat().st_mtime_ns) == before
    assert list(folder.iterdir()) == [file]


def test_says_what_to_type_next(tmp_path: Path, sqlite_url: str) -> None:
    with pytest.raises(SearchError, match="make search"):
        serve(sqlite_url, announce=print)
    make_study(sqlite_url, trials=1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            SearchError, match=rf"port {port} .* is taken. Type another: make dashboard PORT={port + 1}"
        ):
            serve(sqlite_url, port=port, announce=print)
    with pytest.raises(SearchError, match=r"cannot listen on no\.such\.host\.invalid"):
        serve(sqlite_url, host="no.such.host.invalid", announce=print)
