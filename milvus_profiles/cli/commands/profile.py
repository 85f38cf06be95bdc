"""``profile list | show | current``: which profiles there are, what each says, and which is selected."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from typer import Option

from ...config.disclosure import shown
from ...config.trust import gated_names
from ...errors import UsageError
from ...text import milvus_profiles
from ..early import FIELDS, FormatFault, written
from ..options import OptionalAlias
from ..output import emit_json, note, say, shorten, table, warn_about_profiles
from ..session import current

if TYPE_CHECKING:
    from ...config.layers import Selection
    from ...config.profiles import Profiles
    from ...config.resolved import Resolved


def show(
    alias: OptionalAlias = None,
    explain: bool = Option(False, "--explain", help="Say where each value comes from, and what it hides."),
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
        _explain(profiles, selection, overridden)
    else:
        table(["FIELD", "VALUE"], [leaf[:2] for leaf in leaves])
    if not resolved.trusted:
        _note_untrusted(resolved)


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


def _explain(profiles: Profiles, selection: Selection, overridden: list[dict[str, str]]) -> None:
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


def _note_untrusted(resolved: Resolved) -> None:
    document = resolved.raw.document
    assert document is not None
    gated = gated_names(resolved.raw)
    note(f"not trusted: {shorten(document.path)}" + (f" (needed for {', '.join(gated)})" if gated else ""))
    if gated:
        note(f"hint: read it, then run {milvus_profiles('trust', document.path)}")


def current_profile(
    form: str | None = Option(
        None, "--format", metavar="TEXT", help="Print this, with {alias}, {uri}, {db_name}, {reason}."
    ),
) -> None:
    """Print the selected profile, and on a terminal why it is; quick enough for a prompt."""
    selection = current().select()
    profile = current().profiles().resolve(selection.alias).profile
    record = {
        "alias": selection.alias,
        "uri": None if profile.is_template else profile.endpoint.uri,
        "db_name": profile.db_name and shown(("db_name",), profile.db_name),
        "reason": selection.reason,
    }
    try:
        text = written(record, as_json=current().json, form=form, terminal=sys.stdout.isatty())
    except FormatFault as fault:
        part, there = str(fault), ", ".join(f"{{{name}}}" for name in FIELDS)
        if part[1:-1].isidentifier():
            raise UsageError(f"--format has no {part}", hint=f"there are {there}") from None
        raise UsageError(
            f"--format has a '{part[0]}' that belongs to no field",
            hint=f"there are {there}; a brace itself is written twice",
        ) from None
    sys.stdout.write(f"{text}\n")
