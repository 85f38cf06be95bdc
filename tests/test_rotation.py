"""What changes under living connections: tokens, addresses, certificates."""

from __future__ import annotations

import shutil
import threading
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
from tests.support.connections import Declared, Shell, uri
from tests.support.scripted_grpc import Call, Refusal, milvus_answer, scripted_server
from tests.support.sockets import connections_to
from tests.support.speaking import encoded
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def _no_thread_stays_behind() -> Iterator[None]:
    yield
    mp.disconnect_all(grace=0)
    assert mp.list_connections() == []
    until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("milvus-profiles")])


# --- addresses ---


def test_no_token_goes_to_the_other_address(prod: Declared) -> None:
    with scripted_server(milvus_answer) as first, scripted_server(milvus_answer) as second:
        conn = mp.connect("prod", profiles=prod.says(uri(first.port), 'token = "for:first"'))
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
                mp.connect("prod", profiles=prod.says(uri(port), f'token = "{token}"'))
            stop.set()
            assert sum(caller.result() for caller in callers) > 0
        for server, token in ((first, "for:first"), (second, "for:second")):
            assert {call.metadata["authorization"] for call in server.calls} == {encoded(token)}


# --- certificates ---


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
def mutual(certificates: Certificates, tmp_path: Path) -> Identity:
    """The client's certificate, to be replaced."""
    mine = Identity(tmp_path / "client.pem", tmp_path / "client.key")
    put(certificates.client, mine)
    return mine


def with_tls(port: int, certificates: Certificates, mine: Identity) -> list[str]:
    files = f'ssl = {{ ca = "{certificates.ca}", cert = "{mine.cert}", key = "{mine.key}" }}'
    return [f'uri = "https://127.0.0.1:{port}"', files]


def test_a_changed_certificate_is_seen_by_the_next_connect(
    shell: Shell, prod: Declared, certificates: Certificates, mutual: Identity
) -> None:
    with scripted_server(milvus_answer, identity=certificates.server, client_ca=certificates.ca) as server:
        conn = shell.connect("prod", profiles=prod.says(*with_tls(server.port, certificates, mutual)))
        put(certificates.other_client, mutual)
        assert shell.ping(shell.connect("prod", profiles=prod.profiles())) > 0
        shell.call(shell.stub(conn, SHOW_COLLECTIONS.path))
        assert server.calls[-1].serial == serial(certificates.other_client) != server.calls[0].serial
        until(lambda: connections_to(server.port) == 1)


def test_half_written_certificates_disturb_nothing(
    shell: Shell, prod: Declared, certificates: Certificates, mutual: Identity
) -> None:
    with scripted_server(milvus_answer, identity=certificates.server, client_ca=certificates.ca) as server:
        conn = shell.connect("prod", profiles=prod.says(*with_tls(server.port, certificates, mutual)))
        shutil.copy(certificates.other_client.cert, mutual.cert)  # and not yet its key
        with pytest.raises(errors.TLSError):
            shell.connect("prod", profiles=prod.profiles())
        assert shell.ping(conn) > 0
        shutil.copy(certificates.other_client.key, mutual.key)
        shell.connect("prod", profiles=prod.profiles())
        assert shell.ping(conn) > 0
        assert server.calls[-1].serial == serial(certificates.other_client)


def test_a_changed_certificate_is_seen_without_a_connect_after_a_failure(
    shell: Shell, prod: Declared, certificates: Certificates, mutual: Identity
) -> None:
    """The server stops trusting what the client shows: the calls fail until the files have changed, and then go on."""
    fails = threading.Event()

    def script(call: Call) -> bytes:
        if fails.is_set() and call.serial == serial(certificates.client):
            raise Refusal(grpc.StatusCode.UNAVAILABLE, "no more of that certificate")
        return milvus_answer(call)

    with scripted_server(script, identity=certificates.server, client_ca=certificates.ca) as server:
        conn = shell.connect("prod", profiles=prod.says(*with_tls(server.port, certificates, mutual), "retry = false"))
        put(certificates.other_client, mutual)
        fails.set()
        stub = shell.stub(conn, SHOW_COLLECTIONS.path)
        with pytest.raises(grpc.RpcError):
            shell.call(stub)
        until(lambda: server.calls[-1].serial == serial(certificates.other_client))
        until(lambda: connections_to(server.port) == 1)
        assert shell.call(stub) is not None
        # The next connect finds that all has been done already.
        assert shell.ping(shell.connect("prod", profiles=prod.profiles())) > 0
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


CHANGES = {
    "none": [
        "description = 'x'", "protected = true", "timeout = 3", "management_port = 9091", "allow_insecure = true",
        "pool = { max_channels = 2 }",
    ],
    "manner": ["token = 'a:b'", "call_timeout = 5"],
    "way": ["retry = false", "keepalive = { time = 20 }", "proxy = 'http://127.0.0.1:3128'", "ssl = true"],
    "identity": ["db_name = 'x'", "user = 'x'\npassword = 'y'"],
}  # fmt: skip


@pytest.mark.parametrize(("change", "field"), [(change, field) for change, each in CHANGES.items() for field in each])
def test_what_a_field_changes(change: str, field: str, prod: Declared) -> None:
    def key(*lines: str) -> SpecKey:
        return SpecKey.of(prod.says("host = '127.0.0.1'", *lines)["prod"])

    assert key().change_to(key(field)) == change
    assert key(field) == key(field)
    assert SpecKey.of(prod.says("uri = 'http://127.0.0.1:19530'")["prod"]) == key()
    assert "a:b" not in repr(key(field))
