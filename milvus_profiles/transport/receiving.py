"""Reads from a socket within a deadline and a limit of size: whoever is at the other end may drip, or never stop."""

from __future__ import annotations

import io
import socket
from typing import Any

from .deadline import Deadline

__all__ = ["BoundedSocket", "read_at_least", "set_timeout"]

_PIECE = 4096


def set_timeout(opened: socket.socket, deadline: Deadline) -> None:
    """Bound the next operation of a socket by the deadline.

    Raises:
        TimeoutError: it has passed.
    """
    if not (remaining := deadline.remaining):
        raise TimeoutError
    opened.settimeout(remaining)


def read_at_least(opened: socket.socket, enough: int, deadline: Deadline) -> bytes:
    """So many bytes and little more; less where the connection ends before.

    Args:
        opened: the connection.
        enough: how many.
        deadline: when to give up.

    Raises:
        OSError: the connection broke, or the time is over.
    """
    said = b""
    while len(said) < enough:
        set_timeout(opened, deadline)
        if not (data := opened.recv(_PIECE)):
            break
        said += data
    return said


class BoundedSocket(io.RawIOBase):
    """The reading side of a connection, as much of a socket as ``http.client`` asks of one.

    A read waits until the deadline at most, however often the server sends a byte; after so many bytes the connection
    looks as if it had ended.

    Args:
        opened: the connection; closing this one leaves it open.
        deadline: when to give up.
        longest: bytes at most.
    """

    def __init__(self, opened: socket.socket, deadline: Deadline, longest: int) -> None:
        self._opened = opened
        self._deadline = deadline
        self._left = longest

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As of a file; 0 at the end, or where the limit is reached."""
        room = memoryview(buffer)[: self._left]
        if not room:
            return 0
        set_timeout(self._opened, self._deadline)
        count = self._opened.recv_into(room)
        self._left -= count
        return count

    def makefile(self, *_: object) -> io.BufferedReader:
        """The file that ``http.client`` reads from."""
        return io.BufferedReader(self)
