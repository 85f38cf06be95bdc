"""``connect | use``: which profile is selected."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ...config.locations import current_directory, find_project_file
from ...config.state import read_state, update_state
from ...endpoint import DEFAULT_PORT, parse_host
from ...errors import ConfigError, MilvusProfilesError, UsageError
from ...masked import as_given
from ...names import check_alias, fold_alias
from ...profile import Profile
from ...text import quote
from ..asking import Asked, pick
from ..keyring_access import store
from ..options import (
    DryRunOption,
    ForceOption,
    PlaceOptions,
    host_option,
    password_option,
    port_option,
    user_option,
)
from ..output import answer, note, shorten, warn
from ..protection import confirm_protected
from ..session import current
from ..target import Target, choose, in_environment
from ..writing import ask_secret, show_plan, test_first, validated, write

if TYPE_CHECKING:
    from ...config.profiles import Profiles


def use(
    alias: Annotated[
        str | None,
        Argument(metavar="ALIAS | -", help="The profile; - for the one before."),
        Asked("profile", "Which profile is to be the default?"),
    ],
    place: PlaceOptions,
    shell: bool = Option(False, "--shell", help="Only print the line that selects it for one shell."),
    dry_run: DryRunOption = False,
) -> None:
    """Make a profile the default: in the user's file, or the project's, or (--shell) for one shell only."""
    if alias == "-" and current().profile is not None:
        raise UsageError("- and --profile name two profiles", hint="leave one of them out")
    wanted = None if alias == "-" else current().select(alias, tells=False).alias
    if shell or dry_run:
        current().tell_of_variable()  # what is written it hides instead, which is told below
    target = choose(place, own=True) if shell else _choose(place, wanted)
    if alias == "-":
        wanted = _previous(target)
    if shell:
        if wanted is None:
            raise _nothing_before()
        # On Windows git's bash sets SHELL, and PowerShell does not.
        name = os.path.basename(current().env.get("SHELL", "powershell" if sys.platform == "win32" else "sh"))
        lines = {"fish": f"set -gx MILVUS_PROFILE {quote(wanted)}", "powershell": f'$env:MILVUS_PROFILE = "{wanted}"'}
        line = lines.get(name, f"export MILVUS_PROFILE={quote(wanted)}")
        answer({"alias": wanted, "shell": line}, line, asked=True)
        return
    record = {"alias": wanted, "file": target.path}
    if dry_run:
        show_plan(write(target, lambda editor: editor.set_root("default_profile", wanted), dry_run=True), record)
        return
    hidden = make_default(target, wanted)
    said = f"the default profile is {wanted!r}" if wanted is not None else "there is no default profile"
    answer(record | {"hidden_by": hidden}, f"{said} in {target}")
    if hidden is not None and not current().json:
        warn(f"something stronger hides it: {hidden}")
    if wanted is not None and target.role == "user" and _is_the_projects(wanted):
        remedy = current().remedy("profile", "use", wanted, "--project-file")
        warn(f"only the project declares {wanted!r}, so elsewhere there is no such profile: {remedy} is about it alone")


def _is_the_projects(alias: str) -> bool:
    """Whether there is such a profile in a project's file alone."""
    document = current().profiles().declaring(alias)
    return document is not None and document.role == "project"


def _choose(place: PlaceOptions, wanted: str | None) -> Target:
    """The file whose default changes: asked where the project's own hides the user's, or it alone has the profile."""
    target = choose(place, own=True)
    path = find_project_file(current_directory(), current().env)[0]
    if target.role != "user" or place.is_named or path is None or not current().asks:
        return target
    project = Target(path, "project")
    here = default_in(project)
    if here is None and (wanted is None or not _is_the_projects(wanted)):
        return target
    there = default_in(target)
    now = "none yet" if there is None else f"now {there!r}"
    why = f"Only the project declares {wanted!r}" if here is None else f"The project has a default of its own, {here!r}"
    return pick(
        f"{why}. Which one is to change?",
        {
            project: f"the project's, which counts here: {shorten(project.path)}",
            target: f"your own, for everywhere else ({now}): {shorten(target.path)}",
        },
    )


def make_default(target: Target, wanted: str | None) -> str | None:
    """Write the default profile of a file, or that there is none; ``use -`` goes back to what was there before.

    Returns:
        What selects another profile all the same, in words; None if nothing does.
    """
    before = default_in(target)
    write(target, lambda editor: editor.set_root("default_profile", wanted))
    if before != wanted:
        _remember(target, before)
    return _hiding(wanted)


