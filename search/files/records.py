"""What a study's trials left: a row a file, the bytes in a store.

The order is always store, then record, so that what is recorded is there; what was stored and never recorded is swept.
Optuna's artifact records cannot be removed from a finished trial, hence a table of our own over a store with the three
methods of Optuna's artifact stores.
"""

from __future__ import annotations

import re
import secrets
import shutil
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, BinaryIO, Unpack

import sqlalchemy as sa

from search.database.engine import durably
from search.database.leases import Entry, Lease, Leases
from search.database.tables import FILES, clock
from search.errors import SearchError
from search.files.packing import chunks, packed, unpack
from search.files.packing import digest as digest_of
from search.files.paths import below
from search.files.stores import Between, FileStore, nothing
from search.rules import keeping
from search.settings import KEPT_MODELS
from search.trial_run import FOLDER_SUFFIX

CHECKPOINT, CHECKPOINT_BEFORE = "checkpoint", "checkpoint before"
"""Kinds: of a running trial two are kept, as the newest may be gone or damaged."""
_OURS = re.compile(r"[^/]+/(?:(?P<number>[0-9]{1,9})/[a-z]+-(?P<token>[0-9]{1,9})-[0-9]+|study/[a-z]+-)[^/]*")
"""Names that are given here. What else lies in a store, such as ``.nfs…`` or ``.DS_Store``, is somebody else's."""
_SHOWN = [column for column in FILES.columns if column.name != "place"]
"""What there was from the first schema on: who only reads upgrades nothing."""
OF_THE_STUDY = -1
"""The number under which a study keeps what belongs to none of its leases."""


