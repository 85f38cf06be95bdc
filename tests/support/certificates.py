"""Certificates for servers and clients, and the broken ones that a client has to recognise."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAMES = ("localhost", "127.0.0.1", "::1")
OTHER_HOST = "other.example"


@dataclass(frozen=True)
class Identity:
    """A certificate and its private key, as PEM files."""

    cert: Path
    key: Path


@dataclass(frozen=True)
class Certificates:
    directory: Path
    ca: Path
    """The CA that signed everything here that is not called foreign or self-signed."""
    server: Identity
    client: Identity
    other_client: Identity
    """What a rotation puts in the place of `client`."""
    foreign_ca: Path
    """A CA that nobody here was told to trust."""
    foreign_server: Identity
    foreign_client: Identity
    expired_server: Identity
    not_yet_valid_server: Identity
    ending_server: Identity
    """Valid, but for ten days only."""
    other_host_server: Identity
    """Issued to `other.example`."""
    chained_server: Identity
    """Issued by an intermediate CA, whose certificate stands behind it."""
    unchained_server: Identity
    """The same without that of the intermediate CA."""
    ending_client: Identity
    """Valid, but for ten days only."""
    self_signed_server: Identity
    """For the right names, and its own issuer."""


def issue(directory: Path) -> Certificates:
    now = dt.datetime.now(dt.timezone.utc).replace(tzinfo=None)  # trustme takes naive UTC
    day = dt.timedelta(days=1)
    ours, foreign = trustme.CA(organization_name="Ours"), trustme.CA(organization_name="Foreign")

    def leaf(
        name: str,
        ca: trustme.CA,
        *hosts: str,
        begins: dt.datetime | None = None,
        ends: dt.datetime | None = None,
    ) -> Identity:
        issued = ca.issue_cert(*hosts, common_name=name, not_before=begins, not_after=ends)
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        return _write(directory, name, chain, issued.private_key_pem.bytes())

    ca_path, foreign_path = directory / "ca.pem", directory / "foreign-ca.pem"
    ca_path.write_bytes(ours.cert_pem.bytes())
    foreign_path.write_bytes(foreign.cert_pem.bytes())
    chained = leaf("chained-server", ours.create_child_ca(), *NAMES)
    end = b"-----END CERTIFICATE-----\n"
    first = chained.cert.read_bytes().partition(end)[0] + end
    return Certificates(
        directory=directory,
        ca=ca_path,
        server=leaf("server", ours, *NAMES),
        client=leaf("client", ours, "client.example"),
        other_client=leaf("other-client", ours, "client.example"),
        foreign_ca=foreign_path,
        foreign_server=leaf("foreign-server", foreign, *NAMES),
        foreign_client=leaf("foreign-client", foreign, "client.example"),
        expired_server=leaf("expired-server", ours, *NAMES, begins=now - 30 * day, ends=now - day),
        not_yet_valid_server=leaf("not-yet-valid-server", ours, *NAMES, begins=now + day, ends=now + 30 * day),
        ending_server=leaf("ending-server", ours, *NAMES, ends=now + 10 * day),
        other_host_server=leaf("other-host-server", ours, OTHER_HOST),
        chained_server=chained,
        unchained_server=_write(directory, "unchained-server", first, chained.key.read_bytes()),
        ending_client=leaf("ending-client", ours, "client.example", ends=now + 10 * day),
        self_signed_server=_self_signed(directory, "self-signed-server", now - day, now + 365 * day),
    )


def _self_signed(directory: Path, name: str, begins: dt.datetime, ends: dt.datetime) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")),
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _write(
        directory,
        name,
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def _write(directory: Path, name: str, certificate: bytes, key: bytes) -> Identity:
    identity = Identity(directory / f"{name}.pem", directory / f"{name}.key")
    identity.cert.write_bytes(certificate)
    with open(os.open(identity.key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(key)
    return identity
