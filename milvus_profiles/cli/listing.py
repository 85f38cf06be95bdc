"""``list``: which profiles there are; where every one of them is plain, before typer or pydantic is imported.

However a profile was read, one function makes its row and one prints them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..config.disclosure import shown
from ..config.documents import file_warnings
from ..config.locations import current_directory, named, named_file
from ..config.resolved import plain_profile
from ..config.settings import idle_addresses
from ..config.values import RawProfile
from ..connectable import PlainProfile
from ..errors import MilvusProfilesError
from ..files.regular_file import is_given
from ..live.liveness import plain_layers
from ..text import counted, printable
from .internal import FLAGS, VALUED, taken_apart
from .output import emit_json, note, say, shorten, table, warn, warn_about_files, whole
from .session import current, start

if TYPE_CHECKING:
    from ..config.documents import Document
    from ..config.profiles import Profiles
    from ..connectable import Connectable


def respond(words: Sequence[str]) -> int | None:
    """Answer ``list``; None where these words are another command's, or where not every profile is plain."""
    taken = taken_apart(words, FLAGS, VALUED)
    if taken is None or " ".join(taken.plain).removeprefix("profile ") not in ("list", "ls"):
        return None
    session, glanced = start(), None
    session.config, session.profile = taken.values.get("--config"), taken.values.get("--profile")
    session.json, session.color = "--json" in taken.flags, "--no-color" not in taken.flags
    session.quiet, session.verbose = bool(taken.flags & {"-q", "--quiet"}), int("-v" in taken.flags)
    with suppress(Exception):  # whatever is wrong, the machinery says
        glanced = glance(session.config, session.profile, session.env)
    if glanced is None:
        return None
    rows = [_filled(_row(alias, raw, glanced.selected), profile) for alias, raw, profile in glanced.profiles]
    _print(rows, {}, is_selected=glanced.selected is not None)
    return 0


def list_all() -> None:
    """List the profiles in force."""
    messages: dict[str, str] = {}  # of the invalid ones; JSON has a code and a place instead
    profiles = current().profiles()
    selected, unselected = _selected()
    rows = [*_examined(profiles, selected, messages)]
    warn_about_files(profiles, profiles.documents)
    if left := len(profiles) - len(rows):
        wrong = sum(row["error"] is not None for row in rows)
        more = counted(left, "more profile")
        warn(f"{more} not looked at and not listed: correct the {wrong} that are invalid")
    _print(rows, messages, is_selected=selected is not None or unselected)


def _print(rows: list[dict[str, Any]], messages: dict[str, str], *, is_selected: bool) -> None:
    if current().json:
        emit_json(rows)
        return
    if not rows:
        say("no profiles yet")
        note(f"hint: {current().standing.adding('local', './milvus.db')}")
        for line in idle_addresses(current().env):
            note(line)
        return
    described = {row["alias"]: whole(printable(row["description"])) for row in rows if row["description"]}
    verbose = current().verbose > 0
    headings = ["", "ALIAS", "URI", "DATABASE", "AUTH"]
    headings += (["DESCRIPTION"] if any(described.values()) else []) + (["ORIGIN"] if verbose else [])
    cells = [_cells(row, messages, described)[: len(headings)] for row in rows]
    table(headings, cells, styles=[None, "bold"], shorten=None if verbose else _GIVES_WAY)
    if not all(row["trusted"] for row in rows):
        note(f"{_UNTRUSTED} not trusted: {current().remedy('trust')}")
    if not is_selected and len(rows) > 1:
        note(f"no profile is selected by default: {current().remedy('profile', 'use', 'ALIAS')}")


_UNTRUSTED = "!"
_GIVES_WAY = (((5,), 16), ((2, 3), 16), ((1, 2, 3, 5), 8))
"""What is shortened on a terminal, and how far: the description, address and database, and where need be the alias."""


