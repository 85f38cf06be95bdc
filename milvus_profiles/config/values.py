"""Values with their origins, and how one layer is laid over another.

A raw profile is a flat dictionary from a field's path to a :class:`Value`: ``("uri",)``, ``("ssl", "ca")``.  Whole
tables are replaced or single leaves of them, by the rules of inheritance and of layers, and what gives way to
something stronger is kept for ``show --explain``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ..endpoint import absolute_address
from ..errors import ConfigError, Location
from ..files.paths import absolute_path
from ..masked import SecretText, even_half_made
from .documents import Document
from .fields import ADDRESS_FIELDS, FIELDS, SECRET_FIELDS, find_field

Home = Callable[[], str]
"""What ``~`` stands for, empty where it stands for nothing: asked for where one stands, since it is looked at."""
Layer = Literal["call", "environment", "named", "project", "user", "default"]
FieldPath = tuple[str, ...]

_REFERENCE_FORMS = ("keyring", "env", "file", "command")
BOUND_TO_ADDRESS = frozenset({"user", "password", "token", "allow_insecure"})


class Origin(NamedTuple):
    """Where a value comes from: its layer; a variable, option or argument, or the file and the keys from its root.

    No dataclass, since one is made for each field, and those take three times as long.
    """

    layer: Layer
    name: str | None = None
    document: Document | None = None
    path: tuple[str | int, ...] = ()

    def location(self, at: Literal["key", "value"] = "value") -> Location | None:
        """The place, with the line in question for a file; None for a default."""
        if self.document is not None:
            return self.document.location(self.path, at=at)
        return Location(self.name) if self.name else None

    def __repr__(self) -> str:
        return f"Origin(layer={self.layer!r}, name={self.name!r}, path={self.path!r})"

    def __str__(self) -> str:
        """``PATH:LINE:COLUMN``, the name of the variable or option, or ``default``."""
        if self.document is not None:
            positions = self.document.places(self.path)
            span = positions.find(self.path)
            line, column = positions.line_column(span.key) if span else (1, 1)
            return f"{self.document.path}:{line}:{column}"
        return self.name or "default"


@even_half_made
class Value:
    """A value, as TOML gives it, and its origin; it does not change.

    No dataclass, and hidden from repr: an unknown key may be a misspelled secret, and ``dataclasses.asdict`` of
    whatever holds one would show it.
    """

    __slots__ = ("origin", "value")

    def __init__(self, value: Any, origin: Origin) -> None:
        self.value = value
        self.origin = origin

    def __repr__(self) -> str:
        return f"<Value of {self.origin!r}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Value:
        return self


Raw = dict[FieldPath, Value]


@dataclass(slots=True)
class RawProfile:
    """The fields of a profile before validation, and what gave way to a stronger layer.

    It is declared in a document, or by the environment or a call, which have none.
    """

    alias: str
    values: Raw
    overridden: list[tuple[FieldPath, Origin]]
    declared: Origin
    document: Document | None


def from_table(document: Document, alias: str, home: Home | None = None) -> Raw:
    """Flatten the table of a profile in a file; relative paths become absolute.

    ``home`` is what ``~`` stands for; None takes the process's own home directory.  No table is a ConfigError.
    """
    if not isinstance(document.profiles[alias], dict):  # of no name: a frame of the error would show it
        raise ConfigError(
            f"the profile {alias!r} is not a table",
            hint=f"write [profiles.{alias}] above its fields",
            location=document.location(("profiles", alias), at="value"),
        )
    raw: Raw = {}
    strange = 0
    for path, value, known in _leaves(document.profiles[alias]):
        if not known:
            strange += 1
            if strange > _STRANGE:
                continue
        elif path in _MAY_BE_PATHS:
            value = _absolute(path, value, document.directory, home)
        raw[path] = Value(value, Origin(document.role, None, document, ("profiles", alias, *path)))
    return raw


# A profile with unknown keys is refused, and a hundred tell why: more are counted, but neither carried through layers
# and chains of inheritance nor validated.
_STRANGE = 100


def _leaves(table: dict[str, Any]) -> Iterator[tuple[FieldPath, Any, bool]]:
    """The fields of a profile's table, those that are tables key by key; and whether there is such a field or key."""
    for name, value in table.items():
        known = find_field((name,)) if name in FIELDS else None
        if isinstance(value, dict) and value and known is not None and known.keys:
            for key, inner in value.items():
                yield (name, key), inner, key in known.keys
        else:
            yield (name,), value, known is not None


def left_out(raw: RawProfile) -> int:
    """How many unknown keys a profile's own table has beside those that became fields of it."""
    if len(raw.values) < _STRANGE or raw.document is None:
        return 0
    table = raw.document.profiles.get(raw.alias)
    strange = sum(not known for _, _, known in _leaves(table)) if isinstance(table, dict) else 0
    return max(0, strange - _STRANGE)


