"""The TOML parser, kept from what takes it minutes.

tomli is what tomllib was taken from.  Its wheels are compiled, which halves the time, and it has limits of its own on
how deep values nest, on every Python that the project runs on.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from tomli import TOMLDecodeError
from tomli import loads as _loads

__all__ = ["TOMLDecodeError", "loads"]

# The time that a dotted key takes grows with the square of its parts: thousands of lines with hundreds take minutes.
# No key of ours has more than four.
_KEY_PARTS = 16
_DEEP_KEY = (
    r"""(?m)(?:^[ \t]*(?:\[{1,2}[ \t]*)?|[{,][ \t]*)(?:(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*)"""
    rf"{{{_KEY_PARTS}}}"
)
# The parser goes deeper; whatever walks its values, or notes where each stands, needs a limit too.
_LEVELS = 32
# A line that may hold such a key, at a twentieth of the time.  The first dots are spelled out, since most lines with a
# dot have fewer than these.
_MANY_DOTS = re.compile(rf"\.[^.\n]*\.[^.\n]*\.[^.\n]*(?:\.[^.\n]*){{{_KEY_PARTS - 4}}}\.")


class _DeepKeyError(TOMLDecodeError):
    """A key with too many parts; its text ends as that of the parser's own errors."""

    def __init__(self, text: str, at: int) -> None:
        line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
        ValueError.__init__(self, f"A key has more than {_KEY_PARTS} parts (at line {line}, column {column})")


_LARGE = 1 << 16  # characters from which on parsing takes longer than all else that a command does with a text


def loads(text: str) -> dict[str, Any]:
    """Parse a TOML document.

    Raises:
        TOMLDecodeError: it is not valid, or has a key that would take too long.
        ValueError: it holds a number with too many digits.
        RecursionError: its values are nested too deeply.
    """
    if len(text) < _LARGE:
        return _parsed(text)
    import pickle

    # Whoever asks changes what he gets.
    data: dict[str, Any] = pickle.loads(_kept(text))  # noqa: S301 - our own
    return data


@lru_cache(maxsize=2)
def _kept(text: str) -> bytes:
    """A document, for the next who asks: an edit is read by who looks a profile up, who edits and who checks."""
    import pickle

    return pickle.dumps(_parsed(text), pickle.HIGHEST_PROTOCOL)


def _parsed(text: str) -> dict[str, Any]:
    if _MANY_DOTS.search(text) and (deep := re.search(_DEEP_KEY, text)):
        raise _DeepKeyError(text, deep.start())
    data: dict[str, Any] = _loads(text)
    level: list[Any] = [data]
    for _ in range(_LEVELS):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return data
    raise RecursionError("nested too deeply")
