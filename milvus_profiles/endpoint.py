"""The one place that parses and canonicalises the address of a Milvus.

An address is text as people write it (``https://host``, ``host:19530``, ``unix:/run/m.sock``, ``./milvus.db``); an
:class:`Endpoint` is what it means, spelled one way.  The endpoint, never the alias, is what secrets are bound to, so
two spellings of one server must meet here and two servers must never do: whatever is ambiguous is refused, and the
uri is always rebuilt from its parts.  This module knows no file, no profile and no network.
"""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from .errors import ConfigError
from .files.paths import absolute_path
from .masked import even_half_made
from .text import IN_QUOTES, UNEXPANDED, has_placeholder, is_quoted, unprintable

DEFAULT_PORT = 19530
"""Milvus's gRPC port, used where an address names none."""

_HTTPS_PORT = 443
_LONGEST = 4096  # Linux's PATH_MAX; no other address comes near
_TLS_BY_SCHEME: dict[str, bool | None] = {"http": None, "tcp": None, "https": True}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
# What nearly all addresses look like, in which there is nothing to be refused; its last label is no number.
_PLAIN = re.compile(
    rf"(https?|tcp)://((?:{_LABEL}\.)*[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?)"
    r"(?::([1-9][0-9]{0,3}|[1-5][0-9]{4}))?(?:/([A-Za-z0-9_]*))?"
)
_STRAY_NAMES = {" ": "a space", "\\": "a backslash", "?": "a query (?)", "#": "a fragment (#)"}
_STRAY = re.compile(r"[ \\?#]")
_DATABASE = re.compile(r"[\x21-\x7e]+")
_HOST_MAX = 254  # a name's 253 and the trailing dot
# What a person would read as an IPv4 address but resolvers read in three ways (octal, hex, fewer than four parts).
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")


class AddressError(ConfigError):
    """The text is not an address, or it is one that could be read in two ways."""


