"""`milvus_profiles.aio` on real servers: what is of event loops only; the rest is in test_connection_contract."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import milvus_profiles as mp
from milvus_profiles.live.spec import OPEN_CONNECTIONS
from tests.support import scripted_grpc
from tests.support.command import Command
from tests.support.connections import Declared, at, declared, of, uri
from tests.support.environment import run_python
from tests.support.milvus import MilvusServer
from tests.support.scripted_grpc import ScriptedServer, milvus_answer, scripted_server
from tests.support.sockets import connections_to
from tests.support.waiting import eventually, side_by_side, until


@pytest.fixture(autouse=True)
async def _nothing_stays_open() -> AsyncIterator[None]:
    yield
    await mp.aio.disconnect_all(grace=0)
    assert mp.aio.list_connections() == []
    gc.collect()
    assert OPEN_CONNECTIONS.taken == 0


async def test_a_connection_is_awaited_entered_or_made_a_task(milvus_plain: MilvusServer) -> None:
    async with mp.aio.connect("prod", profiles=of(milvus_plain)) as conn:
        assert isinstance(conn, mp.aio.AsyncConnection)
        assert 0 < await conn.ping() < 5
        assert (await asyncio.create_task(mp.aio.connect("PROD", profiles=of(milvus_plain)))).alias == "prod"
        async with conn:
            assert not conn.is_closed
    assert conn.is_closed
    assert not mp.has_connection("prod")


async def test_cancelled_anywhere_nothing_stays_open_and_nothing_is_swallowed(prod: Declared) -> None:
    """Cancelled after every number of turns of the loop that connecting takes."""
    with scripted_server(milvus_answer) as server:
        prod.says(uri(server.port), 'token = { env = "T" }', 'db_name = "default"')
        profiles = prod.profiles(T="k")
        finished = turns = 0
        while finished < 3:
            task = asyncio.create_task(mp.aio.connect("prod", profiles=profiles))
            for _ in range(turns):
                await asyncio.sleep(0.0005)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await (await task).close()
                finished += 1
            assert task.cancelled() or task.done()
            await mp.aio.disconnect_all(grace=0)
            await eventually(lambda: OPEN_CONNECTIONS.taken == 0)
            turns += 1
        until(lambda: connections_to(server.port) == 0)


async def test_who_asked_first_may_leave_and_the_others_get_their_connection() -> None:
    with scripted_grpc.starting_milvus() as server:
        profiles = at(server.port)
        first, second = (asyncio.create_task(mp.aio.connect("prod", profiles=profiles, wait_ready=30)) for _ in "ab")
        await eventually(lambda: len(server.calls) >= 2)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        server.ready.set()
        assert await (await second).ping() > 0


async def test_when_all_have_left_the_next_one_begins_anew() -> None:
    with scripted_grpc.starting_milvus() as server:
        profiles = at(server.port)
        first = asyncio.create_task(mp.aio.connect("prod", profiles=profiles, wait_ready=30))
        await eventually(lambda: server.calls)
        first.cancel()
        server.ready.set()
        assert await (await mp.aio.connect("prod", profiles=profiles)).ping() > 0
        with pytest.raises(asyncio.CancelledError):
            await first


_OPENING = "import sys, milvus_profiles as mp; print(mp.connect(uri=sys.argv[1], wait_ready=20).ping() > 0)"


async def test_cancelled_while_milvus_lite_starts_it_is_stopped_again(tmp_path: Path) -> None:
    uri = str(tmp_path / "lite.db")
    task = asyncio.create_task(mp.aio.connect(uri=uri))
    await eventually((tmp_path / "lite.db").exists)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await (await task).close()
    # Another process can open it as soon as it is stopped.
    await asyncio.to_thread(until, lambda: run_python(_OPENING, uri).stdout == "True\n", 60)


def test_two_loops_in_two_threads_have_a_connection_each(server: ScriptedServer) -> None:
    profiles = at(server.port)
    met = threading.Barrier(2)

    async def main() -> None:
        async with mp.aio.connect("prod", profiles=profiles) as conn:
            await asyncio.to_thread(met.wait, 30)
            assert connections_to(server.port) == 2
            assert len(mp.aio.list_connections()) == 1
            assert await conn.ping() > 0
            await asyncio.to_thread(met.wait, 30)

    side_by_side(lambda: asyncio.run(main()), threads=2)
    # The end of asyncio.run closes what was left open.
    assert connections_to(server.port) == 0
    assert server.names().count("Connect") == 2


def test_a_loop_that_was_closed_and_replaced(server: ScriptedServer) -> None:
    profiles = at(server.port)

    def main() -> None:
        for _ in range(3):
            loop = asyncio.new_event_loop()
            conn = loop.run_until_complete(mp.aio.connect("prod", profiles=profiles))
            assert loop.run_until_complete(conn.ping()) > 0
            loop.close()
            del loop, conn

    side_by_side(main, threads=1)  # this one has a loop that runs
    assert server.names().count("Connect") == 3
    # Nothing holds the tables of loops that are closed, so their channels go with them.
    gc.collect()
    until(lambda: connections_to(server.port) == 0)
    assert OPEN_CONNECTIONS.taken == 0


def test_a_loop_that_ends_gives_milvus_lite_back(tmp_path: Path) -> None:
    uri = str(tmp_path / "lite.db")

    async def main() -> None:
        await mp.aio.connect(uri=uri)
        await mp.aio.connect("p", profiles=declared(MILVUS_PROFILES__P__URI=uri))

    side_by_side(lambda: asyncio.run(main()), threads=1)
    ran = run_python(_OPENING, uri)
    assert ran.stdout.strip() == "True", ran.stderr


_FORKING = """
import asyncio, os, sys, warnings
from functools import partial
warnings.simplefilter("ignore", DeprecationWarning)
import milvus_profiles as mp

