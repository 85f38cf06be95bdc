"""One file, read: its table, its text for errors, where everything in it stands, and who else may read or change it.

A document is parsed whole but believed in parts: only its root is checked here, each profile when it is asked for.
Literal secrets become :class:`SecretText` before anything else sees the table.

What others may read matters where a token or password stands in the file.  One of full trust that everybody may change
is not used at all: they could have put a program into it, or changed where its secret goes.  A project file without a
secret of its own is nobody's word before it is trusted, and then it is pinned by its content.
"""

from __future__ import annotations

import copy
import errno
import hashlib
import os
import stat
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ..errors import ConfigError, Location, MilvusProfilesError
from ..files.paths import has_modes
from ..files.regular_file import CONFIGURATION_LIMIT, FileFault, is_given, read_given, read_regular
from ..log import log
from ..masked import MaskedFields, SecretText, as_given
from ..names import Nearest, check_alias, fold_alias, is_alias, suggest
from ..text import Standing, command
from .fields import FIELDS, ROOT_KEYS, SECRET_FIELDS

if TYPE_CHECKING:
    from ..tomltext.positions import KeyPath, Positions, Within


T = TypeVar("T")

Role = Literal["named", "project", "user"]
"""How a file came to be read; only a project file needs trust."""

_EXCERPTS = 100
"""Errors of a file that are shown with their line; a file can hold tens of thousands, which get their place alone."""


@dataclass(eq=False)
class Document:
    """A milvus.toml that tomli has accepted.

    Attributes:
        path: absolute path, links not followed.
        profiles: alias to its raw table.
        aliases: folded alias to alias.
        root: the other keys of the root.
        literals: the profiles whose token or password stands in the file itself.
        mode, device: permission bits of the very file that was read, and its file system, as os.stat numbers them; None
            for a text that none was read with.
        base: what relative paths in it count from; None is the directory that it is in, ``directory`` the same as a
            path.
        standing: where its profiles stand, for remedies.
    """

    path: str
    role: Role
    profiles: Mapping[str, Any] = field(repr=False)
    root: dict[str, Any] = field(repr=False)
    _text: Callable[[], str] = field(repr=False)
    aliases: dict[str, str] = field(default_factory=dict, repr=False)
    literals: tuple[str, ...] = field(default=(), repr=False)
    mode: int | None = None
    device: int | None = None
    base: str | None = field(default=None, repr=False)
    _located: dict[tuple[KeyPath, str], Location] = field(default_factory=dict, repr=False)

    # Not properties that remember: every profile asks, and for those Python 3.11 takes a lock.
    directory: str = field(init=False, repr=False)
    standing: Standing = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.directory = os.path.dirname(self.path) if self.base is None else self.base
        self.standing = _standing(self.path, self.role)

    @cached_property
    def sha256(self) -> str:
        """Digest of its bytes, which only trust asks for."""
        return hashlib.sha256(self._text().encode()).hexdigest()

    @cached_property
    def positions(self) -> Positions:
        """Places of its entries, without those of the elements of arrays; scanned when first asked for."""
        return self._scanned("tables")

    @cached_property
    def _elements(self) -> Positions:
        return self._scanned("everything")

    def _scanned(self, within: Within) -> Positions:
        from ..tomltext.positions import Positions, scan  # here, as `excerpts` below

        try:
            return scan(self._text(), within)
        except RecursionError:
            # tomli had more of the stack left; without places an error still says what is wrong.
            return Positions(self._text(), {}, [])

    def places(self, path: KeyPath) -> Positions:
        """The places among which that of an entry is; there may be half a million elements that nobody asks for."""
        inside = path not in self.positions.spans and any(isinstance(key, int) for key in path)
        return self._elements if inside else self.positions

    @cached_property
    def nearest(self) -> Nearest:
        return Nearest(self.profiles)

    def location(self, path: KeyPath, *, at: Literal["key", "value"] = "key") -> Location:
        """The place of an entry, with its line for the reader, secrets masked; ``at`` says where the caret points."""
        from .excerpts import locate  # here, as all that only an error needs: every command reads documents

        if (known := self._located.get((path, at))) is not None:
            return known
        positions = self.places(path)
        span = positions.find(path)
        if span is None:
            return Location(self.path)
        offset = span.value if at == "value" else span.key
        if len(self._located) >= _EXCERPTS:
            return Location(self.path, *positions.line_column(offset))
        found = self._located[path, at] = locate(self.path, self._text(), positions, offset)
        return found

    def line(self, path: KeyPath) -> int | None:
        """The line of an entry, counted from 1; None where the file has no such entry."""
        span = self.positions.spans.get(path)
        return self.positions.line_column(span.key)[0] if span else None


