"""What changes under living connections: tokens, addresses, certificates."""

from __future__ import annotations

import shutil
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from cryptography import x509

import milvus_profiles as mp
from milvus_profiles import errors
from milvus_profiles.channel.core_base import FileWatch
from milvus_profiles.channel.wire import SHOW_COLLECTIONS
from milvus_profiles.live.spec import SpecKey
from tests.support.certificates import Certificates, Identity
from tests.support.milvus import MilvusServer
from tests.support.scripted_grpc import Call, Refusal, milvus_answer, scripted_server
from tests.support.sockets import connections_to
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    yield
    mp.disconnect_all(grace=0)
    assert mp.list_connections() == []
    until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("milvus-profiles")])


class Declared:
    """A file with the profile `prod`, which the test rewrites."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch(mode=0o600)

    def says(self, *lines: str) -> None:
        self.path.write_text("[profiles.prod]\n" + "\n".join(lines) + "\n")

    def connect(self) -> mp.Connection:
        return mp.connect("prod", profiles=mp.load(self.path, env={}))


@pytest.fixture
def declared(tmp_path: Path) -> Declared:
    return Declared(tmp_path / "profiles.toml")


def at(port: int) -> str:
    return f'uri = "http://127.0.0.1:{port}"'


def encoded(token: str) -> str:
    import base64

    return base64.b64encode(token.encode()).decode()


class Holding:
    """A server's script: it answers as a healthy Milvus does, but ShowCollections only when it is told to."""

    def __init__(self) -> None:
        self.arrived, self.go_on = threading.Event(), threading.Event()

    def __call__(self, call: Call) -> bytes:
        if call.method == SHOW_COLLECTIONS.path:
            self.arrived.set()
            assert self.go_on.wait(30)
        return milvus_answer(call)


# --- addresses ---


def test_a_changed_address_moves_living_handles_at_the_next_connect(
    milvus_plain: MilvusServer, milvus_auth: MilvusServer, declared: Declared
) -> None:
    declared.says(f'uri = "{milvus_plain.uri}"')
    old = declared.connect()
    show = old.channel.unary_unary(SHOW_COLLECTIONS.path, None, None)
    declared.says(f'uri = "{milvus_auth.uri}"', 'token = "root:Milvus"')
    assert old.ping() > 0
    assert str(old.endpoint) == milvus_plain.uri
    new = declared.connect()
    assert [str(conn.endpoint) for conn in (old, new)] == [milvus_auth.uri] * 2
    # A stub from before goes on too, and with the new token: without one this server would refuse it.
    assert show(b"", timeout=10)
    assert [(str(info.endpoint), info.handles) for info in mp.list_connections()] == [(milvus_auth.uri, 2)]
    until(lambda: connections_to(milvus_plain.port) == 0)


def test_no_call_in_flight_is_dropped(declared: Declared) -> None:
    script = Holding()
    with scripted_server(script) as first, scripted_server(milvus_answer) as second:
        declared.says(at(first.port))
        old = declared.connect()
        with ThreadPoolExecutor(1) as thread:
            held = thread.submit(old.channel.unary_unary(SHOW_COLLECTIONS.path, None, None), b"", timeout=60)
            future = old.channel.unary_unary(SHOW_COLLECTIONS.path, None, None).future(b"", timeout=60)
            assert script.arrived.wait(30)
            declared.says(at(second.port))
            declared.connect()
            assert old.channel.unary_unary(SHOW_COLLECTIONS.path, None, None)(b"", timeout=10) is not None
            assert second.names().count("ShowCollections") == 1
            assert connections_to(first.port) == 1
            assert not held.done()
            script.go_on.set()
            assert held.result() == future.result() == milvus_answer(Call(SHOW_COLLECTIONS.path, {}, b""))
        until(lambda: connections_to(first.port) == 0)


def test_no_token_goes_to_the_other_address(declared: Declared) -> None:
    with scripted_server(milvus_answer) as first, scripted_server(milvus_answer) as second:
        declared.says(at(first.port), 'token = "for:first"')
        conn = declared.connect()
        stop = threading.Event()

        def call_all_the_time() -> int:
            call, count = conn.channel.unary_unary(SHOW_COLLECTIONS.path, None, None), 0
            while not stop.is_set():
                call(b"", timeout=10)
                count += 1
            return count

        with ThreadPoolExecutor(4) as threads:
            callers = [threads.submit(call_all_the_time) for _ in range(4)]
            for turn in range(6):
                port, token = ((first.port, "for:first"), (second.port, "for:second"))[turn % 2]
                declared.says(at(port), f'token = "{token}"')
                declared.connect()
            stop.set()
            assert sum(caller.result() for caller in callers) > 0
        for server, token in ((first, "for:first"), (second, "for:second")):
            assert {call.metadata["authorization"] for call in server.calls} == {encoded(token)}


