"""What a profile's settings do to a channel, seen from the other end of the wire."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives import serialization

from milvus_profiles.channel.options import channel_options, open_channel, read_tls_files, target_of
from milvus_profiles.channel.tls_files import check_tls_files, tls_signature
from milvus_profiles.channel.wire import LIMITS
from milvus_profiles.endpoint import Endpoint
from milvus_profiles.errors import ConfigError, TLSError
from milvus_profiles.profile import SSL, Profile
from tests.support import faults
from tests.support.certificates import Certificates
from tests.support.milvus import MilvusServer
from tests.support.scripted_grpc import SERVICE, Call, Refusal, Script, milvus_answer, scripted_server

ROOT = (("authorization", "cm9vdDpNaWx2dXM="),)


def profile(uri: str, **fields: Any) -> Profile:
    return Profile(alias="prod", uri=uri, **fields)


@contextlib.contextmanager
def opened(one: Profile, *addresses: str) -> Iterator[Callable[..., bytes]]:
    """A call of a method of Milvus on a raw channel of this profile."""
    with open_channel(one, addresses=addresses) as channel:

        def call(method: str = "GetVersion", request: bytes = b"", timeout: float = 5.0, **options: Any) -> bytes:
            answer: bytes = channel.unary_unary(SERVICE + method, None, None)(request, timeout, **options)
            return answer

        yield call


# --- targets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "target"),
    [
        (Endpoint("tcp", "db.example", 443, tls=True), "dns:///db.example:443"),
        (Endpoint("tcp", "::1", 19530), "dns:///[::1]:19530"),
        (Endpoint("tcp", "unix", 19530), "dns:///unix:19530"),
        (Endpoint("tcp", "192.0.2.1", 19530), "ipv4:192.0.2.1:19530"),
        (Endpoint("tcp", "192.0.2.256", 19530), "dns:///192.0.2.256:19530"),  # a name, to gRPC
        (Endpoint("unix", path="/run/m.sock"), "unix:/run/m.sock"),
        (Endpoint("lite", path="/data/x.db"), "ipv4:127.0.0.1:12345"),
    ],
)
def test_every_kind_of_endpoint_has_a_target(endpoint: Endpoint, target: str) -> None:
    assert target_of(endpoint, lite_port=12345) == target
    if endpoint.kind == "lite":
        with pytest.raises(ValueError, match="port"):
            target_of(endpoint)


@pytest.mark.parametrize("tls", [False, True], ids=["reached", "verified"])
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_names_and_addresses_are_reached_and_verified(
    milvus_plain: MilvusServer, milvus_tls: MilvusServer, certificates: Certificates, host: str, tls: bool
) -> None:
    uri = f"https://{host}:{milvus_tls.port}" if tls else f"{host}:{milvus_plain.port}"
    with opened(profile(uri, ssl={"ca": str(certificates.ca)} if tls else None)) as call:
        assert call(metadata=ROOT)


def test_unix_sockets_are_reached(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/m.sock"
    with scripted_server(milvus_answer, address=address), opened(profile(address)) as call:
        assert call()


# --- connecting ------------------------------------------------------------------------------------------------------


def test_large_answers_pass_where_a_list_may_be_long_and_no_others() -> None:
    large = b"x" * (9 << 20)  # gRPC's own limit is 4 MiB
    with scripted_server(lambda call: large) as server, opened(profile(f"127.0.0.1:{server.port}")) as call:
        for method in ("Query", "ShowCollections"):
            assert call(method, timeout=20) == large
        for method in ("Connect", "GetVersion", "ListDatabases"):
            with pytest.raises(grpc.RpcError) as caught:
                call(method)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("retry", [False, True])
def test_retries_leave_the_limits_as_they_are_and_no_health_check_is_ever_asked_for(retry: bool) -> None:
    options = dict(channel_options(profile("x", retry=retry)))
    limits = {
        name["method"]: entry["maxResponseMessageBytes"]
        for entry in json.loads(options["grpc.service_config"])["methodConfig"]
        for name in entry["name"]
        if "maxResponseMessageBytes" in entry
    }
    assert limits == LIMITS
    assert "healthCheck" not in str(options)


def test_a_call_that_asks_for_compression_is_made_without() -> None:
    with scripted_server(milvus_answer) as server, opened(profile(f"127.0.0.1:{server.port}")) as call:
        assert call("GetVersion", compression=grpc.Compression.Gzip)
        accepted = server.calls[0].metadata.get("grpc-accept-encoding", "identity")
    assert accepted == "identity"


def test_large_requests_leave_the_channel(milvus_plain: MilvusServer) -> None:
    with opened(profile(milvus_plain.address)) as call:
        # Not a message that Milvus understands, but one that it reads to its end: its limit is 64 MiB.
        with pytest.raises(grpc.RpcError) as caught:
            call(request=b"\xff" * (9 << 20), timeout=20)
        assert caught.value.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED


def test_keepalive_is_the_profiles() -> None:
    options = dict(channel_options(profile("db.example", keepalive={"time": 45, "timeout": 7.5})))
    assert options["grpc.keepalive_time_ms"] == 45_000
    assert options["grpc.keepalive_timeout_ms"] == options["grpc.http2.ping_timeout_ms"] == 7_500
    assert options["grpc.keepalive_permit_without_calls"] == 1


def test_by_default_there_is_no_ping_that_a_server_of_gRPCs_own_policy_punishes() -> None:
    # What such a server does is shown by tests/sdks/test_keepalive.py.
    options = dict(channel_options(profile("db.example")))
    assert options["grpc.keepalive_time_ms"] > 300_000
    assert "grpc.keepalive_permit_without_calls" not in options  # gRPC's default
    assert options["grpc.keepalive_timeout_ms"] == 10_000


def test_a_milvus_lite_gets_no_pings(tmp_path: Path) -> None:
    options = channel_options(profile(str(tmp_path / "x.db"), keepalive={"time": 45}))
    assert not [name for name, _ in options if "keepalive" in name]


@pytest.mark.parametrize("timeout", [0.001, 86_400.0])
def test_the_longest_and_the_shortest_timeout_are_options_that_grpc_takes(
    milvus_plain: MilvusServer, timeout: float
) -> None:
    with opened(profile(milvus_plain.address, timeout=timeout, keepalive={"time": 86_400, "timeout": timeout})) as call:
        assert call()


# --- retries ---------------------------------------------------------------------------------------------------------


def failing(times: int, code: grpc.StatusCode) -> Script:
    """A server that fails this often, then answers."""
    left = [times]

    def script(call: Call) -> bytes:
        if left[0]:
            left[0] -= 1
            raise Refusal(code, "not now")
        return b"\x0a\x00"

    return script


QUICKLY = {"attempts": 4, "initial": 0.01, "max": 0.05}


READS = ("Search", "Query", "DescribeCollection", "GetVersion", "ShowCollections")
WRITES = ("Insert", "Upsert", "Delete", "CreateCollection", "DropDatabase", "Flush", "Connect")
UNAVAILABLE, EXHAUSTED = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("method", "failures", "code", "retry", "calls"),
    [
        *((method, 3, UNAVAILABLE, QUICKLY, 4) for method in READS),
        ("Search", 9, UNAVAILABLE, {**QUICKLY, "attempts": 2}, 2),
        ("Search", 1, UNAVAILABLE, False, 1),
        ("Search", 1, EXHAUSTED, QUICKLY, 1),
        *((method, 1, UNAVAILABLE, QUICKLY, 1) for method in WRITES),
    ],
)
def test_reads_alone_are_repeated_for_what_is_unavailable_as_often_as_the_profile_says(
    method: str, failures: int, code: grpc.StatusCode, retry: Any, calls: int
) -> None:
    with (
        scripted_server(failing(failures, code)) as server,
        opened(profile(f"127.0.0.1:{server.port}", retry=retry)) as call,
    ):
        if calls > failures:
            assert call(method) == b"\x0a\x00"
        else:
            with pytest.raises(grpc.RpcError):
                call(method)
        assert server.names() == [method] * calls


def test_the_retry_policy_is_one_that_grpc_takes_at_its_limits() -> None:
    options = dict(channel_options(profile("x", retry={"attempts": 5, "initial": 0.000001, "max": 86_400.0})))
    policy = json.loads(options["grpc.service_config"])["methodConfig"][0]["retryPolicy"]
    assert policy["maxAttempts"] == 5
    assert policy["initialBackoff"] == "0.000001s"


# --- proxies ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def connect_proxy(status: str = "200 OK") -> Iterator[tuple[str, list[str]]]:
    """An HTTP proxy for CONNECT: its address and what it was asked for."""
    asked: list[str] = []

    def talk(connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (data := connection.recv(4096)):
                return
            head += data
        asked.append(head.split()[1].decode())
        connection.sendall(f"HTTP/1.1 {status}\r\n\r\n".encode())
        if status.startswith("200"):
            host, _, port = asked[-1].rpartition(":")
            with socket.create_connection((host.strip("[]"), int(port))) as upstream:
                faults.pump_both_ways(connection, upstream)

    with faults.listener(talk) as proxy:
        yield f"http://127.0.0.1:{proxy.port}", asked


def test_a_proxy_is_taken_only_if_the_profile_names_it_and_no_proxy_does_not_except_the_server(
    milvus_plain: MilvusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect_proxy() as (uri, asked):
        for name in ("http_proxy", "https_proxy", "grpc_proxy"):
            monkeypatch.setenv(name, uri)
        with opened(profile(milvus_plain.address)) as call:
            call()
        assert asked == []
        with connect_proxy() as (named, asked_of_named), opened(profile(milvus_plain.address, proxy=named)) as call:
            call()
            assert asked_of_named == [milvus_plain.address]
        monkeypatch.setenv("no_proxy", "127.0.0.0/8")
        with opened(profile(milvus_plain.address, proxy=uri)) as call:
            call()
        assert asked == []


def test_tls_goes_through_a_proxy_and_is_verified_for_the_server(
    milvus_tls: MilvusServer, certificates: Certificates
) -> None:
    with connect_proxy() as (uri, asked):
        with opened(profile(milvus_tls.uri, proxy=uri, ssl={"ca": str(certificates.ca)})) as call:
            assert call(metadata=ROOT)
        assert asked == [milvus_tls.address]


# --- TLS files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("addresses", [("127.0.0.1",), ("::1",), ("127.0.0.1", "127.0.0.2")])
def test_with_addresses_in_its_place_the_name_is_verified_all_the_same(
    milvus_tls: MilvusServer, certificates: Certificates, addresses: tuple[str, ...]
) -> None:
    tls = SSL(ca=str(certificates.ca))
    with opened(profile(f"https://localhost:{milvus_tls.port}", ssl=tls), *addresses) as call:
        assert call(metadata=ROOT)
    with (
        opened(profile(f"https://other.example:{milvus_tls.port}", ssl=tls), *addresses) as call,
        pytest.raises(grpc.RpcError, match="Hostname Verification"),
    ):
        call(metadata=ROOT)


def unchecked(**paths: Any) -> SSL:
    """As a profile that was valid when it was read, and whose files changed since."""
    return SSL.model_construct(**{"ca": None, "cert": None, "key": None, "server_name": None, **paths})


def test_a_file_that_vanished_is_named(tmp_path: Path, certificates: Certificates) -> None:
    missing = str(tmp_path / "gone.pem")
    for tls in (
        unchecked(ca=missing),
        unchecked(cert=missing, key=str(certificates.client.key)),
        unchecked(cert=str(certificates.client.cert), key=missing),
    ):
        with pytest.raises(ConfigError) as caught:
            read_tls_files(tls)
        assert missing in caught.value.message


@pytest.mark.parametrize(
    "content", [b"", b"nothing", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\xff\xfe"]
)
def test_a_ca_file_without_certificates_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(content)
    with pytest.raises(TLSError) as caught:
        check_tls_files(unchecked(ca=str(path)))
    assert str(path) in caught.value.message


@pytest.mark.parametrize("name", ["ca", "cert", "key"])
def test_a_file_of_tls_that_anybody_can_change_is_refused(
    tmp_path: Path, certificates: Certificates, name: str
) -> None:
    client = certificates.client
    files = {"ca": certificates.ca, "cert": client.cert, "key": client.key}
    path = tmp_path / "of-all.pem"
    path.write_bytes(files[name].read_bytes())
    path.chmod(0o646)
    tls = unchecked(**{one: str(file) for one, file in (files | {name: path}).items()})
    with pytest.raises(ConfigError, match=r"can be written to by every user of this machine \(mode 0646\)") as caught:
        read_tls_files(tls)
    assert caught.value.hint == f"run `chmod o-w {path}`"
    path.chmod(0o644)
    read_tls_files(tls)


def test_a_bundle_with_comments_in_any_script_is_read(tmp_path: Path, certificates: Certificates) -> None:
    path = tmp_path / "bundle.pem"
    path.write_bytes("# Zürich 東京\n".encode() + certificates.foreign_ca.read_bytes() + certificates.ca.read_bytes())
    assert read_tls_files(unchecked(ca=str(path))).ca == path.read_bytes()


def test_a_key_that_cannot_be_used_is_named(tmp_path: Path, certificates: Certificates) -> None:
    """That of another certificate, none at all, and an encrypted one, for which nobody is asked."""
    path = tmp_path / "key.pem"
    key = serialization.load_pem_private_key(certificates.client.key.read_bytes(), None)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    for content, said in (
        (certificates.server.key.read_bytes(), "does not belong"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "key.pem"),
        (key.private_bytes(encoding, form, serialization.BestAvailableEncryption(b"passphrase")), "encrypted"),
    ):
        path.write_bytes(content)
        with pytest.raises(TLSError, match=said) as caught:
            read_tls_files(unchecked(cert=str(certificates.client.cert), key=str(path)))
        assert str(path) in caught.value.message


def test_the_private_key_does_not_show(certificates: Certificates) -> None:
    files = read_tls_files(unchecked(cert=str(certificates.client.cert), key=str(certificates.client.key)))
    assert "PRIVATE KEY" not in repr(files)
    assert files.key is not None
    assert files.key.reveal().encode() == certificates.client.key.read_bytes()


# --- noticing a changed certificate ----------------------------------------------------------------------------------


def test_a_changed_certificate_is_noticed(tmp_path: Path, certificates: Certificates) -> None:
    assert tls_signature(None) == tls_signature(SSL(server_name="db.example")) == ()
    ca = tmp_path / "ca.pem"
    ca.write_bytes(certificates.ca.read_bytes())
    tls = SSL(ca=str(ca))
    before = tls_signature(tls)
    assert tls_signature(tls) == before
    ca.write_bytes(certificates.foreign_ca.read_bytes())
    os.utime(ca, ns=(0, 0))
    written = tls_signature(tls)
    assert written != before
    other = tmp_path / "other.pem"
    other.write_bytes(certificates.foreign_ca.read_bytes())
    os.utime(other, ns=(0, 0))
    os.replace(other, ca)  # as tools that rotate certificates do
    replaced = tls_signature(tls)
    assert replaced != written
    ca.unlink()
    assert tls_signature(tls) not in (before, written, replaced)


def test_a_channel_keeps_the_files_that_it_was_opened_with(
    tmp_path: Path, milvus_tls: MilvusServer, certificates: Certificates
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(certificates.ca.read_bytes())
    with opened(profile(milvus_tls.uri, ssl={"ca": str(ca)})) as call:
        ca.write_bytes(certificates.foreign_ca.read_bytes())
        assert call(metadata=ROOT)


def test_opening_a_channel_connects_nowhere() -> None:
    with faults.recorder() as recorder, open_channel(profile(f"127.0.0.1:{recorder.port}")):
        assert not recorder.wait_for_connections(1, 0.2)
