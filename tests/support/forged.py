"""Certificates with anything in them: signed properly, and written field by field, so that each can be wrong.

The builder of `cryptography` refuses to make what an attacker would send; here every field is DER that a test chooses.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

SEQUENCE, SET, OID, INTEGER, BIT_STRING, OCTET_STRING, NULL = 0x30, 0x31, 0x06, 0x02, 0x03, 0x04, 0x05
UTF8, BMP, UTC_TIME, GENERALIZED_TIME = 0x0C, 0x1E, 0x17, 0x18
EMAIL, DNS, URI, IP = 0x81, 0x82, 0x86, 0x87
"""The tags of a general name."""

_ATTRIBUTES = {"CN": "2.5.4.3", "O": "2.5.4.10", "OU": "2.5.4.11", "C": "2.5.4.6", "serialNumber": "2.5.4.5"}
_DAY = dt.timedelta(days=1)

TRUE = bytes.fromhex("0101ff")
SERVER_AUTH, CLIENT_AUTH = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"


@dataclass(frozen=True)
class Identity:
    """A certificate and its private key, as PEM files."""

    cert: Path
    key: Path


def write_identity(directory: Path, called: str, certificate: bytes, key: bytes) -> Identity:
    identity = Identity(directory / f"{called}.pem", directory / f"{called}.key")
    identity.cert.write_bytes(certificate)
    with open(os.open(identity.key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(key)
    return identity


def der(tag: int, *contents: bytes) -> bytes:
    """An element around its contents."""
    content = b"".join(contents)
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def integer(value: int) -> bytes:
    return der(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    body = bytearray()
    for number in (first * 40 + second, *rest):
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(number & 0x7F | 0x80)
        body += bytes(reversed(groups))
    return der(OID, bytes(body))


def name(*attributes: tuple[str, str] | tuple[str, int, bytes]) -> bytes:
    """A distinguished name, from `("CN", text)` or `("CN", tag, raw bytes)`."""
    parts = []
    for attribute in attributes:
        label, tag, raw = attribute if len(attribute) == 3 else (attribute[0], UTF8, attribute[1].encode())
        parts.append(der(SET, der(SEQUENCE, oid(_ATTRIBUTES[label]), der(tag, raw))))
    return der(SEQUENCE, *parts)


def dns(*hosts: str) -> list[bytes]:
    return [der(DNS, host.encode()) for host in hosts]


def ip(*addresses: str) -> list[bytes]:
    return [der(IP, ipaddress.ip_address(address).packed) for address in addresses]


def extension(dotted: str, value: bytes, *, critical: bool = False) -> bytes:
    return der(SEQUENCE, oid(dotted), TRUE if critical else b"", der(OCTET_STRING, value))


def alternative_names(names: Sequence[bytes]) -> bytes:
    return extension("2.5.29.17", der(SEQUENCE, *names))


def constraints(*, ca: bool) -> bytes:
    return extension("2.5.29.19", der(SEQUENCE, TRUE if ca else b""), critical=True)


def usage(*purposes: str) -> bytes:
    return extension("2.5.29.37", der(SEQUENCE, *map(oid, purposes)))


def key_usage(bits: int, unused: int) -> bytes:
    return extension("2.5.29.15", der(BIT_STRING, bytes([unused, bits])), critical=True)


def name_constraints(permitted: Sequence[bytes] = (), excluded: Sequence[bytes] = ()) -> bytes:
    trees = [
        der(tag, *(der(SEQUENCE, base) for base in bases))
        for tag, bases in ((0xA0, permitted), (0xA1, excluded))
        if bases
    ]
    return extension("2.5.29.30", der(SEQUENCE, *trees), critical=True)


def utc(moment: dt.datetime) -> bytes:
    return der(UTC_TIME, moment.strftime("%y%m%d%H%M%SZ").encode())


def now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc)


@dataclass(frozen=True)
class Forged:
    """A certificate and its key."""

    der: bytes
    key: Key
    subject: bytes

    @property
    def pem(self) -> str:
        return ssl.DER_cert_to_PEM_cert(self.der)

    def write(self, directory: Path, called: str, *chain: Forged) -> Identity:
        """As PEM files, with the certificates above it."""
        certificates = "".join(one.pem for one in (self, *chain)).encode()
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        key = self.key.private_bytes(encoding, form, serialization.NoEncryption())
        return write_identity(directory, called, certificates, key)


def forge(
    subject: bytes,
    *extensions: bytes,
    issuer: Forged | None = None,
    serial: int = 17,
    version: int = 2,
    begins: bytes | None = None,
    ends: bytes | None = None,
    key: Key | None = None,
    digest: hashes.HashAlgorithm | None = None,
) -> Forged:
    """Make a certificate, self-issued unless an issuer is given.

    Args:
        subject: its name, DER.
        extensions: DER, in their order.
        issuer: signs it.
        serial: may be negative or huge.
        version: 2 means X.509 v3; 0 is not written.
        begins, ends: the elements of a time; None for yesterday and in a year.
        key: its own; None makes one.
        digest: of the signature; None takes SHA-256.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    signer, digest = (issuer.key if issuer else key), digest or hashes.SHA256()
    algorithm = _algorithm(signer, digest)
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    body = der(
        SEQUENCE,
        der(0xA0, integer(version)) if version else b"",
        integer(serial),
        algorithm,
        issuer.subject if issuer else subject,
        der(SEQUENCE, begins or utc(now() - _DAY), ends or utc(now() + 365 * _DAY)),
        subject,
        public,
        der(0xA3, der(SEQUENCE, *extensions)) if extensions else b"",
    )
    if isinstance(signer, rsa.RSAPrivateKey):
        signature = signer.sign(body, padding.PKCS1v15(), digest)
    else:
        signature = signer.sign(body, ec.ECDSA(digest))
    return Forged(der(SEQUENCE, body, algorithm, der(BIT_STRING, b"\0", signature)), key, subject)


def _algorithm(signer: Key, digest: hashes.HashAlgorithm) -> bytes:
    if isinstance(signer, rsa.RSAPrivateKey):
        number = {"sha1": 5, "sha256": 11}[digest.name]
        return der(SEQUENCE, oid(f"1.2.840.113549.1.1.{number}"), der(NULL))
    return der(SEQUENCE, oid({"sha1": "1.2.840.10045.4.1", "sha256": "1.2.840.10045.4.3.2"}[digest.name]))
