"""Our own tables beside Optuna's, and the database's clock."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

SCHEMA_NUMBER = 4
METADATA = sa.MetaData()

SCHEMA = sa.Table("search_schema", METADATA, sa.Column("number", sa.Integer, primary_key=True))

LEASES = sa.Table(
    "leases",
    METADATA,
    sa.Column("study_key", sa.String(36), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("token", sa.Integer, nullable=False, server_default="0"),
    sa.Column("holder", sa.String(200)),
    sa.Column("host", sa.String(200)),
    sa.Column("expires", sa.Double, nullable=False, server_default="0"),
    sa.Column("trial_id", sa.Integer),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("state", sa.String(10), nullable=False, server_default="open"),
    sa.Column("epoch", sa.Integer, nullable=False, server_default="0"),
    sa.Column("repeated", sa.Integer, nullable=False, server_default="0"),
    sa.Column("resumed_from", sa.Text, nullable=False, server_default="[]"),
    sa.Column("seconds", sa.Double, nullable=False, server_default="0"),
    sa.Column("finished", sa.Double),
    # Since schema 2:
    sa.Column("nonce", sa.String(32), nullable=False, server_default=""),
    sa.Column("errors", sa.Integer, nullable=False, server_default="0"),
    sa.Column("judged", sa.Integer, nullable=False, server_default="0"),
    sa.Column("alone", sa.Integer, nullable=False, server_default="0"),
    sa.Column("avoid", sa.String(200)),
    sa.Column("retry_at", sa.Double, nullable=False, server_default="0"),
    # Since schema 3:
    sa.Column("trained", sa.Double, nullable=False, server_default="0"),
    sa.Column("memory", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("worker_memory", sa.BigInteger, nullable=False, server_default="0"),
    # Since schema 4:
    sa.Column("turned_down", sa.Integer, nullable=False, server_default="0"),
    sa.Column("seconds_before", sa.Double, nullable=False, server_default="0"),
    sa.UniqueConstraint("study_key", "trial_id"),
    comment="one row a unit of the budget: who may run it, until when",
)

# Claims and counts look at open leases only, however many are closed. Since schema 2.
_OPEN = LEASES.c.state == "open"
sa.Index("leases_open", LEASES.c.study_key, LEASES.c.number, sqlite_where=_OPEN, postgresql_where=_OPEN)

FILES = sa.Table(
    "files",
    METADATA,
    sa.Column("study_key", sa.String(36), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.String(40), primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("step", sa.Integer),
    sa.Column("value", sa.Double),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    # Since schema 2:
    sa.Column("place", sa.Text),
    comment="what is in the store: at most one checkpoint, model and log a lease",
)
sa.Index("files_of_a_kind", FILES.c.study_key, FILES.c.kind)  # since schema 2

WORKERS = sa.Table(  # since schema 2
    "workers",
    METADATA,
    sa.Column("study_key", sa.String(36), primary_key=True),
    sa.Column("holder", sa.String(200), primary_key=True),
    sa.Column("host", sa.String(200), nullable=False),
    sa.Column("seen", sa.Double, nullable=False),
    sa.Column("gave_up", sa.Text),
    comment="who takes part in a study, and why somebody left it to the others",
)

LOOKS = sa.Table(  # since schema 2
    "looks",
    METADATA,
    sa.Column("look", sa.String(32), primary_key=True),
    sa.Column("test_sha256", sa.String(64), nullable=False),
    sa.Column("model_sha256", sa.String(64), nullable=False),
    sa.Column("study_key", sa.String(36), nullable=False),
    sa.Column("study", sa.String(512), nullable=False),
    sa.Column("host", sa.String(200), nullable=False),
    sa.Column("taken", sa.Double, nullable=False),
    sa.Column("finished", sa.Double),
    comment="every look at a test set; outlives the study that took it",
)

CHUNKS = sa.Table(
    "chunks",
    METADATA,
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    comment="the store where no folder is shared: files in pieces",
)
# For names that begin so, whatever the database's collation. Since schema 2.
sa.Index("chunks_by_prefix", CHUNKS.c.name, postgresql_ops={"name": "varchar_pattern_ops"})


class clock(FunctionElement[float]):  # noqa: N801 - reads as an SQL function
    """Seconds since 1970 by the database's clock, at the statement and not at the transaction's begin."""

    type = sa.Double()
    inherit_cache = True


@compiles(clock, "postgresql")
def _postgresql(_element: clock, _compiler: Any, **_: Any) -> str:
    return "CAST(extract(epoch from clock_timestamp()) AS double precision)"


@compiles(clock, "sqlite")
def _sqlite(_element: clock, _compiler: Any, **_: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"
