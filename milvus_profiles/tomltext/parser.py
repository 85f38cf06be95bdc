"""The TOML parser, kept from what takes it minutes.

tomli is what tomllib was taken from.  Its wheels are compiled, which halves the time, and it has limits of its own on
how deep values nest, on every Python that the project runs on.
"""

from __future__ import annotations

import marshal
import re
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from typing import Any

from tomli import TOMLDecodeError as TOMLDecodeError
from tomli import loads as _loads

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
    data: dict[str, Any]
    if kept := _kept(text):
        data = marshal.loads(kept[0])  # noqa: S302 - our own; whoever asks changes what he gets
    else:
        data = _parsed(text)
        with suppress(ValueError):  # of dates, which it does not take
            kept.append(marshal.dumps(data))
    return data


@lru_cache(maxsize=2)
def _kept(text: str) -> list[bytes]:  # noqa: ARG001
    """Where a document stays for the next who asks: an edit is read by who looks a profile up, edits and checks."""
    return []


def _parsed(text: str) -> dict[str, Any]:
    dots = text.count(".")
    if dots > _KEY_PARTS and _MANY_DOTS.search(text) and (deep := re.search(_DEEP_KEY, text)):
        raise _DeepKeyError(text, deep.start())
    data: dict[str, Any] = _loads(text)
    if text.count("[") + text.count("{") + dots < _LEVELS:
        return data  # each level below the first takes one of these
    tables: list[dict[str, Any]] = [data]
    arrays: list[list[Any]] = []
    for _ in range(_LEVELS):
        inner = [*chain.from_iterable(map(dict.values, tables)), *chain.from_iterable(arrays)]
        tables = [value for value in inner if type(value) is dict]
        arrays = [value for value in inner if type(value) is list]
        if not tables and not arrays:
            return data
    raise RecursionError("nested too deeply")
