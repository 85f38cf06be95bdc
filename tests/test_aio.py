"""`milvus_profiles.aio`: connections of event loops, on real servers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

import milvus_profiles as mp
from milvus_profiles import errors
from milvus_profiles.channel.wire import GET_VERSION, SHOW_COLLECTIONS
from milvus_profiles.live.limit import OPEN_CONNECTIONS
from tests.support import faults, scripted_grpc
from tests.support.milvus import MilvusServer
from tests.support.scripted_grpc import Call, milvus_answer, scripted_server
from tests.support.sockets import connections_to
from tests.support.waiting import eventually, until


@pytest.fixture(autouse=True)
async def _nothing_stays_open() -> AsyncIterator[None]:
    yield
    await mp.aio.disconnect_all(grace=0)
    assert mp.aio.list_connections() == []
    gc.collect()
    assert OPEN_CONNECTIONS.taken == 0


def load(text: str = "", *, directory: Path | None = None, **env: str) -> mp.Profiles:
    if directory is not None:
        path = directory / "profiles.toml"
        path.touch(mode=0o600)
        path.write_text(text)
        return mp.load(path, env=env)
    return mp.load(env=env, cwd="/")


def of(server: MilvusServer, **more: str) -> mp.Profiles:
    """One profile, `prod`, that leads to a server."""
    env = {"MILVUS_PROFILES__PROD__URI": server.uri}
    if server.token:
        env["MILVUS_PROFILES__PROD__TOKEN"] = server.token
    if server.certs:
        env["MILVUS_PROFILES__PROD__SSL__CA"] = str(server.certs.ca)
    if server.tls == "mutual" and server.certs:
        env["MILVUS_PROFILES__PROD__SSL__CERT"] = str(server.certs.client.cert)
        env["MILVUS_PROFILES__PROD__SSL__KEY"] = str(server.certs.client.key)
    return load(directory=None, **{**env, **more})


def at(port: int, **more: str) -> mp.Profiles:
    return load(directory=None, MILVUS_PROFILES__PROD__URI=f"http://127.0.0.1:{port}", **more)


@pytest.fixture(params=["plain", "auth", "tls", "mtls"])
def any_server(request: pytest.FixtureRequest) -> MilvusServer:
    server: MilvusServer = request.getfixturevalue(f"milvus_{request.param}")
    return server


# --- the good case ---


async def test_connect_shakes_hands_and_pings(any_server: MilvusServer) -> None:
    async with mp.aio.connect("prod", profiles=of(any_server)) as conn:
        assert isinstance(conn, mp.aio.AsyncConnection)
        assert "2.3.5" in (conn.server_version or "")
        assert 0 < await conn.ping() < 5
        assert (conn.alias, conn.profile.alias, str(conn.endpoint)) == ("prod", "prod", any_server.uri)
        show = conn.channel.unary_unary(SHOW_COLLECTIONS.path, None, SHOW_COLLECTIONS.deserialize)
        assert list((await show(b"")).collection_names) == []
        assert not conn.is_closed
    assert conn.is_closed
    with pytest.raises(errors.ConnectionClosedError):
        await conn.ping()
    with pytest.raises(errors.ConnectionClosedError):
        show(b"")


async def test_milvus_lite(tmp_path: Path) -> None:
    uri = str(tmp_path / "lite.db")
    profiles = load(MILVUS_PROFILES__P__URI=uri)
    async with mp.aio.connect("p", profiles=profiles) as conn:
        assert "lite" in (conn.server_version or "")
        # One server for both worlds.
        with mp.connect("p", profiles=profiles) as other:
            assert other.ping() > 0
        mp.disconnect("p")
        assert await conn.ping() > 0
    await mp.aio.disconnect("p")
    with mp.connect(uri=uri) as conn_:
        assert conn_.ping() > 0


async def test_handles_share_one_channel_and_dedicated_ones_do_not() -> None:
    with scripted_server(milvus_answer) as server:
        profiles = at(server.port)
        first = await mp.aio.connect("prod", profiles=profiles)
        second = await asyncio.create_task(mp.aio.connect("PROD", profiles=profiles))
        alone = await mp.aio.connect("prod", profiles=profiles, dedicated=True)
        assert connections_to(server.port) == 2
        assert sorted(info.handles for info in mp.aio.list_connections()) == [1, 2]
        assert mp.aio.has_connection("prod")
        assert not mp.aio.has_connection("other")
        assert not mp.has_connection("prod")
        await first.close()
        await first.close()
        assert await second.ping() > 0
        await alone.close()
        assert [info.handles for info in mp.aio.list_connections()] == [1]
        anonymous = await mp.aio.connect(uri=f"http://127.0.0.1:{server.port}")
        assert anonymous.alias == "anonymous"
        del anonymous
        gc.collect()
        await eventually(lambda: len(mp.aio.list_connections()) == 1)
        await mp.aio.disconnect("prod")
        assert second.is_closed
        await mp.aio.disconnect("prod")


async def test_one_hundred_at_once_open_one_connection() -> None:
    with scripted_server(milvus_answer) as server:
        profiles = at(server.port)
        conns = await asyncio.gather(*(mp.aio.connect("prod", profiles=profiles) for _ in range(100)))
        assert server.names().count("Connect") == 1
        assert len({id(conn) for conn in conns}) == 100


async def test_failures_are_classified_and_each_caller_has_its_own(milvus_auth: MilvusServer) -> None:
    with faults.refused_port() as port:
        results = await asyncio.gather(
            *(mp.aio.connect("prod", profiles=at(port)) for _ in range(5)), return_exceptions=True
        )
    assert [type(result) for result in results] == [errors.UnreachableError] * 5
    assert len({id(result) for result in results}) == 5
    with pytest.raises(errors.AuthenticationError) as caught:
        await mp.aio.connect("prod", profiles=of(milvus_auth, MILVUS_PROFILES__PROD__TOKEN="root:wrong"))
    assert "wrong" not in str(caught.value)
    with pytest.raises(errors.DatabaseNotFoundError):
        await mp.aio.connect("prod", profiles=of(milvus_auth), db_name="nope")
    with pytest.raises(errors.UnknownProfileError):
        await mp.aio.connect("prdo", profiles=of(milvus_auth))
    with pytest.raises(errors.ConfigError, match="urj"):
        await mp.aio.connect("prod", profiles=of(milvus_auth), urj="x")


async def test_a_ping_names_the_cause_as_connect_does() -> None:
    with scripted_server(milvus_answer) as server:
        conn = await mp.aio.connect("prod", profiles=at(server.port, MILVUS_PROFILES__PROD__RETRY="false"))
    with pytest.raises(errors.UnreachableError, match="refuses"):
        await conn.ping()


async def test_waiting_for_a_server_that_starts() -> None:
    with scripted_grpc.starting_milvus() as server:
        profiles = at(server.port)
        with pytest.raises(errors.ServerNotReadyError):
            await mp.aio.connect("prod", profiles=profiles)
        waiting = asyncio.create_task(mp.aio.connect("prod", profiles=profiles, wait_ready=30))
        await eventually(lambda: len(server.calls) >= 3)
        server.ready.set()
        assert await (await waiting).ping() > 0


async def test_a_hanging_address_delays_no_other() -> None:
    with faults.black_hole() as hole, scripted_server(milvus_answer) as server:
        profiles = load(
            MILVUS_PROFILES__BAD__URI=f"http://127.0.0.1:{hole}",
            MILVUS_PROFILES__GOOD__URI=f"http://127.0.0.1:{server.port}",
        )
        hanging = asyncio.create_task(mp.aio.connect("bad", profiles=profiles, timeout=5))
        async with mp.aio.connect("good", profiles=profiles) as conn:
            assert await conn.ping() > 0
        assert not hanging.done()
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging


async def test_max_connections_counts_both_worlds(tmp_path: Path) -> None:
    with scripted_server(milvus_answer) as server:
        uri = f"http://127.0.0.1:{server.port}"
        profiles = load(
            f'max_connections = 2\n[profiles.a]\nuri = "{uri}"\n[profiles.b]\nuri = "{uri}"\n', directory=tmp_path
        )
        a = await mp.aio.connect("a", profiles=profiles)
        mp.connect("b", profiles=profiles)
        with pytest.raises(errors.ConnectionLimitError):
            await mp.aio.connect("b", profiles=profiles)
        mp.disconnect("b")
        b = await mp.aio.connect("b", profiles=profiles)
        with pytest.raises(errors.ConnectionLimitError):
            mp.connect("b", profiles=profiles)
        assert {conn.alias for conn in (a, b)} == {"a", "b"}


# --- disconnect ---


async def test_disconnect_waits_for_calls_in_flight_and_then_cuts_them_off() -> None:
    with holding() as (server, arrived, go_on):
        profiles = at(server.port)
        conn = await mp.aio.connect("prod", profiles=profiles)
        call = conn.channel.unary_unary(SHOW_COLLECTIONS.path, None, None)
        held = asyncio.ensure_future(call(b""))
        await asyncio.to_thread(arrived.wait, 30)
        leaving = asyncio.create_task(mp.aio.disconnect("prod", grace=30))
        await eventually(lambda: conn.is_closed)
        with pytest.raises(errors.ConnectionClosedError):
            call(b"")
        go_on.set()
        await leaving
        assert await held

        arrived.clear()
        go_on.clear()
        conn = await mp.aio.connect("prod", profiles=profiles)
        held = asyncio.ensure_future(conn.channel.unary_unary(SHOW_COLLECTIONS.path, None, None)(b""))
        await asyncio.to_thread(arrived.wait, 30)
        await mp.aio.disconnect("prod", grace=0.05)
        # Not CancelledError, which nobody asked for; Python 3.10 cannot tell the two apart.
        expected = errors.ConnectionClosedError if sys.version_info >= (3, 11) else asyncio.CancelledError
        with pytest.raises(expected):
            await held
        go_on.set()


@contextlib.contextmanager
def holding() -> Iterator[tuple[scripted_grpc.ScriptedServer, threading.Event, threading.Event]]:
    arrived, go_on = threading.Event(), threading.Event()

    def script(call: Call) -> bytes:
        if call.method == SHOW_COLLECTIONS.path:
            arrived.set()
            assert go_on.wait(30)
        return milvus_answer(call)

    with scripted_server(script) as server:
        try:
            yield server, arrived, go_on
        finally:
            go_on.set()


# --- cancellation ---


async def test_cancelled_anywhere_nothing_stays_open_and_nothing_is_swallowed(tmp_path: Path) -> None:
    """Cancelled after every number of turns of the loop that connecting takes."""
    with scripted_server(milvus_answer) as server:
        profiles = load(
            f'[profiles.prod]\nuri = "http://127.0.0.1:{server.port}"\ntoken = {{ env = "T" }}\ndb_name = "default"\n',
            directory=tmp_path,
            T="k",
        )
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


async def test_cancelled_while_milvus_lite_starts_it_is_stopped_again(tmp_path: Path) -> None:
    uri = str(tmp_path / "lite.db")
    task = asyncio.create_task(mp.aio.connect(uri=uri))
    await eventually((tmp_path / "lite.db").exists)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await (await task).close()
    # Another process can open it as soon as it is stopped.
    program = f"import milvus_profiles as mp; print(mp.connect(uri={uri!r}, wait_ready=20).ping() > 0)"
    for _ in range(100):
        ran = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )
        if ran.stdout:
            break
        await asyncio.sleep(0.1)
    assert ran.stdout.strip() == "True", ran.stderr


async def test_a_cancelled_call_is_cancelled() -> None:
    with holding() as (server, arrived, go_on):
        conn = await mp.aio.connect("prod", profiles=at(server.port))
        task = asyncio.ensure_future(conn.channel.unary_unary(SHOW_COLLECTIONS.path, None, None)(b""))
        await asyncio.to_thread(arrived.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        assert await conn.ping() > 0


# --- event loops ---


def run(main: Callable[[], Any]) -> None:
    """In another thread, since this one has a loop that runs."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            main()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    if failures:
        raise failures[0]


