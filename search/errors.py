"""What a user can cause and mend."""

import difflib
from collections.abc import Sequence


class SearchError(Exception):
    """One line for a person: what happened, what was given, what to type next. Exit status 1, no traceback."""


class UnsupportedError(SearchError):
    """An objective asks for what Optuna has and this service has not: its study stops, on whatever machine."""


def unknown_study(name: str, names: Sequence[str]) -> SearchError:
    """For a study that is not there: the nearest name that is, else how to create it."""
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Create it: make search STUDY={name} OBJECTIVE=…"
    return SearchError(f"there is no study {name!r} in this database (there: {', '.join(names) or 'none yet'}). {hint}")
