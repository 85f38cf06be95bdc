"""The names of a profile's fields, and how text is read as one of them.

Variables and ``profile set`` carry text where a file carries typed values; both are read here, by the types that the
models in ``profile.py`` declare, so that a field is described in one place only.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from ..errors import ConfigError
from ..masked import SecretText, without_secrets
from ..profile import Profile
from ..spelling import suggest_field

__all__ = ["ADDRESS_FIELDS", "FIELDS", "ROOT_KEYS", "SECRET_FIELDS", "Field", "field", "find_field", "read_text"]

FIELDS = tuple(name for name in Profile.model_fields if name != "alias")
"""The fields of a profile in a file."""

ADDRESS_FIELDS = ("uri", "host", "port")
SECRET_FIELDS = ("token", "password")
ROOT_KEYS = ("default_profile", "max_connections", "keyring_backends", "profiles")
"""Keys that may stand at the root of a file."""

Kind = Literal["str", "int", "float", "bool", "array", "secret"]
_TRUE, _FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})


@dataclass(frozen=True, slots=True)
class Field:
    """What may stand in a field.

    Attributes:
        path: its name, or the names of a table and a key in it.
        kinds: scalar forms that it takes, the one to read text as first.
        keys: names in its table, where it takes one.
    """

    path: tuple[str, ...]
    kinds: tuple[Kind, ...]
    keys: tuple[str, ...]


def field(path: tuple[str, ...]) -> Field:
    """Describe a field.

    Args:
        path: one name, or a table's name and a key of it.

    Raises:
        ConfigError: there is no such field; the hint names the nearest.
    """
    if (found := find_field(path)) is not None:
        return found
    depth = next(depth for depth in range(len(path)) if find_field(path[: depth + 1]) is None)
    around = find_field(path[:depth]) if depth else None
    names = FIELDS if around is None else around.keys
    near = suggest_field(path[depth], names)
    where = f"{path[depth - 1]} has {', '.join(names)}" if names else f"{path[depth - 1]} is not a table"
    raise ConfigError(
        f"unknown field {'.'.join((*path[:depth], without_secrets(path[depth])[:64]))!r}",
        hint=f"did you mean {'.'.join((*path[:depth], near))!r}?" if near else (where if depth else None),
    )


@lru_cache(maxsize=256)
def find_field(path: tuple[str, ...]) -> Field | None:
    """The same, or None where there is no such field: to ask about any number of names takes no time."""
    head, *rest = path
    if head not in FIELDS:
        return None
    if rest and ((around := find_field(path[:-1])) is None or path[-1] not in around.keys):
        return None
    annotation: Any = Profile.model_fields[head].annotation
    for name in rest:
        models = (part for part in _parts(annotation) if _is_model(part))
        annotation = next(model.model_fields[name].annotation for model in models if name in model.model_fields)
    parts = list(_parts(annotation))
    kinds: tuple[Kind, ...] = tuple(dict.fromkeys(kind for part in parts if (kind := _kind(part)) is not None))
    keys = tuple(dict.fromkeys(key for part in parts if _is_model(part) for key in part.model_fields))
    if "secret" in kinds:
        kinds = ("secret",)
    return Field(path, kinds, keys)


def _is_model(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, BaseModel)


def _parts(annotation: Any) -> Iterator[Any]:
    """The members of a union, with the wrappings of Annotated taken off."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _parts(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _parts(member)
    else:
        yield annotation


def _kind(part: Any) -> Kind | None:
    if part is SecretText:
        return "secret"
    if typing.get_origin(part) is tuple:
        return "array"
    if typing.get_origin(part) is Literal:
        part = type(get_args(part)[0])
    kinds: dict[Any, Kind] = {str: "str", bool: "bool", int: "int", float: "float"}
    return kinds.get(part)


def read_text(path: tuple[str, ...], text: str) -> Any:
    """Read the text of a variable as the value of a field.

    Args:
        path: as for :func:`field`.
        text: what the variable holds.

    Returns:
        A value of the type that the field has in a file; for a secret the literal as SecretText.

    Raises:
        ConfigError: the text is not of that type.  The message does not repeat it.
    """
    kinds = field(path).kinds
    if "secret" in kinds:
        return SecretText(text)
    for kind in kinds:
        reader = _READERS[kind]
        value = reader(text.strip() if kind != "str" else text)
        if value is not None:
            return value
    if not kinds:
        raise ConfigError(
            f"{'.'.join(path)} is a table", hint=f"set its keys one by one: {', '.join(field(path).keys)}"
        )
    raise ConfigError(f"{'.'.join(path)} must be {_NAMES[kinds[0]]}")


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