profiles = mp.load(env={"MILVUS_PROFILES__P__URI": sys.argv[1]}, cwd="/")

def in_child(conn, pool, held):
    awaited = [mp.aio.connect("p", profiles=profiles), conn.ping(), held.ping(), pool.get_client("p")]
    begun = (partial(each.__await__().send, None) for each in awaited)
    for attempt in (partial(conn.channel.unary_unary("/x/y"), b""), *begun):
        try:
            attempt()
        except mp.ForkError as error:
            print(error.hint)
    print("child", mp.connect("p", profiles=profiles).ping() > 0, flush=True)

async def main():
    conn = await mp.aio.connect("p", profiles=profiles)
    async with mp.aio.ConnectionPool(None, profiles) as pool, pool.lease("p") as held:
        pid = os.fork()
        if pid == 0:
            try:
                in_child(conn, pool, held)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        print("parent", await conn.ping() > 0, await held.ping() > 0)

asyncio.run(main())
"""


def test_a_forked_child_of_a_parent_that_uses_asyncio_is_told_what_to_do(milvus_plain: MilvusServer) -> None:
    ran = run_python(_FORKING, milvus_plain.uri)
    *said, child, parent = ran.stdout.splitlines()
    assert ["start child processes with multiprocessing's 'spawn'" in each for each in said] == [True] * 5, ran.stderr
    assert (child, parent) == ("child True", "parent True True")


_IMPORTING = """
import asyncio, sys, threading
import milvus_profiles as mp

class Watch:
    by_loop = []

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if threading.current_thread() is threading.main_thread():
            cls.by_loop.append(name.partition(".")[0])

async def main():
    sys.meta_path.insert(0, Watch)
    if sys.argv[2] == "connect":
        assert mp.aio.list_connections() == [] and not mp.aio.has_connection("p")
        await mp.aio.disconnect_all()
        async with mp.aio.connect(uri=sys.argv[1]) as conn:
            print(await conn.ping() > 0)
    else:
        print((await mp.aio.diagnose("p")).ok)

asyncio.run(main())
print(sorted({"grpc", "pydantic", "google"} & sys.modules.keys()), {"grpc", "pydantic", "google"} & {*Watch.by_loop})
"""


@pytest.mark.parametrize(
    ("what", "heavy"), [("connect", ["google", "grpc"]), ("diagnose", ["google", "grpc", "pydantic"])]
)
def test_the_loop_goes_on_while_the_first_one_imports_grpc(
    what: str, heavy: list[str], milvus_plain: MilvusServer, tmp_path: Path
) -> None:
    python = Command([sys.executable, "-c", _IMPORTING], tmp_path, tmp_path)
    ran = python(milvus_plain.uri, what, env={"MILVUS_PROFILES__P__URI": milvus_plain.uri})
    assert ran.stdout == f"True\n{heavy} set()\n", ran.stderr