class Files:
    """What a study's trials left, recorded: kinds ``checkpoint``, ``model``, ``log``, ``source``."""

    def __init__(
        self,
        engine: sa.Engine,
        store: FileStore,
        leases: Leases,
        *,
        maximize: bool = True,
    ) -> None:
        self.store = store
        self._engine, self._leases = engine, leases
        self._maximize = maximize
        self.between: Between = nothing
        """Called between pieces of a transfer, so that a long one lets no lease run out."""

    def keep(
        self,
        lease: Lease,
        kind: str,
        path: Path,
        *,
        step: int | None = None,
        value: float | None = None,
        **entry: Unpack[Entry],
    ) -> None:
        """Stores a file or a folder (as a tar) and records it in place of the lease's last one of that kind.

        Of checkpoints the one before stays too. What it replaces goes when its own record is durable. The record is
        fenced by the lease, which gets ``entry`` in the same transaction. Raises LeaseLost, OSError.
        """
        # A name is written once: what is recorded under another stays whole until the record of this one is durable.
        name = f"{lease.study_key}/{lease.number}/{kind}-{lease.token}-{step or 0}-{secrets.token_hex(4)}{path.suffix}"
        with closing(packed(path)) as content:
            digest, size = digest_of(content), content.tell()
            content.seek(0)
            self.store.write(name, content, self.between)
        row = {"name": name, "step": step, "value": value, "sha256": digest, "size": size, "place": self.store.place}
        with durably(self._engine) as connection:
            self._leases.prove(connection, lease, **entry)
            before = _make_way(connection, lease.study_key, lease.number, kind, step)
            _record(connection, lease.study_key, lease.number, kind, row)
        if before is not None:
            self.store.remove(before)

    def drop(self, lease: Lease, kind: str) -> None:
        """Removes the lease's one of that kind, if there is one. Raises LeaseLost."""
        with durably(self._engine) as connection:
            self._leases.prove(connection, lease)
            before = _take_out(connection, lease.study_key, lease.number, kind)
        if before is not None:
            self.store.remove(before)

    def checkpoints(self, study_key: str, number: int) -> list[sa.Row[Any]]:
        """The records of a trial's stored checkpoints, newest first."""
        found = (self.find(study_key, number, kind) for kind in (CHECKPOINT, CHECKPOINT_BEFORE))
        return sorted((one for one in found if one is not None), key=lambda one: one.step, reverse=True)

    def keep_for_study(self, study_key: str, kind: str, content: BinaryIO) -> str:
        """What belongs to the study and to none of its leases, such as its copy of a source. Returns its SHA-256."""
        digest, size = digest_of(content), content.tell()
        content.seek(0)
        name = f"{study_key}/study/{kind}-{digest[:16]}-{secrets.token_hex(4)}"
        self.store.write(name, content, nothing)
        with self._engine.begin() as connection:
            row = {"name": name, "sha256": digest, "size": size, "place": self.store.place}
            before = _take_out(connection, study_key, OF_THE_STUDY, kind)
            _record(connection, study_key, OF_THE_STUDY, kind, row)
        if before is not None:
            self.store.remove(before)
        return digest

    def of_kind(self, study_key: str, prefix: str) -> list[sa.Row[Any]]:
        """Records whose kind begins so, oldest first."""
        query = sa.select(*_SHOWN).where(FILES.c.study_key == study_key, FILES.c.kind.startswith(prefix))
        with self._engine.connect() as connection:
            return list(connection.execute(query.order_by(FILES.c.created)))

    def find(self, study_key: str, number: int, kind: str) -> sa.Row[Any] | None:
        """The record, or None."""
        own = (FILES.c.study_key == study_key, FILES.c.number == number, FILES.c.kind == kind)
        with self._engine.connect() as connection:
            return connection.execute(sa.select(*_SHOWN).where(*own)).first()

    def open(self, record: sa.Row[Any]) -> BinaryIO:
        """The bytes as they were stored. SearchError where they are not in the store."""
        try:
            return self.store.open_reader(record.name, self.between)
        except FileNotFoundError:
            where = f" from {self.store.folder}" if self.store.folder else ""
            raise SearchError(
                f"the stored {record.kind} {record.name} is gone{where}. Restore it, or say where it is: FILES=FOLDER"
            ) from None

    def fetch(self, record: sa.Row[Any], target: Path) -> Path:
        """A stored file at ``target``, a stored folder in it. SearchError where the content is not what was stored."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with self.open(record) as content:
            if digest_of(content) != record.sha256:
                raise SearchError(
                    f"the stored {record.kind} {record.name} is damaged: its checksum is not {record.sha256[:12]}…. "
                    "Restore the files' folder or the database from a backup."
                )
            content.seek(0)
            part = target.with_name(target.name + ".part")
            if record.kind not in {CHECKPOINT, CHECKPOINT_BEFORE, "log"}:
                unpack(content, target)
            elif record.name.endswith(FOLDER_SUFFIX):
                for old in (part, target):  # of who was killed at this, or fetched it before
                    shutil.rmtree(old, ignore_errors=True)
                part.mkdir()  # one may be empty
                unpack(content, part)
                part.replace(target)
            else:
                with part.open("wb") as file:
                    for chunk in chunks(content):
                        file.write(chunk)
                        self.between()
                part.replace(target)
        return target

    def is_worth_keeping(self, study_key: str, number: int, value: float) -> bool:
        """Whether a model of this value would be one of the best that are kept, whatever this lease has kept before."""
        with self._engine.connect() as connection:
            models = {**_models(connection, study_key), number: value}
        return number not in keeping.too_many(models, maximize=self._maximize, at_most=KEPT_MODELS)

    def sweep_lease(self, lease: Lease) -> None:
        """What a lease that is closed now leaves to be removed, and the model that its own has put out of the best."""
        own = (FILES.c.study_key == lease.study_key, FILES.c.number == lease.number)
        with self._engine.begin() as connection:
            models = _models(connection, lease.study_key)
            extra = keeping.too_many(models, maximize=self._maximize, at_most=KEPT_MODELS)
            gone = sa.or_(
                sa.and_(*own, FILES.c.kind.in_([CHECKPOINT, CHECKPOINT_BEFORE])),
                sa.and_(*own, FILES.c.kind == "model", FILES.c.number.in_(self._leases.unsuccessful(lease.study_key))),
                sa.and_(FILES.c.study_key == lease.study_key, FILES.c.kind == "model", FILES.c.number.in_(extra)),
            )
            removed = set(connection.execute(sa.delete(FILES).where(gone).returning(FILES.c.name)).scalars())
        # In this order: what is recorded by then is seen.
        stored = set(self.store.names(f"{lease.study_key}/{lease.number}/"))
        with self._engine.connect() as connection:
            recorded = set(connection.execute(sa.select(FILES.c.name).where(*own)).scalars())
        unrecorded = {name for name in stored - recorded if _OURS.fullmatch(name)}
        for name in removed | unrecorded:
            self.store.remove(name)

    def sweep(self, study_key: str) -> None:
        """Removes what nobody needs: models beyond the best, checkpoints of closed leases, files never recorded.

        Reads all that there is of a study: for who joins it.
        """
        with self._engine.begin() as connection:
            models = _models(connection, study_key)
            extra = keeping.too_many(models, maximize=self._maximize, at_most=KEPT_MODELS)
            connection.execute(
                sa.delete(FILES).where(
                    FILES.c.study_key == study_key,
                    sa.or_(
                        sa.and_(FILES.c.kind == "model", FILES.c.number.in_(extra)),
                        sa.and_(FILES.c.kind == "model", FILES.c.number.in_(self._leases.unsuccessful(study_key))),
                        sa.and_(
                            FILES.c.kind.in_([CHECKPOINT, CHECKPOINT_BEFORE]),
                            FILES.c.number.in_(self._leases.closed(study_key)),
                        ),
                    ),
                )
            )
        self._sweep_unrecorded(study_key)

    def _sweep_unrecorded(self, study_key: str) -> None:
        # In this order: what a lease that is closed by then has recorded is seen.
        names = set(self.store.names(f"{study_key}/"))
        tokens = self._leases.tokens(study_key)
        with self._engine.connect() as connection:
            recorded = set(connection.execute(sa.select(FILES.c.name).where(FILES.c.study_key == study_key)).scalars())
        for name in names - recorded:
            ours = _OURS.fullmatch(name)
            if ours is None or ours["number"] is None or int(ours["number"]) not in tokens:
                continue  # somebody else's; or the study's own: forgotten with it
            token, is_open = tokens[int(ours["number"])]
            # A file of the token that holds the lease may be on its way to being recorded.
            if not is_open or int(ours["token"]) < token:
                self.store.remove(name)

    def forget(self, study_key: str) -> None:
        """What lies in this store of a study that was deleted with Optuna's tools: first the files, then the records.

        So that what cannot be removed now is still on record.
        """
        for name in self.store.names(f"{study_key}/"):
            if _OURS.fullmatch(name):
                self.store.remove(name)
        if self.store.folder is not None:
            _remove_empty(below(self.store.folder, study_key))
        here = sa.or_(FILES.c.place == self.store.place, FILES.c.place.is_(None))
        with self._engine.begin() as connection:
            connection.execute(sa.delete(FILES).where(FILES.c.study_key == study_key, here))


def _remove_empty(folder: Path) -> None:
    """The folder and those in it, as far as nothing is left there."""
    for one in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        with suppress(OSError):
            one.rmdir()
    with suppress(OSError):
        folder.rmdir()


def study_keys(engine: sa.Engine, *, recorded_before: float) -> set[str]:
    """Of all studies that have old enough files on record, deleted ones too."""
    query = sa.select(FILES.c.study_key).where(FILES.c.created < recorded_before).distinct()
    with engine.connect() as connection:
        return set(connection.execute(query).scalars())


def recorded_names(engine: sa.Engine, study_key: str) -> list[str]:
    """What a study has in its store, logs left out: they are not missed."""
    query = sa.select(FILES.c.name).where(FILES.c.study_key == study_key, FILES.c.kind != "log")
    with engine.connect() as connection:
        return list(connection.execute(query).scalars())


def places(engine: sa.Engine, study_key: str) -> set[str]:
    """All where files of this study are on record."""
    query = sa.select(FILES.c.place).where(FILES.c.study_key == study_key, FILES.c.place.is_not(None)).distinct()
    with engine.connect() as connection:
        return set(connection.execute(query).scalars())


def _models(connection: sa.Connection, study_key: str) -> dict[int, float]:
    query = sa.select(FILES.c.number, FILES.c.value).where(
        FILES.c.study_key == study_key, FILES.c.kind == "model", FILES.c.value.is_not(None)
    )
    return {row.number: row.value for row in connection.execute(query)}


def _take_out(connection: sa.Connection, study_key: str, number: int, kind: str) -> str | None:
    own = (FILES.c.study_key == study_key, FILES.c.number == number, FILES.c.kind == kind)
    return connection.execute(sa.delete(FILES).where(*own).returning(FILES.c.name)).scalar_one_or_none()


def _make_way(connection: sa.Connection, study_key: str, number: int, kind: str, step: int | None) -> str | None:
    """Returns the name of what is not kept any longer. Of checkpoints the one before moves to a kind of its own."""
    if kind != CHECKPOINT:
        return _take_out(connection, study_key, number, kind)
    own = (FILES.c.study_key == study_key, FILES.c.number == number, FILES.c.kind == kind)
    if connection.execute(sa.select(FILES.c.step).where(*own)).scalar_one_or_none() == step:
        return _take_out(connection, study_key, number, kind)  # the same again: the answer to its record was lost
    gone = _take_out(connection, study_key, number, CHECKPOINT_BEFORE)
    connection.execute(sa.update(FILES).where(*own).values(kind=CHECKPOINT_BEFORE))
    return gone


def _record(connection: sa.Connection, study_key: str, number: int, kind: str, row: dict[str, Any]) -> None:
    own = {"study_key": study_key, "number": number, "kind": kind}
    connection.execute(sa.insert(FILES).values(**own, **row, created=clock()))
