"""What a user can cause and mend."""


class SearchError(Exception):
    """One line for a person: what happened, what was given, what to type next. Exit status 1, no traceback."""
