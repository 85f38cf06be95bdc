"""Reads from a certificate what a person needs to know about it, and whether gRPC would take it.

The reading is done by ``cryptography``, which is loaded with the first certificate.  No chain is verified here, and no
certificate, however broken or large, may raise anything but :class:`MalformedCertificate`, or fill a screen.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import ssl
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from ..endpoint import AddressError, is_numeric, parse_host
from ..files.regular_file import PEM_LIMIT, FileFault, read_regular
from ..masked import server_text

if TYPE_CHECKING:
    from cryptography import x509

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
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_COMMON_NAME = "2.5.4.3"
_CURVES = ("secp256r1", "secp384r1")


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
        """The first of its names for a sentence, and how many more there are; empty without names."""
        more = len(self.names[longest:]) + self.more_names
        return separator.join(self.names[:longest]) + (f" and {more} more" if more else "")

    @property
    def plain_name(self) -> str | None:
        """The first of its names that is a host, and no pattern of hosts; None without one."""
        for name in self.names:
            with contextlib.suppress(AddressError):
                if parse_host(name) == name:
                    return name
        return None

    def days_left(self, now: dt.datetime) -> float:
        """Days until it ends; negative when it has."""
        return (self.not_after - now).total_seconds() / 86_400


@dataclass(frozen=True, slots=True)
class _AlternativeNames:
    """The subject alternative names as they are; ``count`` has those of other kinds too."""

    dns: tuple[str, ...] = ()
    ip: tuple[str, ...] = ()
    count: int = 0


def read_certificate(der: bytes) -> Certificate:
    """What a certificate in DER says; MalformedCertificate where it breaks the rules for its encoding."""
    return _safely(lambda: _read(_load(der), der))


def certificate_of_file(path: str) -> Certificate | None:
    """What the first certificate of a PEM file says; None where there is none that can be read."""
    try:
        text = read_regular(path, PEM_LIMIT).content.decode("ascii", "ignore")
        first = text[text.index(_BEGIN) : text.index(_END) + len(_END)]
        return read_certificate(ssl.PEM_cert_to_DER_cert(first))
    except (FileFault, ValueError):
        return None


def objection(der: bytes, host: str) -> tuple[Literal["wrong host", "other"], str] | None:
    """Why gRPC would refuse a certificate for a canonical name or address; None where it would take it.

    The chain is taken to be in order.  The answer is the kind of the reason, and the reason in words, of which none are
    the server's; MalformedCertificate as for :func:`read_certificate`.
    """
    return _safely(lambda: _objection(_load(der), host))


def _safely(read: Callable[[], T]) -> T:
    """Read a certificate; MalformedCertificate stands for whatever that may raise."""
    # What the library complains of in a server's certificate (a serial number of 0, a name of 65 characters) is no
    # fault of the program that this package is a part of, and nothing for its standard error.  Said anew for each
    # certificate, since a program may have put its own filters in front; one that is there already is not added again.
    warnings.filterwarnings("ignore", module=r"milvus_profiles\.probe\.certificate$")
    try:
        return read()
    except BaseException as error:
        # The library's parser is Rust: what would be an assertion elsewhere is a PanicException there, no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = type(error).__name__
    # Without the library's own error, whose words quote the bytes.
    raise MalformedCertificate(f"it cannot be read ({reason})")


def _load(der: bytes) -> x509.Certificate:
    from cryptography import x509

    return x509.load_der_x509_certificate(der)


def _read(certificate: x509.Certificate, der: bytes) -> Certificate:
    found = _alternative_names(certificate)
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


def _alternative_names(certificate: x509.Certificate) -> _AlternativeNames:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return _AlternativeNames()
    return _AlternativeNames(
        dns=tuple(names.get_values_for_type(x509.DNSName)),
        ip=tuple(str(address) for address in names.get_values_for_type(x509.IPAddress)),
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


# --- what gRPC asks beside a chain of trust: the right name, and a few rules of BoringSSL's --------------------------
#
# OpenSSL, with which the probe shakes hands, has other rules.  gRPC checks the name twice, by two pieces of code that
# differ (in the handshake and for each call); here a name is right only if both say so, which is also what every older
# gRPC accepts.  Source: gRPC's tls_utils.cc and ssl_transport_security.cc; grpcio 1.66 and 1.85, measured.


def _objection(certificate: x509.Certificate, host: str) -> tuple[Literal["wrong host", "other"], str] | None:
    if (rule := _broken_rule(certificate)) is not None:
        return "other", rule
    return None if _is_for(certificate, _alternative_names(certificate), host) else ("wrong host", f"not for {host}")


def _broken_rule(certificate: x509.Certificate) -> str | None:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if certificate.version is x509.Version.v1 and len(certificate.extensions):
        return "it has extensions, which a certificate of version 1 must not have"
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in _CURVES:
            return f"its key is on the curve {key.curve.name}, which gRPC does not take"
    elif not isinstance(key, rsa.RSAPublicKey):
        return "its key is of a kind that gRPC does not take"
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None
    return None if usage.digital_signature else "its key usage has no digitalSignature, which gRPC insists on"


def _is_for(certificate: x509.Certificate, names: _AlternativeNames, host: str) -> bool:
    if is_numeric(host):
        return host in names.ip or host in names.dns
    if names.count:
        return any(_matches(name, host) for name in names.dns)
    # Only a certificate without any alternative name is judged by its common name, by the first if it has several.
    common = [one.value for one in certificate.subject if one.oid.dotted_string == _COMMON_NAME]
    return bool(common) and isinstance(common[0], str) and _matches(common[0], host)


def _matches(name: str, host: str) -> bool:
    """Whether a name of a certificate, perhaps ``*.`` and at least two labels, is that of a host."""
    name, host = name.removesuffix(".").lower(), host.removesuffix(".").lower()
    if not name.startswith("*."):
        return name == host and "*" not in name
    first, dot, rest = host.partition(".")
    return bool(first and dot) and rest == name[2:] and "." in rest