def test_two_loops_in_two_threads_have_a_connection_each() -> None:
    with scripted_server(milvus_answer) as server:
        profiles = at(server.port)
        met = threading.Barrier(2)

        async def main() -> None:
            async with mp.aio.connect("prod", profiles=profiles) as conn:
                await asyncio.to_thread(met.wait, 30)
                assert connections_to(server.port) == 2
                assert len(mp.aio.list_connections()) == 1
                assert await conn.ping() > 0
                await asyncio.to_thread(met.wait, 30)

        threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # The end of asyncio.run closes what was left open.
        assert connections_to(server.port) == 0
        assert server.names().count("Connect") == 2


def test_a_loop_that_was_closed_and_replaced() -> None:
    with scripted_server(milvus_answer) as server:
        profiles = at(server.port)

        def main() -> None:
            for _ in range(3):
                loop = asyncio.new_event_loop()
                conn = loop.run_until_complete(mp.aio.connect("prod", profiles=profiles))
                assert loop.run_until_complete(conn.ping()) > 0
                loop.close()
                del loop, conn

        run(main)
        assert server.names().count("Connect") == 3
        # Nothing holds the tables of loops that are closed, so their channels go with them.
        gc.collect()
        until(lambda: connections_to(server.port) == 0)
        assert OPEN_CONNECTIONS.taken == 0


