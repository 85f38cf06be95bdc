"""A connection that speaks TLS, under limits of time and size.

OpenSSL is given what has come, piece by piece, and never the socket: told to shake hands on a socket it goes on for as
long as a server sends messages that mean nothing, whatever time limit the socket has.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar

from ..deadline import Deadline
from .receiving import Stream

__all__ = ["TLSStream"]

T = TypeVar("T")

_LONGEST_HANDSHAKE = 1 << 20
"""Bytes that a server may send before it has shaken hands; OpenSSL takes 100 kB of certificates."""


class TLSStream(Stream):
    """TLS over a connection.

    Args:
        opened: the connection, which remains the caller's to close.
        context: how to verify.
        host: the name to send.

    Attributes:
        session: what OpenSSL knows of the other side.

    Raises:
        ValueError, ssl.SSLError: the name is none that can be sent.
    """

    def __init__(self, opened: socket.socket, context: ssl.SSLContext, host: str) -> None:
        super().__init__(opened)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def shake_hands(self, deadline: Deadline) -> None:
        """Agree on a protocol, and verify the server.

        Raises:
            ssl.SSLError: the handshake failed, the verification included.
            OSError: the connection broke, or the time is over.
        """
        self._step(self.session.do_handshake, deadline, _LONGEST_HANDSHAKE)

    def send(self, data: bytes, deadline: Deadline) -> None:
        """As of a stream without TLS."""
        self._step(lambda: self.session.write(data), deadline)

    def receive(self, deadline: Deadline, longest: int = 16_384) -> bytes:
        """As of a stream without TLS."""
        try:
            return self._step(lambda: self.session.read(longest), deadline)
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def _step(self, step: Callable[[], T], deadline: Deadline, longest: int | None = None) -> T:
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                try:
                    return step()
                finally:
                    self._flush(deadline)  # in a failure the alert that says why
            received = super().receive(deadline)
            if longest is not None and (longest := longest - len(received)) < 0:
                raise ConnectionAbortedError(errno.ECONNABORTED, "the handshake has no end")
            if received:
                self._incoming.write(received)
            else:
                self._incoming.write_eof()

    def _flush(self, deadline: Deadline) -> None:
        if data := self._outgoing.read():
            super().send(data, deadline)
