"""Checkpoints, models and logs: in a folder beside a SQLite file, in pieces inside PostgreSQL, or in a folder named.

The order is always store, then record, so that what is recorded is there; what was stored and never recorded is swept.
Optuna's artifact records cannot be removed from a finished trial, hence a table of our own over a store with the three
methods of Optuna's artifact stores.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import sqlalchemy as sa

from search.errors import SearchError
from search.leases import Lease, LeaseTable
from search.storage import IN_DATABASE, without_secrets
from search.tables import CHUNKS, FILES, LEASES, clock

CHUNK_BYTES = 4 << 20
LOG_LINES = 40
KEPT_MODELS = 3
OF_THE_STUDY = -1
"""The number under which a study keeps what belongs to none of its leases."""

Beat = Callable[[], None]


def _no_beat() -> None:
    """For who holds no lease."""


class Store(Protocol):
    """Named bytes. Names look like paths; a name is written once. Errors are OSError or SQLAlchemy's."""

    def open_reader(self, name: str, beat: Beat = ...) -> BinaryIO: ...
    def write(self, name: str, content: BinaryIO, beat: Beat) -> None: ...
    def remove(self, name: str) -> None: ...
    def names(self, prefix: str) -> list[str]: ...


class FolderStore:
    """Files below a folder, each written under a temporary name and renamed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open_reader(self, name: str, beat: Beat = _no_beat) -> BinaryIO:  # noqa: ARG002 - opening takes no time
        return (self.folder / name).open("rb")

    def write(self, name: str, content: BinaryIO, beat: Beat) -> None:
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        try:
            with part.open("wb") as file:
                for chunk in _chunks(content):
                    file.write(chunk)
                    beat()
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        except OSError:
            part.unlink(missing_ok=True)
            raise

    def remove(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)

    def names(self, prefix: str) -> list[str]:
        base = self.folder / prefix
        return [path.relative_to(self.folder).as_posix() for path in base.rglob("*") if path.is_file()]


class DatabaseStore:
    """Files in pieces in the table ``chunks``: one URL is all that a new machine needs."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def open_reader(self, name: str, beat: Beat = _no_beat) -> BinaryIO:
        # A spooled copy: a reader that held a connection open would outlive the pool's patience.
        file = tempfile.SpooledTemporaryFile(max_size=CHUNK_BYTES)  # noqa: SIM115 - the caller closes it
        part = 0
        query = sa.select(CHUNKS.c.data).where(CHUNKS.c.name == name, CHUNKS.c.part == sa.bindparam("wanted"))
        with self._engine.connect() as connection:
            while (data := connection.execute(query, {"wanted": part}).scalar_one_or_none()) is not None:
                file.write(data)
                part += 1
                beat()
        if part == 0:
            file.close()
            raise FileNotFoundError(name)
        file.seek(0)
        return file  # type: ignore[return-value]

    def write(self, name: str, content: BinaryIO, beat: Beat) -> None:
        self.remove(name)
        for part, chunk in enumerate(_chunks(content)):
            with self._engine.begin() as connection:
                connection.execute(sa.insert(CHUNKS).values(name=name, part=part, data=chunk))
            beat()

    def remove(self, name: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(sa.delete(CHUNKS).where(CHUNKS.c.name == name))

    def names(self, prefix: str) -> list[str]:
        query = sa.select(CHUNKS.c.name).where(CHUNKS.c.name.startswith(prefix, autoescape=True)).distinct()
        with self._engine.connect() as connection:
            return list(connection.execute(query).scalars())


def _chunks(content: BinaryIO) -> Iterator[bytes]:
    empty = True
    while chunk := content.read(CHUNK_BYTES):
        empty = False
        yield chunk
    if empty:
        yield b""


def store_at(place: str, engine: sa.Engine) -> Store:
    """``database`` or a folder that can be made and written. SearchError otherwise."""
    if place == IN_DATABASE:
        return DatabaseStore(engine)
    if "://" in place:
        raise SearchError(f"files cannot be kept at {without_secrets(place)!r}. Give a folder, or {IN_DATABASE!r}.")
    folder = Path(place).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".writable-"):
            pass
    except OSError as error:
        raise SearchError(f"files cannot be kept in {folder}: {error.strerror}. Give another folder: --files") from None
    return FolderStore(folder)


