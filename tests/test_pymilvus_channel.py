"""`conn.client()` is on the channel of its handle: what holds for our calls holds for pymilvus's.

Servers that say what a test tells them to, so that this file runs in seconds; `test_pymilvus` runs it again with each
version of pymilvus.
"""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

import milvus_profiles as mp
from milvus_profiles import errors
from milvus_profiles.channel.pymilvus_import import import_with_pymilvus
from milvus_profiles.channel.wire import SHOW_COLLECTIONS
from tests.support.connections import Declared, Holding, Shell, at, uri
from tests.support.environment import run_python
from tests.support.milvus import MilvusServer
from tests.support.reporters import reported
from tests.support.scripted_grpc import (
    SERVICE,
    Call,
    Refusal,
    Script,
    ScriptedServer,
    answering,
    message,
    milvus_answer,
    number,
    scripted_server,
)
from tests.support.sockets import connections_to
from tests.support.speaking import encoded
from tests.support.waiting import collector_off, until

pymilvus = import_with_pymilvus("pymilvus")


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    yield
    mp.disconnect_all(grace=0)


def answer(call: Call) -> bytes:
    """As a Milvus that accepts whatever it is told to do."""
    try:
        return milvus_answer(call)
    except Refusal:
        return b""


def a_schema() -> Any:
    return pymilvus.CollectionSchema(
        [
            pymilvus.FieldSchema("id", pymilvus.DataType.INT64, is_primary=True),
            pymilvus.FieldSchema("vector", pymilvus.DataType.FLOAT_VECTOR, dim=2),
        ]
    )


def create(client: Any, **more: Any) -> Any:
    """A write; in a thread pymilvus makes a future of it, and waits for that."""
    return client.create_collection("c", schema=a_schema(), **more)


def drop(shell: Shell, client: Any) -> None:
    """A write that needs no more words."""
    shell.do(client.drop_collection("c"))


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server(answer) as one:
        yield one


@pytest.fixture
def profiles(server: ScriptedServer) -> mp.Profiles:
    return at(server.port)


GONE = Refusal(grpc.StatusCode.UNAVAILABLE, "gone for a moment")
WRITES: dict[str, Callable[..., Any]] = {
    "CreateCollection": create,
    "DropCollection": lambda client, **more: client.drop_collection("c", **more),
    "Delete": lambda client, **more: client.delete("c", filter="id > 0", **more),
}
"""By the method of the service."""


# --- what repeats, and what ends -------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"timeout": 5}], ids=str)
@pytest.mark.parametrize("method", WRITES)
def test_no_write_is_made_again(shell: Shell, method: str, more: dict[str, Any]) -> None:
    """pymilvus by itself makes it again 75 times, or until the timeout."""
    with scripted_server(answering(answer, **{method: GONE})) as server:
        conn = shell.connect("prod", profiles=at(server.port))
        for made, login in enumerate(({}, {"token": "root:other"}), 1):
            client = shell.client(conn, **login)
            with pytest.raises(pymilvus.MilvusException, match="gone for a moment") as caught:
                shell.do(WRITES[method](client, **more))
            assert caught.value.code is grpc.StatusCode.UNAVAILABLE
            assert server.names().count(method) == made


def test_a_read_is_made_again_as_the_profile_says() -> None:
    left = [0]

    def describe(call: Call) -> bytes:
        if left[0]:
            left[0] -= 1
            raise GONE
        return answer(call)

    with scripted_server(answering(answer, DescribeCollection=describe)) as server:
        policy = {f"MILVUS_PROFILES__PROD__RETRY__{name}": "0.01" for name in ("INITIAL", "MAX")}
        client = mp.connect("prod", profiles=at(server.port, **policy)).client()
        left[0] = 2
        client.describe_collection("c")
        assert server.names().count("DescribeCollection") == 3
        off = mp.connect("prod", profiles=at(server.port, MILVUS_PROFILES__PROD__RETRY="false")).client()
        left[0] = 1
        with pytest.raises(pymilvus.MilvusException, match="gone for a moment"):
            off.describe_collection("c")
        assert server.names().count("DescribeCollection") == 4


def test_calls_end_after_call_timeout(shell: Shell) -> None:
    script = Holding("DropCollection")
    with scripted_server(script) as server:
        conn = shell.connect("prod", profiles=at(server.port, MILVUS_PROFILES__PROD__CALL_TIMEOUT="0.2"))
        with pytest.raises(grpc.RpcError) as caught:
            drop(shell, shell.client(conn))
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        script.go_on.set()


