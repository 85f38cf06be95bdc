"""One file, read: its table, its text for errors, and where everything in it stands.

A document is parsed whole but believed in parts: only its root is checked here, each profile when it is asked for.
Literal secrets become :class:`SecretText` before anything else sees the table.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from ..errors import ConfigError, Location, suggest
from ..masked import MASK, SecretText
from ..profile import Profile, check_alias, fold_alias
from .positions import KeyPath, Positions, scan
from .toml import TOMLDecodeError, loads

__all__ = ["ROOT_KEYS", "Document", "Role", "parse_document", "read_document"]

Role = Literal["named", "project", "user"]
"""How a file came to be read; only a project file needs trust."""

ROOT_KEYS = ("default_profile", "max_connections", "keyring_backends", "profiles")
_SIZE_LIMIT = 64 << 20
_SECRET_FIELDS = ("token", "password")
_PLACE = re.compile(r"\(at (?:line (\d+), column (\d+)|end of document)\)")
_USERINFO = re.compile(r"//[^/\s\"']*@")
# Fields whose values may be shown in an excerpt; what is unknown may be a misspelled secret.
_SHOWN = (
    frozenset(Profile.model_fields) - {*_SECRET_FIELDS}
    | set(ROOT_KEYS)
    | {*("ca", "cert", "key", "server_name", "attempts", "initial", "max", "time", "env", "file", "keyring", "mode")}
)


@dataclass(eq=False)
class Document:
    """A milvus.toml that tomllib has accepted.

    Attributes:
        path: absolute path, links not followed.
        role: how it came to be read.
        profiles: alias to its raw table.
        aliases: folded alias to alias.
        root: the other keys of the root.
        sha256: digest of its bytes.
    """

    path: str
    role: Role
    profiles: dict[str, Any] = field(repr=False)
    root: dict[str, Any] = field(repr=False)
    sha256: str = field(repr=False)
    _text: Callable[[], str] = field(repr=False)
    aliases: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def directory(self) -> str:
        """What relative paths in it count from."""
        return os.path.dirname(self.path)

    @cached_property
    def positions(self) -> Positions:
        """Places of its entries; scanned when first asked for."""
        return scan(self._text())

    def location(self, path: KeyPath, *, at: Literal["key", "value"] = "key") -> Location:
        """The place of an entry, with its line for the reader, secrets masked.

        Args:
            path: keys from the root.
            at: whether the caret points to the key or to the value.
        """
        span = self.positions.find(path)
        if span is None:
            return Location(self.path)
        line, column = self.positions.line_column(span.value if at == "value" else span.key)
        return Location(self.path, line, column, self._excerpt(line))

    def line(self, path: KeyPath) -> int | None:
        """The line of an entry, counted from 1; None where the file has no such entry."""
        span = self.positions.spans.get(path)
        return self.positions.line_column(span.key)[0] if span else None

    def _excerpt(self, line: int) -> str:
        start, end = self.positions.line_bounds(line)
        text = self._text()
        cuts = [comment for comment in self.positions.comments if start <= comment < end]
        shown = list(text[start : min(cuts, default=end)])
        for path, span in self.positions.on_line(line):
            if text[span.value] == "{" or _is_shown(path):
                continue
            # One mark for each character keeps the caret under its column; the run is cut to MASK's length below.
            for offset in range(max(span.value, start), min(span.end, end, start + len(shown))):
                shown[offset - start] = "\0"
        return _finish("".join(shown))


def _is_shown(path: KeyPath) -> bool:
    names = [part for part in path if isinstance(part, str)]
    if len(names) <= 1:
        return names == [] or names[0] in ROOT_KEYS
    if len(names) == 2:
        return True  # the table of a profile
    return names[-1] in _SHOWN and "command" not in names


def _finish(line: str) -> str:
    line = _USERINFO.sub(lambda match: "//" + "\0" * (len(match[0]) - 3) + "@", line)
    line = re.sub("\0+", MASK, line)
    # What a file holds is never trusted to be printable.
    return "".join(c if c.isprintable() or c == "\t" else "?" for c in line.rstrip())


def read_document(path: str, role: Role) -> Document:
    """Read and parse a file.

    Args:
        path: absolute path.
        role: how it came to be read.

    Raises:
        ConfigError: it cannot be read, is no TOML in UTF-8, or its root is wrong.  FileNotFoundError is not raised:
            a file that does not exist is a ConfigError too.
    """
    return parse_document(_read(path), path, role)


def _read(path: str) -> bytes:
    place = Location(path)
    try:
        # O_NONBLOCK: a FIFO in place of the file must not hang the command; regular files ignore it.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigError("is not a file", hint="put a TOML file there", location=place)
            content = file.read(_SIZE_LIMIT + 1)
    except OSError as error:
        hints = {
            errno.ENOENT: "create it with `milvus-profiles profile add ALIAS --uri URI`",
            errno.EACCES: "make it readable for this user",
            errno.EISDIR: "put a TOML file there",
        }
        raise ConfigError(
            f"cannot be read: {error.strerror}", hint=hints.get(error.errno or 0), location=place
        ) from None
    if len(content) > _SIZE_LIMIT:
        raise ConfigError("is larger than 64 MiB", hint="is this the right file?", location=place)
    return content


def parse_document(content: bytes, path: str, role: Role) -> Document:
    """Parse the bytes of a file; the arguments and errors are those of :func:`read_document`."""
    text = _decode(content, path)
    data = _parse(text, path)
    _check_root(data, path, text, role)
    profiles = data.pop("profiles", {})
    for table in profiles.values():
        _hide_secrets(table)
    document = Document(
        path=path,
        role=role,
        profiles=profiles,
        root=data,
        sha256=hashlib.sha256(content).hexdigest(),
        _text=lambda: text,
    )
    _index(document)
    return document


def _decode(content: bytes, path: str) -> str:
    for mark, name in ((b"\xef\xbb\xbf", "a UTF-8"), (b"\xff\xfe", "a UTF-16"), (b"\xfe\xff", "a UTF-16")):
        if content.startswith(mark):
            raise ConfigError(
                f"starts with {name} byte order mark",
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
            f"is not UTF-8 text (byte 0x{content[error.start]:02x})",
            hint="save it as UTF-8; a binary file has no place here",
            location=Location(path, line, column),
        ) from None


def _parse(text: str, path: str) -> dict[str, Any]:
    try:
        data: dict[str, Any] = loads(text)
        return data
    except TOMLDecodeError as error:
        message = str(error)
    except RecursionError:
        message = "the values are nested too deeply"
    # Outside the except clause, so that no frame of the parser, with the text in its locals, hangs on the error.
    raise _syntax_error(message, path, text)


def _syntax_error(message: str, path: str, text: str) -> ConfigError:
    match = _PLACE.search(message)
    lines = text.split("\n")
    if match is None:
        line, column = None, None
    elif match[1]:
        line, column = int(match[1]), int(match[2])
    else:
        line, column = len(lines), len(lines[-1]) + 1
    reason = message[: match.start()].strip() if match else message
    # tomllib repeats names and characters of the file in its messages; only what is surely harmless may pass.
    reason = re.sub(r"'[^']*'|\"[^\"]*\"|\([^)]*\)", lambda m: m[0] if len(m[0]) <= 3 else "…", reason)
    reason = "".join(c for c in reason if c.isprintable())
    excerpt = _broken_excerpt(lines, line) if line is not None else None
    return ConfigError(
        f"is not valid TOML: {reason[:1].lower()}{reason[1:]}",
        hint=_syntax_hint(lines, line),
        location=Location(path, line, column, excerpt),
    )


_BROKEN = re.compile(r"\s*(?:\[.*|(?P<keys>[A-Za-z0-9_.\"'-]+)\s*=\s*(?P<value>.*))")


def _broken_excerpt(lines: list[str], line: int) -> str | None:
    """The line of a syntax error, if it can be shown: in broken text nobody knows where a secret ends."""
    text = lines[line - 1].rstrip("\r")
    before = "\n".join(lines[: line - 1])
    if before.count('"""') % 2 or before.count("'''") % 2:
        return None
    match = _BROKEN.fullmatch(text)
    if match is None:
        return None
    if match["keys"] is None:
        return _finish(text.split("#")[0])
    key = match["keys"].rsplit(".", 1)[-1].strip("\"'")
    if key not in _SHOWN or re.search("token|password|command", text):
        return _finish(text[: match.start("value")] + "\0" * len(match["value"]))
    return _finish(text.split("#")[0])


