"""Reads from a certificate what a person needs to know about it: names, dates, issuer, fingerprint.

The standard library decodes only certificates that it could verify, and the ones to be explained are the others; so
here is as much of DER (X.690) as RFC 5280 needs for those few fields.  Nothing here verifies anything, and no
certificate, however broken, may raise anything but :class:`MalformedCertificate`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

from .text import printable

__all__ = ["Certificate", "MalformedCertificate", "read_certificate"]

_SEQUENCE, _SET, _OID, _UTC_TIME, _GENERALIZED_TIME, _BMP_STRING = 0x30, 0x31, 0x06, 0x17, 0x18, 0x1E
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_DNS_NAME, _IP_ADDRESS = 0x82, 0x87
_SUBJECT_ALT_NAME = bytes.fromhex("551d11")
_ATTRIBUTES = {
    bytes.fromhex("550403"): "CN",
    bytes.fromhex("550406"): "C",
    bytes.fromhex("550407"): "L",
    bytes.fromhex("550408"): "ST",
    bytes.fromhex("55040a"): "O",
    bytes.fromhex("55040b"): "OU",
}


class MalformedCertificate(ValueError):
    """The bytes are not a certificate."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says.

    Attributes:
        subject: whom it was issued to, as ``CN=…, O=…``; unprintable characters are escaped.
        issuer: who issued it, likewise.
        names: the host names and IP addresses that it is good for (its subject alternative names).
        not_before: when it begins to be valid, UTC.
        not_after: when it ends, UTC.
        sha256: its fingerprint, 64 hexadecimal digits.
        pem: the certificate itself.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: dt.datetime
    not_after: dt.datetime
    sha256: str
    pem: str

    @property
    def is_self_issued(self) -> bool:
        """Whether subject and issuer have one name, as in a self-signed certificate."""
        return self.subject == self.issuer

    def days_left(self, now: dt.datetime) -> float:
        """Days until it ends; negative when it has.

        Args:
            now: an aware datetime.
        """
        return (self.not_after - now).total_seconds() / 86_400


def read_certificate(der: bytes) -> Certificate:
    """What a certificate in DER says.

    Raises:
        MalformedCertificate: the bytes are none.
    """
    try:
        return _read(der)
    except MalformedCertificate:
        raise
    except (ValueError, IndexError, OverflowError, StopIteration):
        raise MalformedCertificate("not an X.509 certificate") from None


def _read(der: bytes) -> Certificate:
    outer = next(_elements(_content(der, _SEQUENCE)))  # what is signed; the signature follows
    fields = list(_elements(_expect(outer, _SEQUENCE)))
    if fields[0][0] == _VERSION:
        del fields[0]
    _serial, _algorithm, issuer, validity, subject, _key, *optional = fields
    begins, ends = (_time(*element) for element in _elements(_expect(validity, _SEQUENCE)))
    extensions = [content for tag, content in optional if tag == _EXTENSIONS]
    return Certificate(
        subject=_name(_expect(subject, _SEQUENCE)),
        issuer=_name(_expect(issuer, _SEQUENCE)),
        names=tuple(_alternative_names(_content(extensions[0], _SEQUENCE))) if extensions else (),
        not_before=begins,
        not_after=ends,
        sha256=hashlib.sha256(der).hexdigest(),
        pem=ssl.DER_cert_to_PEM_cert(der),
    )


_Element = tuple[int, bytes]
"""A tag and what it contains."""


def _elements(data: bytes) -> Iterator[_Element]:
    """The elements that stand one after the other in some content."""
    at = 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            octets = length & 0x7F
            if not 1 <= octets <= 4:
                raise MalformedCertificate("a length that no certificate has")
            length, at = int.from_bytes(data[at : at + octets], "big"), at + octets
        if at + length > len(data):
            raise MalformedCertificate("an element that reaches beyond its end")
        yield tag, data[at : at + length]
        at += length


def _expect(element: _Element, tag: int) -> bytes:
    if element[0] != tag:
        raise MalformedCertificate("an element of another kind")
    return element[1]


def _content(data: bytes, tag: int) -> bytes:
    """What the first element of some content contains."""
    return _expect(next(_elements(data)), tag)


def _name(content: bytes) -> str:
    parts = []
    for relative in _elements(content):
        for attribute in _elements(_expect(relative, _SET)):
            (_, oid), (kind, value) = _elements(_expect(attribute, _SEQUENCE))
            if label := _ATTRIBUTES.get(oid):
                text = value.decode("utf-16-be" if kind == _BMP_STRING else "utf-8", "replace")
                parts.append(f"{label}={printable(text)}")
    return ", ".join(parts)


def _time(tag: int, content: bytes) -> dt.datetime:
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        # RFC 5280: two digits mean 1950 to 2049.
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise MalformedCertificate("a time of another kind")
    return dt.datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=dt.timezone.utc)


def _alternative_names(extensions: bytes) -> Iterator[str]:
    for extension in _elements(extensions):
        # The identifier, perhaps whether it is critical, and the value, an octet string around another element.
        parts = list(_elements(_expect(extension, _SEQUENCE)))
        if parts[0] == (_OID, _SUBJECT_ALT_NAME):
            for tag, value in _elements(_content(parts[-1][1], _SEQUENCE)):
                if tag == _DNS_NAME:
                    yield printable(value.decode("ascii", "replace"))
                elif tag == _IP_ADDRESS and len(value) in (4, 16):
                    yield str(ipaddress.ip_address(value))
