"""Imports grpc so that its own log stays off a program's standard error; nothing else in the package may import it.

gRPC writes there, unescaped, what a server says as it closes a connection.  It does so at the level INFO, and only the
variable ``GRPC_VERBOSITY`` sets the level, which is read once: from 1.76 at the import, before at the first channel.
It is set for that moment only, and not where the user set it or asked for traces.  Where somebody else imported grpc
first, the level is what that read.

Source: grpcio 1.66 to 1.85, measured.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["grpc", "quietly"]

_VARIABLE, _LEVEL = "GRPC_VERBOSITY", "ERROR"
_ASKED_FOR = (_VARIABLE, "GRPC_TRACE")
_guard = threading.Lock()
_was_read = False


@contextmanager
def quietly() -> Iterator[None]:
    """Have gRPC read its level as ERROR, the next above INFO that it knows; nothing where it was read already."""
    global _was_read
    if _was_read or any(name in os.environ for name in _ASKED_FOR):
        yield
        return
    with _guard:
        os.environ[_VARIABLE] = _LEVEL
        try:
            yield
        finally:
            os.environ.pop(_VARIABLE, None)
            _was_read = True


with quietly():
    import grpc as grpc
    import grpc.aio

_was_read = tuple(int(part) for part in grpc.__version__.split(".")[:2]) >= (1, 76)
