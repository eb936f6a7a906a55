"""Find the data files, or fetch them once, however many processes ask at the same time."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from objectives.data.cifar import Layout, missing
from search.contract import SearchError

SITE = "https://www.cs.toronto.edu/~kriz"
TRIES = 2
CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
ANSWER_SECONDS = 8.0
"""For all tries to reach the site: who has no internet is told so within 15 seconds, Keras's start included."""


def find_or_download(layout: Layout, data_dir: Path) -> None:
    """See to it that ``data_dir`` holds the data set's files, from SEARCH_DATA_URL or the official site if need be.

    Raises SearchError: at once where the folder is there but not whole, within 15 seconds where nothing is to be had.
    """
    folder = data_dir / layout.folder
    if folder.exists():  # asked first: another process's download may end between any two lines
        absent = ", ".join(path.name for path in missing(layout, data_dir))
        if not absent:
            return
        raise SearchError(f"{folder} lacks {absent}: put it there, or remove the folder to download {layout.archive}")
    url = f"{os.environ.get('SEARCH_DATA_URL', SITE).rstrip('/')}/{layout.archive}"
    reason = _unreachable(url)
    if reason:
        raise _nothing(layout, data_dir, url, reason)
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SearchError(
            f"no {layout.title} in {data_dir}, which cannot be made ({error.strerror}): set DATA_DIR"
        ) from error
    try:
        with _one_at_a_time(data_dir / ".download.lock"):
            if missing(layout, data_dir):
                _fetch(layout, data_dir, url)
    except (OSError, ValueError, tarfile.TarError) as error:  # ValueError: another checksum
        raise _nothing(layout, data_dir, url, str(error)) from error


def _fetch(layout: Layout, data_dir: Path, url: str) -> None:
    """Download beside the place where the folder is to be, then rename: it is whole or not there."""
    import pooch  # noqa: PLC0415 - what is already there needs no downloader

    for left_over in data_dir.glob(".download-*"):  # of a process that was killed: we hold the lock
        shutil.rmtree(left_over, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=data_dir) as name:
        print(f"downloading {url} to {data_dir}", file=sys.stderr, flush=True)
        pooch.get_logger().setLevel("WARNING")
        archive = pooch.create(
            path=name,
            base_url="",
            registry={layout.archive: f"md5:{layout.md5}"},
            urls={layout.archive: url},
            retry_if_failed=TRIES - 1,
        ).fetch(
            layout.archive,
            downloader=pooch.HTTPDownloader(
                progressbar=_Progress(layout.archive), chunk_size=1 << 16, timeout=(CONNECT_SECONDS, READ_SECONDS)
            ),
        )
        with tarfile.open(archive) as tar:
            # Python before 3.11.4 knows no filter; the archive's checksum was verified.
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            tar.extractall(Path(name) / "content")  # noqa: S202
        (Path(name) / "content" / layout.folder).rename(data_dir / layout.folder)
    if missing(layout, data_dir):
        raise FileNotFoundError(f"{layout.archive} does not hold {missing(layout, data_dir)[0].name}")


class _Progress:
    """What pooch takes as a progress bar: a line for each tenth, as whoever waits may be reading a log."""

    def __init__(self, name: str) -> None:
        self.name, self.total, self._done, self._said = name, 0, 0, 0

    def update(self, amount: int) -> None:
        self._done += amount
        tenths = 10 * self._done // max(self.total, 1)
        if tenths > self._said:
            self._said = tenths
            print(f"downloading {self.name}: {10 * tenths} %", file=sys.stderr, flush=True)

    def reset(self) -> None:
        self._done = self._said = 0

    def close(self) -> None:
        """Nothing is held."""


def _unreachable(url: str) -> str | None:
    """Why nothing answers at ``url``, or None. Ends in time even where the name server does not answer."""
    reason: str | None = "no answer"
    last = time.monotonic() + ANSWER_SECONDS
    for attempt in range(TRIES):
        time.sleep(attempt / 2)
        answers: list[str | None] = []
        thread = threading.Thread(target=lambda found=answers: found.append(_head(url)), daemon=True)
        thread.start()
        thread.join(min(CONNECT_SECONDS, last - time.monotonic()))
        reason = answers[0] if answers else f"no answer in {ANSWER_SECONDS:.0f} s"
        if reason is None:
            return None
    return reason


def _head(url: str) -> str | None:
    try:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - the scheme is ours or the user's own
        with urllib.request.urlopen(request, timeout=CONNECT_SECONDS):  # noqa: S310
            return None
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code} {error.reason}"
    except urllib.error.URLError as error:
        return str(error.reason)
    except (OSError, ValueError) as error:
        return str(error)


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _nothing(layout: Layout, data_dir: Path, url: str, reason: str) -> SearchError:
    files = ", ".join((*layout.train, *layout.test))
    return SearchError(
        f"no {layout.title} in {data_dir}, and {url} cannot be had ({' '.join(reason.split())}): put {files} into "
        f"{data_dir / layout.folder}, or set DATA_DIR or SEARCH_DATA_URL; STUDY=cnn_digits needs no download"
    )
