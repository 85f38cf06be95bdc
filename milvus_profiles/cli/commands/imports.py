"""``import``: profiles from the files and variables of other tools, their secrets into the keyring."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from typer import Argument, Option

from ...config.atomic import read_bytes, remove_file, write_atomic
from ...config.disclosure import shown
from ...config.locations import current_directory
from ...config.resolved import sends_plaintext
from ...endpoint import AddressError, parse_address
from ...errors import ConfigError, DeclinedError, EditConflictError, Location, MilvusProfilesError, UsageError
from ...files.regular_file import is_given
from ...interop.imports.found import LIMIT, Unusable
from ...names import check_alias, fold_alias
from ...profile import Profile
from ...secrets.value import keyring_account
from ...text import counted
from ..asking import agreed, ask_hidden, confirm
from ..completion import SOURCES
from ..options import ForceOption, PlaceOptions
from ..output import emit_json, note, say, shorten, table, warn
from ..protection import confirm_protected
from ..session import current
from ..target import Target, bounds_here, choose
from ..writing import Secret, validated, write

if TYPE_CHECKING:
    from ...config.edit_profiles import Editor
    from ...interop.imports.found import Entry, ImportedProfiles


_SOURCES = ", ".join(SOURCES)


def import_profiles(
    place: PlaceOptions,
    source: str | None = Option(
        None, "--from", metavar="FORMAT", help=f"One of {_SOURCES}; default: list what there is."
    ),
    path: str | None = Argument(None, metavar="[PATH]", help="Its file; default: where it usually is. - reads stdin."),
    alias: str | None = Option(
        None, "--alias", metavar="ALIAS", help="Name of the profile, where there is one to import."
    ),
    yes: bool = Option(False, "--yes", "-y", help="Do not ask."),
    dry_run: bool = Option(False, "--dry-run", help="Show what would be done, and do nothing."),
    delete_source: bool = Option(
        False, "--delete-source", help="Take what was imported out of the source, with its plain secrets."
    ),
    force: ForceOption = False,
) -> None:
    """Import profiles from other tools: shown first, then asked for; secrets go into the keyring."""
    current().creates = True
    if alias is not None:
        check_alias(alias)
    if source is None:
        if path is not None or alias is not None or yes or delete_source or force:
            raise UsageError("--from is missing", hint=f"name what is imported, one of {_SOURCES}")
        _list()
        return
    target = choose(place)
    found = _read(source, path)
    if alias is not None:
        if len(found.entries) > 1:
            raise UsageError(
                f"--alias names one profile, and there are {len(found.entries)}", hint="leave it out, and rename them"
            )
        found = replace(found, entries=tuple(replace(entry, alias=alias) for entry in found.entries))
    if delete_source and (found.path is None or found.content is None):
        raise UsageError("--delete-source needs a file to take things out of", hint="unset the variables yourself")
    entries, unusable = _usable(found, target, force)
    if entries and not current().json:
        _show(entries, unusable, target)
    if not entries:
        raise ConfigError(
            "there is nothing to import",
            hint="; ".join(f"{one.origin}: {one.reason}" for one in unusable[:3]) or "the source is empty",
        )
    _warn_of_settings(entries)
    if dry_run:
        _report(entries, unusable, target, imported=False)
        return
    confirm(
        f"Import {counted(len(entries), 'profile')}?",
        alone=DeclinedError("nothing was imported: there is nobody to ask", hint="confirm with --yes"),
        declined="nothing was imported",
        yes=yes,
    )
    _write(entries, target, force, yes)
    _report(entries, unusable, target, imported=True)
    if delete_source:
        _delete(source, found, entries, yes)


def _list() -> None:
    """What there is to import, each source where it usually is."""
    from ...interop.imports import found_here

    records = []
    for name, path, found in found_here(env=current().env, cwd=current_directory()):
        record: dict[str, Any] = {"source": name, "path": path, "profiles": [], "error": None}
        if isinstance(found, ConfigError):
            record["error"] = found.message
        else:
            record["profiles"] = [{"alias": entry.alias, "uri": _canonical(entry)} for entry in found.entries]
            if not found.entries and found.unusable:
                record["error"] = found.unusable[0].reason
        records.append(record)
    if current().json:
        emit_json(records)
        return
    if not records:
        say("there is nothing to import where it usually is")
        note(f"name a source: --from {_SOURCES}")
        return
    rows = [
        [
            record["source"],
            "the environment" if record["path"] is None else shorten(record["path"]),
            "\n".join(f"{one['alias']}  {one['uri']}" for one in record["profiles"]) or f"none: {record['error']}",
        ]
        for record in records
    ]
    table(["FORMAT", "FROM", "PROFILES"], rows, styles=["bold"])
    note(f"import one of them: {current().remedy('import', '--from', 'FORMAT')}")


def _canonical(entry: Entry) -> str:
    """The address of an entry as all other output has it; as it stands where it is none."""
    uri: str = entry.fields["uri"]
    try:
        return parse_address(uri).endpoint(bool(entry.fields["ssl"]) if "ssl" in entry.fields else None).uri
    except AddressError:
        return uri


def _read(source: str, path: str | None) -> ImportedProfiles:
    from ...interop.imports import find_source, read

    form = find_source(source)
    if path is not None and ("://" in path or "@" in path) and not os.path.exists(path):
        # Not repeated: it may hold a password, and everyone on this machine has seen it already.
        raise UsageError("the path is an address, not a file", hint=f"pipe it: import --from {source} -")
    if path == "-" or (path is None and source == "pymilvus-uri"):
        if form.parse is None or sys.stdin is None:
            raise UsageError(f"--from {source} does not read standard input", hint="leave the path out")
        if sys.stdin.isatty():
            content = ask_hidden("Address").reveal().encode("utf-8", "surrogateescape")
            return form.parse(content, "standard input").anonymous()
        content = sys.stdin.buffer.read(LIMIT + 1)
        if len(content) > LIMIT:
            raise ConfigError(f"standard input is longer than {LIMIT >> 10} KiB")
        return form.parse(content, "standard input").anonymous()
    found = read(source, path, env=current().env, cwd=current_directory())
    return found.anonymous() if found.path is not None and is_given(found.path) else found


def _usable(found: ImportedProfiles, target: Target, force: bool) -> tuple[list[tuple[Entry, Profile]], list[Unusable]]:
    """The entries with the profiles that they make, and the rest with the reasons."""
    document = target.read()
    present = {fold_alias(alias) for alias in document.profiles} if document is not None else set()
    unusable = list(found.unusable)
    taken: set[str] = set()
    usable = []
    for entry in found.entries:
        alias = _free(entry.alias, taken)
        entry = replace(entry, alias=alias, fields=entry.fields | {"uri": target.stored_uri(entry.fields["uri"])})
        if fold_alias(alias) in present and not force:
            unusable.append(Unusable(entry.origin, f"there is a profile {alias!r} already (--force replaces it)"))
            continue
        try:
            usable.append((entry, validated(alias, entry.fields, target)))
        except ConfigError as error:
            unusable.append(Unusable(entry.origin, error.message))
            continue
        taken.add(fold_alias(alias))
    return usable, unusable


def _free(alias: str, taken: set[str]) -> str:
    number, free = 2, alias
    while fold_alias(free) in taken:
        free, number = f"{alias[:60]}-{number}", number + 1
    return free


def _records(entries: list[tuple[Entry, Profile]]) -> list[dict[str, Any]]:
    return [
        {
            "alias": entry.alias,
            "uri": profile.endpoint.uri,
            "db_name": profile.db_name and shown(("db_name",), profile.db_name),
            "user": profile.user and shown(("user",), profile.user),
            "secret": entry.secret is not None,
            "origin": entry.origin,
        }
        for entry, profile in entries
    ]


def _show(entries: list[tuple[Entry, Profile]], unusable: list[Unusable], target: Target) -> None:
    say(f"to {target}:")
    columns = ("alias", "uri", "db_name", "user")
    table(
        ["ALIAS", "URI", "DATABASE", "USER", "SECRET", "FROM"],
        [
            [*(row[name] or "" for name in columns), "keyring" if row["secret"] else "", row["origin"]]
            for row in _records(entries)
        ],
        styles=["bold"],
    )
    for one in unusable:
        warn(f"{one.origin} is left out: {one.reason}")


def _warn_of_settings(entries: list[tuple[Entry, Profile]]) -> None:
    """Say what the table does not: what a source decides about whom to trust, before anybody says yes."""
    for entry, profile in entries:
        if profile.tls is not None and profile.tls.ca is not None:
            warn(f"{entry.alias!r} trusts the certificates in {shorten(profile.tls.ca)}, and no others")
        if profile.allow_insecure:
            warn(f"{entry.alias!r} lets its secret cross the network unencrypted (allow_insecure = true)")


def _write(entries: list[tuple[Entry, Profile]], target: Target, force: bool, yes: bool) -> None:

    profiles = current().profiles()
    for entry, _ in entries:
        if force and entry.alias in profiles:
            confirm_protected(profiles, entry.alias, "replace", yes)
    secrets: dict[str, Secret] = {}
    for entry, profile in entries:
        if entry.secret is None:
            continue
        account = keyring_account(profile.endpoint, profile.user)
        if account in secrets and secrets[account].value != entry.secret:
            raise ConfigError(
                f"two entries have different secrets for {account}, and the keyring keeps one",
                hint="remove one of them from the source",
            )
        secrets[account] = Secret(account, entry.secret)

    def change(editor: Editor) -> None:
        for entry, _ in entries:
            editor.add(entry.alias, entry.fields, replace=force)

    aliases = [entry.alias for entry, _ in entries]
    write(target, change, touched=aliases, secrets=list(secrets.values()), replace=force)


def _report(entries: list[tuple[Entry, Profile]], unusable: list[Unusable], target: Target, *, imported: bool) -> None:
    if current().json:
        emit_json(
            {
                "file": target.path,
                "imported": imported,
                "profiles": _records(entries),
                "unusable": [{"origin": one.origin, "reason": one.reason} for one in unusable],
            }
        )
    elif imported:
        secrets = sum(entry.secret is not None for entry, _ in entries)
        say(
            f"imported {counted(len(entries), 'profile')}"
            + (f", {secrets} with a secret in the keyring" if secrets else "")
        )
    for entry, profile in entries if imported else []:
        if sends_plaintext(profile) and not profile.allow_insecure:
            warn(
                f"connecting with {entry.alias!r} will be refused: the secret would be sent to "
                f"{profile.endpoint.authority} unencrypted; use https:// or set allow_insecure = true"
            )


def _delete(source: str, found: ImportedProfiles, entries: list[tuple[Entry, Profile]], yes: bool) -> None:
    """Take the imported entries out of their file; the file goes where nothing else is in it."""
    from ...interop.imports import find_source, without

    assert found.path is not None
    assert found.content is not None
    left = without(source, found.content, {entry.key for entry, _ in entries})
    if staying := find_source(source).staying(found.content):
        warn(f"the secret stays in {shorten(found.path)}, in {', '.join(staying)}: other programs may read it there")
    if left == found.content:
        note(f"{shorten(found.path)} was left as it is: nothing else in it is a secret of what was imported")
        return
    what = "Delete" if left is None else "Take what was imported out of"
    if not yes and not (current().interactive and agreed(f"{what} {shorten(found.path)}?")):
        note(f"{shorten(found.path)} was left as it is")
        return
    path, content = found.path, found.content

    def last_look() -> None:
        if read_bytes(path) != content:
            raise EditConflictError("it was changed meanwhile and is left as it is")

    try:
        inside = bounds_here()
        if left is None:
            told = remove_file(path, inside=inside, last_look=last_look)
        else:
            told = write_atomic(path, left, inside=inside, last_look=last_look)
    except MilvusProfilesError as error:
        raise type(error)(
            f"the profiles were imported, but their source still is what it was: {error.message}",
            hint="remove the plain secrets from it by hand",
            location=error.location or Location(path),
        ) from None
    if told is not None:
        warn(told)
    note(f"{'deleted' if left is None else 'took them out of'} {shorten(path)}")
