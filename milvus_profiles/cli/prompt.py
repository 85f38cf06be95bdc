"""``current``: the selected profile, for prompts, answered before typer or pydantic is imported where files tell it."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ..config.aliases import selected
from ..files.paths import home_directory
from ..text import printable
from .internal import FLAGS, VALUED

__all__ = ["FIELDS", "respond", "written"]

FIELDS = ("alias", "uri", "db_name", "reason")
"""What a format may name."""

_SIMPLE = frozenset(
    {"uri", "db_name", "description", "user", "password", "token", "timeout", "call_timeout", "retry", "keepalive"}
    | {"allow_insecure", "protected", "management_port", "pool"}
)
"""Fields that change nothing of what is printed; whatever else a profile has is for the machinery to judge."""
_FIELD = re.compile(r"\{([a-z_]*)\}")


def written(record: Mapping[str, str | None], *, as_json: bool, form: str | None, terminal: bool) -> str:
    """The line, or the JSON value, that ``current`` prints.

    Args:
        record: the fields.
        as_json: whether JSON is wanted.
        form: a text with names of fields in braces.
        terminal: whether a person reads it: then the reason stands beside the alias.

    Raises:
        KeyError: the format names a field that there is not.
    """
    if as_json:
        return json.dumps(record, indent=2)
    if form is not None:
        return printable(_FIELD.sub(lambda match: record[match[1]] or "", form))
    return printable(f"{record['alias']}  ({record['reason']})" if terminal else str(record["alias"]))


def respond(words: Sequence[str]) -> int | None:
    """Answer ``current``; None where these words are another command's, or where files alone do not tell.

    Args:
        words: those after the program's name.
    """
    options: dict[str, str | None] = {}
    plain = []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if word in FLAGS - {"-vv"}:  # which tells what the machinery does
            options[word] = None
        elif name in VALUED or name == "--format":
            given = value if equals else next(rest, "")
            if not given or name in options:
                return None
            options[name] = given
        else:
            plain.append(word)
    if plain not in (["current"], ["profile", "current"]):
        return None
    if "--profile" in options and os.environ.get("MILVUS_PROFILE"):
        return None  # which may name nothing
    try:
        found = selected(os.environ, os.getcwd(), options.get("--config"), options.get("--profile"))
        record = None if found is None else _record(*found)
        if record is None:
            return None
        form = options.get("--format")
        text = written(record, as_json="--json" in options, form=form, terminal=sys.stdout.isatty())
        sys.stdout.write(f"{text}\n")
    except (OSError, KeyError, UnicodeError):
        return None
    return 0


def _record(choice: Any, path: str, table: Mapping[str, Any]) -> dict[str, str | None] | None:
    if not table.keys() <= _SIMPLE:
        return None
    from ..endpoint import AddressError, parse_address

    uri, database = table.get("uri"), table.get("db_name")
    if not isinstance(uri, str) or not (database is None or (isinstance(database, str) and database.isidentifier())):
        return None
    try:
        address = parse_address(uri, base=os.path.dirname(path), home=home_directory(os.environ) or "")
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
