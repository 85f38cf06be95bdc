"""``profile set | unset | rename | copy | edit``: changes to a file that already declares profiles."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...config.fields import SECRET_FIELDS, field, read_text
from ...config.locations import FILE_NAME
from ...errors import ConfigError, DeclinedError, MilvusProfilesError, UsageError
from ...masked import SecretText
from ...profile import check_alias
from ...tomltext.parser import loads
from ..output import emit_json, print_error, say, say_lines, shorten, warn
from ..session import current
from ..target import (
    Target,
    apply,
    bounds,
    check_text,
    choose,
    confirm_protected,
    note_edit,
    repin,
    stored_command,
    stored_path,
    stored_uri,
)

if TYPE_CHECKING:
    from ...config.edit import Operation

__all__ = ["copy", "edit", "rename", "set_fields", "unset_fields"]

AliasArgument = Annotated[str, typer.Argument(metavar="ALIAS", help="The profile.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask about a protected profile.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print the change, make none.")]
UserFileOption = Annotated[bool, typer.Option("--user-file", help="Change the user's file.")]
ProjectFileOption = Annotated[bool, typer.Option("--project-file", help="Change the project's file.")]


# --- fields ---


def set_fields(
    alias: AliasArgument,
    assignments: Annotated[
        list[str], typer.Argument(metavar="FIELD=VALUE...", help="A field, dotted for a table's key, and its value.")
    ],
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    user_file: UserFileOption = False,
    project_file: ProjectFileOption = False,
) -> None:
    """Set fields of a profile: `timeout=5`, `ssl.ca=certs/ca.pem`, `token='{ env = "NAME" }'`."""
    from ...config.edit import SetField

    name, target = _declared(alias, user_file, project_file)
    changes: list[Operation] = []
    for assignment in assignments:
        path, text = _split(assignment)
        changes.append(SetField(name, path, _read(path, text, target)))
    _change(name, target, changes, "changed", yes=yes, dry_run=dry_run, touched=[name])


def unset_fields(
    alias: AliasArgument,
    fields: Annotated[list[str], typer.Argument(metavar="FIELD...", help="A field, dotted for a table's key.")],
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    user_file: UserFileOption = False,
    project_file: ProjectFileOption = False,
) -> None:
    """Remove fields of a profile, so that their defaults hold."""
    from ...config.edit import UnsetField

    name, target = _declared(alias, user_file, project_file)
    changes: list[Operation] = [UnsetField(name, _path(name_of_field)) for name_of_field in fields]
    _change(name, target, changes, "changed", yes=yes, dry_run=dry_run, touched=[name])


def _split(assignment: str) -> tuple[tuple[str, ...], str]:
    name, equals, text = assignment.partition("=")
    if not equals:
        # The word itself is not repeated: it may be a secret that was meant for elsewhere.
        raise UsageError("an argument is not FIELD=VALUE", hint="write `profile set ALIAS timeout=5`")
    return _path(name), text


def _path(name: str) -> tuple[str, ...]:
    path = tuple(part.strip() for part in name.split("."))
    if not all(re.fullmatch("[a-z_]+", part) for part in path):
        raise UsageError("a field's name has letters and '_' only", hint="write `ssl.ca` for a key in a table")
    field(path)
    return path


def _read(path: tuple[str, ...], text: str, target: Target) -> Any:
    """The value of an assignment, by the type of its field."""
    known = field(path)
    stripped = text.strip()
    if stripped.startswith("{") and known.keys:
        return _inline(path, stripped, target)
    if path[0] in SECRET_FIELDS and len(path) == 1:
        raise UsageError(
            f"{path[0]} is not set by an argument, which other users of the machine can see",
            hint="store it in the keyring with `milvus-profiles secret set ALIAS`, or give a reference: "
            f"`{path[0]}.env=NAME`, `{path[0]}.file=PATH`",
        )
    if "array" in known.kinds:
        return _located(path, _toml(path, stripped), target)
    value = read_text(path, text)
    assert not isinstance(value, SecretText)
    return _located(path, value, target)


def _inline(path: tuple[str, ...], text: str, target: Target) -> dict[str, Any]:
    table = _toml(path, text)
    if not isinstance(table, dict):
        raise UsageError(f"{'.'.join(path)}: the value is not an inline table", hint='write { env = "NAME" }')
    return {key: _located((*path, key), value, target) for key, value in table.items()}


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
        return stored_path(value, target)
    if path[0] in SECRET_FIELDS and path[1:] == ("command",) and isinstance(value, list):
        return stored_command(value, target) if all(isinstance(word, str) for word in value) else value
    if path == ("uri",) and isinstance(value, str):
        return stored_uri(value, target)
    return value


# --- whole profiles ---


def rename(
    alias: AliasArgument,
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")],
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    user_file: UserFileOption = False,
    project_file: ProjectFileOption = False,
) -> None:
    """Rename a profile; what refers to it in its file follows. The secret stays: it is bound to the endpoint."""
    from ...config.edit import RenameProfile

    check_alias(new)
    name, target = _declared(alias, user_file, project_file)
    _change(name, target, [RenameProfile(name, new)], f"renamed to {new!r}", yes=yes, dry_run=dry_run, touched=[new])


def copy(
    alias: AliasArgument,
    new: Annotated[str, typer.Argument(metavar="NEW", help="Name of the copy.")],
    dry_run: DryRunOption = False,
    user_file: UserFileOption = False,
    project_file: ProjectFileOption = False,
) -> None:
    """Copy a profile within its file."""
    from ...config.edit import CopyProfile

    check_alias(new)
    name, target = _declared(alias, user_file, project_file)
    _change(name, target, [CopyProfile(name, new)], f"copied to {new!r}", yes=True, dry_run=dry_run, touched=[new])


def _declared(alias: str, user_file: bool, project_file: bool) -> tuple[str, Target]:
    """The alias as it is declared, and the file that declares it."""
    profiles = current().profiles()
    name = profiles.select(alias, name="ALIAS").alias
    raw = profiles.raw(name)
    if raw.document is None and not (user_file or project_file):
        raise ConfigError(
            f"{name!r} is declared by the environment, not in a file",
            hint=f"set its variables, such as {raw.declared}",
            location=raw.declared.location(),
        )
    return name, choose(user=user_file, project=project_file, document=raw.document)


def _change(
    alias: str,
    target: Target,
    operations: Sequence[Operation],
    done: str,
    *,
    yes: bool,
    dry_run: bool,
    touched: Sequence[str],
) -> None:

    if not dry_run:
        confirm_protected(current().profiles(), alias, "change", yes)
    result, trusted = apply(target, operations, dry_run=dry_run, touched=touched)
    if current().json:
        emit_json({"alias": alias, "file": target.path, "changed": result.changed, "diff": result.diff})
        return
    if dry_run:
        say_lines(result.diff.rstrip("\n") if result.changed else "nothing would change")
        return
    say(f"{alias!r} {done if result.changed else 'is as it was'} in {target.words} {shorten(target.path)}")
    note_edit(target, trusted, result.notes)


# --- the editor ---


def edit(
    user_file: UserFileOption = False,
    project_file: ProjectFileOption = False,
) -> None:
    """Open the file in $VISUAL or $EDITOR: on a copy, which is checked before it replaces the file."""
    from ...config.atomic import read_bytes
    from ...config.edit import digest, replace_file

    target = choose(user=user_file, project=project_file)
    inside = bounds(target)
    before = read_bytes(target.path, inside=inside)
    words = _editor()
    copy = _Copy(before or b"")
    try:
        while True:
            _run_editor(words, copy.path)
            after = read_bytes(copy.path)
            if after is None or after == (before or b""):
                if current().json:
                    emit_json({"file": target.path, "changed": False})
                else:
                    say("nothing was changed")
                return
            try:
                _check_whole(after, target)
                result = replace_file(target.path, after, expect=digest(before), inside=inside)
            except MilvusProfilesError as error:
                if not current().interactive:
                    raise
                print_error(error)
                if typer.confirm("Edit again? (no keeps your text aside and changes nothing)", default=True, err=True):
                    continue
                raise DeclinedError("nothing was changed") from None
            copy.is_stored = True
            break
    finally:
        copy.close()
    trusted = repin(target, result)
    if current().json:
        emit_json({"file": target.path, "changed": True})
        return
    say(f"changed {target.words} {shorten(target.path)}")
    note_edit(target, trusted, result.notes)


class _Copy:
    """What the editor works on: in a directory of its own, so that what editors leave beside it is as private.

    However the command ends, a text that was typed and is not stored is kept.

    Attributes:
        path: the file.
        is_stored: whether the text is where it belongs.
    """

    def __init__(self, content: bytes) -> None:
        from ...config.atomic import write_atomic

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
        from ...config.atomic import read_bytes

        try:
            typed = read_bytes(self.path)
        except MilvusProfilesError:
            typed = b""  # whatever it is, it is not what was there
        if self.is_stored or typed is None or typed == self._content:
            shutil.rmtree(self._directory, ignore_errors=True)
        else:
            warn(f"your text is kept in {self.path}")


def _check_whole(content: bytes, target: Target) -> None:
    """Every profile of the new text must be valid."""
    from ...config.documents import parse_document

    document = parse_document(content, target.path, target.role)
    check_text(content, target, list(document.profiles))


def _editor() -> list[str]:
    env = current().env
    text = env.get("VISUAL") or env.get("EDITOR") or "vi"
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    if not words:
        raise UsageError("VISUAL or EDITOR is not a command", hint="set EDITOR to a program, such as nano")
    return words


def _run_editor(words: list[str], path: str) -> None:
    try:
        status = subprocess.run([*words, path], check=False).returncode
    except OSError as error:
        raise UsageError(f"the editor {words[0]!a} cannot be run: {error.strerror}", hint="set EDITOR") from None
    if status != 0:
        raise DeclinedError(f"the editor ended with status {status}; nothing was changed")
