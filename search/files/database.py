"""The database itself, in pieces in the table ``chunks``: one URL is all that a new machine needs."""

from __future__ import annotations

import tempfile
from typing import BinaryIO

import sqlalchemy as sa

from search.database.tables import CHUNKS
from search.files.packing import CHUNK_BYTES, chunks
from search.files.stores import IN_DATABASE, Between, nothing


class Store:
    """Named bytes as rows of at most 4 MiB."""

    def __init__(self, _place: str, engine: sa.Engine) -> None:
        self.folder, self.place = None, IN_DATABASE
        self._engine = engine

    def prepare(self) -> None:
        """Its table is there with the others."""

    def is_there(self) -> bool:
        """Where the database is."""
        return True

    def open_reader(self, name: str, between: Between = nothing) -> BinaryIO:
        # A spooled copy: a reader that held a connection open would outlive the pool's patience.
        file = tempfile.SpooledTemporaryFile(max_size=CHUNK_BYTES)  # noqa: SIM115 - the caller closes it
        part = 0
        query = sa.select(CHUNKS.c.data).where(CHUNKS.c.name == name, CHUNKS.c.part == sa.bindparam("wanted"))
        with self._engine.connect() as connection:
            while (data := connection.execute(query, {"wanted": part}).scalar_one_or_none()) is not None:
                file.write(data)
                part += 1
                between()
        if part == 0:
            file.close()
            raise FileNotFoundError(name)
        file.seek(0)
        return file  # type: ignore[return-value]

    def write(self, name: str, content: BinaryIO, between: Between) -> None:
        for part, chunk in enumerate(chunks(content)):
            with self._engine.begin() as connection:
                connection.execute(sa.insert(CHUNKS).values(name=name, part=part, data=chunk))
            between()

    def remove(self, name: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(sa.delete(CHUNKS).where(CHUNKS.c.name == name))

    def names(self, prefix: str) -> list[str]:
        query = sa.select(CHUNKS.c.name).where(CHUNKS.c.name.startswith(prefix, autoescape=True)).distinct()
        with self._engine.connect() as connection:
            return list(connection.execute(query).scalars())
