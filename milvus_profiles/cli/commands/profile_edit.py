"""``profile set | unset | rename | copy | remove``: changes to a profile that is declared already."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ...config.fields import SECRET_FIELDS, field, find_field, read_text
from ...config.loading import load_text
from ...errors import ConfigError, MilvusProfilesError, SecretUnavailableError, UsageError
from ...masked import SecretText
from ...names import check_alias
from ...tomltext.parser import loads
from .. import keyring_access
from ..asking import ask_text, pick
from ..keyring_entries import account_in, delete_unused, follow, users_of
from ..options import AliasArgument, Asked, ChangeOptions, DryRunOption, NewAlias, PlaceOptions
from ..output import answer, note, warn
from ..picking import pick_profile
from ..protection import confirm_picked, confirm_protected
from ..session import current
from ..target import Target, choose_declaring
from ..writing import Secret, show_plan, write

if TYPE_CHECKING:
    from ...config.edit import Change, Editor
    from ...config.profiles import Profiles

__all__ = ["copy", "remove", "rename", "set_fields", "unset_fields"]


def set_fields(
    alias: AliasArgument,
    assignments: Annotated[
        list[str],
        Argument(metavar="FIELD=VALUE...", help="A field, dotted for a table's key, and its value."),
        Asked("command"),
    ],
    how: ChangeOptions,
) -> None:
    """Set fields of a profile: `timeout=5`, `ssl.ca=certs/ca.pem`, `token='{ env = "NAME" }'`."""
    if alias is not None and current().asks and "=" in alias:  # no alias has one: it was left out
        alias, assignments = pick_profile("Which profile?"), [alias, *(assignments or ())]
    name, target = choose_declaring(alias, how)
    assignments = assignments or [ask_text("A field and its value, such as timeout=5")]
    values = [_assignment(name, assignment, target) for assignment in assignments]

    def change(editor: Editor) -> None:
        for path, value in values:
            editor.set(name, path, value)

    _change(name, target, change, "changed", touched=[name], dry_run=how.dry_run, yes=how.yes)


def unset_fields(
    alias: AliasArgument,
    fields: Annotated[
        list[str], Argument(metavar="FIELD...", help="A field, dotted for a table's key."), Asked("command")
    ],
    how: ChangeOptions,
) -> None:
    """Remove fields of a profile, so that their defaults hold."""
    name, target = choose_declaring(alias, how)
    paths = [_path(of_field) for of_field in fields or [_pick_field(name)]]

    def change(editor: Editor) -> None:
        for path in paths:
            editor.unset(name, path)

    _change(name, target, change, "changed", touched=[name], dry_run=how.dry_run, yes=how.yes)


def _pick_field(alias: str) -> str:
    names = [".".join(path) for path in current().profiles().raw(alias).values if find_field(path) is not None]
    if not names:
        raise UsageError("the profile has no field to remove", hint="name one")
    return pick("Which field?", {name: name for name in names})


def rename(alias: AliasArgument, new: NewAlias, how: ChangeOptions) -> None:
    """Rename a profile; what refers to it in its file follows. The secret stays: it is bound to the endpoint."""
    check_alias(new)
    name, target = choose_declaring(alias, how)

    def change(editor: Editor) -> None:
        editor.rename(name, new)

    _change(name, target, change, f"renamed to {new!r}", touched=[new], dry_run=how.dry_run, yes=how.yes)


def copy(
    alias: AliasArgument,
    new: Annotated[str, Argument(metavar="NEW", help="Name of the copy."), Asked("text", "Name of the copy")],
    place: PlaceOptions,
    dry_run: DryRunOption = False,
) -> None:
    """Copy a profile within its file."""
    check_alias(new)
    name, target = choose_declaring(alias, place)

    def change(editor: Editor) -> None:
        editor.copy(name, new)

    _change(name, target, change, f"copied to {new!r}", touched=[new], dry_run=dry_run, yes=True)


def _change(
    alias: str, target: Target, change: Change, done: str, *, touched: Sequence[str], dry_run: bool, yes: bool
) -> None:
    if not dry_run:
        confirm_protected(current().profiles(), alias, "change", yes)
    along = None if dry_run else _follow(alias, target, change, touched)
    secrets = [] if along is None else [Secret(along[1], along[2])]
    result = write(target, change, touched=touched, secrets=secrets, dry_run=dry_run)
    record = {"alias": alias, "file": target.path, "changed": result.changed}
    if dry_run:
        show_plan(result, record)
        return
    answer(
        record | ({"diff": result.diff} if current().json else {}),  # which takes as long as the edit
        f"{alias!r} {done if result.changed else 'is as it was'} in {target}",
        *([] if along is None else [f"took its secret along to {along[1]}"]),
    )
    if along is not None:
        delete_unused(along[0], [alias])


def _follow(alias: str, target: Target, change: Change, touched: Sequence[str]) -> tuple[str, str, SecretText] | None:
    """What of the keyring goes along with a profile that a change leads elsewhere."""
    if list(touched) != [alias] or account_in(current().profiles(), alias) is None:
        return None
    planned = write(target, change, touched=touched, dry_run=True)
    if not planned.changed:
        return None
    try:
        before = current().profiles().resolve(alias).profile
        after = load_text(planned.after, target.path, target.role, env=current().env).resolve(alias).profile
    except MilvusProfilesError:
        return None  # it leads nowhere
    return follow(alias, before, after)


# --- remove ---


def remove(
    alias: AliasArgument,
    how: ChangeOptions,
    with_secret: Annotated[bool, Option("--with-secret", help="Delete its keyring entry too.")] = False,
) -> None:
    """Remove a profile from the file that declares it."""
    name, target = choose_declaring(alias, how)
    profiles = current().profiles()
    account = _entry_to_delete(profiles, name) if with_secret else None
    left = None if with_secret else account_in(profiles, name)
    if not how.dry_run:
        confirm_picked(name, f"Remove {name} from {target}", how.yes)
        confirm_protected(profiles, name, "remove", how.yes)
    result = write(target, lambda editor: editor.remove(name), dry_run=how.dry_run)
    record: dict[str, Any] = {"alias": name, "file": target.path}
    if how.dry_run:
        show_plan(result, record)
        return
    deleted = _delete_entry(account, name) if account else False
    answer(
        record | {"removed": True, "secret_deleted": deleted},
        f"removed {name!r} from {target}",
        *(["deleted its secret from the keyring"] if deleted else []),
    )
    if left is not None:
        note(f"what the keyring has for {left} stays there; --with-secret deletes that too")
    with suppress(MilvusProfilesError):  # it was removed, whatever is wrong with the rest
        if name in current().profiles(fresh=True):
            warn(f"{name!r} is still there, declared in {current().profiles().raw(name).declared}")


def _entry_to_delete(profiles: Profiles, alias: str) -> str | None:
    """The keyring account of a profile, unless another profile uses it too."""
    account = account_in(profiles, alias)
    if account is None:
        note("it has no entry in the keyring")
        return None
    others = users_of(profiles, account, [alias])
    if others:
        warn(f"the keyring entry stays: {', '.join(others[:5])} use{'s' if len(others) == 1 else ''} it too")
        return None
    return account


def _delete_entry(account: str, alias: str) -> bool:
    try:
        return keyring_access.keyring(current().profiles()).delete(account)
    except SecretUnavailableError as error:
        raise SecretUnavailableError(
            f"the profile {alias!r} was removed, but its secret was not: {error.message}", hint=error.hint
        ) from None


# --- values of arguments ---


def _assignment(alias: str, text: str, target: Target) -> tuple[tuple[str, ...], Any]:
    """The field that an argument names, and its value, read by the field's type."""
    name, equals, text = text.partition("=")
    if not equals:
        # The word itself is not repeated: it may be a secret that was meant for elsewhere.
        raise UsageError(
            "an argument is not FIELD=VALUE", hint=f"write {current().remedy('profile', 'set', 'ALIAS', 'timeout=5')}"
        )
    path = _path(name)
    known = field(path)
    stripped = text.strip()
    if stripped.startswith("{") and known.keys:
        table = _toml(path, stripped)
        if not isinstance(table, dict):
            raise UsageError(f"{'.'.join(path)}: the value is not an inline table", hint='write { env = "NAME" }')
        return path, {key: _located((*path, key), value, target) for key, value in table.items()}
    if path[0] in SECRET_FIELDS and len(path) == 1:
        raise UsageError(
            f"{path[0]} is not set by an argument, which other users of the machine can see",
            hint=f"store it in the keyring with {current().remedy('secret', 'set', alias)}, or give a reference: "
            f"`{path[0]}.env=NAME`, `{path[0]}.file=PATH`",
        )
    if "array" in known.kinds:
        return path, _located(path, _toml(path, stripped), target)
    try:
        value = read_text(path, text)
    except ConfigError as error:
        shown = ".".join(path)
        remedy = f"write such a value; {current().remedy('profile', 'unset', alias, shown)} goes back to the default"
        raise ConfigError(f"{shown}=…: {error.message}", hint=error.hint or remedy) from None
    assert not isinstance(value, SecretText)
    return path, _located(path, value, target)


