"""Where a study's files lie, and what a store is: a module of this folder with a class ``Store``, found by its scheme.

``FILES=/a/folder`` is ``folder.py``, ``FILES=database`` is ``database.py``, ``FILES=s3://…`` is ``s3.py``.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Callable, Collection
from pathlib import Path
from typing import BinaryIO, Protocol

import sqlalchemy as sa

from search.database.url import without_secrets
from search.errors import SearchError

IN_DATABASE = "database"
MARK = ".search-files"
"""The file by which a folder or a bucket is known."""

Between = Callable[[], None]
"""Called between pieces of a transfer, so that a long one lets no lease run out."""


def nothing() -> None:
    """For who holds no lease."""


class FileStore(Protocol):
    """Named bytes. Names look like paths; a name is written once. Errors are OSError or SQLAlchemy's."""

    folder: Path | None
    """Where a person may look for them."""
    place: str
    """What FILES would say to find them again."""

    def prepare(self) -> None:
        """Makes sure that it can be written. SearchError otherwise."""

    def is_there(self) -> bool:
        """False where it is not what it was: a share that is not mounted on this machine."""

    def open_reader(self, name: str, between: Between = ...) -> BinaryIO: ...
    def write(self, name: str, content: BinaryIO, between: Between) -> None: ...
    def remove(self, name: str) -> None: ...
    def names(self, prefix: str) -> list[str]: ...


def default_place(url: sa.URL) -> str:
    """Where files go unless somebody says: a folder beside a SQLite file, else the database itself."""
    if url.get_backend_name() == "sqlite":
        return f"{Path(str(url.database)).absolute()}.files"
    return IN_DATABASE


def shared_place(files: str | None) -> str | None:
    """What FILES says, as every machine understands it."""
    return files if files is None or files == IN_DATABASE or "://" in files else str(Path(files).resolve())


def store_at(place: str | None, engine: sa.Engine) -> FileStore:
    """The store at this place, made where it is new and ready to be written; None: the database's default.

    SearchError where it cannot be.
    """
    store = reading_store(place, engine)
    store.prepare()
    return store


def store_again(place: str | None, engine: sa.Engine, names: Collection[str], *, is_known: bool) -> FileStore:
    """The store at this place, which has files of these names. SearchError where it is another one or not there.

    ``is_known``: it was made when its study was, whatever is in it.
    """
    store = reading_store(place, engine)
    if (names or is_known) and not store.is_there() and not _any_there(store, names):
        raise not_there(store)
    store.prepare()
    return store


def not_there(store: FileStore) -> SearchError:
    """For a share that is not mounted, say: what it holds is needed, so that nobody begins anew without it."""
    if store.folder is None:
        return SearchError(
            f"the files are not at {store.place}: nothing there bears the mark {MARK}. Restore it, or say where they "
            "are: FILES=PLACE"
        )
    mark = f"mkdir -p {store.folder} && touch {store.folder}/{MARK}"
    return SearchError(
        f"the files are not at {store.folder} on this machine, or it is not the folder that they were stored in. "
        f"Mount it, or say where it is: FILES=FOLDER. If it is lost for good: {mark}"
    )


def _any_there(store: FileStore, names: Collection[str]) -> bool:
    """Of a folder from before it was marked."""
    for name in names:
        with contextlib.suppress(OSError, SearchError):
            store.open_reader(name).close()
            return True
    return False


def reading_store(place: str | None, engine: sa.Engine) -> FileStore:
    """The same for those who only read: nothing is made or tried out."""
    place = place or default_place(engine.url)
    scheme = place.partition("://")[0] if "://" in place else IN_DATABASE if place == IN_DATABASE else "folder"
    name = f"search.files.{scheme}"
    found = scheme.isidentifier() and importlib.util.find_spec(name) is not None
    kind = getattr(importlib.import_module(name), "Store", None) if found else None
    if kind is None:
        raise SearchError(
            f"files cannot be kept at {without_secrets(place)!r}. Give a folder, s3://BUCKET/PREFIX, "
            f"gs://BUCKET/PREFIX, or {IN_DATABASE!r}."
        )
    store: FileStore = kind(place, engine)
    return store
