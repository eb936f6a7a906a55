"""optuna-dashboard for one storage, to be looked at: nothing that a browser sends can change a study.

optuna-dashboard by itself has neither users nor a read-only mode, and its own command reads every trial again at each
poll. Here the database is opened read-only, only GET and HEAD get through, and Optuna's cache stands in between.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import optuna

from search.database.storage import open_readonly_storage
from search.errors import SearchError
from search.settings import HOST, PORT

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from optuna.artifacts._protocol import ArtifactStore
    from optuna.storages import BaseStorage

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_THREADS = 4  # each with a connection


def serve(
    url: str,
    *,
    host: str = HOST,
    port: int = PORT,
    artifacts: ArtifactStore | None = None,
    announce: Callable[[str], None],
) -> None:
    """Serves the dashboard until Ctrl-C; ``announce`` is called with its address once connections are accepted.

    Port 0 takes a free one. SearchError where there is no such database or the port cannot be had.
    """
    import waitress  # type: ignore[import-untyped]  # noqa: PLC0415 - only this command needs a server

    application = read_only(_dashboard(readonly_storage(url), artifacts), host)
    try:
        server = waitress.create_server(application, host=host, port=port, threads=_THREADS)
    except (OSError, ValueError) as error:  # ValueError: waitress's own word for a host that is no address
        raise SearchError(_refused(error, host, port)) from None
    try:
        announce(f"http://{_in_url(host)}:{server.effective_port}")
        server.run()  # returns at Ctrl-C
    finally:
        server.close()


def readonly_storage(url: str) -> BaseStorage:
    """Optuna's cached storage over connections on which the database refuses to write."""
    return optuna.storages.get_storage(open_readonly_storage(url, _THREADS))


def read_only(application: WSGIApplication, host: str) -> WSGIApplication:
    """``application`` behind two checks: nothing but reading, and no page of a stranger's that reads through us.

    A stranger's name can be made to point at 127.0.0.1 (DNS rebinding); the browser still sends that name as Host.
    """

    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not _is_ours(environ.get("HTTP_HOST", ""), host):
            text = "This dashboard answers to its own address only; to give it a name: --host NAME"
            return _refuse(start_response, "403 Forbidden", text)
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return _refuse(
                start_response, "405 Method Not Allowed", "This dashboard is read-only.", ("Allow", "GET, HEAD")
            )
        environ.setdefault("HTTP_ACCEPT_ENCODING", "")  # optuna-dashboard fails where a client leaves it out
        return application(environ, start_response)

    return guarded


def _dashboard(storage: BaseStorage, artifacts: ArtifactStore | None) -> WSGIApplication:
    import optuna_dashboard  # type: ignore[import-untyped]  # noqa: PLC0415 - half a second

    application: WSGIApplication = optuna_dashboard.wsgi(storage, artifact_store=artifacts)
    return application


def _is_ours(header: str, host: str) -> bool:
    name = header.rsplit(":", 1)[0] if not header.endswith("]") else header
    name = name.strip("[]").lower()
    if name in _LOCAL or name == host.lower():
        return True
    if not _is_address(host) or not ipaddress.ip_address(host).is_unspecified:
        return False
    # Told to listen everywhere: an address cannot be rebound, and this machine's name is its own.
    return _is_address(name) or name == socket.gethostname().lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _refuse(start_response: StartResponse, status: str, text: str, *headers: tuple[str, str]) -> list[bytes]:
    body = f"{text}\n".encode()
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), *headers])
    return [body]


def _refused(error: Exception, host: str, port: int) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken. Type another: make dashboard PORT={port + 1}"
    if isinstance(error, OSError) and error.errno == errno.EACCES:
        return f"port {port} is the system's. Type another: make dashboard PORT={PORT}"
    return f"cannot listen on {host}, port {port}: {error}. Leave --host out for {HOST}."


__all__ = ["read_only", "readonly_storage", "serve"]
