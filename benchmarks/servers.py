"""A real Milvus for a benchmark, with the helpers of the tests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.support.milvus import MilvusServer
from tests.support.reaper import Reaper

__all__ = ["milvus"]


@contextlib.contextmanager
def milvus() -> Iterator[MilvusServer]:
    """A server with authorization and without TLS; whatever happens, nothing of it is left behind."""
    reaper = Reaper()
    server = MilvusServer(reaper, auth=True)
    try:
        server.start()
        yield server
    finally:
        server.remove()
        reaper.close()
