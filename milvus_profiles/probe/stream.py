"""Connections of the probes, plain and with TLS, within limits of time and size.

Every operation has a deadline: whoever is at the other end may drip, or never stop.
"""

from __future__ import annotations

import contextlib
import errno
import io
import re
import socket
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

from ..deadline import Deadline

__all__ = ["BoundedFile", "Stream", "TLSStream", "reason_of", "words_of"]

T = TypeVar("T")

_PIECE = 16_384
_LONGEST_HANDSHAKE = 1 << 20
"""Bytes that a server may send before it has shaken hands; OpenSSL takes 100 kB of certificates."""


class Stream:
    """A connection, which remains the caller's to close.

    Every method raises OSError where the connection breaks or the time is over (TimeoutError).
    """

    def __init__(self, opened: socket.socket, deadline: Deadline) -> None:
        self.deadline = deadline
        self._opened = opened

    def _in_time(self) -> socket.socket:
        if not (remaining := self.deadline.remaining):
            raise TimeoutError
        self._opened.settimeout(remaining)
        return self._opened

    def connect(self, address: tuple[str, int] | str) -> None:
        """Connect the socket."""
        self._in_time().connect(address)

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self._in_time().sendall(data)

    def receive(self, longest: int = _PIECE) -> bytes:
        """What has come, at least a byte; empty at the end of the connection."""
        return self._in_time().recv(min(longest, _PIECE))

    def receive_at_least(self, enough: int) -> bytes:
        """So many bytes and little more; less where the connection ends before."""
        said = b""
        while len(said) < enough and (data := self.receive()):
            said += data
        return said


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

    def receive(self, longest: int = _PIECE) -> bytes:
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


class BoundedFile(io.RawIOBase):
    """The reading side of a stream, as much of a socket as ``http.client`` asks of one.

    After so many bytes the connection looks as if it had ended.
    """

    def __init__(self, stream: Stream, longest: int) -> None:
        self._stream = stream
        self._left = longest

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As of a file; 0 at the end, or where the limit is reached."""
        room = memoryview(buffer)[: self._left]
        data = self._stream.receive(len(room)) if room else b""
        room[: len(data)] = data
        self._left -= len(data)
        return len(data)

    def makefile(self, *_: object) -> io.BufferedReader:
        """The file that ``http.client`` reads from."""
        return io.BufferedReader(self)


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
