"""What a source of another tool holds: entries that can become profiles, and others with the reason why not."""

from __future__ import annotations

import configparser
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import unquote

from ...endpoint import AddressError, parse_address
from ...errors import ConfigError, Location
from ...files.regular_file import FileFault, is_given, read_given, read_regular
from ...masked import SecretText, line_of, secret_fault
from ...names import is_alias
from ...text import unprintable

T = TypeVar("T")

LIMIT = 256 << 10
"""Bytes of a source that are read: more than a thousand connections need, and parsed within seconds."""

_ENTRIES = 1000
_MANY_BLANKS = re.compile(r"[^\S\n]{100}")
_MISFITS = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True)
class Entry:
    """An entry that can become a profile.

    Attributes:
        fields: the fields of the profile as a file declares them, without the secret.
        secret: its password where ``fields`` has a user, else its whole token; None without one.
        origin: where it stands, for people.
        key: what tells it from other entries of the source.
    """

    alias: str
    fields: dict[str, Any]
    secret: SecretText | None
    origin: str
    key: str


@dataclass(frozen=True)
class Unusable:
    """An entry that cannot become a profile; the reason holds no value of it that may be a secret."""

    origin: str
    reason: str


@dataclass(frozen=True)
class ImportedProfiles:
    """What a source holds: what can be imported, in its order, and the rest; its content may hold secrets."""

    entries: tuple[Entry, ...]
    unusable: tuple[Unusable, ...] = ()
    path: str | None = None
    content: bytes | None = field(default=None, repr=False)

    def anonymous(self) -> ImportedProfiles:
        """The same, as coming from no file: standard input."""
        return replace(self, path=None, content=None)


def found_of(
    results: Iterable[Entry | Unusable], path: str | None = None, content: bytes | None = None
) -> ImportedProfiles:
    """Tell what can be imported from the rest; ConfigError where there is more than one run can take."""
    every = tuple(islice(results, _ENTRIES + 1))
    if len(every) > _ENTRIES:
        # Each is checked against those before it, written into the file and has a keyring entry of its own.
        raise ConfigError(
            f"holds more than {_ENTRIES} connections",
            hint="split it, and import one part after the other",
            location=Location(path or "the source"),
        )
    return ImportedProfiles(
        tuple(result for result in every if isinstance(result, Entry)),
        tuple(result for result in every if isinstance(result, Unusable)),
        path,
        content,
    )


def read_source(path: str) -> bytes:
    """The content of a source's file; ConfigError where it cannot be read, is no regular file, or too large."""
    try:
        return (read_given(path, LIMIT) if is_given(path) else read_regular(path, LIMIT)).content
    except FileFault as fault:
        raise ConfigError(fault.sentence, hint="name the file after --from FORMAT", location=Location(path)) from None


def parsed(content: bytes, path: str, parse: Callable[[str], T], complaint: str) -> T:
    """The content of a source's file as its parser has it; ConfigError with a complaint where that fails."""
    with suppress(ValueError, RecursionError, configparser.Error):
        return parse(content.decode("utf-8-sig"))
    # Not in a handler: the error's text and context hold the content.
    raise ConfigError(complaint, location=Location(path))


def check_blanks(text: str, path: str) -> None:
    """Refuse a text with a hundred blanks in a row: parsers of such files take time that grows with their square."""
    if (found := _MANY_BLANKS.search(text)) is not None:
        line = text.count("\n", 0, found.start()) + 1
        raise ConfigError("the line has a hundred blanks in a row", hint="take them out", location=Location(path, line))


def as_alias(text: str, fallback: str) -> str:
    """A valid alias as near to a text as can be; nothing of an address, which may hold a password."""
    if is_alias(text):
        return text
    if "@" in text or "://" in text:
        return fallback
    return _slug(text, fallback)


def _slug(text: str, fallback: str) -> str:
    alias = _MISFITS.sub("-", text)[:64].strip("-").lower()
    return alias if is_alias(alias) else fallback


def split_userinfo(uri: str) -> tuple[str, str | None, SecretText | None]:
    """An address (perhaps ``http://user:password@host:port``) without the user and the password, and both of them.

    Percent-encoding is undone; None stands for what is not there.
    """
    scheme, separator, rest = uri.rpartition("://") if "://" in uri.partition("@")[0] else ("", "", uri)
    # A password may hold an @, and where it is not percent-encoded a slash; a host may not.
    info, at, place = rest.rpartition("@")
    if not at:
        return uri, None, None
    user, _, password = info.partition(":")
    return f"{scheme}{separator}{place}", unquote(user) or None, SecretText(unquote(password)) if password else None


def entry_of(
    name: str,
    uri: str,
    *,
    origin: str,
    key: str,
    token: str | None = None,
    user: str | None = None,
    password: str | None = None,
    db_name: str | None = None,
    ssl: dict[str, str] | bool | None = None,
    allow_insecure: bool = False,
) -> Entry | Unusable:
    """An entry from what most sources have; a token wins over user and password, and those over the address's.

    Of the name, which is the source's, an alias is made.  The token is an API key or ``user:password``.
    """
    address, info_user, info_password = split_userinfo(uri.strip())
    try:
        parsed = parse_address(address)
    except AddressError as error:
        return Unusable(origin, error.message)
    secret: SecretText | None = None
    if token:
        # What the keyring keeps under a user is that user's password.
        first, colon, rest = token.partition(":")
        user, secret = (first, SecretText(rest)) if colon and first and rest else (None, SecretText(token))
    elif user or info_user:
        user = user or info_user
        secret = SecretText(password) if password else info_password
    secret = secret and line_of(secret)
    if (fault := _fault(secret, user)) is not None:
        return Unusable(origin, fault)
    fields: dict[str, Any] = {"uri": address}
    if parsed.kind == "lite":
        user = secret = None
    if user:
        fields["user"] = user
    elif secret is not None:
        fields["token"] = {"keyring": True}
    if db_name and db_name != parsed.database:
        if parsed.database is not None:
            return Unusable(origin, "it names two databases")
        fields["db_name"] = db_name
    if ssl and parsed.kind == "tcp":
        fields["ssl"] = ssl
    if allow_insecure:
        fields["allow_insecure"] = True
    return Entry(as_alias(name, _slug(parsed.host, "imported")), fields, secret, origin, key)


def _fault(secret: SecretText | None, user: str | None) -> str | None:
    if secret and (fault := secret_fault(secret)) is not None:
        return f"its secret {fault}"
    if user is not None and ":" in user:
        return "the name of its user holds a colon"
    if user is not None and (char := unprintable(user)) is not None:
        return f"the name of its user holds {char}"
    return None
