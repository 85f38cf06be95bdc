"""``current``: the selected profile, for prompts, answered before typer or pydantic is imported where files tell it."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..config.aliases import selected
from ..files.paths import home_directory
from ..text import printable
from .internal import FLAGS, VALUED, taken_apart

__all__ = ["FIELDS", "FormatFault", "respond", "written"]

FIELDS = ("alias", "uri", "db_name", "reason")
"""What a format may name."""

_LONGEST = 1000
_ONE_DAY = 86_400


def _is_line(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) < _LONGEST and value.isprintable() and "${" not in value


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isidentifier()


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_time(value: object) -> bool:
    return type(value) in (int, float) and 0 < value <= _ONE_DAY  # type: ignore[operator]


def _is_secret(value: object) -> bool:
    if not isinstance(value, dict):
        return _is_line(value) and bool(str(value).strip("*"))
    return value == {"keyring": True} or (value.keys() == {"env"} and _is_name(value["env"]))


# Fields that change nothing of what is printed, with what is a right value beyond doubt.  Whatever else a profile has
# is for the machinery to judge: it says what is wrong, where something is.
_SIMPLE: Mapping[str, Callable[[object], bool]] = {
    "uri": _is_line,
    "db_name": _is_name,
    "description": _is_line,
    "user": _is_name,
    "password": _is_secret,
    "token": _is_secret,
    "timeout": _is_time,
    "call_timeout": _is_time,
    "retry": _is_flag,
    "allow_insecure": _is_flag,
    "protected": _is_flag,
}
_PART = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]")


class FormatFault(ValueError):
    """A part of a format that stands for nothing."""


def written(record: Mapping[str, str | None], *, as_json: bool, form: str | None, terminal: bool) -> str:
    """The line, or the JSON value, that ``current`` prints.

    Args:
        record: the fields.
        as_json: whether JSON is wanted.
        form: a text with names of fields in braces; a brace itself is written twice.
        terminal: whether a person reads it: then the reason stands beside the alias.

    Raises:
        FormatFault: the format names a field that there is not, or has a brace that belongs to none.
    """
    if as_json:
        return json.dumps(record, indent=2)
    if form is not None:
        return printable(_PART.sub(lambda match: _filled(match[0], record), form))
    return printable(f"{record['alias']}  ({record['reason']})" if terminal else str(record["alias"]))


def _filled(part: str, record: Mapping[str, str | None]) -> str:
    if part in ("{{", "}}"):
        return part[0]
    if part[1:-1] not in FIELDS:
        raise FormatFault(part)
    return record[part[1:-1]] or ""


def respond(words: Sequence[str]) -> int | None:
    """Answer ``current``; None where these words are another command's, or where files alone do not tell.

    Args:
        words: those after the program's name.
    """
    taken = taken_apart(words, FLAGS, VALUED | {"--format"})
    if taken is None or taken.plain not in (["current"], ["profile", "current"]):
        return None
    options = taken.values
    if "--profile" in options and os.environ.get("MILVUS_PROFILE"):
        return None  # which may name nothing
    try:
        found = selected(os.environ, os.getcwd(), options.get("--config"), options.get("--profile"))
        record = None if found is None else _record(*found)
        if record is None:
            return None
        form = options.get("--format")
        text = written(record, as_json="--json" in taken.flags, form=form, terminal=sys.stdout.isatty())
        sys.stdout.write(f"{text}\n")
    except (OSError, ValueError):
        return None
    return 0


def _record(choice: Any, path: str, table: Mapping[str, Any]) -> dict[str, str | None] | None:
    if not all(name in _SIMPLE and _SIMPLE[name](value) for name, value in table.items()):
        return None
    if "uri" not in table or ("password" in table and ("token" in table or "user" not in table)):
        return None
    from ..endpoint import AddressError, parse_address

    database = table.get("db_name")
    try:
        address = parse_address(table["uri"], base=os.path.dirname(path), home=home_directory(os.environ) or "")
    except AddressError:
        return None
    if database and address.database:
        return None
    return {
        "alias": choice.alias,
        "uri": address.endpoint().uri,
        "db_name": address.database or database,
        "reason": choice.reason,
    }