def test_a_call_of_a_client_is_waited_for_by_disconnect() -> None:
    script = Holding("DropCollection", answer)
    with scripted_server(script) as server, ThreadPoolExecutor(2) as threads:
        conn = mp.connect("prod", profiles=at(server.port))
        call = threads.submit(conn.client().drop_collection, "c")
        assert script.arrived.wait(10)
        end = threads.submit(mp.disconnect, "prod", grace=30)
        until(lambda: conn.is_closed)
        script.go_on.set()
        assert call.result(10) is None
        end.result(10)


# --- tokens, databases, addresses ------------------------------------------------------------------------------------


def test_a_token_that_was_replaced_reaches_a_living_client(shell: Shell, tmp_path: Path) -> None:
    accepted = ["root:first"]

    def script(call: Call) -> bytes:
        if call.metadata.get("authorization") != encoded(accepted[0]):
            raise Refusal(grpc.StatusCode.UNAUTHENTICATED, "auth check failure")
        return answer(call)

    secret = tmp_path / "token"

    def replace(token: str) -> None:
        accepted[0] = token
        secret.write_text(token)

    replace("root:first")
    with scripted_server(script) as server:
        profiles = at(server.port, MILVUS_PROFILES__PROD__TOKEN_FILE=str(secret))
        for number_of, (method, write) in enumerate(WRITES.items()):
            # A channel of its own each: within seconds nobody looks again.
            conn = shell.connect("prod", profiles=profiles, dedicated=True)
            client = shell.client(conn)
            replace(f"root:{number_of}")
            shell.do(write(client))
            assert server.names().count(method) >= 2, method
            shell.close(conn)


def test_every_key_is_sent_once_and_the_identifier_is_the_channels(prod: Declared) -> None:
    def with_identifier(identifier: int) -> Script:
        return answering(answer, Connect=message(1, b"") + message(2, b"") + number(3, identifier))

    async def in_asyncio() -> None:
        await (await mp.aio.connect("prod", profiles=prod.profiles())).client().drop_collection("c")

    with scripted_server(with_identifier(7)) as first, scripted_server(with_identifier(8)) as second:
        conn = mp.connect("prod", profiles=prod.says(uri(first.port), 'token = "for:first"', 'db_name = "films"'))
        client = conn.client()
        client.drop_collection("c")
        asyncio.run(in_asyncio())
        client.use_database("books")
        client.drop_collection("c")
        mp.connect("prod", profiles=prod.says(uri(second.port), 'token = "for:second"', 'db_name = "films"'))
        client.drop_collection("c")
        assert client._get_connection().server_address.startswith(f"127.0.0.1:{second.port}")
    found = []
    for call in first.calls + second.calls:
        assert len(set(call.keys)) == len(call.keys), call.method
        if call.method == SERVICE + "DropCollection":
            assert len(call.metadata["client-request-id"]) == 32
            found.append([call.metadata[key] for key in ("identifier", "authorization", "dbname")])
    of_first = ["7", encoded("for:first")]
    assert found == [
        [*of_first, "films"],
        [*of_first, "films"],
        [*of_first, "books"],
        ["8", encoded("for:second"), "books"],
    ]


def test_profiles_of_one_address_are_never_one(server: ScriptedServer) -> None:
    env = {f"MILVUS_PROFILES__P{n}__URI": f"http://127.0.0.1:{server.port}" for n in range(3)}
    env |= {f"MILVUS_PROFILES__P{n}__TOKEN": f"user{n}:secret" for n in range(2)}  # and one without any
    profiles = mp.load(env=env, cwd="/")
    clients = [mp.connect(f"p{n}", profiles=profiles).client() for n in range(3)]
    places = {client._get_connection().server_address for client in clients}
    assert len(places) == 3  # by it pymilvus caches schemas
    for client in clients:
        client.drop_collection("c")
    sent = [call.metadata.get("authorization") for call in server.calls if "Drop" in call.method]
    assert sent == [encoded("user0:secret"), encoded("user1:secret"), None]
    assert connections_to(server.port) == 3


def test_a_client_makes_no_connection_and_no_login(server: ScriptedServer, profiles: mp.Profiles) -> None:
    conn = mp.connect("prod", profiles=profiles)
    calls = server.names()
    assert isinstance(conn.client(), pymilvus.MilvusClient)
    assert conn.client(db_name="other") is conn.client(db_name="other", timeout=3) is not conn.client()
    with ThreadPoolExecutor(8) as threads:
        fresh = mp.connect("prod", profiles=profiles)
        found = list(threads.map(lambda _: fresh.client(db_name="of all"), range(32)))
    assert len(set(map(id, found))) == 1

    async def in_asyncio() -> None:
        conn = await mp.aio.connect("prod", profiles=profiles)
        assert isinstance(conn.client(), pymilvus.AsyncMilvusClient)
        assert conn.client() is conn.client()

    before = len(calls)
    assert server.names() == calls
    asyncio.run(in_asyncio())
    assert len(server.names()) == 2 * before
    assert connections_to(server.port) == 1


