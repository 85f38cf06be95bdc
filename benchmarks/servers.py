"""A real Milvus for a benchmark, with the helpers of the tests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.support.certificates import Certificates
from tests.support.milvus import MilvusServer
from tests.support.reaper import Reaper

__all__ = ["milvus"]


@contextlib.contextmanager
def milvus(certificates: Certificates | None = None) -> Iterator[MilvusServer]:
    """A server with authorization; whatever happens, nothing of it is left behind.

    Args:
        certificates: for TLS; None has none.
    """
    reaper = Reaper()
    server = MilvusServer(reaper, auth=True, tls="server" if certificates else None, certificates=certificates)
    try:
        server.start()
        yield server
    finally:
        server.remove()
        reaper.close()
