"""Connections of the probes with TLS, within the limits of ``stream``, and OpenSSL's words for what breaks them.

A module of its own: who looks at TCP alone need not load OpenSSL first.
"""

from __future__ import annotations

import contextlib
import errno
import re
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar

from ..background import Deadline
from .stream import PIECE, Stream

__all__ = ["TLSStream", "reason_of", "words_of"]

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
        """Send all of it."""
        self._step(lambda: self.session.write(data))

    def receive(self, longest: int = PIECE) -> bytes:
        """What has come, at least a byte; empty at the end of the connection."""
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