PATH_FIELDS = frozenset(
    {("ssl", "ca"), ("ssl", "cert"), ("ssl", "key"), *((secret, "file") for secret in SECRET_FIELDS)}
)
"""Keys of tables that are paths."""

_MAY_BE_PATHS = PATH_FIELDS | {("uri",), *((secret, "command") for secret in SECRET_FIELDS)}


def _absolute(path: FieldPath, value: Any, directory: str, home: Home | None) -> Any:
    """A path, of one of :data:`_MAY_BE_PATHS`, counts from where it is written; an address too, where it is a path.

    What can be made no path stays as it is, for the validation of its field to say why: one profile's fault is none of
    the others'.
    """
    try:
        return _counted(path, value, directory, home() if home is not None and "~" in str(value) else None)
    except ConfigError:
        return value


def _counted(path: FieldPath, value: Any, directory: str, home: str | None) -> Any:
    if path[1:] == ("command",) and isinstance(value, list):
        # Started as it is, ./get-token would be whatever has that name in the directory that one happens to stand in.
        is_path = bool(value) and isinstance(value[0], str) and os.path.dirname(value[0]) != ""
        return [absolute_path(value[0], base=directory, home=home), *value[1:]] if is_path else value
    if isinstance(value, str) and path == ("uri",):
        return absolute_address(value, base=directory, home=home)
    if isinstance(value, str) and value and path in PATH_FIELDS:
        return absolute_path(value, base=directory, home=home)
    return value


def resolved_paths(raw: Raw, directory: str, home: Home | None = None) -> Raw:
    """The same values with relative paths counted from a directory: for variables and arguments."""
    return {
        path: Value(_absolute(path, v.value, directory, home), v.origin) if path in _MAY_BE_PATHS else v
        for path, v in raw.items()
    }


def from_call(fields: Mapping[str, Any], directory: str, home: Home | None = None) -> Raw:
    """Flatten the fields of a call; relative paths become absolute.  ``home`` is as for :func:`from_table`."""
    values: Raw = {}
    for name, value in fields.items():
        if isinstance(value, dict) and value:
            values |= {(name, key): Value(inner, Origin("call", f"{name}=")) for key, inner in value.items()}
        else:
            hidden = SecretText(value) if name in SECRET_FIELDS and isinstance(value, str) else value
            values[name,] = Value(hidden, Origin("call", f"{name}="))
    return resolved_paths(values, directory, home)


def override(base: RawProfile, over: Raw) -> RawProfile:
    """Lay single fields of a stronger layer over a profile; each leaf replaces that leaf.

    An address drops user, password, token and allow_insecure of the weaker layer.
    """
    if ("ssl",) in over and over["ssl",].value is True and any(path[0] == "ssl" and path[1:] for path in base.values):
        # The declared table says what TLS is to be like: to switch it on changes nothing of that, its CA least of all.
        over = {path: value for path, value in over.items() if path != ("ssl",)}
    heads = {path[0] for path in over}
    dropped = displaced(heads) | (BOUND_TO_ADDRESS if heads & set(ADDRESS_FIELDS) else frozenset())
    values: Raw = {}
    overridden = list(base.overridden)
    for path, value in base.values.items():
        if path[0] in dropped or _replaced(path, over):
            overridden.append((path, value.origin))
        else:
            values[path] = value
    return RawProfile(base.alias, values | over, overridden, base.declared, base.document)


_SAME: dict[str, frozenset[str]] = {
    "uri": frozenset({"host", "port"}),
    "host": frozenset({"uri"}),
    "token": frozenset({"password"}),
    "password": frozenset({"token"}),
}


def displaced(heads: set[str]) -> frozenset[str]:
    """Fields that say the same thing as the given ones in another form."""
    return frozenset().union(*(_SAME[head] for head in heads if head in _SAME)) - heads


def _replaced(path: FieldPath, over: Raw) -> bool:
    head = path[0]
    leaves = [other for other in over if other[0] == head]
    if not leaves:
        return False
    if path in over or (head,) in over or len(path) == 1:
        return True
    # Another form of reference replaces the one that was declared: a secret has exactly one.
    form = "command" if path[1] == "pass_env" else path[1]
    return head in SECRET_FIELDS and any(leaf[1] in _REFERENCE_FORMS and leaf[1] != form for leaf in leaves)


def has_address(raw: Raw) -> bool:
    return ("uri",) in raw or ("host",) in raw


def unflatten(raw: Raw) -> dict[str, Any]:
    """The nested dictionary that the models validate."""
    table: dict[str, Any] = {}
    for path, value in raw.items():
        if len(path) == 1:
            table[path[0]] = value.value
        else:
            table.setdefault(path[0], {})[path[1]] = value.value
    return table