def test_a_loop_that_ends_gives_milvus_lite_back(tmp_path: Path) -> None:
    uri = str(tmp_path / "lite.db")

    async def main() -> None:
        await mp.aio.connect(uri=uri)
        await mp.aio.connect("p", profiles=load(MILVUS_PROFILES__P__URI=uri))

    run(lambda: asyncio.run(main()))
    program = f"import milvus_profiles as mp; print(mp.connect(uri={uri!r}).ping() > 0)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == "True", ran.stderr


# --- fork ---

_FORKING = """
import asyncio, os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import milvus_profiles as mp
from milvus_profiles import errors

profiles = mp.load(env={"MILVUS_PROFILES__P__URI": sys.argv[1]}, cwd="/")

async def main():
    conn = await mp.aio.connect("p", profiles=profiles)
    pid = os.fork()
    if pid == 0:
        try:
            seen = []
            try:
                conn.channel.unary_unary("/x/y")(b"")
            except errors.ForkError as error:
                seen.append(error.code)
            coroutine = mp.aio.connect("p", profiles=profiles).__await__()
            try:
                coroutine.send(None)
            except errors.ForkError as error:
                seen.append(error.hint.split(";")[0])
            seen.append(mp.connect("p", profiles=profiles).ping() > 0)
            print(seen, flush=True)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    print("parent", await conn.ping() > 0)

asyncio.run(main())
"""