def _syntax_hint(lines: list[str], line: int | None) -> str | None:
    text = lines[line - 1] if line is not None and line <= len(lines) else ""
    match = _BROKEN.fullmatch(text.rstrip("\r"))
    if match and match["value"] and match["value"][0] not in "\"'[{0123456789+-tf":
        return "a text value stands in quotes"
    if match and "\\" in text:
        return "a backslash in a text is written \\\\, or the text in single quotes"
    return None


def _check_root(data: dict[str, Any], path: str, text: str, role: Role) -> None:
    def fail(key: KeyPath, message: str, hint: str | None, at: Literal["key", "value"] = "key") -> ConfigError:
        document = Document(path, role, {}, {}, "", lambda: text)
        return ConfigError(message, hint=hint, location=document.location(key, at=at))

    for name in data:
        if name not in ROOT_KEYS:
            near = suggest(name, ROOT_KEYS)
            if isinstance(data[name], dict) and near is None:
                hint = f"a profile stands under `profiles`: [profiles.{name}]"
            elif near is None and name in Profile.model_fields:
                hint = "fields stand in the table of a profile, such as [profiles.local]"
            else:
                hint = f"did you mean {near!r}?" if near else f"the root holds {', '.join(ROOT_KEYS)}"
            raise fail((name,), f"unknown key {name!a}", hint)
    if not isinstance(data.get("profiles", {}), dict):
        raise fail(("profiles",), "profiles must be a table", "write [profiles.NAME] above each profile", "value")
    if role != "user" and "keyring_backends" in data:
        raise fail(
            ("keyring_backends",),
            "keyring_backends stands in a file that is not the user's",
            "only the user decides which keyrings may hold their secrets: move it to the user file",
        )


def _hide_secrets(table: Any) -> None:
    if isinstance(table, dict):
        for name in _SECRET_FIELDS:
            if isinstance(value := table.get(name), str):
                table[name] = SecretText(value)


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
