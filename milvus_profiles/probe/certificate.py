"""Reads from a certificate what a person needs to know about it: names, dates, issuer, fingerprint.

The reading is done by ``cryptography``, which is loaded with the first certificate.  Nothing here verifies anything,
and no certificate, however broken or large, may raise anything but :class:`MalformedCertificate`, or fill a screen.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ssl
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

from ..endpoint import AddressError, parse_host
from ..server_text import server_text

if TYPE_CHECKING:
    from cryptography import x509

__all__ = [
    "AlternativeNames",
    "Certificate",
    "MalformedCertificate",
    "alternative_names",
    "load",
    "read_certificate",
    "read_safely",
]

T = TypeVar("T")

_MOST_NAMES, _MOST_ATTRIBUTES = 100, 10
_LONGEST_NAME, _LONGEST_ATTRIBUTE = 253, 100
_LABELS = {
    "2.5.4.3": "CN",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
}


class MalformedCertificate(ValueError):
    """The bytes are not a certificate that can be read."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says; texts are escaped and cut where they would not simply show.

    Attributes:
        subject: whom it was issued to, as ``CN=…, O=…``.
        issuer: who issued it, likewise.
        names: the host names and IP addresses that it is good for (its subject alternative names), 100 at most.
        not_before: when it begins to be valid, UTC.
        not_after: when it ends, UTC.
        sha256: its fingerprint, 64 hexadecimal digits.
        pem: the certificate itself.
        is_self_issued: whether subject and issuer are the same, as in a self-signed certificate.
        more_names: how many names there are beside those in ``names``.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: dt.datetime
    not_after: dt.datetime
    sha256: str
    pem: str
    is_self_issued: bool = False
    more_names: int = 0

    def listed_names(self, longest: int = 5, separator: str = ", ") -> str:
        """The first of its names for a sentence, and how many more there are; empty without names.

        Args:
            longest: names at most.
            separator: what stands between them.
        """
        more = len(self.names[longest:]) + self.more_names
        return separator.join(self.names[:longest]) + (f" and {more} more" if more else "")

    @property
    def plain_name(self) -> str | None:
        """The first of its names that is a host, and no pattern of hosts; None without one."""
        return next((name for name in self.names if _is_host(name)), None)

    def days_left(self, now: dt.datetime) -> float:
        """Days until it ends; negative when it has.

        Args:
            now: an aware datetime.
        """
        return (self.not_after - now).total_seconds() / 86_400


@dataclass(frozen=True, slots=True)
class AlternativeNames:
    """The subject alternative names of a certificate, as they are.

    Attributes:
        dns: the host names.
        ip: the IP addresses, in their canonical spelling.
        count: how many names there are, those of other kinds included.
    """

    dns: tuple[str, ...] = ()
    ip: tuple[str, ...] = ()
    count: int = 0


def read_certificate(der: bytes) -> Certificate:
    """What a certificate in DER says.

    Raises:
        MalformedCertificate: the bytes are none, or one that breaks the rules for its encoding.
    """
    certificate = load(der)
    return read_safely(lambda: _read(certificate, der))


def load(der: bytes) -> x509.Certificate:
    """A certificate for further reading, each step of which may raise any exception: see :func:`read_safely`.

    Raises:
        MalformedCertificate: the bytes are none.
    """
    # What it complains of in a server's certificate (a serial number of 0, a name of 65 characters) is no fault of the
    # program that this package is a part of, and nothing for its standard error.  Said anew for each certificate, since
    # a program may have put its own filters in front; a filter that is there already is not added again.
    warnings.filterwarnings("ignore", module=r"milvus_profiles\.probe\.certificate(_rules)?$")
    certificate: x509.Certificate = read_safely(lambda: _library().load_der_x509_certificate(der))
    return certificate


def read_safely(read: Callable[[], T]) -> T:
    """Take a step of reading a certificate, whatever it may raise.

    Args:
        read: the step.

    Raises:
        MalformedCertificate: it failed.
    """
    reason: str
    try:
        return read()
    except MalformedCertificate:
        raise
    except BaseException as error:
        # The library's parser is Rust: what would be an assertion elsewhere is a PanicException there, no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = type(error).__name__
    # Without the library's own error, whose words quote the bytes.
    raise MalformedCertificate(f"it cannot be read ({reason})")


def _is_host(name: str) -> bool:
    try:
        return parse_host(name) == name
    except AddressError:
        return False


def _library() -> ModuleType:
    from cryptography import x509

    return x509


def _read(certificate: x509.Certificate, der: bytes) -> Certificate:
    found = alternative_names(certificate)
    names = (*found.dns, *found.ip)
    return Certificate(
        subject=_name(certificate.subject),
        issuer=_name(certificate.issuer),
        names=tuple(server_text(name, longest=_LONGEST_NAME) for name in names[:_MOST_NAMES]),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        sha256=hashlib.sha256(der).hexdigest(),
        pem=ssl.DER_cert_to_PEM_cert(der),
        is_self_issued=certificate.subject == certificate.issuer,
        more_names=max(0, len(names) - _MOST_NAMES),
    )


def alternative_names(certificate: x509.Certificate) -> AlternativeNames:
    """The subject alternative names of a certificate; to be called within :func:`read_safely`."""
    library = _library()
    try:
        names = certificate.extensions.get_extension_for_class(library.SubjectAlternativeName).value
    except library.ExtensionNotFound:
        return AlternativeNames()
    return AlternativeNames(
        dns=tuple(names.get_values_for_type(library.DNSName)),
        ip=tuple(str(address) for address in names.get_values_for_type(library.IPAddress)),
        count=len(list(names)),
    )


def _name(name: x509.Name) -> str:
    """A distinguished name, of which only the well-known attributes are shown."""
    known = ((label, one.value) for one in name if (label := _LABELS.get(one.oid.dotted_string)) is not None)
    shown = [f"{label}={_text(value)}" for label, value in list(known)[: _MOST_ATTRIBUTES + 1]]
    return ", ".join([*shown[:_MOST_ATTRIBUTES], "…"] if len(shown) > _MOST_ATTRIBUTES else shown)


def _text(value: str | bytes) -> str:
    # Cut before it is escaped: it may be a megabyte.
    cut = value[: _LONGEST_ATTRIBUTE + 1]
    return server_text(cut if isinstance(cut, str) else repr(cut), longest=_LONGEST_ATTRIBUTE)
