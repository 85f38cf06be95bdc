"""``profile set | unset | rename | copy | remove | edit``: changes to what is declared already."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ...config.atomic import read_bytes, write_atomic
from ...config.fields import SECRET_FIELDS, field, find_field, read_text
from ...config.invalid import Findings, validate
from ...config.loading import load_text
from ...config.locations import FILE_NAME
from ...config.values import PATH_FIELDS, Origin, Raw, Value, resolved_paths
from ...errors import ConfigError, DeclinedError, Location, MilvusProfilesError, SecretUnavailableError, UsageError
from ...masked import SecretText
from ...names import check_alias
from ...secrets.terminal import restored
from ...text import ARGUMENT
from ...tomltext.parser import loads
from .. import keyring_access
from ..asking import Asked, agreed, ask_text, command_words, pick, pick_profile
from ..keyring_access import account_in, delete_unused, follow, note_left_behind, users_of
from ..options import AliasArgument, ChangeOptions, DryRunOption, NewAlias, PlaceOptions
from ..output import answer, note, print_error, warn
from ..protection import confirm_picked, confirm_protected, confirm_protected_text
from ..session import current
from ..target import Target, choose, choose_declaring
from ..writing import Secret, check_text, finish, show_plan, write

if TYPE_CHECKING:
    from ...config.edit import Change, EditResult
    from ...config.edit_profiles import Editor
    from ...config.profiles import Profiles


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

    try:
        _change(name, target, change, "changed", how)
    except ConfigError as error:
        raise _at_argument(error, name, values, target) from None


def _at_argument(error: ConfigError, alias: str, values: list[Any], target: Target) -> MilvusProfilesError:
    """What is wrong with a text that was not written, at the argument that it would have come from, if there is one."""
    given: Raw = {}
    for path, value in values:
        leaves = {(*path, key): leaf for key, leaf in value.items()} if isinstance(value, dict) else {path: value}
        given |= {leaf: Value(of, Origin("call", ".".join(path) + ARGUMENT)) for leaf, of in leaves.items()}
    tables, whole = {path[:1] for path in given}, {path for path, _ in values}
    try:
        profiles = load_text(read_bytes(target.path) or b"", target.path, target.role, env=current().env)
        raw = profiles.raw(alias)
    except MilvusProfilesError:
        return error
    kept = {path: value for path, value in raw.values.items() if path not in tables and path[:1] not in whole}
    planned = replace(raw, values=kept | resolved_paths(given, target.directory))
    found = validate(planned, check_files=profiles.is_trusted(raw))
    same = [one for one in found.errors() if one.message == error.message] if isinstance(found, Findings) else []
    return next((one for one in same if one.location and one.location.source.endswith(ARGUMENT)), error)


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

    _change(name, target, change, "changed", how)


def _pick_field(alias: str) -> str:
    names = [".".join(path) for path in current().profiles().raw(alias).values if find_field(path) is not None]
    if not names:
        raise UsageError("the profile has no field to remove", hint="name one")
    return pick("Which field?", {name: name for name in names})


def rename(alias: AliasArgument, new: NewAlias, how: ChangeOptions) -> None:
    """Rename a profile; what refers to it in its file follows. The secret stays: it is bound to the endpoint."""
    check_alias(new)
    name, target = choose_declaring(alias, how)
    _change(name, target, lambda editor: editor.rename(name, new), f"renamed to {new!r}", how, new)


def copy(
    alias: AliasArgument,
    new: Annotated[str, Argument(metavar="NEW", help="Name of the copy."), Asked("text", "Name of the copy")],
    place: PlaceOptions,
    dry_run: DryRunOption = False,
) -> None:
    """Copy a profile within its file."""
    check_alias(new)
    name, target = choose_declaring(alias, place)
    how = ChangeOptions(dry_run=dry_run, yes=True)
    _change(name, target, lambda editor: editor.copy(name, new), f"copied to {new!r}", how, new)


def _change(alias: str, target: Target, change: Change, done: str, how: ChangeOptions, new: str | None = None) -> None:
    """Change a profile, or (``new``) make another of it; its secret goes along where it leads elsewhere."""
    along = None
    if not how.dry_run:
        confirm_protected(current().profiles(), alias, "change", how.yes)
        along = _follow(alias, target, change) if new is None else None
    secrets = [] if along is None else [Secret(along[1], along[2])]
    result = write(target, change, touched=[new or alias], secrets=secrets, dry_run=how.dry_run)
    record = {"alias": alias, "file": target.path, "changed": result.changed}
    if how.dry_run:
        show_plan(result, record)
        return
    answer(
        record | ({"diff": result.diff} if current().json else {}),  # which takes as long as the edit
        f"{alias!r} {done if result.changed else 'is as it was'} in {target}",
        *([] if along is None else [f"took its secret along to {along[1]}"]),
    )
    if along is not None:
        delete_unused(along[0], [alias])


def _follow(alias: str, target: Target, change: Change) -> tuple[str, str, SecretText] | None:
    """What of the keyring goes along with a profile that a change leads elsewhere."""
    if account_in(current().profiles(), alias) is None:
        return None
    planned = write(target, change, touched=[alias], dry_run=True)
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
    with_secret: bool = Option(False, "--with-secret", help="Delete its keyring entry too."),
) -> None:
    """Remove a profile from the file that declares it."""
    name, target = choose_declaring(alias, how)
    profiles = current().profiles()
    account = _entry_to_delete(profiles, name) if with_secret else None
    left = None if with_secret else account_in(profiles, name)
    if not how.dry_run:
        confirm_picked(name, f"Remove {name} from {target}", how.yes)
        confirm_protected(profiles, name, "remove", how.yes)
        account = _held(account)
    result = write(target, lambda editor: editor.remove(name), forgotten=account, dry_run=how.dry_run)
    record: dict[str, Any] = {"alias": name, "file": target.path}
    if how.dry_run:
        show_plan(result, record)
        return
    answer(
        record | {"removed": True, "secret_deleted": account is not None},
        f"removed {name!r} from {target}",
        *(["deleted its secret from the keyring"] if account else []),
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


def _held(account: str | None) -> str | None:
    """The account, if the keyring has something for it."""
    try:
        held = account is not None and keyring_access.keyring(current().profiles()).get(account) is not None
    except SecretUnavailableError as error:
        raise SecretUnavailableError(
            f"the secret cannot be deleted, so nothing was written: {error.message}",
            hint="leave --with-secret out, and only the profile is removed",
        ) from None
    return account if held else None


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
            hint=f"keep it in the keyring: {target.standing.into_keyring(alias, path[0])}; or give a reference: "
            f"`{path[0]}.env=NAME`, `{path[0]}.file=PATH`",
        )
    if known.kind == "array":
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


def _located(path: tuple[str, ...], value: Any, target: Target) -> Any:
    """A path of an argument counts from the current directory; in the file it counts from the file."""
    if path in PATH_FIELDS and isinstance(value, str):
        return target.stored_path(value)
    if path[0] in SECRET_FIELDS and path[1:] == ("command",) and isinstance(value, list):
        return target.stored_command(value) if all(isinstance(word, str) for word in value) else value
    if path == ("uri",) and isinstance(value, str):
        return target.stored_uri(value, "uri=")
    return value


def edit(place: PlaceOptions) -> None:
    """Open the file in $VISUAL or $EDITOR: on a copy, which is checked before it replaces the file.

    A text that is emptied changes nothing.
    """
    from ...config.edit import digest, replace_file

    target = choose(place)
    inside = target.bounds()
    before = read_bytes(target.path, inside=inside)
    set_it = current().remedy("profile", "set", "ALIAS", "FIELD=VALUE")
    if not (current().interactive and sys.stdout.isatty()):
        raise UsageError(
            "an editor needs a terminal, and there is none",
            hint=f"change a field with {set_it}, or the file itself",
            location=Location(target.path),
        )
    env = current().env
    command = env.get("VISUAL") or env.get("EDITOR") or ("notepad" if sys.platform == "win32" else "vi")
    words = command_words(command, "VISUAL or EDITOR is not a command", "set EDITOR to a program, such as nano")
    if sys.platform == "win32":  # which would start one of that name in the current directory
        from ...secrets.command import find_program

        if (program := find_program(words[0], env)) is None:
            raise UsageError(f"the editor {words[0]!r} was not found", hint="set EDITOR")
        words[0] = program
    copy = _Copy(before or b"")
    result: EditResult | None = None
    try:
        while result is None:
            _run_editor(words, copy.path)
            after = read_bytes(copy.path)
            if after is None or after == (before or b"") or not after.strip():
                if after is not None and after != (before or b""):
                    note("the text was emptied, which cancels")
                answer({"file": target.path, "changed": False}, "nothing was changed")
                return
            try:
                check_text(after, target)
                confirm_protected_text(before, after, target)
                result = replace_file(target.path, after, expect=digest(before), inside=inside)
                copy.is_stored = True
            except MilvusProfilesError as error:
                if not current().interactive:
                    raise
                print_error(error)
                if not agreed("Edit again? (no keeps your text aside and changes nothing)", default=True):
                    raise DeclinedError("nothing was changed") from None
    finally:
        copy.close()
    finish(target, result)
    with suppress(MilvusProfilesError):  # the text before may have been broken
        texts = (before or b"", result.after)
        note_left_behind(*(load_text(text, target.path, target.role, env=env) for text in texts))
    answer({"file": target.path, "changed": True}, f"changed {target}")


class _Copy:
    """What the editor works on: in a directory of its own, so that what editors leave beside it is as private.

    However the command ends, a text that was typed and is not stored is kept.

    Attributes:
        path: the file.
        is_stored: whether the text is where it belongs.
    """

    def __init__(self, content: bytes) -> None:
        self.is_stored = False
        self._content = content
        try:
            self._directory = tempfile.mkdtemp(prefix="milvus-")
        except OSError as error:
            raise ConfigError(
                f"there is no directory for the editor's copy: {error.strerror}",
                hint="set TMPDIR to a directory that can be written",
            ) from None
        self.path = os.path.join(self._directory, FILE_NAME)
        try:
            write_atomic(self.path, content)
        except BaseException:
            self.is_stored = True
            self.close()
            raise

    def close(self) -> None:
        """Remove it, unless it holds a text that stands nowhere else."""
        try:
            typed = read_bytes(self.path)
        except MilvusProfilesError:
            typed = b""  # whatever it is, it is not what was there
        if self.is_stored or typed is None or typed == self._content or not typed.strip():
            shutil.rmtree(self._directory, ignore_errors=True)
        else:
            warn(f"your text is kept in {self.path}")


def _run_editor(words: list[str], path: str) -> None:
    try:
        # One that is killed leaves the terminal as it was using it; a stop is its own affair.
        with restored(always=True):
            status = subprocess.run([*words, path], check=False).returncode
    except OSError as error:
        raise UsageError(f"the editor {words[0]!r} cannot be run: {error.strerror}", hint="set EDITOR") from None
    if status != 0:
        raise DeclinedError(f"the editor ended with status {status}; nothing was changed")