def test_a_new_address_that_is_not_there_leaves_the_old_connection_alone(declared: Declared, refused: int) -> None:
    with scripted_server(milvus_answer) as server:
        declared.says(at(server.port))
        old = declared.connect()
        declared.says(at(refused))
        with pytest.raises(errors.UnreachableError):
            declared.connect()
        assert old.ping() > 0
        assert old.endpoint.port == server.port
        declared.says(at(server.port))
        assert declared.connect().ping() > 0


@pytest.fixture
def refused() -> Iterator[int]:
    from tests.support.faults import refused_port

    with refused_port() as port:
        yield port


def test_another_database_or_user_never_moves_a_living_handle(declared: Declared) -> None:
    with scripted_server(milvus_answer) as server:
        declared.says(at(server.port), 'db_name = "one"')
        one = declared.connect()
        declared.says(at(server.port), 'db_name = "two"')
        two = declared.connect()
        for conn in (one, two):
            conn.channel.unary_unary(SHOW_COLLECTIONS.path, None, None)(b"mark", timeout=10)
        assert [call.metadata["dbname"] for call in server.calls if call.request == b"mark"] == ["one", "two"]
        assert len(mp.list_connections()) == 2
        one.close()
        assert [info.db_name for info in mp.list_connections()] == ["two"]
        declared.says(at(server.port), 'db_name = "two"', 'user = "bob"', 'password = "x"')
        assert declared.connect().profile.user == "bob"
        two.channel.unary_unary(SHOW_COLLECTIONS.path, None, None)(b"still", timeout=10)
        assert "authorization" not in server.calls[-1].metadata


# --- tokens ---


def test_a_changed_token_reaches_the_living_channel_without_reconnecting(declared: Declared) -> None:
    with scripted_server(milvus_answer) as server:
        declared.says(at(server.port), 'token = "the:old"')
        old = declared.connect()
        call = old.channel.unary_unary(SHOW_COLLECTIONS.path, None, None)
        declared.says(at(server.port), 'token = "the:new"', "call_timeout = 30")
        declared.connect()
        call(b"", timeout=10)
        assert server.calls[-1].metadata["authorization"] == encoded("the:new")
        assert len({call.peer for call in server.calls}) == 1


def test_a_token_that_the_server_refuses_does_not_reach_the_living_channel(
    milvus_auth: MilvusServer, declared: Declared
) -> None:
    declared.says(f'uri = "{milvus_auth.uri}"', f'token = "{milvus_auth.token}"')
    old = declared.connect()
    declared.says(f'uri = "{milvus_auth.uri}"', 'token = "root:wrong"')
    with pytest.raises(errors.AuthenticationError):
        declared.connect()
    assert old.channel.unary_unary(SHOW_COLLECTIONS.path, None, None)(b"", timeout=10)


# --- certificates ---


def copy(identity: Identity, directory: Path) -> Identity:
    mine = Identity(directory / "client.pem", directory / "client.key")
    put(identity, mine)
    return mine


def put(identity: Identity, where: Identity) -> None:
    # A new file each, as the tools do that rotate certificates.
    for source, target in ((identity.cert, where.cert), (identity.key, where.key)):
        fresh = target.with_suffix(".new")
        shutil.copy(source, fresh)
        fresh.chmod(0o600)
        fresh.replace(target)


def serial(identity: Identity) -> int:
    return x509.load_pem_x509_certificate(identity.cert.read_bytes()).serial_number


@pytest.fixture
def mutual(declared: Declared, certificates: Certificates, tmp_path: Path) -> Identity:
    """The client's certificate, to be replaced."""
    return copy(certificates.client, tmp_path)


def with_tls(port: int, certificates: Certificates, mine: Identity) -> list[str]:
    return [
        f'uri = "https://127.0.0.1:{port}"',
        f'ssl = {{ ca = "{certificates.ca}", cert = "{mine.cert}", key = "{mine.key}" }}',
    ]


def test_a_changed_certificate_is_seen_by_the_next_connect(
    declared: Declared, certificates: Certificates, mutual: Identity
) -> None:
    with scripted_server(milvus_answer, identity=certificates.server, client_ca=certificates.ca) as server:
        declared.says(*with_tls(server.port, certificates, mutual))
        conn = declared.connect()
        put(certificates.other_client, mutual)
        assert declared.connect().ping() > 0
        conn.channel.unary_unary(SHOW_COLLECTIONS.path, None, None)(b"", timeout=10)
        assert server.calls[-1].serial == serial(certificates.other_client) != server.calls[0].serial
        until(lambda: connections_to(server.port) == 1)