@even_half_made
@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a Milvus is reached, in its one canonical spelling.

    Attributes:
        kind: ``"tcp"``, ``"unix"`` (a Unix domain socket) or ``"lite"`` (Milvus Lite, a ``*.db`` directory).
        host: lower-case host name (punycode) or IP address without brackets; empty for unix and lite.
        port: 1 to 65535; 0 for unix and lite.
        path: absolute path of the socket or of the Lite database; empty for tcp.
        tls: whether the connection is encrypted.
    """

    kind: Literal["tcp", "unix", "lite"]
    host: str = ""
    port: int = 0
    path: str = ""
    tls: bool = False

    @property
    def authority(self) -> str:
        """``host:port`` with IPv6 in brackets; the path for unix and lite."""
        if self.kind != "tcp":
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def uri(self) -> str:
        """The rebuilt canonical uri, without a database: what JSON shows and pymilvus takes."""
        if self.kind == "tcp":
            return f"{'https' if self.tls else 'http'}://{self.authority}"
        return f"unix:{self.path}" if self.kind == "unix" else self.path

    @property
    def is_loopback(self) -> bool:
        """Whether bytes sent there stay on this machine: 127/8, ::1, the name ``localhost``, unix sockets and Lite."""
        if self.kind != "tcp" or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return self.uri


class Address(NamedTuple):
    """A parsed address: an endpoint but for TLS, which other fields of a profile may decide.

    Attributes:
        kind, host, port, path: as in :class:`Endpoint`.
        tls: True where https is spelled, None where the address does not say.
        database: the first path segment of a uri; None without one.
        cleartext_spelled: whether the address says http:// or tcp://: a deliberate choice of plaintext.
    """

    kind: Literal["tcp", "unix", "lite"]
    host: str = ""
    port: int = 0
    path: str = ""
    tls: bool | None = None
    database: str | None = None
    cleartext_spelled: bool = False

    def endpoint(self, tls: bool | None = None) -> Endpoint:
        """The endpoint, with TLS as the profile decides where the address leaves it open.

        Args:
            tls: the profile's wish; None follows the address, which means plaintext unless it spells https.
        """
        return Endpoint(self.kind, self.host, self.port, self.path, bool(self.tls if tls is None else tls))


@dataclass(frozen=True, slots=True)
class Untrusted:
    """What the address of a profile is from, where that may not do as it likes: see ``config/databases.py``.

    Attributes:
        file: the project file that nobody trusted.
        remedy: what to do about that, for errors.
        env: of the environment what says where the user's state directory is.
    """

    file: str
    remedy: str
    env: Mapping[str, str]


def parse_address(text: str, *, base: str | os.PathLike[str] = ".", home: str | None = None) -> Address:
    """Read an address in any of the forms of the documentation.

    Args:
        text: ``http://``, ``https://``, ``tcp://``, bare ``host`` and ``host:port``, ``[::1]:19530``, ``unix:PATH``,
            or a path that ends in ``.db``.  A missing port is 19530, or 443 where https is spelled.
        base: directory that relative paths count from.
        home: what ``~`` stands for, as for :func:`milvus_profiles.files.paths.absolute_path`.

    Raises:
        AddressError: the text is no address, is ambiguous, or holds userinfo.  The message never repeats userinfo.
    """
    read = _read(text)
    if isinstance(read, Address):
        return read
    kind, path = read
    return _unix(path, base, home) if kind == "unix" else Address("lite", path=_path(path, base, home))


@lru_cache(maxsize=64)  # tens of thousands of profiles may extend one; what holds userinfo raises, and is not kept
def _read(text: str) -> Address | tuple[Literal["unix", "lite"], str]:
    """The address, or what it is of this machine and its path as it is written."""
    if len(text) < _HOST_MAX and (plain := _PLAIN.fullmatch(text)) is not None:
        # The same as below comes to, in one step: reading one profile would spend a tenth of its time here.
        scheme_name, host, port_text, database = plain.groups()
        tls = _TLS_BY_SCHEME[scheme_name]
        port = int(port_text) if port_text else (_HTTPS_PORT if tls else DEFAULT_PORT)
        return Address("tcp", host, port, "", tls, database or None, tls is None)
    if not text or text.isspace():
        raise AddressError("the address is empty", hint="write host:port, http://host:port or a path ending in .db")
    # Files and sockets may have any printable name; a host may not (see _host).
    if len(text) > _LONGEST:
        raise AddressError(f"the address is longer than {_LONGEST} characters", hint="shorten it")
    if (char := unprintable(text)) is not None:
        raise AddressError(f"the address contains {char}", hint="remove it")
    if has_placeholder(text):
        raise AddressError("the address contains ${…}", hint=UNEXPANDED)
    if is_quoted(text):
        raise AddressError("the address stands in quotes", hint=IN_QUOTES)
    scheme = _SCHEME.match(text)
    if text[:5].lower() == "unix:":
        return "unix", text[5:]
    # Of Windows, where anything before a colon would be one.
    drive, rest = ("", text) if sys.platform != "win32" or text[0] == "[" else os.path.splitdrive(text)
    rooted = rest.startswith(("/", os.sep))
    if scheme is None and text.rstrip("/").endswith(".db"):
        # What has a drive and no slash after it counts from a directory that nobody sees, or is a host of one letter.
        first = (rest if rooted else text).replace(os.sep, "/").partition("/")[0]
        # With a colon before the first slash it is host:port/NAME.db or has userinfo: no path that anyone would mean.
        if ":" not in first:
            return "lite", text.rstrip("/")
    if drive and (rooted or (rest.endswith(".db") and not rest[0].isdecimal())):
        raise AddressError(
            "a path is an address only if it ends in .db, and after a drive begins with a slash",
            hint="Milvus Lite keeps its data in NAME.db, such as C:/data/NAME.db",
        )
    if stray := _STRAY.search(text):
        raise AddressError(
            f"the address contains {_STRAY_NAMES[stray[0]]}", hint="write it as scheme://host:port/database"
        )
    if "@" in text:
        raise AddressError(
            "the address contains user information, which is what stands before an @",
            hint="take it out of the address: set `user`, and keep the password in the keyring",
        )
    tls = None
    rest = text
    if scheme is not None:
        name = scheme[1].lower()
        if name not in _TLS_BY_SCHEME:
            raise AddressError(
                f"the scheme {name}:// is not one that Milvus speaks",
                hint="use http://, https://, tcp://, unix:PATH, host:port or a path ending in .db",
            )
        tls, rest = _TLS_BY_SCHEME[name], text[scheme.end() :]
    authority, slash, path = rest.partition("/")
    if scheme is None and slash and (not authority or authority in {".", "..", "~"}):
        raise AddressError("a path is an address only if it ends in .db", hint="Milvus Lite keeps its data in NAME.db")
    host, port_text = _split_port(authority)
    port = _port(port_text) if port_text is not None else (_HTTPS_PORT if tls else DEFAULT_PORT)
    return Address(
        "tcp",
        host=parse_host(host),
        port=port,
        tls=tls,
        database=_database(path),
        cleartext_spelled=scheme is not None and tls is None,
    )


def is_numeric(host: str) -> bool:
    """Whether a host is an IP address, and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def parse_host(text: str) -> str:
    """Canonicalise a host name or IP address.

    Args:
        text: a name, an IPv4 address in four decimal parts, or an IPv6 address with or without brackets.

    Returns:
        Lower case, no trailing dot, punycode; IPv6 compressed and without brackets, and where it only wraps an IPv4
        address, that address.

    Raises:
        AddressError: empty, not a host name, or a number that resolvers read differently.
    """
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
        if ":" not in text:
            raise AddressError("brackets hold something that is not an IPv6 address", hint="write [::1]:19530")
    if not text:
        raise AddressError("the host is empty", hint="write host:port")
    if len(text) > _HOST_MAX:  # the parsers below are slow on more
        raise AddressError("the host is longer than 253 characters", hint="write host:port")
    if "%" in text:
        raise AddressError("the host contains a percent sign or an IPv6 zone", hint="write the plain host name")
    if ":" in text:
        try:
            v6 = ipaddress.IPv6Address(text)
        except ValueError:
            raise AddressError(
                "the host has a colon in it and is no IPv6 address",
                hint="write the host alone, such as db.example or ::1: its port and a user have fields of their own",
            ) from None
        # Python spells ::ffff:127.0.0.1 in two ways depending on its version; the address reached is the IPv4 one.
        return str(v6.ipv4_mapped or v6)
    name = _ascii(text)
    if name.endswith("."):
        name = name[:-1]
    if _NUMERIC_LABEL.fullmatch(name, name.rfind(".") + 1):
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError:
            raise AddressError(
                "the host is a number that programs read as different addresses",
                hint="write an IPv4 address as four decimal parts without leading zeros, such as 127.0.0.1",
            ) from None
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise AddressError("the host is not a valid host name", hint="use letters, digits, '-', '_' and '.'")
    return name


