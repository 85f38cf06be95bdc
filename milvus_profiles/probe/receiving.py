"""Reads and writes of the probes, each within a deadline: whoever is at the other end may drip, or never stop."""

from __future__ import annotations

import io
import socket
from typing import Any

from ..deadline import Deadline

__all__ = ["BoundedFile", "Stream", "read_at_least", "set_timeout"]

_PIECE = 16_384


def set_timeout(opened: socket.socket, deadline: Deadline) -> None:
    """Bound the next operation of a socket by the deadline.

    Raises:
        TimeoutError: it has passed.
    """
    if not (remaining := deadline.remaining):
        raise TimeoutError
    opened.settimeout(remaining)


class Stream:
    """A connection as the probes use it.

    Args:
        opened: the connection, which remains the caller's to close.
    """

    def __init__(self, opened: socket.socket) -> None:
        self._opened = opened

    def send(self, data: bytes, deadline: Deadline) -> None:
        """Send all of it.

        Raises:
            OSError: the connection broke, or the time is over.
        """
        set_timeout(self._opened, deadline)
        self._opened.sendall(data)

    def receive(self, deadline: Deadline, longest: int = _PIECE) -> bytes:
        """What has come, at least a byte; empty at the end of the connection.

        Raises:
            OSError: the connection broke, or the time is over.
        """
        set_timeout(self._opened, deadline)
        return self._opened.recv(min(longest, _PIECE))


def read_at_least(stream: Stream, enough: int, deadline: Deadline) -> bytes:
    """So many bytes and little more; less where the connection ends before.

    Args:
        stream: the connection.
        enough: how many.
        deadline: when to give up.

    Raises:
        OSError: the connection broke, or the time is over.
    """
    said = b""
    while len(said) < enough:
        if not (data := stream.receive(deadline)):
            break
        said += data
    return said


class BoundedFile(io.RawIOBase):
    """The reading side of a connection, as much of a socket as ``http.client`` asks of one.

    A read waits until the deadline at most, however often the server sends a byte; after so many bytes the connection
    looks as if it had ended.

    Args:
        stream: the connection.
        deadline: when to give up.
        longest: bytes at most.
    """

    def __init__(self, stream: Stream, deadline: Deadline, longest: int) -> None:
        self._stream = stream
        self._deadline = deadline
        self._left = longest

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As of a file; 0 at the end, or where the limit is reached."""
        room = memoryview(buffer)[: self._left]
        data = self._stream.receive(self._deadline, len(room)) if room else b""
        room[: len(data)] = data
        self._left -= len(data)
        return len(data)

    def makefile(self, *_: object) -> io.BufferedReader:
        """The file that ``http.client`` reads from."""
        return io.BufferedReader(self)
