"""Ten thousand live connections at once (`make campaign`)."""

from __future__ import annotations

import gc
import os
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from milvus_profiles.live.spec import OPEN_CONNECTIONS
from tests.support.connections import Loop, Shell, Threads, of
from tests.support.milvus import MilvusServer
from tests.support.sockets import connections_to
from tests.support.waiting import until

COUNT = 10_000


@pytest.fixture(autouse=True)
def _enough_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < COUNT + 1000:
        pytest.fail(f"this machine allows {hard} open files, and {COUNT + 1000} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, COUNT + 1000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def resident() -> int:
    """Bytes of memory that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.campaign
@pytest.mark.parametrize(("shell", "kind"), [(Threads, "plain"), (Threads, "tls"), (Loop, "plain")], indirect=["shell"])
def test_ten_thousand_connections(shell: Shell, kind: str, request: pytest.FixtureRequest) -> None:
    server: MilvusServer = request.getfixturevalue(f"milvus_{kind}")
    profiles = of(server)
    shell.close(shell.connect("prod", profiles=profiles, dedicated=True))
    gc.collect()
    before = resident()
    with ThreadPoolExecutor(8) as threads:
        held = list(threads.map(lambda _: shell.connect("prod", profiles=profiles, dedicated=True), range(COUNT)))
    grown = resident() - before
    assert connections_to(server.port) == len(shell.list_connections()) == OPEN_CONNECTIONS.taken == COUNT
    print(f"\n{COUNT} {kind} connections of {type(shell).__name__}: {grown / COUNT / 1024:.1f} KiB each")
    for conn in held[:: COUNT // 50]:
        assert shell.ping(conn) > 0
    shell.disconnect_all(grace=0)
    held.clear()
    until(lambda: connections_to(server.port) == 0, 60)
    assert OPEN_CONNECTIONS.taken == 0
