"""What is answered or begun before typer, pydantic or grpc is imported: ``ping --probe``, ``current``, ``test --all``.

Only what is plain beyond doubt is: whatever is wrong with a word or a file is for the command to say.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..config.aliases import selected
from ..files.paths import home_directory
from ..text import printable
from .internal import FLAGS, VALUED, taken_apart

if TYPE_CHECKING:
    from ..probe.early import EarlyLook
    from ..probe.sockets import Route


def probe(words: Sequence[str]) -> int | None:
    """Answer ``ping --probe``, for containers, by an exit status; None where these words are others, or wrong."""
    if (taken := taken_apart(words, FLAGS | {"--probe"}, VALUED | {"--timeout"})) is None:
        return None
    plain, flags, options = taken
    plain = plain[plain[:1] == ["profile"] :]
    if plain[:1] != ["ping"] or len(plain) > 2 or "--probe" not in flags or "--json" in flags:
        return None
    try:
        timeout = float(options["--timeout"]) if "--timeout" in options else None
    except ValueError:
        return None
    if timeout is not None and not 0.001 <= timeout < 86_400:
        return None
    # gRPC writes to standard error by itself.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    if plain[1:] and "--profile" in options:
        return None  # they may be two
    alias = plain[1] if plain[1:] else options.get("--profile")
    return probed(alias, options.get("--config"), timeout, explains="-v" in flags)


def probed(alias: str | None, file: str | None, timeout: float | None, *, explains: bool) -> int:
    """The exit status that says whether a server lets a profile in."""
    from ..errors import MilvusProfilesError
    from ..live.liveness import check_served

    try:
        check_served(alias, file=file, timeout=timeout)
    except MilvusProfilesError as error:
        if explains:
            from .output import print_error

            print_error(error)
        return error.exit_status
    return 0


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
    """The line, or the JSON value, that ``current`` prints; on a terminal the reason stands beside the alias.

    A format (``form``) has names of fields in braces, and a brace itself twice; FormatFault where it has others.
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


def answer_current(words: Sequence[str]) -> int | None:
    """Answer ``current``; None where these words are another command's, or where files alone do not tell."""
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


SIDE_BY_SIDE = 128
"""Tests that run at once: they wait for the network, nearly all of the time."""
_LONGEST_LOOK = 3600.0

_looks: dict[str, EarlyLook] = {}


def begin(words: Sequence[str]) -> None:
    """Begin to look at the servers, if these words are ``test --all``.

    A server that does not answer takes the whole of its time, and everything else is done meanwhile; nothing is sent.
    """
    taken = taken_apart(words, FLAGS | {"--all", "--force"}, VALUED | {"--timeout", "--wait", "--junit", "--html"})
    if taken is None or "--all" not in taken.flags or "--profile" in taken.values:
        return
    if taken.plain not in (["test"], ["profile", "test"]):
        return
    with suppress(Exception):
        given = taken.values.get("--timeout")
        timeout = None if given is None else float(given)
        from ..probe.early import EarlyLooks

        with EarlyLooks() as looks:
            for alias, route, own in islice(_routes(taken.values.get("--config")), SIDE_BY_SIDE):
                if 0.001 <= (seconds := own if timeout is None else timeout) <= _LONGEST_LOOK:
                    _looks[alias] = looks.begin(route, seconds)


def begun(alias: str) -> EarlyLook | None:
    """The look at the server of a profile that has begun, given once; None where none has."""
    return _looks.pop(alias, None)


def _routes(file: str | None) -> Iterator[tuple[str, Route, float]]:
    """The profiles that may be looked at, each with the way to its server and its own time."""
    from ..config.documents import refusal
    from ..config.in_force import directory_of, documents_in_force
    from ..config.layers import Layers
    from ..config.locations import named
    from ..config.resolved import plain_endpoint
    from ..config.settings import read_environment
    from ..files.regular_file import is_given
    from ..masked import MaskedMapping
    from ..probe.sockets import route_to

    env = MaskedMapping(os.environ)
    text = named(file, env)
    if text and is_given(text):
        return  # it can be read once
    directory = directory_of(None, text)
    documents, _ = documents_in_force(file, env, directory, "--config")
    layers = Layers(documents, read_environment(env, directory), env)
    for alias in layers.aliases.values():
        with suppress(Exception):  # one profile's fault is none of the others'
            raw = layers.raw(alias)
            if raw is None or (raw.document is not None and refusal(raw.document) is not None):
                continue
            if (found := plain_endpoint(raw)) is not None:
                yield alias, route_to(found[0], env=env), found[1]
