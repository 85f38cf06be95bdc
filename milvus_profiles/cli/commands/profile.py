"""``profile list | show``: which profiles there are, and what each says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from ...config.disclosure import shown
from ...config.environment import idle_addresses
from ...config.invalid import FINDINGS, Findings
from ...config.trust import gated_names
from ...errors import MilvusProfilesError
from ...text import milvus_profiles, printable
from ..file_warnings import warn_about_files, warn_about_profiles
from ..options import OptionalAlias
from ..output import counted, emit_json, note, say, shorten, table, warn, whole
from ..session import current

if TYPE_CHECKING:
    from ...config.profiles import Examined, Profiles, Resolved, Selection
    from ...config.values import RawProfile

__all__ = ["list_profiles", "show"]


# --- list ---


def list_profiles() -> None:
    """List the profiles in force."""
    profiles = current().profiles()
    selected, unselected = _selected()
    messages: dict[str, str] = {}  # of the invalid ones; JSON has a code and a place instead
    rows = [_row(profiles, one, selected, messages) for one in profiles.examined()]
    warn_about_files(profiles, profiles.documents)
    if left := len(profiles) - len(rows):
        warn(f"{counted(left, 'more profile')} not looked at and not listed: correct the {FINDINGS} that are invalid")
    if current().json:
        emit_json(rows)
        return
    if not rows:
        say("no profiles yet")
        note(f"hint: {current().standing.adding('local', './milvus.db')}")
        for line in idle_addresses(current().env):
            note(line)
        return
    described = _descriptions(rows)
    verbose = current().verbose > 0
    headings = ["", "ALIAS", "URI", "DATABASE", "AUTH"]
    headings += (["DESCRIPTION"] if any(described.values()) else []) + (["ORIGIN"] if verbose else [])
    cells = [_cells(row, messages, described)[: len(headings)] for row in rows]
    table(headings, cells, styles=[None, "bold"], shorten=None if verbose else _GIVES_WAY)
    if not all(row["trusted"] for row in rows):
        note(f"{_UNTRUSTED} not trusted: {current().remedy('trust')}")
    if selected is None and not unselected and len(rows) > 1:
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


def _descriptions(rows: Iterable[dict[str, Any]]) -> dict[str, str]:
    """What people wrote about their profiles, each as one line."""
    return {row["alias"]: whole(printable(row["description"])) for row in rows if row["description"]}


def _row(profiles: Profiles, found: Examined, selected: str | None, messages: dict[str, str]) -> dict[str, Any]:
    alias, raw, profile = found
    row: dict[str, Any] = {
        "alias": alias,
        "uri": None,
        "db_name": None,
        "tls": False,
        "auth": "none",
        "default": alias == selected,
        "origin": "env",
        "trusted": True,
        "error": None,
        "description": None,
    }
    if raw is not None:
        row["origin"] = _origin(raw)
        row["trusted"] = profiles.is_trusted(raw)
    elif (document := profiles.declaring(alias)) is not None:  # what it extends cannot be had
        row["origin"] = f"{document.path}:{document.line(('profiles', alias))}"
    if isinstance(profile, Findings):
        row["error"] = error = dict[str, Any](code=profile.code)
        if current().json:
            place = profile.location
            error["location"] = str(place) if place else None
        else:
            messages[alias] = profile.message
        return row
    if profile.description:
        row["description"] = shown(("description",), profile.description)
    row["db_name"] = profile.db_name and shown(("db_name",), profile.db_name)
    row["auth"] = profile.auth
    if not profile.is_template:
        endpoint = profile.endpoint
        row["uri"], row["tls"] = endpoint.uri, endpoint.tls
    return row


def _origin(raw: RawProfile) -> str:
    if raw.document is None:
        return "env"
    return f"{raw.document.path}:{raw.document.line(raw.declared.path)}"


def _cells(row: dict[str, Any], messages: dict[str, str], described: dict[str, str]) -> list[str]:
    """A row for people; the description stands there only where some profile has one."""
    mark = ("*" if row["default"] else "") + ("" if row["trusted"] else _UNTRUSTED)
    if row["error"] is not None:
        cells = [mark, row["alias"], f"invalid: {messages[row['alias']]}", "", ""]
    else:
        cells = [mark, row["alias"], row["uri"] or "(template)", row["db_name"] or "", row["auth"]]
    cells += [described.get(row["alias"], "")] if described else []
    return [*map(printable, cells), shorten(row["origin"])]


# --- show ---


def show(
    alias: OptionalAlias = None,
    explain: Annotated[bool, Option("--explain", help="Say where each value comes from, and what it hides.")] = False,
) -> None:
    """Show a profile; secrets are masked."""
    selection = current().select(alias)
    profiles = current().profiles()
    warn_about_profiles(profiles, [selection.alias])
    resolved = profiles.resolve(selection.alias)
    values = _values(resolved)
    overridden = [{"field": ".".join(path), "origin": str(origin)} for path, origin in resolved.raw.overridden]
    if current().json:
        emit_json({"alias": selection.alias, "values": values, "overridden": overridden})
        return
    say(selection.alias, bold=True)
    leaves = [
        (name, _text(entry["value"]), shorten(entry["origin"]))
        for name, entry in values.items()
        if not isinstance(entry["value"], dict) and (explain or entry["origin"] != "default")
    ]
    if explain:
        table(["FIELD", "VALUE", "ORIGIN"], leaves)
        _explain(profiles, resolved, selection, overridden)
    else:
        table(["FIELD", "VALUE"], [leaf[:2] for leaf in leaves])
        if not resolved.trusted:
            _untrusted(resolved)


def _values(resolved: Resolved) -> dict[str, dict[str, Any]]:
    """Every field that has a value: tables whole, and leaf by leaf, since each leaf has an origin of its own."""
    profile, raw = resolved.profile, resolved.raw
    found: dict[str, dict[str, Any]] = {}
    dumped = profile.model_dump(mode="json", exclude_none=True, exclude={"alias"})
    if not profile.is_template:
        if "uri" in dumped:
            dumped["uri"] = profile.endpoint.uri
        else:
            dumped = {"uri": profile.endpoint.uri, **dumped}
    for name, value in dumped.items():
        value = shown((name,), value)
        if name == "uri" and profile.uri is None:
            origin = str(resolved.origin_of("host"))
        elif name == "db_name" and ("db_name",) not in raw.values:
            origin = str(resolved.origin_of("uri"))
        else:
            origin = str(resolved.origin_of(name))
        found[name] = {"value": value, "origin": origin}
        if isinstance(value, dict):
            for key, leaf in value.items():
                entry = raw.values.get((name, key))
                found[f"{name}.{key}"] = {"value": leaf, "origin": str(entry.origin) if entry else "default"}
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)


def _explain(profiles: Profiles, resolved: Resolved, selection: Selection, overridden: list[dict[str, str]]) -> None:
    say("")
    say(f"selected because {selection.reason}" + (f" ({selection.origin})" if selection.origin else ""))
    for hidden in selection.hidden:
        say(f"  this hides: {hidden}")
    if overridden:
        say("overridden:")
        for entry in overridden:
            say(f"  {entry['field']} from {shorten(entry['origin'])}")
    if ignored := profiles.settings.environment.ignored:
        say(f"ignored, because MILVUS_URI is not set: {', '.join(ignored)}")
    if not resolved.trusted:
        _untrusted(resolved)


def _untrusted(resolved: Resolved) -> None:
    document = resolved.raw.document
    assert document is not None
    gated = gated_names(resolved.raw)
    note(f"not trusted: {shorten(document.path)}" + (f" (needed for {', '.join(gated)})" if gated else ""))
    if gated:
        note(f"hint: read it, then run {milvus_profiles('trust', document.path)}")
