"""TLS as the probes speak it: what a connection trusts and offers, and OpenSSL's words for what breaks it.

It takes gRPC's own bundled roots where a profile names no CA, never the system's, and trusts a single pinned
certificate as gRPC does.  A module of its own: who looks at TCP alone need not load OpenSSL first.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar

from ..background import Deadline
from ..channel.tls_files import ROOTS_VARIABLE, check_tls_files
from .sockets import PIECE, Stream

if TYPE_CHECKING:
    from ..connectable import TLSSettings


def default_roots(env: Mapping[str, str] = os.environ) -> str:
    """The file of the certificates that gRPC trusts where it is told none."""
    if named := env.get(ROOTS_VARIABLE):
        return named
    # Found, not imported: a probe can do without gRPC itself.
    package = find_spec("grpc")
    assert package is not None
    assert package.origin is not None
    return os.path.join(os.path.dirname(package.origin), "_cython", "_credentials", "roots.pem")


def verifying_context(tls: TLSSettings, protocol: str = "h2", *, env: Mapping[str, str] = os.environ) -> ssl.SSLContext:
    """A context that trusts what gRPC would trust, and has the profile's client certificate.

    Raises:
        ConfigError, TLSError: a TLS file cannot be read, or is not what it should be.
    """
    check_tls_files(tls, env)
    context = _context(tls, protocol)
    context.load_verify_locations(tls.ca or default_roots(env))
    return context


def pinning_context(pem: str, protocol: str) -> ssl.SSLContext:
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


T = TypeVar("T")

_LONGEST_HANDSHAKE = 1 << 20
"""Bytes that a server may send before it has shaken hands; OpenSSL takes 100 kB of certificates."""


class TLSStream(Stream):
    """TLS over a connection; ValueError or ssl.SSLError where the host is no name that can be sent.

    OpenSSL is given what has come, piece by piece, and never the socket: told to shake hands on a socket it goes on for
    as long as a server sends messages that mean nothing, whatever time limit the socket has.
    """

    def __init__(self, opened: socket.socket, deadline: Deadline, context: ssl.SSLContext, host: str) -> None:
        super().__init__(opened, deadline)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def handshake(self) -> None:
        """Agree on a protocol, and verify the server; ssl.SSLError where that fails."""
        self._step(self.session.do_handshake, _LONGEST_HANDSHAKE)

    def send(self, data: bytes) -> None:
        self._step(lambda: self.session.write(data))

    def receive(self, longest: int = PIECE) -> bytes:
        try:
            return self._step(lambda: self.session.read(longest))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def _step(self, step: Callable[[], T], longest: int | None = None) -> T:
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                try:
                    return step()
                finally:  # in a failure the alert that says why
                    if data := self._outgoing.read():
                        super().send(data)
            received = super().receive()
            if longest is not None and (longest := longest - len(received)) < 0:
                raise ConnectionAbortedError(errno.ECONNABORTED, "the handshake has no end")
            if received:
                self._incoming.write(received)
            else:
                self._incoming.write_eof()


def reason_of(error: OSError) -> str | None:
    """OpenSSL's name of what went wrong, as ``TLSV1_ALERT_PROTOCOL_VERSION``; None where it says nothing."""
    if not isinstance(error, ssl.SSLError):
        return None
    # Python has a list of its own of these names, in which newer ones are missing (that of ALPN until 3.13); OpenSSL's
    # words are in the message all the same.
    words = _OPENSSL_WORDS.match(error.strerror or "")
    return error.reason or (words and words[1].replace(" ", "_").upper())


# "[SSL] tlsv1 alert no application protocol (_ssl.c:1006)"
_OPENSSL_WORDS = re.compile(r"\[SSL\] ([a-z0-9 ]+) \(_ssl\.c:\d+\)$")


def words_of(error: OSError) -> str:
    """What the system or OpenSSL says of a broken connection; empty if nothing."""
    # OpenSSL's strerror ends in a place in CPython's sources.
    reason = reason_of(error)
    return reason.replace("_", " ").lower() if reason else error.strerror or ""
