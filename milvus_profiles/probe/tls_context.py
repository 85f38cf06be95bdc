"""What a TLS connection of a probe trusts, and what it offers: what gRPC would.

It takes gRPC's own bundled roots where a profile names no CA, never the system's, and trusts a single pinned
certificate as gRPC does.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..channel.tls_files import ROOTS_VARIABLE, check_tls_files

if TYPE_CHECKING:
    from ..connectable import TLSSettings

__all__ = ["default_roots", "pinning_context", "trusting_all", "verifying_context"]


def default_roots(env: Mapping[str, str] = os.environ) -> str:
    """The file of the certificates that gRPC trusts where it is told none."""
    if named := env.get(ROOTS_VARIABLE):
        return named
    # Found, not imported: a probe can do without gRPC itself.
    package = find_spec("grpc")
    assert package is not None
    assert package.origin is not None
    return os.path.join(os.path.dirname(package.origin), "_cython", "_credentials", "roots.pem")


def verifying_context(tls: TLSSettings, *, protocol: str = "h2", env: Mapping[str, str] = os.environ) -> ssl.SSLContext:
    """A context that trusts what gRPC would trust, and has the profile's client certificate.

    Raises:
        ConfigError: a TLS file cannot be read.
        TLSError: a TLS file is not what it should be.
    """
    check_tls_files(tls, env)
    context = _context(tls, protocol)
    context.load_verify_locations(tls.ca or default_roots(env))
    return context


def pinning_context(pem: str, protocol: str) -> ssl.SSLContext:
    """A context that trusts one certificate only."""
    context = _context(protocol=protocol)
    context.load_verify_locations(cadata=pem)
    return context


def trusting_all(protocol: str, tls: TLSSettings | None = None) -> ssl.SSLContext:
    """A context that verifies nothing; only the greeting of HTTP/2 may ever be sent over such a connection."""
    context = _context(tls, protocol)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _context(tls: TLSSettings | None = None, protocol: str = "h2") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A pinned certificate need not be a CA's.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.set_alpn_protocols([protocol])
    # How long a key must be is the system's taste; gRPC's is its own.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    if tls is not None and tls.cert is not None:
        context.load_cert_chain(tls.cert, tls.key)
    return context
