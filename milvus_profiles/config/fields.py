"""The names of a profile's fields, and how text is read as one of them.

Variables and ``profile set`` carry text where a file carries typed values; both are read here.  What there is says a
table and not the models in ``profile.py``, which it repeats: to import those takes longer than all the rest of reading
profiles, and a probe of a container reads them every few seconds.  A test holds the two together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from ..errors import ConfigError
from ..masked import SecretText, as_given
from ..names import suggest_field

MAX_CONNECTIONS = 65_536
"""The most connections that the Milvus documentation allows at once."""

Kind = Literal["str", "int", "float", "bool", "array", "secret"]
_Keys = Mapping[str, Kind]

_REFERENCE: _Keys = {"keyring": "bool", "env": "str", "file": "str", "command": "array", "pass_env": "array"}
_POOL: _Keys = {
    "mode": "str",
    "max_channels": "int",
    "soft_limit": "int",
    "hard_limit": "int",
    "max_idle_per_key": "int",
    "min_idle_per_key": "int",
    "max_total_per_key": "int",
    "max_total": "int",
    "block_when_exhausted": "bool",
    "max_block_wait": "float",
    "eviction_interval": "float",
    "min_evictable_idle": "float",
    "test_on_borrow": "bool",
    "test_on_return": "bool",
    "test_while_idle": "bool",
    "max_lifetime": "float",
    "lifetime_jitter": "float",
    "max_uses": "int",
    "max_waiting": "int",
    "drain_timeout": "float",
    "leak_threshold": "float",
}
# The form of a scalar, None where there is none; and the keys of a table.
_FIELDS: Mapping[str, tuple[Kind | None, _Keys]] = {
    "description": ("str", {}),
    "uri": ("str", {}),
    "host": ("str", {}),
    "port": ("int", {}),
    "user": ("str", {}),
    "password": ("secret", _REFERENCE),
    "token": ("secret", _REFERENCE),
    "db_name": ("str", {}),
    "ssl": ("bool", {"ca": "str", "cert": "str", "key": "str", "server_name": "str"}),
    "timeout": ("float", {}),
    "call_timeout": ("float", {}),
    "retry": ("bool", {"attempts": "int", "initial": "float", "max": "float"}),
    "keepalive": (None, {"time": "float", "timeout": "float"}),
    "proxy": ("str", {}),
    "management_port": ("int", {}),
    "allow_insecure": ("bool", {}),
    "protected": ("bool", {}),
    "extends": ("str", {}),
    "pool": (None, _POOL),
}

FIELDS = tuple(_FIELDS)
"""The fields of a profile in a file."""

ADDRESS_FIELDS = ("uri", "host", "port")
SECRET_FIELDS = ("token", "password")
ROOT_KEYS = ("default_profile", "max_connections", "keyring_backends", "profiles")
"""Keys that may stand at the root of a file."""

_TRUE, _FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})


@dataclass(frozen=True, slots=True)
class Field:
    """What may stand in a field, by its name or the names of a table and a key in it.

    That is a scalar of a form, where it takes one, or a table with these keys.
    """

    path: tuple[str, ...]
    kind: Kind | None
    keys: tuple[str, ...] = ()


def field(path: tuple[str, ...]) -> Field:
    """A field by its name, or by a table's name and a key of it; ConfigError, with the nearest, if there is none."""
    if (found := find_field(path)) is not None:
        return found
    depth = next(depth for depth in range(len(path)) if find_field(path[: depth + 1]) is None)
    around = find_field(path[:depth]) if depth else None
    names = FIELDS if around is None else around.keys
    near = suggest_field(path[depth], names)
    where = f"{path[depth - 1]} has {', '.join(names)}" if names else f"{path[depth - 1]} is not a table"
    raise ConfigError(
        f"unknown field {'.'.join((*path[:depth], as_given(path[depth])))!r}",
        hint=f"did you mean {'.'.join((*path[:depth], near))!r}?" if near else (where if depth else None),
    )


@lru_cache(maxsize=256)
def find_field(path: tuple[str, ...]) -> Field | None:
    """The same, or None where there is no such field: to ask about any number of names takes no time."""
    first, *rest = path
    if first not in _FIELDS or len(rest) > 1:
        return None
    kind, keys = _FIELDS[first]
    if rest:
        return Field(path, keys[rest[0]]) if rest[0] in keys else None
    return Field(path, kind, tuple(keys))


def read_text(path: tuple[str, ...], text: str) -> Any:
    """Read the text of a variable as a value of the type that the field has in a file; of a secret, as SecretText.

    ConfigError, which does not repeat it, where it is not of that type.
    """
    known = field(path)
    if known.kind is None:
        raise ConfigError(f"{'.'.join(path)} is a table", hint=f"set its keys one by one: {', '.join(known.keys)}")
    if known.kind == "secret":
        return SecretText(text)
    value = _READERS[known.kind](text if known.kind == "str" else text.strip())
    if value is None:
        raise ConfigError(f"{'.'.join(path)} must be {_NAMES[known.kind]}")
    return value


def _read_bool(text: str) -> bool | None:
    return True if text.lower() in _TRUE else False if text.lower() in _FALSE else None


def _read_int(text: str) -> int | None:
    digits = text[1:] if text[:1] in "+-" else text
    return int(text) if digits.isascii() and digits.isdecimal() and len(digits) < 19 else None


def _read_float(text: str) -> float | None:
    try:
        return float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        return None


def _read_array(text: str) -> list[Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) else None


_READERS: dict[Kind, Any] = {
    "str": lambda text: text,
    "bool": _read_bool,
    "int": _read_int,
    "float": _read_float,
    "array": _read_array,
}
_NAMES: dict[Kind, str] = {
    "str": "text",
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "array": 'a JSON array, such as ["op", "read"]',
}
