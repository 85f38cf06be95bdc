"""What an alias is: so little that no shell, file or table gives any of its characters a meaning.

Completion asks here on every press of the tab key, so the errors are imported where they are raised.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["ALIAS_LONGEST", "ALIAS_PATTERN", "alias_of", "check_alias", "fold_alias", "foreign_letter", "is_alias"]

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

    raise ConfigError(
        f"{alias!r} is not a valid alias{foreign_letter(alias)}"
        if len(alias) <= ALIAS_LONGEST
        else "the alias is longer than 64 characters",
        hint="use ASCII letters, digits and single '-', '_' or '.' between them, 64 characters at most",
    )


def foreign_letter(text: str) -> str:
    """What the first character is that no alias has, for the end of a message: it may look like one that has a place.

    Empty where there is none, or where it does not print and is seen in the message as it is.
    """
    import unicodedata

    char = next((char for char in text if not char.isascii() and char.isprintable()), None)
    if char is None:
        return ""
    return f": {char!r} is U+{ord(char):04X} ({unicodedata.name(char, 'without a name')})"