def reading_store(place: str, engine: sa.Engine) -> Store:
    """The same for those who only read: nothing is made or tried out."""
    return DatabaseStore(engine) if place == IN_DATABASE else FolderStore(Path(place).absolute())


class Files:
    """What a study's trials left, recorded: kinds ``checkpoint``, ``model``, ``log``, ``source``."""

    def __init__(self, engine: sa.Engine, store: Store, leases: LeaseTable, *, maximize: bool = True) -> None:
        self._engine = engine
        self.store = store
        self._leases = leases
        self._maximize = maximize
        self.beat: Beat = _no_beat
        """Called between pieces of a transfer, so that a long one lets no lease run out."""

    def keep(
        self,
        lease: Lease,
        kind: str,
        path: Path,
        *,
        step: int | None = None,
        value: float | None = None,
        **columns: Any,
    ) -> None:
        """Stores a file or a folder (as a tar) and records it in place of the lease's last one of that kind.

        The record is fenced by the lease, whose ``columns`` are set in the same transaction. Raises LeaseLost, OSError.
        """
        name = f"{lease.study_key}/{lease.number}/{kind}-{lease.token}-{step or 0}{path.suffix}"
        with closing(packed(path)) as content:
            digest, size = _digest(content), content.tell()
            content.seek(0)
            self.store.write(name, content, self.beat)
        row = {"name": name, "step": step, "value": value, "sha256": digest, "size": size}
        with self._engine.begin() as connection:
            self._leases.renew_in(connection, lease, **columns)
            before = _record(connection, lease.study_key, lease.number, kind, row)
        if before is not None and before != name:
            self.store.remove(before)

    def keep_for_study(self, study_key: str, kind: str, content: BinaryIO) -> str:
        """What belongs to the study and to none of its leases, such as its copy of a source. Returns its SHA-256."""
        digest, size = _digest(content), content.tell()
        content.seek(0)
        name = f"{study_key}/study/{kind}-{digest[:16]}"
        self.store.write(name, content, lambda: None)
        with self._engine.begin() as connection:
            row = {"name": name, "sha256": digest, "size": size}
            before = _record(connection, study_key, OF_THE_STUDY, kind, row)
        if before is not None and before != name:
            self.store.remove(before)
        return digest

    def of_kind(self, study_key: str, prefix: str) -> list[sa.Row[Any]]:
        """Records whose kind begins so, oldest first."""
        query = sa.select(FILES).where(FILES.c.study_key == study_key, FILES.c.kind.startswith(prefix))
        with self._engine.connect() as connection:
            return list(connection.execute(query.order_by(FILES.c.created)))

    def find(self, study_key: str, number: int, kind: str) -> sa.Row[Any] | None:
        """The record, or None."""
        own = (FILES.c.study_key == study_key, FILES.c.number == number, FILES.c.kind == kind)
        with self._engine.connect() as connection:
            return connection.execute(sa.select(FILES).where(*own)).first()

    def open(self, record: sa.Row[Any]) -> BinaryIO:
        """The bytes as they were stored. SearchError where they are not in the store."""
        try:
            return self.store.open_reader(record.name, self.beat)
        except FileNotFoundError:
            where = f" from {self.store.folder}" if isinstance(self.store, FolderStore) else ""
            raise SearchError(
                f"the stored {record.kind} {record.name} is gone{where}. Restore it, or say where it is: --files"
            ) from None

    def fetch(self, record: sa.Row[Any], target: Path) -> Path:
        """A stored file at ``target``, a stored folder in it. SearchError where the content is not what was stored."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with self.open(record) as content:
            if _digest(content) != record.sha256:
                raise SearchError(
                    f"the stored {record.kind} {record.name} is damaged: its checksum is not {record.sha256[:12]}…. "
                    "Restore the files' folder or the database from a backup."
                )
            content.seek(0)
            if record.kind not in {"checkpoint", "log"}:
                with tarfile.open(fileobj=content) as tar:
                    # Python before 3.11.4 knows no filter; what is unpacked was packed by us, and its checksum holds.
                    tar.extraction_filter = getattr(tarfile, "data_filter", None)
                    tar.extractall(target)  # noqa: S202
                for path in target.rglob("*"):
                    os.utime(path)  # packed without times
            else:
                part = target.with_name(target.name + ".part")
                with part.open("wb") as file:
                    for chunk in _chunks(content):
                        file.write(chunk)
                        self.beat()
                part.replace(target)
        return target

    def worth_keeping(self, study_key: str, value: float) -> bool:
        """Whether a model of this value would be one of the best that are kept."""
        better = FILES.c.value >= value if self._maximize else FILES.c.value <= value
        query = sa.select(sa.func.count()).where(FILES.c.study_key == study_key, FILES.c.kind == "model", better)
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one()) < KEPT_MODELS

    def sweep(self, study_key: str) -> None:
        """Removes what nobody needs: models beyond the best, checkpoints of closed leases, files never recorded."""
        order = FILES.c.value.desc() if self._maximize else FILES.c.value.asc()
        models = (
            sa.select(FILES.c.number)
            .where(FILES.c.study_key == study_key, FILES.c.kind == "model")
            .order_by(order, FILES.c.number)
            .offset(KEPT_MODELS)
        )
        if self._engine.name == "sqlite":
            models = models.limit(-1)
        closed = sa.select(LEASES.c.number).where(LEASES.c.study_key == study_key, LEASES.c.state != "open")
        with self._engine.begin() as connection:
            extra = list(connection.execute(models).scalars())
            connection.execute(
                sa.delete(FILES).where(
                    FILES.c.study_key == study_key,
                    sa.or_(
                        sa.and_(FILES.c.kind == "model", FILES.c.number.in_(extra)),
                        sa.and_(FILES.c.kind == "checkpoint", FILES.c.number.in_(closed)),
                    ),
                )
            )
        self._sweep_unrecorded(study_key)

    def _sweep_unrecorded(self, study_key: str) -> None:
        with self._engine.connect() as connection:
            # In this order: what a lease that is closed by then has recorded is seen.
            names = set(self.store.names(f"{study_key}/"))
            tokens = sa.select(LEASES.c.number, LEASES.c.token, LEASES.c.state).where(LEASES.c.study_key == study_key)
            leases = {str(row.number): row for row in connection.execute(tokens)}
            recorded = set(connection.execute(sa.select(FILES.c.name).where(FILES.c.study_key == study_key)).scalars())
        for name in names - recorded:
            _, number, file = name.split("/", 2)
            lease = leases.get(number)
            # A file of the token that holds the lease may be on its way to being recorded.
            if lease is not None and (lease.state != "open" or int(file.split("-")[1]) < lease.token):
                self.store.remove(name)

    def forget(self, study_key: str) -> None:
        """For a study that was deleted with Optuna's tools."""
        with self._engine.begin() as connection:
            connection.execute(sa.delete(FILES).where(FILES.c.study_key == study_key))
        for name in self.store.names(f"{study_key}/"):
            self.store.remove(name)


def packed(path: Path) -> BinaryIO:
    """A file as it is, a folder as a tar without times or owners, so that equal content has an equal checksum."""
    if path.is_file():
        return path.open("rb")
    file = tempfile.SpooledTemporaryFile(max_size=64 << 20)  # noqa: SIM115 - the caller closes it
    with tarfile.open(fileobj=file, mode="w") as tar:
        for member in sorted(path.rglob("*")):
            if member.is_file():
                info = tarfile.TarInfo(member.relative_to(path).as_posix())
                info.size = member.stat().st_size
                with member.open("rb") as content:
                    tar.addfile(info, content)
    file.seek(0)
    return file  # type: ignore[return-value]


def _digest(content: BinaryIO) -> str:
    return hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]


def _record(connection: sa.Connection, study_key: str, number: int, kind: str, row: dict[str, Any]) -> str | None:
    own = {"study_key": study_key, "number": number, "kind": kind}
    is_own = [FILES.c[column] == value for column, value in own.items()]
    before = connection.execute(sa.delete(FILES).where(*is_own).returning(FILES.c.name)).scalar_one_or_none()
    connection.execute(sa.insert(FILES).values(**own, **row, created=clock()))
    return before
