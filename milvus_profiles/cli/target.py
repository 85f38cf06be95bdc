"""Which file a command edits, and how paths of options stand in it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ..config.documents import Document, Role, read_document
from ..config.locations import (
    FILE_NAME,
    current_directory,
    find_project_file,
    named,
    named_by,
    named_file,
    user_file,
    user_file_fault,
)
from ..config.trust import TrustStore
from ..config.values import RawProfile
from ..endpoint import AddressError, parse_address
from ..errors import ConfigError, Location, MilvusProfilesError, UsageError
from ..files.paths import absolute_path, home_fault, is_absent, leads_out
from ..files.regular_file import is_given
from ..text import Standing
from .options import PlaceOptions
from .output import shorten
from .session import current


@dataclass(frozen=True)
class Target:
    """A file to edit, whether it exists or not: its absolute path, and the layer that it is."""

    path: str
    role: Role

    @property
    def words(self) -> str:
        return {"named": "the named file", "project": "the project file", "user": "the user file"}[self.role]

    def __str__(self) -> str:
        return f"{self.words} {shorten(self.path)}"

    @property
    def directory(self) -> str:
        """What relative paths in it count from."""
        return os.path.dirname(self.path)

    @property
    def standing(self) -> Standing:
        return Standing(self.path if self.role == "named" else None)

    def read(self) -> Document | None:
        """What stands in it; None where it is not there."""
        return None if is_absent(self.path) else read_document(self.path, self.role)

    def bounds(self) -> str | None:
        """The directory that nothing written for the file may leave by a link; None where links are followed.

        That of a project is bound unless it is trusted, so one that does not exist yet is too.
        """
        if self.role != "project":
            return None
        try:
            document = read_document(self.path, "project")
        except MilvusProfilesError:
            return self.directory
        return None if TrustStore.load(current().env).trusts(document) else self.directory

    def stored_path(self, path: str) -> str:
        """A path that counts from the current directory, as it is written: relative where it lies below a project."""
        if not path:
            raise UsageError("a path is empty", hint="give one, or leave its option out")
        absolute = absolute_path(path, base=current_directory())
        inside = os.path.realpath(self.directory)
        if self.role == "project" and not leads_out(os.path.realpath(absolute), inside):
            # With slashes, as the project's people on other systems read it too.
            return "/".join((".", *os.path.relpath(absolute, self.directory).split(os.sep)))
        return absolute

    def stored_command(self, words: list[str]) -> list[str]:
        """A command as it is written: a program given by a path counts from here, one to be searched stays."""
        return [self.stored_path(word) if os.path.dirname(word) else word for word in words[:1]] + words[1:]

    def stored_uri(self, uri: str, argument: str | None = None) -> str:
        """A uri as it is written: a path in it counts from the current directory, and later from the file.

        ``argument`` is what it was given by, such as ``--uri``, for the error about it.
        """
        try:
            address = parse_address(uri)
        except AddressError as error:
            if argument is not None:
                error.location = Location(argument)
            raise
        if address.kind == "lite":
            return self.stored_path(address.path)
        return f"unix:{self.stored_path(address.path)}" if address.kind == "unix" else uri


def choose(place: PlaceOptions | None = None, *, own: bool = False, document: Document | None = None) -> Target:
    """The file that a command writes to: the one that is named, else (``own``) the user's.

    Else it is the one that declares the profile (``document``); a new one goes into the project's file where there is
    one, else into the user's.
    """
    session = current()
    cwd = current_directory()
    place = place or PlaceOptions()
    project = place.project_file
    if place.user_file and project:
        raise UsageError("--user-file and --project-file are both given", hint="give one of them")
    file = named(session.config, session.env)
    if file:
        if place.is_named:
            name = named_by(session.config, "--config")
            raise UsageError(f"{name} names the file already", hint="leave --user-file and --project-file out")
        path = named_file(file, session.env, cwd)
        if is_given(path):
            raise ConfigError(
                "that is what a shell gives in the place of a file: it is read, and cannot be changed",
                hint="name a file with --config",
                location=Location(path),
            )
        return Target(path, "named")
    if place.user_file or (own and not project):
        return _own()
    if document is not None and not project:
        return Target(document.path, document.role)
    found, unread = find_project_file(cwd, session.env)
    if project:
        here = os.path.join(cwd, FILE_NAME)
        if found is None and (mistrusted := next((one for one in unread if one.path == here), None)) is not None:
            raise ConfigError(f"the file {mistrusted.reason}", hint=mistrusted.hint, location=Location(here))
        return Target(found or here, "project")
    return Target(found, "project") if found else _own()


def choose_declaring(alias: str | None, place: PlaceOptions) -> tuple[str, Target]:
    """An alias as it is declared, and the file that declares it, unless the options name another."""
    name = current().select(alias).alias
    raw = current().profiles().raw(name)
    if raw.document is None and not place.is_named:
        raise in_environment(raw, "change or unset")
    return name, choose(place, document=raw.document)


def in_environment(raw: RawProfile, remedy: str) -> ConfigError:
    """The refusal to edit a profile that no file declares; the remedy ends with the name of a variable of its."""
    return ConfigError(
        f"{raw.alias!r} is declared by the environment, not in a file",
        hint=f"{remedy} {raw.declared}",
        location=raw.declared.location(),
    )


def _own() -> Target:
    """The user's own file; ConfigError where there is no home for it, or it could be somebody else's work."""
    env = current().env
    path = user_file(env)
    if path is None:
        reason, hint = home_fault(env) or ("there is no home directory", "set HOME")
        raise ConfigError(
            f"there is no place for a file of your own: {reason}", hint=f"{hint}, or name a file with --config"
        )
    if (unread := user_file_fault(env)) is not None:
        raise ConfigError(f"the file {unread.reason}", hint=unread.hint, location=Location(path))
    return Target(path, "user")


def bounds_here() -> str | None:
    """The bounds of a file that is named on the command line: in a project that is not trusted, links there are not
    the user's own."""
    found, _ = find_project_file(current_directory(), current().env)
    return None if found is None else Target(found, "project").bounds()
