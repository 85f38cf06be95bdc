"""What holds for the connections of threads and of event loops alike, on real servers.

While a keyring or a program takes its time for the secret, TCP and TLS are set up, and nothing of a call is sent.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import pickle
import shlex
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import grpc
import h2.events
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection

import milvus_profiles as mp
from milvus_profiles import errors
from milvus_profiles.channel.wire import GET_VERSION, SHOW_COLLECTIONS
from tests.support import faults, scripted_grpc
from tests.support.certificates import Certificates
from tests.support.connections import Declared, Holding, Shell, at, declared, of, uri
from tests.support.environment import run_python
from tests.support.hostile_tls import inside_tls
from tests.support.milvus import MilvusServer
from tests.support.scripted_grpc import Refusal, ScriptedServer, answering, milvus_answer, scripted_server
from tests.support.sockets import connections_to
from tests.support.speaking import encoded
from tests.support.waiting import side_by_side, until

# --- the good case ---


def test_connect_shakes_hands_and_pings(shell: Shell, any_server: MilvusServer) -> None:
    conn = shell.connect("prod", profiles=of(any_server))
    assert "2.3.5" in (conn.server_version or "")
    assert 0 < shell.ping(conn) < 5
    assert (conn.alias, conn.profile.alias, str(conn.endpoint)) == ("prod", "prod", any_server.uri)
    stub = shell.stub(conn, SHOW_COLLECTIONS.path)
    assert list(SHOW_COLLECTIONS.deserialize(shell.call(stub)).collection_names) == []
    assert not conn.is_closed
    # What a user finds by looking is what is promised, and all of it is there.
    assert dir(conn) == sorted(
        {"channel", "client", "close", "ping", "alias", "profile", "endpoint", "is_closed", "server_version"}
    )
    assert all(hasattr(conn, name) for name in dir(conn))
    shell.close(conn)
    shell.close(conn)
    assert conn.is_closed
    for use in (shell.ping, lambda _: shell.call(stub), lambda closed: closed.client()):
        with pytest.raises(errors.ConnectionClosedError):
            use(conn)


def test_a_ping_names_the_cause_as_connect_does(shell: Shell) -> None:
    with scripted_server(milvus_answer) as server:
        conn = shell.connect("prod", profiles=at(server.port, MILVUS_PROFILES__PROD__RETRY="false"))
    with pytest.raises(errors.UnreachableError, match="refuses"):
        shell.ping(conn)


@pytest.mark.parametrize("code", ["UNIMPLEMENTED", "PERMISSION_DENIED"])
def test_a_ping_that_is_refused_has_been_answered(shell: Shell, code: str) -> None:
    with scripted_server(answering(GetVersion=Refusal(grpc.StatusCode[code], "not for you"))) as server:
        assert shell.ping(shell.connect("prod", profiles=at(server.port))) > 0


# --- handles ---


def test_handles_share_one_channel_that_lives_until_disconnect(shell: Shell, milvus_plain: MilvusServer) -> None:
    with faults.tcp_proxy(milvus_plain.port) as proxy:
        first, second = shell.connect("prod", profiles=at(proxy.port)), shell.connect("PROD", profiles=at(proxy.port))
        assert first is not second
        assert shell.ping(first) > 0
        assert [info.handles for info in shell.list_connections()] == [2]
        shell.close_channel(first)
        assert first.is_closed
        assert shell.ping(second) > 0
        assert [info.handles for info in shell.list_connections()] == [1]
        shell.close(second)
        assert shell.has_connection("Prod")
        assert shell.ping(shell.connect("prod", profiles=at(proxy.port))) > 0
        assert proxy.connections == 1


def test_a_dedicated_channel_is_closed_with_its_handle(shell: Shell, server: ScriptedServer) -> None:
    shared = shell.connect("prod", profiles=at(server.port))
    own = shell.connect("prod", profiles=at(server.port), dedicated=True)
    assert connections_to(server.port) == 2
    shell.close(own)
    until(lambda: connections_to(server.port) == 1)
    assert [info.handles for info in shell.list_connections()] == [1]
    assert shell.ping(shared) > 0


def test_an_address_alone_is_anonymous_and_closed_with_a_handle_that_is_dropped(
    shell: Shell, milvus_auth: MilvusServer
) -> None:
    nothing = declared()
    conn = shell.connect(uri=milvus_auth.uri, token="root:Milvus", profiles=nothing)
    assert conn.alias == "anonymous"
    shell.connect(host="127.0.0.1", port=milvus_auth.port, user="root", password="Milvus", profiles=nothing)
    gc.collect()
    until(lambda: len(shell.list_connections()) == 1)
    assert shell.ping(conn) > 0
    del conn
    gc.collect()
    until(lambda: shell.list_connections() == [])


def test_overrides_of_a_call_get_a_channel_of_their_own(shell: Shell, milvus_auth: MilvusServer) -> None:
    profiles = of(milvus_auth)
    keep = [shell.connect("prod", profiles=profiles), shell.connect("prod", profiles=profiles, timeout=3)]
    assert len(shell.list_connections()) == 1
    with pytest.raises(errors.AuthenticationError):
        shell.connect("prod", profiles=profiles, token="root:wrong")
    keep += [shell.connect("prod", profiles=profiles, **more) for more in ({"db_name": "default"}, {"call_timeout": 5})]
    assert keep[-2].profile.db_name == "default"
    assert [info.db_name for info in shell.list_connections()] == [None, "default", None]


def test_disconnect_closes_all_handles_of_an_alias(shell: Shell, milvus_plain: MilvusServer) -> None:
    profiles = declared(MILVUS_PROFILES__A__URI=milvus_plain.uri, MILVUS_PROFILES__B__URI=milvus_plain.uri)
    a, dedicated = shell.connect("a", profiles=profiles), shell.connect("a", profiles=profiles, dedicated=True)
    b = shell.connect("b", profiles=profiles)
    shell.disconnect("A")
    assert a.is_closed
    assert dedicated.is_closed
    assert shell.ping(b) > 0
    assert (shell.has_connection("a"), shell.has_connection("b")) == (False, True)
    shell.disconnect("a")
    shell.disconnect("nobody")
    assert shell.ping(shell.connect("a", profiles=profiles)) > 0
    shell.disconnect_all()
    assert b.is_closed


def test_disconnect_waits_for_calls_in_flight_and_then_cuts_them_off(shell: Shell) -> None:
    script = Holding()
    with scripted_server(script) as server:
        conn = shell.connect("prod", profiles=at(server.port))
        stub = shell.stub(conn, SHOW_COLLECTIONS.path)
        held = shell.begin(stub)
        assert script.arrived.wait(30)
        leaving = threading.Thread(target=shell.disconnect, args=("prod",), kwargs={"grace": 30})
        leaving.start()
        until(lambda: conn.is_closed)
        assert not shell.has_connection("prod")
        with pytest.raises(errors.ConnectionClosedError):
            shell.call(stub)
        assert not held.done()
        script.go_on.set()
        leaving.join()
        assert held.result(10)

        script.arrived.clear()
        script.go_on.clear()
        held = shell.begin(shell.stub(shell.connect("prod", profiles=at(server.port)), SHOW_COLLECTIONS.path))
        assert script.arrived.wait(30)
        shell.disconnect("prod", grace=0.05)
        with pytest.raises(shell.cut_off):
            held.result(10)
        script.go_on.set()


# --- at once ---


def test_many_at_once_open_one_connection(shell: Shell, milvus_auth: MilvusServer) -> None:
    with faults.tcp_proxy(milvus_auth.port) as proxy:
        profiles = at(proxy.port, MILVUS_PROFILES__PROD__TOKEN="root:Milvus")
        conns = side_by_side(lambda: shell.connect("prod", profiles=profiles), threads=64)
        assert all(shell.ping(conn) > 0 for conn in conns)
        assert len({id(conn) for conn in conns}) == 64
        assert proxy.connections == 1
        assert [info.handles for info in shell.list_connections()] == [64]


def test_a_failure_reaches_all_who_waited_and_each_has_its_own(shell: Shell) -> None:
    def failure() -> BaseException:
        with pytest.raises(errors.UnreachableError) as caught:
            shell.connect("prod", profiles=at(port, MILVUS_PROFILES__PROD__TIMEOUT="1"))
        return caught.value

    with faults.black_hole() as port:
        assert len({id(one) for one in side_by_side(failure)}) == 8


def test_a_hanging_address_delays_no_other_alias(shell: Shell) -> None:
    with faults.black_hole() as hole, scripted_server(milvus_answer) as server, ThreadPoolExecutor(1) as thread:
        profiles = at(server.port, MILVUS_PROFILES__BAD__URI=f"http://127.0.0.1:{hole}")
        hanging = thread.submit(shell.connect, "bad", profiles=profiles, timeout=3)
        time.sleep(0.2)
        assert shell.ping(shell.connect("prod", profiles=profiles)) > 0
        assert not hanging.done()
        with pytest.raises(errors.UnreachableError):
            hanging.result(60)


def test_max_connections(shell: Shell, prod: Declared, server: ScriptedServer) -> None:
    each = "".join(f"[profiles.{name}]\n{uri(server.port)}\n" for name in "abc")
    prod.path.write_text(f"max_connections = 2\n{each}")
    profiles = mp.load(prod.path, env={})
    keep = [shell.connect(alias, profiles=profiles) for alias in "aba"]
    for other in (shell.connect, mp.connect):
        with pytest.raises(errors.ConnectionLimitError):
            other("c", profiles=profiles)
    shell.disconnect("a")
    assert shell.ping(shell.connect("c", profiles=profiles)) > 0
    assert [conn.is_closed for conn in keep] == [True, False, True]


# --- failures ---


def test_a_server_that_is_starting_says_so_and_can_be_waited_for(shell: Shell) -> None:
    with scripted_grpc.starting_milvus() as server, ThreadPoolExecutor(1) as thread:
        profiles = at(server.port)
        with pytest.raises(errors.ServerNotReadyError):
            shell.connect("prod", profiles=profiles)
        with pytest.raises(errors.ServerNotReadyError, match="waited"):
            shell.connect("prod", profiles=profiles, wait_ready=0.3)
        before = len(server.calls)
        waiting = thread.submit(shell.connect, "prod", profiles=profiles, wait_ready=30)
        until(lambda: len(server.calls) >= before + 2)
        server.ready.set()
        assert shell.ping(waiting.result(60)) > 0


def test_milvus_lite_is_shared_and_stopped_with_its_last_connection(shell: Shell, tmp_path: Path) -> None:
    profiles = declared(MILVUS_PROFILES__LOCAL__URI=str(tmp_path / "data.db"))
    conn = shell.connect("local", profiles=profiles)
    other = shell.connect("local", profiles=profiles, dedicated=True)
    assert "lite" in (conn.server_version or "")
    assert str(conn.endpoint) == str(tmp_path / "data.db")
    with mp.connect("local", profiles=profiles) as of_threads:  # one server for both worlds
        assert of_threads.ping() > 0
    assert shell.ping(other) > 0
    program = (
        "import milvus_profiles as mp\n"
        "try: print(mp.connect(uri='./data.db').client().list_collections())\n"
        "except mp.DatabaseInUseError as e: print(e.exit_status, 'LOCK' in str(e))\n"
    )

    def elsewhere() -> str:
        done = run_python(program, cwd=tmp_path)
        assert not done.stderr
        return done.stdout

    assert elsewhere() == "6 True\n"
    del of_threads
    mp.disconnect("local")
    shell.disconnect("local")
    assert elsewhere() == "[]\n"


# --- what changes under living handles ---


def test_a_changed_address_moves_living_handles_and_drops_no_call(shell: Shell, prod: Declared) -> None:
    script = Holding()
    with scripted_server(script) as first, scripted_server(milvus_answer) as second:
        old = shell.connect("prod", profiles=prod.says(uri(first.port), 'token = "a"'))
        stub = shell.stub(old, SHOW_COLLECTIONS.path)
        held = shell.begin(stub)
        assert script.arrived.wait(30)
        changed = prod.says(uri(second.port), 'token = "b"')
        assert old.endpoint.port == first.port
        new = shell.connect("prod", profiles=changed)
        assert [conn.endpoint.port for conn in (old, new)] == [second.port] * 2
        assert shell.call(stub)
        assert second.names().count("ShowCollections") == 1
        assert connections_to(first.port) == 1
        assert not held.done()
        script.go_on.set()
        assert held.result(10)
        until(lambda: connections_to(first.port) == 0)
        assert [info.handles for info in shell.list_connections()] == [2]
        assert {call.metadata["authorization"] for call in first.calls} == {encoded("a")}
        assert {call.metadata["authorization"] for call in second.calls} == {encoded("b")}


def test_a_changed_token_reaches_the_living_channel_without_reconnecting(shell: Shell, prod: Declared) -> None:
    with scripted_server(milvus_answer) as server:
        old = shell.connect("prod", profiles=prod.says(uri(server.port), 'token = "the:old"'))
        stub = shell.stub(old, SHOW_COLLECTIONS.path)
        shell.connect("prod", profiles=prod.says(uri(server.port), 'token = "the:new"', "call_timeout = 30"))
        shell.call(stub)
        assert server.calls[-1].metadata["authorization"] == encoded("the:new")
        assert len({call.peer for call in server.calls}) == 1


def test_what_the_server_refuses_or_does_not_answer_leaves_the_old_connection_alone(
    shell: Shell, milvus_auth: MilvusServer, prod: Declared
) -> None:
    good = (f'uri = "{milvus_auth.uri}"', f'token = "{milvus_auth.token}"')
    old = shell.connect("prod", profiles=prod.says(*good))
    with pytest.raises(errors.AuthenticationError):
        shell.connect("prod", profiles=prod.says(good[0], 'token = "root:wrong"'))
    with faults.refused_port() as port, pytest.raises(errors.UnreachableError):
        shell.connect("prod", profiles=prod.says(uri(port), good[1]))
    assert shell.call(shell.stub(old, SHOW_COLLECTIONS.path))
    assert old.endpoint.port == milvus_auth.port
    assert shell.ping(shell.connect("prod", profiles=prod.says(*good))) > 0


def test_another_database_or_user_never_moves_a_living_handle(shell: Shell, prod: Declared) -> None:
    with scripted_server(milvus_answer) as server:
        one = shell.connect("prod", profiles=prod.says(uri(server.port), 'db_name = "one"'))
        two = shell.connect("prod", profiles=prod.says(uri(server.port), 'db_name = "two"'))
        for conn in (one, two):
            shell.call(shell.stub(conn, SHOW_COLLECTIONS.path), b"mark")
        assert [call.metadata["dbname"] for call in server.calls if call.request == b"mark"] == ["one", "two"]
        assert len(shell.list_connections()) == 2
        shell.close(one)
        assert [info.db_name for info in shell.list_connections()] == ["two"]
        as_bob = prod.says(uri(server.port), 'db_name = "two"', 'user = "bob"', 'password = "x"')
        assert shell.connect("prod", profiles=as_bob).profile.user == "bob"
        shell.call(shell.stub(two, SHOW_COLLECTIONS.path), b"still")
        assert "authorization" not in server.calls[-1].metadata


# --- other processes ---


@pytest.mark.parametrize("send", [pickle.dumps, copy.copy, ForkingPickler.dumps])
def test_who_sends_a_connection_to_another_process_is_told_to_connect_there(
    send: Any, shell: Shell, milvus_plain: MilvusServer
) -> None:
    conn = shell.connect("prod", profiles=of(milvus_plain))
    for each in (conn, conn.channel, shell.stub(conn, GET_VERSION.path)):
        with pytest.raises(TypeError, match="give the other process the alias, and let it connect"):
            send(each)
    assert shell.ping(conn) > 0


# --- a secret that takes its time ---


@pytest.fixture
def flag(tmp_path: Path) -> Path:
    return tmp_path / "connected"


def secret(script: str) -> str:
    return f"token = {{command = ['/bin/sh', '-c', {script!r}]}}"


def once_connected(flag: Path, then: str) -> str:
    """A program that waits for the flag, and then does something: without the flag it fails."""
    found = f"test -e {shlex.quote(str(flag))}"
    return secret(f"for i in $(seq 200); do {found} && {then}; sleep 0.05; done; exit 9")


def address(port: int, authority: Path | None) -> list[str]:
    """The lines of a profile that lead to a port, in TLS if there is an authority."""
    return [f"uri = 'https://127.0.0.1:{port}'", f"ssl.ca = '{authority}'"] if authority else [uri(port)]


@pytest.mark.parametrize("tls", [False, True])
def test_the_connection_is_there_before_the_secret_is(
    shell: Shell, flag: Path, prod: Declared, certificates: Certificates, tls: bool
) -> None:
    def talk(connection: socket.socket) -> None:
        with socket.create_connection((faults.HOST, server.port)) as upstream:
            flag.touch()
            faults.pump_both_ways(connection, upstream)

    identity, authority = (certificates.server, certificates.ca) if tls else (None, None)
    with scripted_server(milvus_answer, identity=identity) as server, faults.listener(talk) as relay:
        token = once_connected(flag, "echo root:Milvus && exit 0")
        conn = shell.connect("prod", profiles=prod.says(*address(relay.port, authority), token))
        assert shell.ping(conn) < 10
        shell.disconnect_all()
    assert {call.metadata.get("authorization") for call in server.calls} == {encoded("root:Milvus")}
    assert len({call.peer for call in server.calls}) == 1, "it is the connection that was begun"


@pytest.mark.parametrize("tls", [False, True])
def test_where_the_secret_fails_what_was_begun_is_closed_and_no_call_was_sent(
    shell: Shell, flag: Path, prod: Declared, certificates: Certificates, tls: bool
) -> None:
    seen: list[h2.events.Event] = []
    ended = threading.Event()

    def talk(connection: socket.socket) -> None:
        http = H2Connection(H2Configuration(client_side=False))
        http.initiate_connection()
        connection.sendall(http.data_to_send())
        with contextlib.suppress(OSError):
            while content := connection.recv(65536):
                seen.extend(http.receive_data(content))
                if seen:
                    flag.touch()
        ended.set()

    with inside_tls(certificates.server, talk) if tls else faults.listener(talk) as server:
        lines = [*address(server.port, certificates.ca if tls else None), "db_name = 'here'"]
        with pytest.raises(errors.SecretUnavailableError, match="3"):
            shell.connect("prod", profiles=prod.says(*lines, once_connected(flag, "exit 3")))
        assert ended.wait(30)
    assert seen
    assert not [event for event in seen if isinstance(event, h2.events.RequestReceived)]
    assert not mp.list_connections()


def test_of_a_server_whose_certificate_is_not_trusted_the_secret_is_asked_for_and_not_sent(
    shell: Shell, prod: Declared, tmp_path: Path, certificates: Certificates
) -> None:
    asked = tmp_path / "asked"
    with scripted_server(milvus_answer, identity=certificates.server) as server:
        token = secret(f"touch {asked}; echo root:canary")
        profiles = prod.says(f"uri = 'https://127.0.0.1:{server.port}'", "timeout = 5", token)
        with pytest.raises(errors.TLSError) as caught:
            shell.connect("prod", profiles=profiles)
        assert not server.calls
    assert asked.exists()
    assert "canary" not in f"{caught.value} {caught.value!r}"


def test_a_wrong_certificate_file_is_told_after_the_secret_as_ever(
    shell: Shell, prod: Declared, tmp_path: Path
) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n")
    with pytest.raises(errors.SecretUnavailableError):
        shell.connect("prod", profiles=prod.says(*address(1, authority), secret("exit 3")))
    with pytest.raises(errors.TLSError, match="holds no certificate"):
        shell.connect("prod", profiles=prod.says(*address(1, authority), secret("echo a")))


def test_a_connection_that_was_begun_and_refused_is_explained_as_ever(shell: Shell, prod: Declared) -> None:
    with faults.refused_port() as port, pytest.raises(errors.UnreachableError, match="refuses"):
        shell.connect("prod", profiles=prod.says(uri(port), secret("sleep 0.3; echo root:Milvus")))
    until(lambda: not mp.list_connections())