def read_document(path: str, role: Role, base: str | None = None) -> Document:
    """Read and parse a file; one that has not changed since it was last read is not parsed again.

    One that was named may be a pipe, or another thing that a shell gives for a file; in such a one relative paths count
    from ``base``.  One that does not exist is a ConfigError too, like what is no TOML in UTF-8 or has a wrong root.
    """
    given = role == "named" and is_given(path)
    return outcome_of(attempted(lambda: _cached(path, role, *_read(path, given), base if given else None)))


def parse_document(content: bytes, path: str, role: Role) -> Document:
    """Parse the bytes of a file; the rest is as for :func:`read_document`."""
    outcome = try_parse(content, path, role)
    content = b""  # a traceback may show the locals of its frames, and this is all the secrets of the file
    return outcome_of(outcome)


def try_parse(content: bytes, path: str, role: Role) -> Document | MilvusProfilesError:
    """As :func:`parse_document`, with the error returned: for callers that hold the content themselves."""
    return attempted(lambda: _cached(path, role, content))


def attempted(make: Callable[[], T]) -> T | MilvusProfilesError:
    """Make it; an error is parted from the frames below and from its cause, which hold the file's text."""
    try:
        return make()
    except MilvusProfilesError as error:
        failure = error
    failure.__traceback__ = failure.__context__ = None
    return failure


def outcome_of(attempt: T | MilvusProfilesError) -> T:
    """What was made; the error is raised."""
    if isinstance(attempt, MilvusProfilesError):
        raise attempt
    return attempt


_Status = tuple[int, int]
"""The permission bits of an open file, and its device."""

_KEPT: tuple[Document, ...] = ()
_KEPT_SIZE = 4


def _cached(path: str, role: Role, content: bytes, status: _Status | None = None, base: str | None = None) -> Document:
    """The document at a path, parsed again only if it changed: programs connect more often than files change.

    By content, because two writes within one tick of the filesystem's clock leave the same times and size.
    """
    global _KEPT
    text = _decode(content, path)
    others = []
    document = None
    for kept in _KEPT:
        if kept.path == path and kept.role == role and kept.base == base and kept._text() == text:
            document = kept
        else:
            others.append(kept)
    if document is None:
        document = _parsed(text, path, role, base)
        log("read", file=path, number=len(document.profiles))
        document.mode, document.device = status or (None, None)
    if status is not None and status != (document.mode, document.device):
        document = copy.copy(document)  # who has the other one goes on with what was so then
        document.mode, document.device = status
    _KEPT = (document, *others[: _KEPT_SIZE - 1])
    return document


def _standing(path: str, role: Role) -> Standing:
    # What a shell gives in the place of a file can be read, not changed, and perhaps not a second time.
    return Standing(path if role == "named" and not is_given(path) else None)


def _read(path: str, given: bool) -> tuple[bytes, _Status | None]:
    try:
        read = read_given(path, CONFIGURATION_LIMIT) if given else read_regular(path, CONFIGURATION_LIMIT)
    except FileFault as fault:
        # Whoever asks for a file that is not there has named it, whatever it is to be read as.
        create = _standing(path, "named").adding()
        hints = {
            errno.ENOENT: f"create it with {create}",
            errno.EACCES: "make it readable for this user",
        }
        default = "put a TOML file there" if fault.errno in (None, errno.EISDIR) else None
        raise ConfigError(fault.sentence, hint=hints.get(fault.errno or 0, default), location=Location(path)) from None
    if not stat.S_ISREG(read.status.st_mode) or sys.platform == "win32":
        return read.content, None  # of a pipe, and on Windows, modes say nothing
    return read.content, (stat.S_IMODE(read.status.st_mode), read.status.st_dev)


def _parsed(text: str, path: str, role: Role, base: str | None) -> Document:
    data = _parse(text, path)
    _check_root(data, path, text, role)
    profiles = data.pop("profiles", {})
    literals = tuple(alias for alias, table in profiles.items() if _hide_secrets(table))
    document = Document(
        path=path,
        role=role,
        # An unknown key may be a misspelled secret, of a profile that nobody asked for.
        profiles=MaskedFields(profiles),
        root=data,
        _text=lambda: text,
        literals=literals,
        base=base,
    )
    _index(document)
    return document


def _decode(content: bytes, path: str) -> str:
    for mark, name in ((b"\xef\xbb\xbf", "a UTF-8"), (b"\xff\xfe", "a UTF-16"), (b"\xfe\xff", "a UTF-16")):
        if content.startswith(mark):
            raise ConfigError(
                f"the file starts with {name} byte order mark",
                hint="save it as UTF-8 without a byte order mark",
                location=Location(path, 1, 1),
            )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8")) + 1
        raise ConfigError(
            f"the file is not UTF-8 text (byte 0x{content[error.start]:02x})",
            hint="save it as UTF-8; a binary file has no place here",
            location=Location(path, line, column),
        ) from None