def test_ipv6_addresses_and_names_that_pymilvus_would_misread(shell: Shell) -> None:
    with scripted_server(answer, address="[::1]:0") as server:
        drop(shell, shell.client(shell.connect(uri=f"http://[::1]:{server.port}", profiles=mp.load(env={}))))
        assert "DropCollection" in server.names()


def test_a_client_of_another_login_is_closed_with_the_handle(
    shell: Shell, server: ScriptedServer, profiles: mp.Profiles
) -> None:
    conn = shell.connect("prod", profiles=profiles)
    theirs = shell.client(conn, token="root:other")
    drop(shell, theirs)
    assert server.calls[-1].metadata["authorization"] == encoded("root:other")
    assert connections_to(server.port) == 2
    shell.close(conn)
    until(lambda: connections_to(server.port) == 1)
    again = shell.connect("prod", profiles=profiles)
    kept = shell.client(again, token="root:other")
    drop(shell, kept)
    assert kept is not shell.client(again, token="root:other")
    shell.disconnect("prod")
    until(lambda: connections_to(server.port) == 0)


def test_a_client_of_another_login_is_closed_when_it_is_dropped(server: ScriptedServer, profiles: mp.Profiles) -> None:
    mp.connect("prod", profiles=profiles).client(token="root:other")
    until(lambda: connections_to(server.port) == 1)


@pytest.mark.security
def test_no_failure_of_a_client_shows_the_token(capfd: pytest.CaptureFixture[str]) -> None:
    """Neither the exception with the locals of its frames, nor what pymilvus logs."""

    refused = Refusal(grpc.StatusCode.UNAUTHENTICATED, "")
    secret = "root:" + "hush" * 3
    with scripted_server(answering(answer, CreateCollection=refused, DropCollection=GONE)) as server:
        profiles = mp.load(env={"MILVUS_URI": f"http://127.0.0.1:{server.port}", "MILVUS_TOKEN": secret}, cwd="/")
        client = mp.connect(profiles=profiles).client()
        for write in (WRITES["CreateCollection"], WRITES["DropCollection"]):
            with pytest.raises((pymilvus.MilvusException, grpc.RpcError)) as caught:
                write(client)
            assert caught.value.__traceback__ is not None
            caught.value.__traceback__ = caught.value.__traceback__.tb_next  # without this test's own frame
            told = reported(caught.value) + repr(vars(client)) + repr(vars(client._get_connection()))
            for form in ("hushhush", encoded(secret)):
                assert form not in told
    said = capfd.readouterr()
    assert "hushhush" not in said.out + said.err


# --- the end ---------------------------------------------------------------------------------------------------------


def test_a_client_ends_with_its_handle_and_closes_nothing_of_others(shell: Shell, profiles: mp.Profiles) -> None:
    conn, other = (shell.connect("prod", profiles=profiles) for _ in range(2))
    mine, theirs = shell.client(conn), shell.client(other)
    for _ in range(2):
        shell.do(mine.close())
    with pytest.raises(pymilvus.MilvusException, match="create connection first"):
        drop(shell, mine)
    assert shell.ping(conn) > 0
    drop(shell, theirs)
    again = shell.client(conn)
    assert again is not mine
    drop(shell, again)
    shell.close(conn)
    with pytest.raises(errors.ConnectionClosedError, match="connection of 'prod' is closed"):
        drop(shell, again)
    drop(shell, theirs)
    shell.disconnect("prod")
    with pytest.raises(errors.ConnectionClosedError):
        drop(shell, theirs)


@pytest.mark.filterwarnings("ignore:a connection of 'prod' was dropped:ResourceWarning")
def test_a_client_of_a_lease_ends_with_the_lease_and_opens_nothing(
    server: ScriptedServer, profiles: mp.Profiles
) -> None:
    with mp.ConnectionPool(profiles=profiles) as pool:
        for _ in range(50):
            with pool.lease("prod") as conn:
                client = conn.client()
                assert client is conn.client()
                client.list_collections()
        with pytest.raises(errors.ConnectionClosedError, match="returned to its pool"):
            client.list_collections()
        assert connections_to(server.port) == 1
        assert server.names().count("Connect") == 1
        gone = pool.get_client("prod").client()
        gc.collect()
        with pytest.raises(errors.ConnectionClosedError, match="keep it as long as its client"):
            gone.list_collections()


def test_borrowers_of_one_channel_use_a_database_each(server: ScriptedServer, profiles: mp.Profiles) -> None:
    pool = mp.ConnectionPool(mp.PoolSettings(max_channels=1), profiles)
    with pool, pool.lease("prod") as one, pool.lease("prod") as two:
        assert (pool.stats().pool_used, pool.stats().pool_active) == (1, 2)
        one.client().use_database("films")
        two.client().drop_collection("c")
        assert server.calls[-1].metadata["dbname"] == ""
        one.client().drop_collection("c")
        assert server.calls[-1].metadata["dbname"] == "films"