def _hiding(wanted: str | None) -> str | None:
    """What selects another profile although this one was just made a default."""
    try:
        selection = current().profiles(fresh=True).select()
    except MilvusProfilesError as error:
        place = "" if error.location is None else f"{error.location}: "
        return f"{place}{error.message}"
    if wanted is None or fold_alias(selection.alias) == fold_alias(wanted):
        return None
    return f"{selection.reason} ({selection.alias})"


def default_in(target: Target) -> str | None:
    """The default profile that a file names; None where it names none, or is not there."""
    document = target.read()
    value = document.root.get("default_profile") if document is not None else None
    return value if isinstance(value, str) else None


_STATE = "previous.json"


def _nothing_before() -> UsageError:
    hint = f"name one: {current().remedy('profile', 'use', 'ALIAS')}"
    return UsageError("there is no profile to go back to", hint=hint)


def _previous(target: Target) -> str | None:
    """The default before the last `use`; None where there was none."""
    state, place = read_state(_STATE, current().env), os.path.realpath(target.path)
    if (fault := state.fault or state.unread) is not None:
        warn(f"the profile before {fault[0]}: {fault[1]}")
    if place not in state.values:
        raise _nothing_before()
    value = state.values[place]
    if not isinstance(value, str):
        return None
    if value not in current().profiles():
        raise current().profiles().unknown(value)
    return value


def _remember(target: Target, alias: str | None) -> None:
    """Remember the default that was replaced: it was, so that this may fail is no error any more."""
    place = os.path.realpath(target.path)
    try:
        update_state(_STATE, current().env, "the profile before", lambda values: values | {place: alias})
    except MilvusProfilesError as error:
        at = f"{error.location}: " if error.location is not None else ""
        warn(
            f"{current().remedy('profile', 'use', '-')} will not go back: {at}{error.message}"
            + (f" ({error.hint})" if error.hint else "")
        )


DEFAULT_HOST = "127.0.0.1"
DEFAULT_ALIAS = "default"


@dataclass(frozen=True)
class AddressOptions:
    """Where the server is, and as whom to connect, as the Milvus CLI takes it."""

    host: str | None = host_option("-h", help=f"Host name or IP address. The default is {DEFAULT_HOST}.")
    port: int | None = port_option("-p")
    user: str | None = user_option("-u")
    password_stdin: bool = password_option()

    @property
    def is_given(self) -> bool:
        return (self.host, self.port, self.user) != (None, None, None)

    def fields(self) -> dict[str, Any]:
        address = {"host": self.host or DEFAULT_HOST, "port": DEFAULT_PORT if self.port is None else self.port}
        return address if self.user is None else address | {"user": self.user}


def connect(
    address: AddressOptions,
    alias: str | None = Option(
        None,
        "--alias",
        "-a",
        metavar="ALIAS",
        help=f"Name of the connection; else that of --profile or MILVUS_PROFILE, else {DEFAULT_ALIAS}.",
    ),
    disconnect: bool = Option(False, "--disconnect", "-D", help="Disconnect: unselect the connection, and keep it."),
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
        store(secret.account, secret.value, [profile.alias])
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
    record = {"alias": profile.alias, "uri": uri, "file": path, "selected": hidden is None}
    answer(
        {**record, "hidden_by": hidden, "secret_stored": stored},
        f"connected to {uri}: {profile.alias!r} is selected",
        *(["stored the secret in the keyring"] if stored else []),
    )
    if hidden is not None and not current().json:
        warn(f"something stronger hides it: {hidden}")


def _disconnect(alias: str | None) -> None:
    target = choose(own=True)
    default = default_in(target)
    selected = default is not None and (alias is None or fold_alias(default) == fold_alias(alias))
    hidden = make_default(target, None) if selected else None
    named = default if selected else alias
    shown = None if named is None else as_given(named)
    said = f"{shown!r} is {f'not selected any more in {target}' if selected else 'not the selected profile'}"
    answer(
        {"alias": shown, "file": target.path, "disconnected": selected},
        "no profile is selected" if shown is None else said,
    )
    if hidden is not None and os.path.exists(target.path):
        note(hidden)
