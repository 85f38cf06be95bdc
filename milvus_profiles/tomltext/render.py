"""New text for a TOML document: keys, values and whole lines, written by tomlkit where it is not plain.

It writes what is new only; text that stands in a file already is cut and moved elsewhere, never written again.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError
from ..masked import SecretText

__all__ = ["entry_text", "header_text", "key_text", "plain", "value_text"]

_BARE = re.compile("[A-Za-z0-9_-]+")
_PLAIN = re.compile(r"[ !#-\[\]-~]*")
_DATES = (datetime.datetime, datetime.date, datetime.time)


def plain(value: Any) -> Any:
    """A value as tomli would give it back: a dict, list, str, int, float, bool, date or time.

    Tuples, mappings and :class:`SecretText`, whose secret is meant to be written, are turned into these.

    Raises:
        ConfigError: TOML has no such value.  The message does not repeat it.
    """
    if isinstance(value, SecretText):
        return plain(value.reveal())
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise ConfigError("the text cannot be written as UTF-8", hint="remove its broken characters") from None
        return str.__str__(value)
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (bool, *_DATES)):
        return value
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise ConfigError("the number is too large for a TOML file", hint="TOML's integers have 64 bits")
        return int(value)
    hint = "a field without a value is unset instead" if value is None else None
    raise ConfigError(f"a TOML file cannot hold a value of the type {type(value).__name__}", hint=hint)


def key_text(*path: str) -> str:
    """A key, or several joined by dots, each quoted where it must be."""
    if all(map(_BARE.fullmatch, path)):  # nearly always
        return ".".join(path)
    import tomlkit

    first, *more = path
    return tomlkit.key(path if more else first).as_string()


def value_text(value: Any) -> str:
    """A plain value on one line; tables become inline tables."""
    if isinstance(value, str) and _PLAIN.fullmatch(value):  # nearly always
        return f'"{value}"'
    return str(_item(value).as_string())


def _item(value: Any) -> Any:
    import tomlkit

    # Left to itself tomlkit writes a dict as a table with a header, and a list of dicts as an array of tables.
    if isinstance(value, dict):
        table = tomlkit.inline_table()
        for key, item in value.items():
            table.append(tomlkit.key(key), _item(item))
        return table
    if isinstance(value, list):
        array = tomlkit.array()
        for item in value:
            array.append(_item(item))
        return array
    return tomlkit.item(value)


def entry_text(key: str, value: Any, newline: str) -> str:
    """One line of a table: the text of the key, quoted where it must be, a plain value, and what ends the line."""
    return f"{key} = {value_text(value)}{newline}"


def header_text(path: tuple[str, ...], newline: str) -> str:
    """The header of a table, such as ``[profiles."a.b"]``."""
    return f"[{key_text(*path)}]{newline}"
