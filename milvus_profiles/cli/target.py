"""Which file a command edits, and what an edit means for trust."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from ..config.documents import Document, Role, parse_document, read_document
from ..config.locations import (
    FILE_NAME,
    current_directory,
    find_project_file,
    home_fault,
    named,
    named_file,
    project_file,
    user_file,
    user_file_fault,
)
from ..config.trust import TrustStore
from ..endpoint import parse_address
from ..errors import ConfigError, DeclinedError, Location, MilvusProfilesError, UsageError
from ..files.paths import absolute_path
from ..text import milvus_profiles
from .output import note, warn
from .session import current

if TYPE_CHECKING:
    from ..config.edit import EditResult, Operation
    from ..config.profiles import Profiles

__all__ = [
    "Target",
    "apply",
    "bounds",
    "bounds_here",
    "check_text",
    "choose",
    "confirm_protected",
    "note_edit",
    "repin",
    "stored_command",
    "stored_path",
    "stored_uri",
]


@dataclass(frozen=True)
class Target:
    """A file to edit.

    Attributes:
        path: absolute path, whether it exists or not.
        role: the layer that it is.
    """

    path: str
    role: Role

    @property
    def words(self) -> str:
        """What kind of file it is, for messages."""
        return {"named": "the named file", "project": "the project file", "user": "the user file"}[self.role]

    @property
    def directory(self) -> str:
        """What relative paths in it count from."""
        return os.path.dirname(self.path)


def choose(*, own: bool = False, user: bool = False, project: bool = False, document: Document | None = None) -> Target:
    """The file that a command writes to.

    Args:
        own: the user's file, unless one is named or ``project`` is given.
        user: ``--user-file`` was given.
        project: ``--project-file`` was given.
        document: the file that declares the profile in question; None for a new one, which goes into the project's
            file where there is one, else into the user's.

    Raises:
        UsageError: both were given, or one beside ``--config``.
    """
    session = current()
    cwd = current_directory()
    if user and project:
        raise UsageError("--user-file and --project-file are both given", hint="give one of them")
    file = named(session.config, session.env)
    if file:
        if user or project:
            name = "--config" if session.config else "MILVUS_PROFILES_FILE"
            raise UsageError(f"{name} names the file already", hint="leave --user-file and --project-file out")
        return Target(named_file(file, session.env, cwd), "named")
    if user or (own and not project):
        return _own()
    if document is not None and not project:
        return Target(document.path, document.role)
    found, unread = find_project_file(cwd, session.env)
    if project:
        here = os.path.join(cwd, FILE_NAME)
        if found is None and (mistrusted := next((one for one in unread if one.path == here), None)) is not None:
            raise ConfigError(mistrusted.reason, hint=mistrusted.hint, location=Location(here))
        return Target(found or here, "project")
    return Target(found, "project") if found else _own()


def _own() -> Target:
    """The user's own file.

    Raises:
        ConfigError: there is no home directory for it, or it could be somebody else's work.
    """
    env = current().env
    path = user_file(env)
    if path is None:
        reason, hint = home_fault(env) or ("there is no home directory", "set HOME")
        raise ConfigError(
            f"there is no place for a file of your own: {reason}", hint=f"{hint}, or name a file with --config"
        )
    if (unread := user_file_fault(env)) is not None:
        raise ConfigError(unread.reason, hint=unread.hint, location=Location(path))
    return Target(path, "user")


def stored_path(path: str, target: Target) -> str:
    """A path of an option, as it is written into a file: relative to the file where it lies below it.

    Args:
        path: relative to the current directory, or absolute.
        target: the file.
    """
    absolute = absolute_path(path, base=current_directory())
    inside = os.path.realpath(target.directory)
    if target.role == "project" and os.path.commonpath([inside, os.path.realpath(absolute)]) == inside:
        return os.path.join(".", os.path.relpath(absolute, target.directory))
    return absolute


def stored_command(words: list[str], target: Target) -> list[str]:
    """A command as it is written into a file: a program given by a path counts from there, one to be searched stays.

    Args:
        words: the program and its arguments.
        target: the file.
    """
    return [stored_path(word, target) if os.path.dirname(word) else word for word in words[:1]] + words[1:]


def stored_uri(uri: str, target: Target) -> str:
    """A uri as it is written into a file: a path in it counts from the current directory, and later from the file."""
    address = parse_address(uri)
    if address.kind == "lite":
        return stored_path(address.path, target)
    return f"unix:{stored_path(address.path, target)}" if address.kind == "unix" else uri


def apply(
    target: Target, operations: Sequence[Operation], *, dry_run: bool = False, touched: Sequence[str] = ()
) -> tuple[EditResult, bool]:
    """Edit a file, and pin it again if it was trusted just before or is new.

    Args:
        target: the file.
        operations: what to do.
        dry_run: only find out what would change.
        touched: aliases that must be valid in the new text.

    Returns:
        The result, and whether the file is trusted now.

    Raises:
        MilvusProfilesError: the edit was refused; the file is as it was.
    """
    from ..config.edit import edit_file

    result = edit_file(
        target.path,
        operations,
        dry_run=dry_run,
        check=lambda text: check_text(text, target, touched),
        inside=bounds(target),
    )
    return result, repin(target, result, dry_run=dry_run)


def repin(target: Target, result: EditResult, *, dry_run: bool = False) -> bool:
    """Pin an edited project file again if what was edited was trusted, or if there was no file.

    Args:
        target: the file.
        result: what the edit did.
        dry_run: nothing was written, so nothing is pinned.

    Returns:
        Whether the file is trusted.
    """
    if target.role != "project":
        return True
    store = TrustStore.load(current().env)
    # Of the very bytes that were edited: the file may have been changed since this program started.
    trusted = result.before is None or store.trusts(parse_document(result.before, target.path, "project"))
    if trusted and not dry_run and result.changed:
        try:
            store.pin(parse_document(result.after, target.path, "project"))
        except MilvusProfilesError as error:
            # The file was changed: what fails now is no failure of that.
            warn(f"{target.words} was changed, but is not trusted any more: {error.message}")
            return False
    return trusted


def note_edit(target: Target, trusted: bool, notes: Sequence[str] = ()) -> None:
    """Say what there is to say of an edit that was made: its notes, and what to do if its file is not trusted."""
    for line in notes:
        note(line)
    if not trusted:
        note(f"{target.words} is not trusted: {milvus_profiles('trust', target.path)}")


def bounds(target: Target) -> str | None:
    """The directory that nothing written for a file may leave by a link; None where links are followed.

    Args:
        target: the file.  That of a project is bound unless it is trusted, so one that does not exist yet is too.
    """
    if target.role != "project":
        return None
    try:
        document = read_document(target.path, "project")
    except MilvusProfilesError:
        return target.directory
    return None if TrustStore.load(current().env).trusts(document) else target.directory


def bounds_here() -> str | None:
    """The same for a file that is named on the command line: in a project that is not trusted, links there are not
    the user's own."""
    env = current().env
    found = project_file(current_directory(), env)
    return None if found is None else bounds(Target(found, "project"))


def check_text(content: bytes, target: Target, touched: Sequence[str]) -> None:
    """Refuse a text in which one of the touched profiles is invalid.

    Raises:
        ConfigError: the first finding.
    """
    from ..config.invalid import Findings
    from ..config.loading import load_text

    profiles = load_text(content, target.path, target.role, env=current().env)
    for alias in touched:
        result = profiles.examine(alias)[1]
        if isinstance(result, Findings):
            raise result.errors(1)[0]


def confirm_protected(profiles: Profiles, alias: str, verb: str, yes: bool) -> None:
    """Ask before a protected profile is touched.

    Raises:
        DeclinedError: the answer was no, or nobody can be asked.
    """
    try:
        protected = profiles.resolve(alias).profile.protected
    except MilvusProfilesError:
        # An invalid profile may say that it is protected all the same.
        value = profiles.raw(alias).values.get(("protected",))
        protected = value is not None and value.value is True
    if not protected or yes:
        return
    if not current().interactive:
        raise DeclinedError(f"{alias!r} is protected", hint=f"confirm with --yes to {verb} it")
    if not typer.confirm(f"{alias} is protected. {verb.capitalize()} it?", err=True):
        raise DeclinedError(f"{alias!r} was left as it is")
