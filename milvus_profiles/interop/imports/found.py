"""What a source of another tool holds: entries that can become profiles, and others with the reason why not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any
from urllib.parse import unquote

from ...endpoint import AddressError, parse_address
from ...errors import ConfigError, Location
from ...files.regular_file import FileFault, read_regular
from ...masked import SecretText, secret_fault
from ...profile import is_alias

__all__ = [
    "LIMIT",
    "Entry",
    "ImportedProfiles",
    "Unusable",
    "as_alias",
    "check_blanks",
    "entry_of",
    "found_of",
    "read_source",
    "split_userinfo",
]

LIMIT = 256 << 10
"""Bytes of a source that are read: more than a thousand connections need, and parsed within seconds."""

_ENTRIES = 1000
_MANY_BLANKS = re.compile(r"[^\S\n]{100}")
_MISFITS = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True)
class Entry:
    """An entry that can become a profile.

    Attributes:
        alias: the name that it gets.
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
    """An entry that cannot become a profile.

    Attributes:
        origin: where it stands.
        reason: why not; holds no value of the entry that may be a secret.
    """

    origin: str
    reason: str


@dataclass(frozen=True)
class ImportedProfiles:
    """What a source holds.

    Attributes:
        entries: what can be imported, in the source's order.
        unusable: the rest.
        path: the file; None where there is none, as for variables.
        content: what the file held; may hold secrets.
    """

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
    """Tell what can be imported from the rest.

    Raises:
        ConfigError: there is more than one run can take.
    """
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
    """The content of a source's file.

    Raises:
        ConfigError: it cannot be read, is no regular file, or is larger than any such file.
    """
    try:
        return read_regular(path, LIMIT).content
    except FileFault as fault:
        raise ConfigError(fault.reason, hint="name the file after --from FORMAT", location=Location(path)) from None


def check_blanks(text: str, path: str) -> None:
    """Refuse a text with very many blanks in a row: parsers of such files take time that grows with their square.

    Raises:
        ConfigError: it has a hundred.
    """
    if (found := _MANY_BLANKS.search(text)) is not None:
        line = text.count("\n", 0, found.start()) + 1
        raise ConfigError("has a hundred blanks in a row", hint="take them out", location=Location(path, line))


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
    """Take the user information out of an address.

    Args:
        uri: as people write it, perhaps ``http://user:password@host:port``.

    Returns:
        The address without it, the user, and the password; each None where it has none.  Percent-encoding is undone.
    """
    scheme, separator, rest = uri.rpartition("://") if "://" in uri.partition("@")[0] else ("", "", uri)
    # A password may hold an @; a host may not.
    authority, slash, path = _split_path(rest)
    info, at, host = authority.rpartition("@")
    if not at:
        return uri, None, None
    user, colon, password = info.partition(":")
    return (
        f"{scheme}{separator}{host}{slash}{path}",
        unquote(user) or None,
        SecretText(unquote(password)) if colon and password else None,
    )


def _split_path(rest: str) -> tuple[str, str, str]:
    # A password that is not percent-encoded may hold a slash, so the path begins after the host.
    at = rest.rfind("@")
    slash = rest.find("/", at + 1)
    return (rest, "", "") if slash < 0 else (rest[:slash], "/", rest[slash + 1 :])


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

    Args:
        name: what the source calls it; an alias is made of it.
        uri: the address, which may hold a user and a password.
        origin: where it stands.
        key: what tells it from others.
        token: an API key or ``user:password``.
        user, password, db_name: as in a profile.
        ssl: the ``ssl`` field.
        allow_insecure: the field.
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
    if user is not None and (":" in user or not user.isprintable()):
        return "the name of its user holds a colon or a control character"
    return None
