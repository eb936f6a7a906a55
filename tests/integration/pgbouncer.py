"""Debian's PgBouncer in transaction mode in front of a test's PostgreSQL: each transaction on another connection."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg

from tests.commands import until
from tests.integration.system import program
from tests.postgres import PASSWORD, USER, free_port

_SETTINGS = """\
[databases]
* = host=127.0.0.1 port={server}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 200
auth_type = scram-sha-256
auth_file = {folder}/users
admin_users = {user}
ignore_startup_parameters = {ignored}
"""
# It ends when this process does, however that ends: the pipe to the shell breaks.
_WATCHED = '"$@" >"$0/log" 2>&1 & pid=$!; cat >/dev/null; kill -TERM $pid; wait $pid; exit 0'


class PgBouncer:
    """One on 127.0.0.1. ``size``: connections to the server, for all clients of a database together."""

    def __init__(self, server: int, *, size: int = 3, mode: str = "transaction", ignored: str = "") -> None:
        found = program("pgbouncer")
        assert found is not None, "there is no pgbouncer. Type: make integration"
        self.folder, self.port, self._server = Path(tempfile.mkdtemp(prefix="search-pgbouncer-")), free_port(), server
        (self.folder / "users").write_text(f'"{USER}" "{PASSWORD}"\n')
        settings = self.folder / "pgbouncer.ini"
        settings.write_text(
            _SETTINGS.format(
                server=server, port=self.port, mode=mode, size=size, folder=self.folder, user=USER, ignored=ignored
            )
        )
        user = "nobody" if os.geteuid() == 0 else None  # as root it does not start
        if user is not None:
            shutil.chown(self.folder, user)
        self._watcher = subprocess.Popen(
            ["sh", "-c", _WATCHED, str(self.folder), found, str(settings)], stdin=subprocess.PIPE, user=user, cwd="/"
        )
        until("PgBouncer answers", self._answers, seconds=30)

    def url(self, direct: str) -> str:
        """The way through it to the same database."""
        return direct.replace(f":{self._server}/", f":{self.port}/")

    def server_connections(self, database: str) -> int:
        """How many it holds to the server for this database."""
        with psycopg.connect(**self._administrator(), autocommit=True, prepare_threshold=None) as connection:  # type: ignore[arg-type]
            cursor = psycopg.ClientCursor(connection)
            found = cursor.execute("SHOW SERVERS").fetchall()
            names = [column.name for column in cursor.description or ()]
        return sum(row[names.index("database")] == database for row in found)

    def remove(self) -> None:
        """Ends it and deletes what it wrote."""
        assert self._watcher.stdin is not None
        self._watcher.stdin.close()
        self._watcher.wait(30)
        shutil.rmtree(self.folder)

    def _administrator(self) -> dict[str, object]:
        return {"host": "127.0.0.1", "port": self.port, "user": USER, "password": PASSWORD, "dbname": "pgbouncer"}

    def _answers(self) -> bool:
        assert self._watcher.poll() is None, (self.folder / "log").read_text()
        try:
            self.server_connections("")
        except psycopg.OperationalError:
            return False
        return True
