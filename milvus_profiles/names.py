"""What an alias is, and the nearest of the right names for one that is not.

No shell, file or table gives any character of an alias a meaning.  Completion asks here on every press of the tab key,
so the errors are imported where they are raised.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from .text import numbered

ALIAS_PATTERN = "[A-Za-z0-9]+(?:[-_.][A-Za-z0-9]+)*"
ALIAS_LONGEST = 64
"""Characters of an alias at most."""

_ALIAS = re.compile(ALIAS_PATTERN)
_FOLD = str.maketrans("-.", "__")


def fold_alias(alias: str) -> str:
    """The form in which aliases are compared: lower case, with ``-``, ``_`` and ``.`` equal."""
    return alias.lower().translate(_FOLD)


def alias_of(given: Any) -> str:
    """The alias that a caller means: a text, or what has one, a profile or a connection.

    Raises:
        ParamError: it is something else.
    """
    alias = given if isinstance(given, str) else getattr(given, "alias", None)
    if isinstance(alias, str):
        return alias
    from .errors import ParamError

    raise ParamError(f"an alias or a Profile is wanted, not a value of the type {type(given).__name__}")


def seconds_of(name: str, given: Any) -> float:
    """The seconds that a caller gave.

    Args:
        name: of the argument.
        given: what it got.

    Raises:
        ParamError: it is no number.
    """
    if hasattr(given, "__float__") and not isinstance(given, bool):
        try:
            seconds = float(given)
        except (TypeError, ValueError, OverflowError):  # an array, or an integer of a thousand digits
            seconds = float("nan")
        if seconds == seconds:
            return seconds
    from .errors import ParamError

    raise ParamError(f"{name} is a number of seconds, not a value of the type {type(given).__name__}")


def is_alias(text: str) -> bool:
    """Whether a text may be an alias."""
    return len(text) <= ALIAS_LONGEST and _ALIAS.fullmatch(text) is not None


def check_alias(alias: str) -> str:
    """Return the alias if it is one.

    Raises:
        ConfigError: not ASCII letters, digits, ``-``, ``_``, ``.``, up to 64, first and last a letter or digit, no two
            separators in a row.
    """
    if is_alias(alias):
        return alias
    from .errors import ConfigError
    from .masked import as_given

    raise ConfigError(
        f"{as_given(alias)!r} is not a valid alias{foreign_letter(alias)}"
        if len(alias) <= ALIAS_LONGEST
        else "the alias is longer than 64 characters",
        hint="use ASCII letters, digits and single '-', '_' or '.' between them, 64 characters at most",
    )


def foreign_letter(text: str) -> str:
    """What the first character is that no alias has, for the end of a message: it may look like one that has a place.

    Empty where there is none, or where it does not print and is seen in the message as it is.
    """
    char = next((char for char in text if not char.isascii() and char.isprintable()), None)
    if char is None:
        return ""
    return f": {char!r} is {numbered(char)}"


_WORD_MAX = 100  # longer than any name here; comparing takes time that grows with the product of the lengths
_NEIGHBOURS = 32
_ANSWERS = 100


class Nearest:
    """Names among which the nearest to misspelled words are looked up.

    difflib takes seconds for tens of thousands of names.  A typing error leaves one end of a name alone, so that the
    name stands near the word in the alphabet, read forwards or backwards; only those neighbours are compared.  Whoever
    misspells more than a hundred words gets no more suggestions: a file can hold tens of thousands of mistakes.

    Args:
        candidates: what could have been meant.
    """

    def __init__(self, candidates: Iterable[str]) -> None:
        self._names = {c.casefold(): c for c in candidates if len(c) <= _WORD_MAX}
        self._answers: dict[str, str | None] = {}

    @cached_property
    def _orders(self) -> tuple[list[str], list[str]]:
        return sorted(self._names), sorted(name[::-1] for name in self._names)

    def to(self, word: str, *, other: bool = False) -> str | None:
        """The nearest name, or None when none is near.

        Args:
            word: what was written.
            other: whether the word is one of the names, and another one is wanted.
        """
        if len(word) > _WORD_MAX:
            return None
        if word not in self._answers:
            if len(self._answers) >= _ANSWERS:
                return None
            self._answers[word] = self._find(word.casefold(), other)
        return self._answers[word]

    def _find(self, word: str, other: bool) -> str | None:
        near: Iterable[str] = self._names
        if len(self._names) > 8 * _NEIGHBOURS:
            forwards, backwards = self._orders
            near = {*_around(forwards, word), *(name[::-1] for name in _around(backwards, word[::-1]))}
        if other:
            near = [name for name in near if name != word]
        try:
            from difflib import get_close_matches  # takes as long as all else that reading a profile imports
        except (ImportError, OSError):  # as where no file descriptor is left; the hint is not what is wrong
            return None
        best = get_close_matches(word, near, n=1, cutoff=0.6)
        return self._names[best[0]] if best else None


def _around(names: list[str], word: str) -> list[str]:
    """The names that stand next to a word in the order of a list."""
    at = bisect_left(names, word)
    return names[max(0, at - _NEIGHBOURS) : at + _NEIGHBOURS + 1]


def some(names: Sequence[str], number: int | None = None) -> str:
    """The first eight of many names, and how many more there are.

    Args:
        names: fit for a message; nine of them are enough.
        number: how many there are in all; None: as many as these.
    """
    number = len(names) if number is None else number
    return ", ".join(names[:8]) + (f" and {number - 8} more" if number > 8 else "")


def suggest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate nearest to a misspelled word, or None when none is near.

    Args:
        word: what was written.
        candidates: what could have been meant.
    """
    return Nearest(candidates).to(word)


def no_attribute(module: str, name: str, names: Iterable[str]) -> AttributeError:
    """The error of a module that has no such name, with the nearest that it has.

    Args:
        module: its name.
        name: what was asked for.
        names: its public names.
    """
    near = None if name.startswith("_") else suggest(name, names)
    said = f"module {module!r} has no attribute {name!r}" + (f"; did you mean {near!r}?" if near else "")
    # Without the module, by which the interpreter would add a suggestion of its own.
    return AttributeError(said, name=name)


# How other clients call a field of a profile, or an argument of `connect`.
_OTHER_WORDS = {
    "database": "db_name",
    "db": "db_name",
    "dbname": "db_name",
    "profile": "alias",
    "name": "alias",
    "address": "uri",
    "url": "uri",
    "endpoint": "uri",
    "username": "user",
    "api_key": "token",
    "apikey": "token",
    "secure": "ssl",
    "tls": "ssl",
    "ca_pem_path": "ssl",
    "server_pem_path": "ssl",
}


def suggest_field(word: str, candidates: Iterable[str]) -> str | None:
    """As :func:`suggest`, for the name of a field: what other clients call it is known, too.

    Args:
        word: what was written.
        candidates: what could have been meant.
    """
    known = (*candidates,)
    other = _OTHER_WORDS.get(word.lower().replace("-", "_"))
    return other if other in known else suggest(word, known)