def is_zilliz_cloud(host: str) -> bool:
    """Whether a host is one of Zilliz Cloud, whose clusters speak TLS and take an API key."""
    return host.lower().rstrip(".").endswith(_ZILLIZ_CLOUD)


_ZILLIZ_CLOUD = (".zillizcloud.com", ".zilliz.com", ".zilliz.com.cn")


def endpoint_of(text: str) -> Endpoint:
    """The endpoint of an address that stands alone: TLS as its scheme says.

    Raises:
        AddressError: as :func:`parse_address`.
    """
    return parse_address(text).endpoint()


def absolute_address(text: str, *, base: str | os.PathLike[str], home: str | None = None) -> str:
    """The same address with the path in it made absolute; anything else, wrong addresses too, as it is.

    Args:
        text, base, home: as for :func:`parse_address`.
    """
    if text[:5].lower() != "unix:" and not text.rstrip("/").endswith(".db"):
        return text  # nearly all of them, and there may be thousands
    try:
        address = parse_address(text, base=base, home=home)
    except AddressError:
        return text
    return text if address.kind == "tcp" else address.endpoint().uri


def _ascii(text: str) -> str:
    if text.isascii():
        return text.lower()
    try:
        return text.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise AddressError("the host is not a valid international name", hint="write it in punycode") from None


def _split_port(authority: str) -> tuple[str, str | None]:
    if authority.startswith("["):
        host, bracket, rest = authority.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise AddressError("the brackets of the IPv6 address are not closed properly", hint="write [::1]:19530")
        return host + bracket, rest[1:] if rest else None
    if authority.count(":") > 1:
        raise AddressError("the address has more than one colon", hint="write an IPv6 address in brackets: [::1]:19530")
    host, colon, port = authority.partition(":")
    return host, port if colon else None


def _port(text: str) -> int:
    # isdecimal alone would let Arabic-Indic digits through.
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text[:6]) <= 65535 or len(text) > 5:
        raise AddressError("the port is not a number from 1 to 65535", hint=f"Milvus listens on {DEFAULT_PORT}")
    return int(text)


def _database(path: str) -> str | None:
    first, _, more = path.partition("/")
    if more.strip("/"):
        raise AddressError(
            "the address has more than one path segment",
            hint="the one segment allowed is the database: http://host/db; gRPC has no path prefix",
        )
    if not first:
        return None
    if "%" in first or not _DATABASE.fullmatch(first):
        raise AddressError("the database in the address is not plain printable ASCII", hint="set db_name instead")
    return first


def _unix(path: str, base: str | os.PathLike[str], home: str | None) -> Address:
    # gRPC takes unix:PATH and unix:///ABSOLUTE; the authority of the second form is always empty.
    if path.startswith("//"):
        if not path.startswith("///"):
            raise AddressError("unix:// takes an absolute path", hint="write unix:PATH or unix:///PATH")
        path = path[2:]
    if not path.strip():
        raise AddressError("the path of the Unix socket is empty", hint="write unix:PATH")
    return Address("unix", path=_path(path, base, home))


def _path(path: str, base: str | os.PathLike[str], home: str | None) -> str:
    try:
        return absolute_path(path, base=base, home=home)
    except ConfigError as error:
        raise AddressError(error.message, hint=error.hint) from None
