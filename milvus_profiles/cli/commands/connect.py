"""``connect``: the command that the Milvus CLI documents, for profiles.

Its options, short and long, and its defaults are those of the Milvus documentation ("Manage Connections"); what it
keeps is a profile, with the password in the keyring.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...endpoint import DEFAULT_PORT, parse_host
from ...errors import ConfigError, MilvusProfilesError, UsageError
from ...profile import Profile, check_alias, fold_alias
from ..output import emit_json, note, say, shorten, warn
from ..session import current
from ..target import Target, choose, confirm_protected, note_edit
from ..writing import Secret, ask_secret, store, test_first, validated
from .profile_use import default_in, make_default

if TYPE_CHECKING:
    from ...config.profiles import Profiles

__all__ = ["connect"]

DEFAULT_HOST = "127.0.0.1"
DEFAULT_ALIAS = "default"


def connect(
    host: Annotated[
        str | None, typer.Option("--host", "-h", metavar="HOST", help=f"Host name. The default is {DEFAULT_HOST}.")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", "-p", metavar="PORT", help=f"Port. The default is {DEFAULT_PORT}.")
    ] = None,
    alias: Annotated[
        str | None,
        typer.Option("--alias", "-a", metavar="ALIAS", help=f"Name of the connection. The default is {DEFAULT_ALIAS}."),
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", "-u", metavar="USER", help="User; the password goes into the keyring.")
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the user's password from stdin into the keyring.")
    ] = False,
    disconnect: Annotated[
        bool, typer.Option("--disconnect", "-D", help="Disconnect: unselect the connection, and keep it.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a profile that has another address.")] = False,
) -> None:
    """Check a server, store its address under an alias, and select it.

    A profile that exists is checked and selected as it is.
    """
    if alias is not None:
        check_alias(alias)
    if disconnect:
        if (host, port, user) != (None, None, None) or password_stdin or force:
            raise UsageError("-D takes nothing but an alias", hint="connect -D -a ALIAS")
        _disconnect(alias)
        return
    name = alias or DEFAULT_ALIAS
    profiles = current().profiles()
    changes = (host, port, user) != (None, None, None)
    if name in profiles and (not changes or _is_same(profiles, name, host, port, user)):
        _check_existing(profiles, name, password_stdin)
    else:
        _add(profiles, name, host, port, user, password_stdin, force)


def _is_same(profiles: Profiles, alias: str, host: str | None, port: int | None, user: str | None) -> bool:
    """Whether a profile has this address, and this user if one was named."""
    profile = profiles.resolve(alias).profile
    if profile.is_template:
        return False
    endpoint = profile.endpoint
    wanted = (parse_host(host or DEFAULT_HOST), DEFAULT_PORT if port is None else port)
    return (endpoint.host, endpoint.port) == wanted and user in (None, profile.user)


def _check_existing(profiles: Profiles, alias: str, password_stdin: bool) -> None:
    resolved = profiles.use(alias)
    profile = resolved.profile
    secret = None
    if password_stdin:
        if profile.credential is None or profile.credential.kind != "keyring" or profile.user is None:
            raise UsageError(
                f"--password-stdin does not fit: {profile.alias!r} has no user with a password in the keyring",
                hint="change the profile with `milvus-profiles profile set`",
            )
        secret = ask_secret(profile, False, True)
    test_first(profile, secret)
    if secret is not None:
        from ..keyring_access import keyring

        keyring(profiles).set(secret.account, secret.value)
    where = resolved.raw.document.path if resolved.raw.document is not None else None
    _select(profile, where, stored=secret is not None)


def _add(
    profiles: Profiles,
    alias: str,
    host: str | None,
    port: int | None,
    user: str | None,
    password_stdin: bool,
    force: bool,
) -> None:
    from ...config.edit import AddProfile

    if password_stdin and user is None:
        raise UsageError("--password-stdin needs --user", hint="add --user NAME")
    target = _target(profiles, alias, force)
    fields: dict[str, Any] = {"host": host or DEFAULT_HOST, "port": DEFAULT_PORT if port is None else port}
    if user is not None:
        fields["user"] = user
    profile = validated(alias, fields, target)
    if alias in profiles:
        confirm_protected(profiles, alias, "replace", False)
    secret: Secret | None = ask_secret(profile, False, password_stdin)
    test_first(profile, secret)
    secrets = [secret] if secret is not None else []
    store(target, [AddProfile(alias, fields, replace=True)], secrets, touched=[alias])
    _select(profile, target.path, stored=secret is not None)


def _target(profiles: Profiles, alias: str, force: bool) -> Target:
    """Where the profile is written: to the file that declares it, else to the user's."""
    if alias not in profiles:
        return choose(own=True)
    raw = profiles.raw(alias)
    if raw.document is None:
        raise ConfigError(
            f"{raw.alias!r} is declared by the environment, so no file can change its address",
            hint=f"unset {raw.declared}, or choose another alias with -a",
            location=raw.declared.location(),
        )
    if not force:
        raise ConfigError(
            f"there is a profile {raw.alias!r} with another address or user",
            hint="choose another alias with -a, or replace it with --force",
            location=raw.declared.location("key"),
        )
    return choose(document=raw.document)


def _select(profile: Profile, path: str | None, *, stored: bool) -> None:
    try:
        target = choose(own=True)
        trusted, hidden = make_default(target, profile.alias)
    except MilvusProfilesError as error:
        if path is not None:
            done = f"{profile.alias!r} stands in {shorten(path)}" + (", its secret in the keyring" if stored else "")
            error.message = f"{done}, but it is not selected: {error.message}"
        raise
    if current().json:
        emit_json(
            {
                "alias": profile.alias,
                "uri": profile.endpoint.uri,
                "file": path,
                "selected": hidden is None,
                "hidden_by": hidden,
                "secret_stored": stored,
            }
        )
        return
    say(f"connected to {profile.endpoint.uri}: {profile.alias!r} is selected")
    if stored:
        say("stored the secret in the keyring")
    if hidden is not None:
        warn(f"something stronger hides it: {hidden}")
    note_edit(target, trusted)


def _disconnect(alias: str | None) -> None:
    target = choose(own=True)
    before = default_in(target)
    selected = before is not None and (alias is None or fold_alias(before) == fold_alias(alias))
    hidden = None
    if selected:
        _, hidden = make_default(target, None)
    if current().json:
        emit_json({"alias": before if selected else alias, "file": target.path, "disconnected": selected})
        return
    if not selected:
        say(f"{alias!r} is not the selected profile" if alias is not None else "no profile is selected")
    else:
        say(f"{before!r} is not selected any more in {target.words} {shorten(target.path)}")
        if hidden is not None and os.path.exists(target.path):
            note(hidden)
