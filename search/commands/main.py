"""Parses, calls the command's module, exits. What a user can mend is one line and status 1; a bug is a traceback."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from search.commands.parser import parse
from search.errors import SearchError
from search.show.printable import printable
from search.show.typed import as_called


def main(arguments: Sequence[str] | None = None) -> int:
    """``search``, or ``python -m search``; returns the exit status."""
    parsed = parse(arguments)
    spoken = as_called(parsed).spoken
    if "" not in sys.path:  # somebody's own sampler may lie where the command is typed
        sys.path.insert(0, "")
    try:
        # Only the one that was typed: --help answers at once.
        return int(importlib.import_module(f"search.commands.{parsed.command}").run(parsed))
    except SearchError as error:
        print(f"search: {printable(spoken(str(error)))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("search: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:
        from search.database.errors import lost  # noqa: PLC0415

        if (line := lost(error)) is None:
            raise  # a bug
        print(f"search: {printable(spoken(line))}", file=sys.stderr)
        return 1
