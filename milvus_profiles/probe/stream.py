"""Connections of the probes, within limits of time and size; those with TLS are in ``tls_stream``.

Every operation has a deadline: whoever is at the other end may drip, or never stop.
"""

from __future__ import annotations

import io
import socket
from typing import Any

from ..background import Deadline

__all__ = ["PIECE", "BoundedFile", "Stream"]

PIECE = 16_384
"""Bytes that are read at once, at most."""


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

    def receive(self, longest: int = PIECE) -> bytes:
        """What has come, at least a byte; empty at the end of the connection."""
        return self._in_time().recv(min(longest, PIECE))

    def receive_at_least(self, enough: int) -> bytes:
        """So many bytes and little more; less where the connection ends before."""
        said = b""
        while len(said) < enough and (data := self.receive()):
            said += data
        return said


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