def _selected() -> tuple[str | None, bool]:
    """The selected profile, and whether something names one that cannot be: that is told, and is no failure here."""
    try:
        return current().select().alias, False
    except MilvusProfilesError as error:
        if current().profile is not None:
            raise
        if error.location is None:
            return None, False  # nothing names any
        warn(f"no profile is selected: {error.location}: {error.message}" + (f" ({error.hint})" if error.hint else ""))
        return None, True


def _examined(profiles: Profiles, selected: str | None, messages: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The rows of all profiles, those of the invalid ones too."""
    from ..config.invalid import Findings

    for alias, raw, profile in profiles.examined():
        row = _row(alias, raw, selected)
        if raw is not None:
            row["trusted"] = profiles.is_trusted(raw)
        elif (document := profiles.declaring(alias)) is not None:  # what it extends cannot be had
            row["origin"] = _line_of(document, alias)
        if not isinstance(profile, Findings):
            yield _filled(row, profile)
            continue
        row["error"] = error = dict[str, Any](code=profile.code)
        if current().json:
            place = profile.location
            error["location"] = str(place) if place else None
        else:
            messages[alias] = profile.message
        yield row


def _row(alias: str, raw: RawProfile | None, selected: str | None) -> dict[str, Any]:
    return {
        "alias": alias,
        "uri": None,
        "db_name": None,
        "tls": False,
        "auth": "none",
        "default": alias == selected,
        "origin": "env" if raw is None or raw.document is None else _line_of(raw.document, raw.alias),
        "trusted": True,
        "error": None,
        "description": None,
    }


def _filled(row: dict[str, Any], profile: Connectable) -> dict[str, Any]:
    if profile.description:
        row["description"] = shown(("description",), profile.description)
    row["db_name"] = profile.db_name and shown(("db_name",), profile.db_name)
    row["auth"] = profile.auth
    if not profile.is_template:
        endpoint = profile.endpoint
        row["uri"], row["tls"] = endpoint.uri, endpoint.tls
    return row


def _line_of(document: Document, alias: str) -> str:
    """Where a profile is declared; empty where nobody is shown it: to look for all of them takes time."""
    if not current().json and not current().verbose:
        return ""
    return f"{document.path}:{document.line(('profiles', alias))}"


def _cells(row: dict[str, Any], messages: dict[str, str], described: dict[str, str]) -> list[str]:
    """A row for people; the description stands there only where some profile has one."""
    mark = ("*" if row["default"] else "") + ("" if row["trusted"] else _UNTRUSTED)
    if row["error"] is not None:
        cells = [mark, row["alias"], f"invalid: {messages[row['alias']]}", "", ""]
    else:
        cells = [mark, row["alias"], row["uri"] or "(template)", row["db_name"] or "", row["auth"]]
    cells += [described.get(row["alias"], "")] if described else []
    if not "".join(cells).isprintable():
        cells = [*map(printable, cells)]
    return [*cells, shorten(row["origin"])] if row["origin"] else cells


@dataclass(frozen=True)
class Glanced:
    """All profiles, in the order of the layers, and which one is selected."""

    selected: str | None
    profiles: list[tuple[str, RawProfile, PlainProfile]]


def glance(file: str | None, alias: str | None, env: Mapping[str, str]) -> Glanced | None:
    """Look at every profile in force; None, or any exception, where that is for the machinery."""
    if (text := named(file, env)) and is_given(named_file(text, env, current_directory())):
        return None  # it can be read once
    found = plain_layers(file, env)
    if found is None or found.unread or file_warnings(found.documents):
        return None
    profiles = []
    for each in found.layers.aliases.values():
        raw = found.layers.raw(each)
        profile = None if raw is None else plain_profile(raw)
        if raw is None or profile is None or (not profile.is_template and profile.address.kind == "unix"):
            return None
        profiles.append((each, raw, profile))
    if not profiles:
        return None
    choices = found.layers.choices(alias, "--profile", env.get("MILVUS_PROFILE") or None)
    selected = found.layers.find(choices[0][0]) if choices else None
    if choices and selected is None:
        return None  # something names one that there is not
    if alias is not None and env.get("MILVUS_PROFILE"):
        return None  # which may be one to warn of
    return Glanced(selected, profiles)
