"""What gRPC asks of a server's certificate beside a chain of trust: the right name, and a few rules of BoringSSL's.

OpenSSL, with which the probe shakes hands, has other rules, so these are looked at here.  gRPC checks the name twice,
by two pieces of code that differ (in the handshake and for each call); here a name is right only if both say so, which
is also what every older gRPC accepts.

Source of the rules: gRPC's ``tls_utils.cc`` and ``ssl_transport_security.cc``; grpcio 1.66 and 1.85, measured.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Literal

from .certificate import AlternativeNames, alternative_names, load, read_safely

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["objection"]

_COMMON_NAME = "2.5.4.3"
_CURVES = ("secp256r1", "secp384r1")


def objection(der: bytes, host: str) -> tuple[Literal["wrong host", "other"], str] | None:
    """Why gRPC would refuse a certificate whose chain is in order; None where it would take it.

    Args:
        der: the server's own certificate.
        host: the canonical name or address that it must have.

    Returns:
        The kind of the reason, and the reason in words, of which none are the server's.

    Raises:
        MalformedCertificate: it cannot be read.
    """
    certificate = load(der)
    return read_safely(lambda: _objection(certificate, host))


def _objection(certificate: x509.Certificate, host: str) -> tuple[Literal["wrong host", "other"], str] | None:
    if (rule := _broken_rule(certificate)) is not None:
        return "other", rule
    return None if _is_for(certificate, alternative_names(certificate), host) else ("wrong host", f"not for {host}")


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


def _is_for(certificate: x509.Certificate, names: AlternativeNames, host: str) -> bool:
    if _is_address(host):
        return host in names.ip or host in names.dns
    if names.count:
        return any(_matches(name, host) for name in names.dns)
    # Only a certificate without any alternative name is judged by its common name, by the first if it has several.
    common = [one.value for one in certificate.subject if one.oid.dotted_string == _COMMON_NAME]
    return bool(common) and isinstance(common[0], str) and _matches(common[0], host)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _matches(name: str, host: str) -> bool:
    """Whether a name of a certificate, perhaps ``*.`` and at least two labels, is that of a host."""
    name, host = name.removesuffix(".").lower(), host.removesuffix(".").lower()
    if not name.startswith("*."):
        return name == host and "*" not in name
    first, dot, rest = host.partition(".")
    return bool(first and dot) and rest == name[2:] and "." in rest
