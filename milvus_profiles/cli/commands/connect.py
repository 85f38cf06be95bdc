"""``connect``: the command that the Milvus CLI documents, for profiles.

Its options, short and long, and its defaults are those of the Milvus documentation ("Manage Connections"); what it
keeps is a profile, with the password in the keyring.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from ...endpoint import DEFAULT_PORT, parse_host
from ...errors import ConfigError, MilvusProfilesError, UsageError
from ...names import check_alias, fold_alias
from ...profile import Profile
from ..options import ForceOption, PasswordOption, host_option, port_option, user_option
from ..output import answer, note, shorten, warn
from ..session import current
from ..target import Target, choose, in_environment
from ..writing import ask_secret, confirm_protected, test_first, validated, write
from .profile_use import default_in, make_default

if TYPE_CHECKING:
    from ...config.profiles import Profiles

__all__ = ["connect"]

DEFAULT_HOST = "127.0.0.1"
DEFAULT_ALIAS = "default"


@dataclass(frozen=True)
class AddressOptions:
    """Where the server is, and as whom to connect, as the Milvus CLI takes it."""

    host: Annotated[str | None, host_option("-h", default=f" The default is {DEFAULT_HOST}.")] = None
    port: Annotated[int | None, port_option("-p")] = None
    user: Annotated[str | None, user_option("-u")] = None
    password_stdin: PasswordOption = False

    @property
    def is_given(self) -> bool:
        """Whether an address or a user is named."""
        return (self.host, self.port, self.user) != (None, None, None)

    def fields(self) -> dict[str, Any]:
        """What a profile says of it."""
        address = {"host": self.host or DEFAULT_HOST, "port": DEFAULT_PORT if self.port is None else self.port}
        return address if self.user is None else address | {"user": self.user}


def connect(
    address: AddressOptions,
    alias: Annotated[
        str | None,
        Option(
            "--alias",
            "-a",
            metavar="ALIAS",
            help=f"Name of the connection; else that of --profile or MILVUS_PROFILE, else {DEFAULT_ALIAS}.",
        ),
    ] = None,
    disconnect: Annotated[
        bool, Option("--disconnect", "-D", help="Disconnect: unselect the connection, and keep it.")
    ] = False,
    force: ForceOption = False,
) -> None:
    """Check a server, store its address under an alias, and select it.

    A profile that exists is checked and selected as it is.
    """
    alias = current().agreed(alias) or (None if disconnect else current().named)
    if alias is not None:
        check_alias(alias)
    if disconnect:
        if address.is_given or address.password_stdin or force:
            raise UsageError(
                "-D takes nothing but an alias", hint=f"write {current().remedy('connect', '-D', '-a', 'ALIAS')}"
            )
        _disconnect(alias)
        return
    name = alias or DEFAULT_ALIAS
    profiles = current().profiles()
    if name in profiles and (not address.is_given or _is_same(profiles, name, address)):
        _check_existing(profiles, name, address.password_stdin)
    else:
        _add(profiles, name, address, force)


def _is_same(profiles: Profiles, alias: str, address: AddressOptions) -> bool:
    """Whether a profile has this address, and this user if one was named."""
    profile = profiles.resolve(alias).profile
    if profile.is_template:
        return False
    fields = address.fields()
    wanted = (parse_host(fields["host"]), fields["port"])
    return (profile.endpoint.host, profile.endpoint.port) == wanted and address.user in (None, profile.user)


def _check_existing(profiles: Profiles, alias: str, password_stdin: bool) -> None:
    resolved = profiles.use(alias)
    profile = resolved.profile
    secret = None
    if password_stdin:
        if profile.credential is None or profile.credential.kind != "keyring" or profile.user is None:
            raise UsageError(
                f"--password-stdin does not fit: {profile.alias!r} has no user with a password in the keyring",
                hint=f"change the profile: {current().remedy('profile', 'set', profile.alias, 'user=USER')}",
            )
        secret = ask_secret(profile, False, True)
    test_first(profile, secret)
    if secret is not None:
        from ..keyring_access import keyring
        from ..keyring_entries import confirm_replacing

        ring = keyring(profiles)
        confirm_replacing(secret.account, ring.get(secret.account), secret.value, [profile.alias])
        ring.set(secret.account, secret.value)
    where = resolved.raw.document.path if resolved.raw.document is not None else None
    _select(profile, where, stored=secret is not None)


def _add(profiles: Profiles, alias: str, address: AddressOptions, force: bool) -> None:
    if address.password_stdin and address.user is None:
        raise UsageError("--password-stdin needs --user", hint="add --user NAME")
    target = _target(profiles, alias, force)
    fields = address.fields()
    profile = validated(alias, fields, target)
    if alias in profiles:
        confirm_protected(profiles, alias, "replace", False)
    secret = ask_secret(profile, False, address.password_stdin)
    test_first(profile, secret)
    write(
        target,
        lambda editor: editor.add(alias, fields, replace=True),
        touched=[alias],
        secrets=[secret] if secret is not None else [],
    )
    _select(profile, target.path, stored=secret is not None)


def _target(profiles: Profiles, alias: str, force: bool) -> Target:
    """Where the profile is written: to the file that declares it, else to the user's."""
    if alias not in profiles:
        return choose(own=True)
    raw = profiles.raw(alias)
    if raw.document is None:
        raise in_environment(raw, "choose another alias with -a, or unset")
    if not force:
        raise ConfigError(
            f"there is a profile {raw.alias!r} with another address or user",
            hint="choose another alias with -a, or replace it with --force",
            location=raw.declared.location("key"),
        )
    return choose(document=raw.document)


def _select(profile: Profile, path: str | None, *, stored: bool) -> None:
    try:
        hidden = make_default(choose(own=True), profile.alias)
    except MilvusProfilesError as error:
        if path is not None:
            done = f"{profile.alias!r} stands in {shorten(path)}" + (", its secret in the keyring" if stored else "")
            error.message = f"{done}, but it is not selected: {error.message}"
        raise
    uri = profile.endpoint.uri
    answer(
        {
            "alias": profile.alias,
            "uri": uri,
            "file": path,
            "selected": hidden is None,
            "hidden_by": hidden,
            "secret_stored": stored,
        },
        f"connected to {uri}: {profile.alias!r} is selected",
        *(["stored the secret in the keyring"] if stored else []),
    )
    if hidden is not None and not current().json:
        warn(f"something stronger hides it: {hidden}")


def _disconnect(alias: str | None) -> None:
    target = choose(own=True)
    before = default_in(target)
    selected = before is not None and (alias is None or fold_alias(before) == fold_alias(alias))
    hidden = make_default(target, None) if selected else None
    if selected:
        said = f"{before!r} is not selected any more in {target}"
    else:
        said = f"{alias!r} is not the selected profile" if alias is not None else "no profile is selected"
    answer({"alias": before if selected else alias, "file": target.path, "disconnected": selected}, said)
    if hidden is not None and os.path.exists(target.path):
        note(hidden)
