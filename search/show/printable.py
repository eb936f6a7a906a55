"""Text from a database or a log, as it may be written to a terminal, which obeys what it is not meant to read."""

from __future__ import annotations

import unicodedata

_ESCAPED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode's categories of what is no sign: control and format characters, halves of pairs, ends of lines."""


def printable(text: str) -> str:
    r"""One line in which control characters are escaped: ``\x1b[2J``. A tab stays."""
    return "".join(_escaped(char) if unicodedata.category(char) in _ESCAPED and char != "\t" else char for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
