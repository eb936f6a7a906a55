"""A way to a server that can fall silent: ``python -m tests.proxy PORT [TEXT]`` listens on a port of its own.

Told ``silence`` it swallows everything, both ways, on connections that stay open and on new ones, while the kernel
acknowledges each byte; told ``forward`` it serves new connections again, and those that were silenced stay so. TEXT is
blanked out in what goes to the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator

from tests.commands import ROOT


class Proxy:
    """One in a process of its own, seen from a test."""

    def __init__(self, port: int, blank: str = "") -> None:
        command = [sys.executable, "-m", "tests.proxy", str(port), blank]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._server_port = port
        self.port = int(self._answer())

    def url(self, direct: str) -> str:
        """The way through it to the same database."""
        return direct.replace(f":{self._server_port}/", f":{self.port}/")

    def tell(self, word: str) -> None:
        """``silence`` or ``forward``; in force on return."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        assert self._answer() == word

    def remove(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextlib.contextmanager
def proxy_to(url: str, blank: str = "") -> Iterator[Proxy]:
    """In front of this URL's server."""
    proxy = Proxy(int(url.rpartition("/")[0].rpartition(":")[2]), blank)
    try:
        yield proxy
    finally:
        proxy.remove()


class _Switch:
    """Whether all is silent now; ``turns`` counts how often that has changed."""

    silent = False
    turns = 0


async def _serve(port: int, blank: bytes) -> None:
    switch, kept = _Switch(), set()

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter, begun: int, *, up: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(1 << 16):
                if begun == switch.turns and not switch.silent:
                    target.write(data.replace(blank, b" " * len(blank)) if up and blank else data)
                    await target.drain()
        if begun == switch.turns:
            target.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun = switch.turns
        there, to = await asyncio.open_connection("127.0.0.1", port)
        both = pump(reader, to, begun, up=True), pump(there, writer, begun, up=False)
        kept.add(asyncio.gather(*both))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        switch.silent, switch.turns = line.strip() == b"silence", switch.turns + 1
        print(line.decode().strip(), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2].encode()))
