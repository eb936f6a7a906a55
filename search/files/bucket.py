"""What stores in buckets have in common: Optuna's artifact stores write and read, behind names of ours.

A transfer runs in a thread of its own, so that meanwhile no lease runs out.
"""

from __future__ import annotations

import contextlib
import errno
import io
import tempfile
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, BinaryIO, TypeVar

import sqlalchemy as sa

from search.errors import SearchError
from search.files.packing import CHUNK_BYTES, chunks
from search.files.stores import MARK, Between, nothing
from search.rules.failures import first_line

_TURN = 1.0
"""Seconds between two looks at a transfer."""
T = TypeVar("T")


class BucketStore:
    """Below ``SCHEME://BUCKET/PREFIX``. Errors of the network and the service are OSErrors."""

    folder = None

    def __init__(self, place: str, _engine: sa.Engine) -> None:
        self.place = place.rstrip("/")
        _, _, rest = self.place.partition("://")
        self._bucket, _, prefix = rest.partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        if not self._bucket:
            raise SearchError(f"{place!r} names no bucket. Give one: {place.partition('://')[0]}://BUCKET/PREFIX")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Optuna's, that some of them are new
                self._artifacts, self._failures = self.connected(self._bucket)
        except SearchError:
            raise
        except Exception as error:  # credentials, profiles, regions: whatever its library finds wrong with them
            raise self._unusable(error) from error

    def connected(self, bucket: str) -> tuple[Any, tuple[type[Exception], ...]]:
        """Optuna's artifact store of this bucket, and what its library raises. SearchError where that is missing."""
        raise NotImplementedError

    def listed(self, bucket: str, prefix: str) -> Iterator[str]:
        """The names of what lies there and begins so."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Marks it. SearchError where it cannot be written."""
        try:
            self.write(MARK, io.BytesIO(b"search\n"), nothing)
        except OSError as error:
            raise self._unusable(error) from None

    def is_there(self) -> bool:
        """Whether it bears the mark: an empty bucket of the same name elsewhere does not."""
        try:
            self.open_reader(MARK).close()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._unusable(error) from None
        return True

    def _unusable(self, error: Exception) -> SearchError:
        why = (getattr(error, "strerror", None) or first_line(error) or type(error).__name__).rstrip(".")
        return SearchError(f"files cannot be kept at {self.place}: {why}. Mend that, or give another: FILES=PLACE")

    def open_reader(self, name: str, between: Between = nothing) -> BinaryIO:
        def read() -> BinaryIO:
            # A spooled copy, as who reads it begins anew once the checksum is known.
            file = tempfile.SpooledTemporaryFile(max_size=CHUNK_BYTES)  # noqa: SIM115 - the caller closes it
            with contextlib.closing(self._artifacts.open_reader(self._prefix + name)) as content:
                for chunk in chunks(content):
                    file.write(chunk)
            file.seek(0)
            return file  # type: ignore[return-value]

        return self._transferred(read, between)

    def write(self, name: str, content: BinaryIO, between: Between) -> None:
        self._transferred(lambda: self._artifacts.write(self._prefix + name, content), between)

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError), self._as_os_errors():
            self._artifacts.remove(self._prefix + name)

    def names(self, prefix: str) -> list[str]:
        with self._as_os_errors():
            return [one.removeprefix(self._prefix) for one in self.listed(self._bucket, self._prefix + prefix)]

    def _transferred(self, transfer: Callable[[], T], between: Between) -> T:
        with self._as_os_errors(), ThreadPoolExecutor(1) as pool:
            future: Future[T] = pool.submit(transfer)
            while not future.done():
                with contextlib.suppress(TimeoutError):
                    future.exception(_TURN)
                between()
            return future.result()

    @contextlib.contextmanager
    def _as_os_errors(self) -> Iterator[None]:
        from optuna.artifacts.exceptions import ArtifactNotFound  # noqa: PLC0415 - with Optuna, a second

        try:
            yield
        except ArtifactNotFound as error:
            raise FileNotFoundError(errno.ENOENT, str(error)) from None
        except self._failures as error:
            raise OSError(errno.EIO, first_line(error)) from error


def needs(library: str, extra: str) -> SearchError:
    """For who has not installed what a store is made of."""
    return SearchError(f"FILES={extra}://… needs {library}, which is not installed. Type: pip install {library}")