def test_half_written_certificates_disturb_nothing(
    declared: Declared, certificates: Certificates, mutual: Identity
) -> None:
    with scripted_server(milvus_answer, identity=certificates.server, client_ca=certificates.ca) as server:
        declared.says(*with_tls(server.port, certificates, mutual))
        conn = declared.connect()
        shutil.copy(certificates.other_client.cert, mutual.cert)  # and not yet its key
        with pytest.raises(errors.TLSError):
            declared.connect()
        assert conn.ping() > 0
        shutil.copy(certificates.other_client.key, mutual.key)
        declared.connect()
        assert conn.ping() > 0
        assert server.calls[-1].serial == serial(certificates.other_client)


def test_a_changed_certificate_is_seen_without_a_connect_after_a_failure(
    declared: Declared, certificates: Certificates, mutual: Identity
) -> None:
    """The server stops trusting what the client shows: the calls fail until the files have changed, and then go on."""
    fails = threading.Event()

    def script(call: Call) -> bytes:
        if fails.is_set() and call.serial == serial(certificates.client):
            raise Refusal(grpc.StatusCode.UNAVAILABLE, "no more of that certificate")
        return milvus_answer(call)

    with scripted_server(script, identity=certificates.server, client_ca=certificates.ca) as server:
        declared.says(*with_tls(server.port, certificates, mutual), "retry = false")
        conn = declared.connect()
        put(certificates.other_client, mutual)
        fails.set()
        call = conn.channel.unary_unary(SHOW_COLLECTIONS.path, None, None)
        with pytest.raises(grpc.RpcError):
            call(b"", timeout=10)
        until(lambda: server.calls[-1].serial == serial(certificates.other_client))
        until(lambda: connections_to(server.port) == 1)
        assert call(b"", timeout=10) is not None
        # The next connect finds that all has been done already.
        assert declared.connect().ping() > 0
        assert len({call.peer for call in server.calls}) == 2


def test_when_a_channel_looks_at_its_files() -> None:
    looks: list[float] = []
    now = 0.0
    watch = FileWatch(lambda: looks.append(now), interval=30.0, suspicious=5.0)
    for now in (0.0, 1.0, 29.9, 30.0, 31.0, 59.9, 60.0):
        watch.before_call(now)
    assert looks == [30.0, 60.0]
    for now in (61.0, 64.9, 65.0, 66.0, 70.0):
        watch.after_unavailable(now)
    assert looks == [30.0, 60.0, 65.0, 70.0]
    for now in (99.0, 100.0):
        watch.before_call(now)
    assert looks[4:] == [100.0]
    fresh = FileWatch(lambda: looks.append(-1.0))
    fresh.before_call(0.0)
    fresh.after_unavailable(0.1)
    assert looks[5:] == [-1.0]


# --- what counts as a change ---


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("description = 'x'", "none"),
        ("protected = true", "none"),
        ("timeout = 3", "none"),
        ("management_port = 9091", "none"),
        ("allow_insecure = true", "none"),
        ("pool = { max_channels = 2 }", "none"),
        ("token = 'a:b'", "manner"),
        ("call_timeout = 5", "manner"),
        ("retry = false", "way"),
        ("keepalive = { time = 20 }", "way"),
        ("proxy = 'http://127.0.0.1:3128'", "way"),
        ("ssl = true", "way"),
        ("db_name = 'x'", "identity"),
        ("user = 'x'\npassword = 'y'", "identity"),
    ],
)
def test_what_a_field_changes(field: str, change: str, declared: Declared) -> None:
    def key(*lines: str) -> SpecKey:
        declared.says("host = '127.0.0.1'", *lines)
        return SpecKey.of(mp.load(declared.path, env={})["prod"])

    assert key().change_to(key(field)) == change
    assert key(field) == key(field)
    declared.says("uri = 'http://127.0.0.1:19530'")
    assert SpecKey.of(mp.load(declared.path, env={})["prod"]) == key()
    assert "a:b" not in repr(key(field))


# --- clients ---


def test_a_client_leads_where_the_connection_leads_now(
    milvus_plain: MilvusServer, milvus_auth: MilvusServer, declared: Declared
) -> None:
    declared.says(f'uri = "{milvus_plain.uri}"')
    old = declared.connect()
    declared.says(f'uri = "{milvus_auth.uri}"', 'token = "root:Milvus"')
    declared.connect()
    client = old.client()
    try:
        assert client.list_users() == ["root"]
        assert connections_to(milvus_auth.port) == 2
    finally:
        client.close()


def test_no_frame_of_a_failed_client_shows_the_callers_token(milvus_auth: MilvusServer, declared: Declared) -> None:
    declared.says(f'uri = "{milvus_auth.uri}"', 'token = "root:Milvus"')
    conn = declared.connect()
    canary = "root:canary-client"
    with pytest.raises(Exception) as caught:  # pymilvus's own
        conn.client(token=canary, timeout=3)
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    frames = [frame for frame in shown.stack if "test_rotation" not in frame.filename]
    assert frames
    assert not any(canary in str(value) for frame in frames for value in (frame.locals or {}).values())
