"""FILES in object storage: S3 as moto's server speaks it, and Google's as gcp-storage-emulator does, over HTTP."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from search.database.engine import open_readonly
from search.show import status
from tests.commands import LIGHT, ROOT, first_epoch, until
from tests.integration.environment import FOLDER, PYTHON

pytestmark = pytest.mark.integration

S3 = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_DEFAULT_REGION": "us-east-1"}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def served(folder: Path, *command: str, url: str) -> Iterator[None]:
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:

            def answers() -> bool:
                assert process.poll() is None, (folder / "server.log").read_text()
                try:
                    urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - ours, on this machine
                except urllib.error.HTTPError:
                    return True
                except OSError:
                    return False
                return True

            until("the server answers", answers)
            yield
        finally:
            process.kill()
            process.wait()


def run_python(code: str, environment: dict[str, str]) -> str:
    """With the environment that has the libraries."""
    done = subprocess.run(
        [str(PYTHON), "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(params=["s3", "gs"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """``SCHEME://BUCKET/PREFIX``, and the environment in which its libraries find the server."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    if request.param == "s3":
        command = [str(FOLDER / "bin" / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
        environment = {**S3, "AWS_ENDPOINT_URL": url}
        make = "import boto3; boto3.client('s3').create_bucket(Bucket='trials')"
    else:
        command = [str(FOLDER / "bin" / "gcp-storage-emulator"), "start", "--host", "127.0.0.1", "--port", str(port)]
        command.append("--in-memory")
        environment = {"STORAGE_EMULATOR_HOST": url}
        make = "from google.cloud import storage; storage.Client().create_bucket('trials')"
    with served(tmp_path, *command, url=url):
        run_python(make, environment)
        yield f"{request.param}://trials/of/mine", environment


def search_there(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PYTHON), "-m", "search", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_store_keeps_what_it_is_given(bucket: tuple[str, dict[str, str]]) -> None:
    place, environment = bucket
    code = f"""
import io, json, sys
from search.files.stores import reading_store
store, beats = reading_store({place!r}, None), []
assert store.place == {place!r} and not store.is_there() and store.names("") == []
store.prepare()
assert store.is_there() and store.names("") == [".search-files"]
large = bytes(range(256)) * 40_000
store.write("a/1/model-1", io.BytesIO(large), lambda: beats.append(1))
store.write("a/2/model-1", io.BytesIO(b""), lambda: None)
store.write("b/1/model-1", io.BytesIO(b"x"), lambda: None)
with store.open_reader("a/1/model-1") as content:
    assert content.read() == large
    content.seek(0)
    assert content.read(3) == large[:3]
assert store.open_reader("a/2/model-1").read() == b"" and beats
assert sorted(store.names("a/")) == ["a/1/model-1", "a/2/model-1"]
store.remove("a/1/model-1")
store.remove("a/1/model-1")
assert store.names("a/") == ["a/2/model-1"]
try:
    store.open_reader("a/1/model-1")
except FileNotFoundError:
    print("gone")
"""
    assert run_python(code, environment) == "gone\n"


def test_a_killed_trial_goes_on_elsewhere_from_its_bucket(bucket: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    """Another machine is another folder: it finds checkpoint and model in the bucket alone."""
    place, environment = bucket
    url = f"sqlite:///{tmp_path}/studies.db"
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
    slow = {"LIGHT_PAUSE": "0.15", "SEARCH_STORAGE": url, "SEARCH_CHILDREN": "1", **environment}
    asked = ["run", "light", "--objective", LIGHT, "--epochs", "30", "--trials", "1", "--lease", "2s", "--files", place]

    command = [str(PYTHON), "-m", "search", *asked]
    with subprocess.Popen(command, cwd=one, env={**os.environ, "PYTHONPATH": str(ROOT), **slow}) as process:
        until("six epochs", lambda: first_epoch(url, "light") >= 6)
        process.send_signal(signal.SIGKILL)
    fast = {name: value for name, value in slow.items() if name != "LIGHT_PAUSE"}
    began = time.monotonic()
    done = search_there(other, "run", "light", "--lease", "2s", **fast)
    assert (done.returncode, done.stderr) == (0, ""), time.monotonic() - began
    (lease,) = status.study(open_readonly(url), "light")["leases"]
    assert lease["state"] == "complete" and lease["resumed_from"][0] >= 1
    assert json.loads((other / "exports" / "light" / "report.json").read_text())["test_openings"] == 1
    assert (other / "exports" / "light" / "model.json").is_file()
    deleted = search_there(other, "delete", "light", **fast)
    assert deleted.returncode == 0, deleted.stderr
    code = f"from search.files.stores import reading_store; print(reading_store({place!r}, None).names(''))"
    left = run_python(code, environment)
    assert left == "['.search-files']\n"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("s3://nosuchbucket/x", "files cannot be kept at s3://nosuchbucket/x: "),
        ("s3://", "'s3://' names no bucket. Give one: s3://BUCKET/PREFIX"),
        ("ftp://x/y", "files cannot be kept at 'ftp://x/y'. Give a folder, s3://BUCKET/PREFIX"),
    ],
)
def test_what_cannot_be_kept_there_is_one_line_and_makes_no_study(tmp_path: Path, place: str, said: str) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with served(tmp_path, str(FOLDER / "bin" / "moto_server"), "-H", "127.0.0.1", "-p", str(port), url=url):
        asked = ("run", "light", "--objective", LIGHT, "--files", place)
        refused = search_there(tmp_path, *asked, **S3, AWS_ENDPOINT_URL=url)
    assert refused.returncode == 1 and said in refused.stderr and refused.stderr.count("\n") == 1, refused.stderr
    assert status.studies(open_readonly(f"sqlite:///{tmp_path}/studies.db")) == []