async def test_a_client_of_a_lease_in_asyncio(server: ScriptedServer, profiles: mp.Profiles) -> None:
    async with mp.aio.ConnectionPool(profiles=profiles) as pool:
        for _ in range(5):
            async with pool.lease("prod") as conn:
                client: Any = conn.client()
                await client.drop_collection("c")
        with pytest.raises(errors.ConnectionClosedError, match="returned to its pool"):
            await client.drop_collection("c")
        assert server.names().count("Connect") == 1


def test_a_client_is_in_no_circle_and_holds_a_dedicated_connection(
    server: ScriptedServer, profiles: mp.Profiles
) -> None:
    with collector_off():
        # The handle is dropped at once, and the client still has what it needs.
        client = mp.connect(uri=f"http://127.0.0.1:{server.port}", profiles=mp.load(env={})).client()
        assert client.list_collections() == []
        assert [info.handles for info in mp.list_connections()] == [1]
        seen = weakref.ref(client), weakref.ref(client._get_connection())
        del client
        assert [reference() for reference in seen] == [None, None]
        until(lambda: connections_to(server.port) == 0)
        # Closed by its user, who keeps the object.
        kept = mp.connect(uri=f"http://127.0.0.1:{server.port}", profiles=mp.load(env={})).client()
        kept.close()
        until(lambda: connections_to(server.port) == 0)
        # Closed with its handle, and kept: it keeps nothing of the channel.
        conn = mp.connect("prod", profiles=profiles, dedicated=True)
        kept = conn.client()
        view = weakref.ref(conn._shared.clients._view)
        conn.close()
        del kept, conn
        until(lambda: view() is None)  # a thread closes the connection


def test_a_stub_that_outlives_its_connection_holds_nothing_of_it(profiles: mp.Profiles) -> None:
    conn = mp.connect("prod", profiles=profiles, dedicated=True)
    stub = conn.client()._get_connection()._stub
    conn.close()
    with pytest.raises(errors.ConnectionClosedError):
        stub.DropCollection(b"")


async def test_a_client_of_asyncio_is_in_no_circle(profiles: mp.Profiles) -> None:
    with collector_off():
        conn = await mp.aio.connect("prod", profiles=profiles)
        client: Any = conn.client()
        await client.drop_collection("c")
        seen = weakref.ref(client._handler), weakref.ref(conn._shared.clients._view)
        await mp.aio.disconnect("prod")
        del client, conn
        assert [reference() for reference in seen] == [None, None]


def refusal(call: Callable[[], object]) -> str:
    try:
        call()
    except BaseException as error:
        return type(error).__name__
    return ""


def test_clients_in_a_forked_child_say_so(profiles: mp.Profiles) -> None:
    conn = mp.connect("prod", profiles=profiles)
    client = conn.client()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, f"{refusal(client.list_collections)} {refusal(conn.client)}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with open(reading) as said:
        assert said.read().split() == ["ForkError", "ForkError"]
    assert client.list_collections() == []


def test_a_client_is_not_pickled(profiles: mp.Profiles) -> None:
    client = mp.connect("prod", profiles=profiles).client()
    with pytest.raises(TypeError, match="let the other process connect by name"):
        pickle.dumps(client)


def test_a_future_is_one_call_that_may_be_left_alone(server: ScriptedServer, profiles: mp.Profiles) -> None:
    """What `_async=True` begins is sent whether anybody waits for it or not."""
    conn = mp.connect("prod", profiles=profiles)
    handler = conn.client()._get_connection()
    future = handler.create_collection("c", a_schema(), _async=True)
    until(lambda: "CreateCollection" in server.names())
    future.result()
    assert server.names().count("CreateCollection") == 1
    raw = conn.channel.unary_unary(SHOW_COLLECTIONS.path, None, None)
    assert raw(b"") is not None


KEEPS = """
import gc, sys
import milvus_profiles as mp

with mp.connect(uri=sys.argv[1], profiles=mp.load(env={"HOME": "/nonexistent"}, cwd="/")) as conn:
    conn.client().list_collections()
del conn
gc.collect()
names = ("PymilvusChannel", "ProfileChannel", "Channel")
print([type(each).__name__ for each in gc.get_objects() if type(each).__name__ in names])
"""


def test_what_clients_have_in_common_keeps_no_channel(milvus_plain: MilvusServer) -> None:
    """In a process of its own, whose first client it is."""
    done = run_python(KEEPS, milvus_plain.uri, check=True)
    assert done.stdout.strip() == "[]"
