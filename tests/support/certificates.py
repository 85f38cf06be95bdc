"""Certificates for servers and clients, and the broken ones that a client has to recognise."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme

from .forged import (
    SERVER_AUTH,
    Identity,
    alternative_names,
    constraints,
    dns,
    forge,
    ip,
    name,
    usage,
    write_identity,
)

__all__ = ["NAMES", "OTHER_HOST", "Certificates", "Identity", "issue"]

NAMES = ("localhost", "127.0.0.1", "::1")
OTHER_HOST = "other.example"


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

    def leaf(called: str, ca: trustme.CA, *hosts: str, **times: Any) -> Identity:
        issued = ca.issue_cert(*hosts, common_name=called, **times)
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        return write_identity(directory, called, chain, issued.private_key_pem.bytes())

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
        expired_server=leaf("expired-server", ours, *NAMES, not_before=now - 30 * day, not_after=now - day),
        not_yet_valid_server=leaf("not-yet-valid-server", ours, *NAMES, not_before=now + day, not_after=now + 30 * day),
        ending_server=leaf("ending-server", ours, *NAMES, not_after=now + 10 * day),
        other_host_server=leaf("other-host-server", ours, OTHER_HOST),
        chained_server=chained,
        unchained_server=write_identity(directory, "unchained-server", first, chained.key.read_bytes()),
        ending_client=leaf("ending-client", ours, "client.example", not_after=now + 10 * day),
        self_signed_server=forge(
            name(("CN", "self-signed-server")),
            alternative_names([*dns("localhost"), *ip("127.0.0.1", "::1")]),
            constraints(ca=True),
            usage(SERVER_AUTH),
        ).write(directory, "self-signed-server"),
    )
