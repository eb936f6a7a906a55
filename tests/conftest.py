"""What many tests need: databases that are really there, and an environment that is nobody's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.postgres import Postgres


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A storage or a data folder that the person at the keyboard has set is not for tests to touch."""
    for name in ("SEARCH_STORAGE", "SEARCH_DATA_DIR", "SEARCH_FILES", "SEARCH_DATA_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SEARCH_BY_MAKE", "make")  # what is said is said as it is typed there
    monkeypatch.setenv("SEARCH_CHILDREN", "1")  # the tests' own processes share the cores already


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The one real PostgreSQL of this test run; see ``tests/postgres.py``."""
    from tests.postgres import Postgres

    server = Postgres()
    yield server
    server.remove()


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """A fresh database in it: ``postgresql://user:password@127.0.0.1:port/name``."""
    url = postgres.create_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'studies.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def storage_url(request: pytest.FixtureRequest) -> str:
    """The same test on both databases."""
    return str(request.getfixturevalue({"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]))
