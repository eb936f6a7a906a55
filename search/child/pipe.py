"""The socket between a worker and its child."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from search.child.protocol import Message, Unreadable, decode, encode

LONGEST = 1 << 26
"""Bytes of a line. Who writes more without an end to it writes something else than messages."""


class Pipe:
    """One end. Sending blocks while the other end's buffer is full, which a reading thread there prevents."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._rest = bytearray()

    def fileno(self) -> int:
        """For ``select``."""
        return self._socket.fileno()

    def send(self, message: Message) -> None:
        """Raises OSError where the other end is gone."""
        self._socket.sendall(encode(message))

    def messages(self) -> Iterator[Message]:
        """All messages until the other end is gone; waits for each."""
        while True:
            batch = self.available()
            if batch is None:
                return
            yield from batch

    def available(self) -> list[Message] | None:
        """What one read brings, perhaps nothing whole; None at the end. Waits unless ``select`` says it is readable."""
        try:
            data = self._socket.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        if not data:
            return None
        self._rest += data  # in place: a long line comes in many pieces
        lines: list[bytearray] = []
        if b"\n" in data:
            *lines, self._rest = self._rest.split(b"\n")
        messages = [decode(bytes(line)) for line in lines]
        if len(self._rest) > LONGEST:
            self._rest = bytearray()
            messages.append(Unreadable(f"wrote a line of more than {LONGEST} bytes into its pipe"))
        return messages

    def close(self) -> None:
        """The other end reads its end of file."""
        self._socket.close()