def test_a_forked_child_of_a_parent_with_asyncio_connections_gets_an_error(milvus_plain: MilvusServer) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _FORKING, milvus_plain.uri], capture_output=True, text=True, check=False, timeout=60
    )
    child, parent = ran.stdout.splitlines()
    assert child.startswith("['fork', \"start child processes with multiprocessing's 'spawn'"), ran.stderr
    assert child.endswith("True]")
    assert parent == "parent True"


# --- rotation ---


async def test_a_changed_address_or_token_moves_living_handles(tmp_path: Path) -> None:
    with holding() as (first, arrived, go_on), scripted_server(milvus_answer) as second:

        def profiles(port: int, token: str) -> mp.Profiles:
            return load(f'[profiles.prod]\nuri = "http://127.0.0.1:{port}"\ntoken = "{token}"\n', directory=tmp_path)

        old = await mp.aio.connect("prod", profiles=profiles(first.port, "a"))
        call = old.channel.unary_unary(SHOW_COLLECTIONS.path, None, None)
        held = asyncio.ensure_future(call(b""))
        await asyncio.to_thread(arrived.wait, 30)
        new = await mp.aio.connect("prod", profiles=profiles(second.port, "b"))
        assert old.endpoint == new.endpoint
        assert await call(b"")
        assert connections_to(first.port) == 1
        go_on.set()
        assert await held
        await eventually(lambda: connections_to(first.port) == 0)
        await mp.aio.connect("prod", profiles=profiles(second.port, "c"))
        assert await call(b"")
        assert {call.metadata["authorization"] for call in first.calls} == {"YQ=="}
        assert {call.metadata["authorization"] for call in second.calls} == {"Yg==", "Yw=="}
        assert len({call.peer for call in second.calls}) == 1
        assert len(mp.aio.list_connections()) == 1


async def test_a_secret_that_was_replaced_at_its_source_is_found_by_the_refused_call(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("the:old")
    secret.chmod(0o600)

    def script(call: Call) -> bytes:
        if call.metadata.get("authorization") != accepted[0]:
            raise scripted_grpc.Refusal(grpc.StatusCode.UNAUTHENTICATED, "auth check failure, please check api key")
        return milvus_answer(call)

    accepted = ["dGhlOm9sZA=="]
    with scripted_server(script) as server:
        profiles = at(server.port, MILVUS_PROFILES__PROD__TOKEN_FILE=str(secret))
        conn = await mp.aio.connect("prod", profiles=profiles)
        call = conn.channel.unary_unary(GET_VERSION.path, None, None)
        accepted[0] = "dGhlOm5ldw=="
        secret.write_text("the:new")
        before = len(server.calls)
        answers = await asyncio.gather(*(call(b"") for _ in range(10)))
        assert len(answers) == 10
        assert len(server.calls) - before <= 20
        assert len({call.peer for call in server.calls}) == 1
        # A stream or a call that brings its own token is not made again.
        accepted[0] = "bm93aGVyZQ=="
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", metadata=(("authorization", "x"),))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