def _path(name: str) -> tuple[str, ...]:
    path = tuple(part.strip() for part in name.split("."))
    if not all(re.fullmatch("[a-z_]+", part) for part in path):
        raise UsageError("a field's name has letters and '_' only", hint="write `ssl.ca` for a key in a table")
    field(path)
    return path


def _toml(path: tuple[str, ...], text: str) -> Any:
    try:
        return loads(f"value = {text}")["value"]
    except (ValueError, RecursionError, KeyError):  # an array of digits without end is none of tomli's own
        pass
    raise UsageError(f"{'.'.join(path)}: the value is not valid TOML", hint='write an array as ["op", "read"]')


_PATHS = frozenset({("ssl", "ca"), ("ssl", "cert"), ("ssl", "key"), ("token", "file"), ("password", "file")})


def _located(path: tuple[str, ...], value: Any, target: Target) -> Any:
    """A path of an argument counts from the current directory; in the file it counts from the file."""
    if path in _PATHS and isinstance(value, str):
        return target.stored_path(value)
    if path[0] in SECRET_FIELDS and path[1:] == ("command",) and isinstance(value, list):
        return target.stored_command(value) if all(isinstance(word, str) for word in value) else value
    if path == ("uri",) and isinstance(value, str):
        return target.stored_uri(value, "uri=")
    return value
