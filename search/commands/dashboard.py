"""``dashboard``: optuna-dashboard for this storage, read-only, until Ctrl-C."""

from __future__ import annotations

import argparse

from search.commands import options as typed
from search.database.engine import open_readonly
from search.files.artifacts import ArtifactStore
from search.files.stores import reading_store
from search.show.dashboard import serve


def run(parsed: argparse.Namespace) -> int:
    """Exit status."""
    url = typed.storage(parsed)
    serve(
        url,
        artifacts=ArtifactStore(reading_store(typed.files(parsed), open_readonly(url))),
        host=parsed.host,
        port=parsed.port,
        announce=lambda address: print(f"watch {address} (Ctrl-C ends)", flush=True),
    )
    return 0