def _parse(text: str, path: str) -> dict[str, Any]:
    from ..tomltext.parser import loads  # here, since often there is no file at all

    try:
        data: dict[str, Any] = loads(text)
        return data
    except (ValueError, RecursionError) as error:
        from .excerpts import syntax_error

        raise syntax_error(error, path, text) from None


def _check_root(data: dict[str, Any], path: str, text: str, role: Role) -> None:
    def fail(key: KeyPath, message: str, hint: str | None, at: Literal["key", "value"] = "key") -> ConfigError:
        document = Document(path, role, {}, {}, lambda: text)
        return ConfigError(message, hint=hint, location=document.location(key, at=at))

    for name in data:
        if name not in ROOT_KEYS:
            near = suggest(name, ROOT_KEYS)
            if isinstance(data[name], dict) and near is None:
                shown = name if is_alias(name) else "NAME"
                hint = f"a profile stands under `profiles`: [profiles.{shown}]"
            elif near is None and name in FIELDS:
                hint = "fields stand in the table of a profile, such as [profiles.local]"
            else:
                hint = f"did you mean {near!r}?" if near else f"the root holds {', '.join(ROOT_KEYS)}"
            raise fail((name,), f"unknown key {as_given(name)!r}", hint)
    if not isinstance(data.get("profiles", {}), dict):
        raise fail(("profiles",), "profiles must be a table", "write [profiles.NAME] above each profile", "value")
    if role != "user" and "keyring_backends" in data:
        raise fail(
            ("keyring_backends",),
            "keyring_backends stands in a file that is not the user's",
            "only the user decides which keyrings may hold their secrets: move it to the user file",
        )


def _hide_secrets(table: Any) -> bool:
    """Mask the literal secrets of a profile; whether there is one."""
    found = False
    if isinstance(table, dict):
        for name in SECRET_FIELDS:
            if isinstance(value := table.get(name), str):
                table[name] = SecretText(value)
                found = True
    return found


def _index(document: Document) -> None:
    aliases = document.aliases
    for alias in document.profiles:
        try:
            check_alias(alias)
        except ConfigError as error:
            raise ConfigError(error.message, hint=error.hint, location=document.location(("profiles", alias))) from None
        if (other := aliases.setdefault(fold_alias(alias), alias)) != alias:
            raise ConfigError(
                f"the aliases {other!r} and {alias!r} are the same: case and '-', '_', '.' do not count",
                hint=f"rename one of them (the first stands in line {document.line(('profiles', other))})",
                location=document.location(("profiles", alias)),
            )


@dataclass(frozen=True, slots=True)
class Exposure:
    """What others may do with a file, the command that ends it, and whether the profiles of the file are not used."""

    message: str
    hint: str
    refused: bool


def exposure(document: Document, mounts: str | None = None) -> Exposure | None:
    """What is to be said about the permissions of a file; None if nothing is.  ``mounts``: as for has_modes."""
    mode = document.mode
    if mode is None or not mode & 0o066:
        return None
    has_secret, everybody_writes = bool(document.literals), bool(mode & stat.S_IWOTH)
    if not has_secret and (document.role == "project" or not everybody_writes):
        return None
    if not has_modes(document.device, mounts):
        return Exposure(
            "holds a token or password on a file system without permissions, where others may read and change it"
            if has_secret
            else "stands on a file system without permissions, where others may change it",
            f"move the secret into the keyring with {document.standing.command('secret', 'set', 'ALIAS')}"
            if has_secret
            else "move it to the home directory, or name one that is there with --config",
            False,
        )
    if not has_secret:
        return Exposure(
            f"can be changed by every user of this machine, who could have it run a program (mode {mode:04o})",
            f"run {command('chmod', 'o-w', document.path)}",
            True,
        )
    remedy = f"run {command('chmod', '600', document.path)}"
    if everybody_writes:
        message = f"holds a token or password and can be changed by every user of this machine (mode {mode:04o})"
        return Exposure(message, remedy, True)
    who = "its group" if not mode & stat.S_IROTH else "every user of this machine"
    what = "changed" if not mode & stat.S_IROTH and mode & stat.S_IWGRP else "read"
    return Exposure(f"holds a token or password and can be {what} by {who} (mode {mode:04o})", remedy, False)


def refusal(document: Document) -> ConfigError | None:
    """Why no profile of a file is used: every user may change it; None if they are."""
    found = exposure(document)
    if found is None or not found.refused:
        return None
    place = document.location(("profiles", document.literals[0])) if document.literals else Location(document.path)
    return ConfigError(f"the file {found.message}", hint=found.hint, location=place)


def file_warnings(documents: Iterable[Document]) -> tuple[str, ...]:
    """What to tell people about the permissions of files, a line for each."""
    return tuple(
        f"{document.path} {found.message}: {found.hint}"
        for document in documents
        if (found := exposure(document)) is not None
    )
