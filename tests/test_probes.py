"""The probes see, one layer at a time, what is really there."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from milvus_profiles.background import Deadline
from milvus_profiles.endpoint import Endpoint
from milvus_profiles.masked import SecretText
from milvus_profiles.probe.sockets import (
    Route,
    SocketAddress,
    connect_first,
    connect_tcp,
    probe_plaintext,
    proxy_in_force,
    resolve,
    route_to,
)
from milvus_profiles.probe.tls import gather_results
from milvus_profiles.profile import Profile
from tests.support import faults
from tests.support.certificates import Certificates
from tests.support.hostile_tls import Talk, dripping, flooding, saying
from tests.support.milvus import MilvusServer
from tests.test_channel_options import connect_proxy

SERVER = Endpoint("tcp", "db.example", 19530)


def at(port: int, tunnel: str | None = None) -> SocketAddress:
    return SocketAddress(socket.AF_INET, "127.0.0.1", port, tunnel)


def soon(seconds: float = 5.0) -> Deadline:
    return Deadline.after(seconds)


# --- the way ---------------------------------------------------------------------------------------------------------


def test_every_kind_of_endpoint_has_a_route() -> None:
    assert route_to(SERVER) == Route("db.example", 19530)
    assert route_to(Endpoint("unix", path="/run/m.sock")) == Route("", 0, path="/run/m.sock")
    assert route_to(Endpoint("lite", path="/x.db"), lite_port=7) == Route("127.0.0.1", 7)


def test_with_a_proxy_the_route_leads_to_the_proxy() -> None:
    proxy = "http://proxy.example:3128"
    expected = Route("proxy.example", 3128, tunnel="db.example:19530")
    assert route_to(SERVER, proxy=proxy, env={}) == expected
    assert route_to(SERVER, proxy=proxy, env={"no_proxy": "db.example"}) == Route("db.example", 19530)
    assert route_to(SERVER, proxy=proxy, env={"NO_PROXY": "db.example"}) == expected


@pytest.mark.parametrize(
    ("host", "exceptions", "proxied"),
    [
        ("db.example", "", True),
        ("db.example", " other.example , .Example ", False),
        ("db.example", "ample", False),
        ("db.example", "*", True),
        ("127.0.0.1", "127.0.0.0/8", False),
        ("10.0.0.1", "127.0.0.0/8", True),
        ("::1", "::/64", False),
        ("db.example", "127.0.0.0/8", True),
        ("10.0.0.1", "nonsense/8", True),
    ],
)
def test_no_proxy_is_read_as_grpc_reads_it(host: str, exceptions: str, proxied: bool) -> None:
    # What gRPC does with these was measured: see test_channel_options for both sides of it.
    assert proxy_in_force(host, {"no_proxy": exceptions}) is proxied
    assert proxy_in_force(host, {"no_grpc_proxy": exceptions, "no_proxy": host}) is proxied


# --- names -----------------------------------------------------------------------------------------------------------


def test_names_and_addresses_are_resolved() -> None:
    assert resolve(Route("127.0.0.1", 5), soon()).addresses == (at(5),)
    assert [str(address) for address in resolve(Route("::1", 5), soon()).addresses] == ["[::1]:5"]
    assert "127.0.0.1:5" in [str(address) for address in resolve(Route("localhost", 5), soon()).addresses]
    unix = resolve(Route("", 0, path="/run/m.sock"), soon())
    assert [str(address) for address in unix.addresses] == ["/run/m.sock"]
    assert unix.failure is None


def test_a_name_that_does_not_exist_is_told() -> None:
    for host in ("no.such.host.invalid", "x" * 64 + ".example"):
        resolution = resolve(Route(host, 5), soon())
        assert resolution.addresses == ()
        assert resolution.failure
        assert resolution.host == host


def test_a_resolver_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    # The system's resolver cannot be made to hang for one process alone, so one that does takes its place.
    answers = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers.wait(30) and [])
    resolution = resolve(Route("localhost", 5), soon(0.2))
    answers.set()
    assert (resolution.addresses, resolution.failure) == ((), "no answer in time")


# --- TCP -------------------------------------------------------------------------------------------------------------


def test_a_connection_is_opened_and_closed() -> None:
    with faults.listener(faults.until_closed) as server:
        outcome = connect_tcp(at(server.port), soon())
        assert (outcome.status, outcome.is_connected, outcome.detail) == ("connected", True, "")
        assert outcome.seconds < 5
        assert server.wait_until_idle()


def test_a_unix_socket_is_connected_to(tmp_path: Path) -> None:
    path = str(tmp_path / "m.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        assert connect_tcp(SocketAddress(socket.AF_UNIX, path), soon()).is_connected
    outcome = connect_tcp(SocketAddress(socket.AF_UNIX, str(tmp_path / "none.sock")), soon())
    assert (outcome.status, outcome.detail) == ("unreachable", "No such file or directory")


def test_refusal_and_silence_are_told_apart() -> None:
    with faults.refused_port() as port:
        assert connect_tcp(at(port), soon()).status == "refused"
    with faults.black_hole() as port:
        outcome = connect_tcp(at(port), soon(0.3))
        assert (outcome.status, outcome.detail) == ("timeout", "no answer in time")


def test_no_time_means_no_attempt() -> None:
    with faults.never_accepting() as port:
        assert connect_tcp(at(port), soon(0.0)).status == "timeout"
        assert probe_plaintext(at(port), soon(0.0)).speaks == "unreachable"


def test_addresses_are_tried_in_turn_until_one_connects() -> None:
    with faults.refused_port() as closed, faults.never_accepting() as opened:
        outcomes = connect_first((at(closed), at(opened), at(closed)), soon())
        assert [outcome.status for outcome in outcomes] == ["refused", "connected"]
        assert connect_first((), soon()) == ()


def test_a_silent_address_leaves_time_for_the_next() -> None:
    with faults.black_hole() as silent, faults.never_accepting() as opened:
        outcomes = connect_first((at(silent), at(opened)), soon(1.0))
        assert [outcome.status for outcome in outcomes] == ["timeout", "connected"]


def test_a_proxy_is_asked_for_the_server() -> None:
    with faults.listener(faults.until_closed) as server, connect_proxy() as (uri, asked):
        port = int(uri.rpartition(":")[2])
        assert connect_tcp(at(port, f"127.0.0.1:{server.port}"), soon()).is_connected
        assert asked == [f"127.0.0.1:{server.port}"]


def test_a_proxy_that_says_no_is_quoted() -> None:
    with connect_proxy("403 For\x1bbidden") as (uri, _):
        outcome = connect_tcp(at(int(uri.rpartition(":")[2]), "db.example:1"), soon())
        assert (outcome.status, outcome.detail) == ("proxy", "403 For\\x1bbidden")


@pytest.mark.parametrize(
    ("talk", "status", "detail"),
    [
        (saying(b"SSH-2.0-x\r\n\r\n"), "proxy", "what answered is not an HTTP proxy"),
        (saying(b""), "proxy", "closed"),
        (flooding(lambda: itertools.repeat(b"x" * 1000)), "proxy", ""),
        (dripping(b"x"), "timeout", ""),
    ],
    ids=["another", "closes", "talks without end", "drips"],
)
def test_what_is_no_proxy_is_told(talk: Talk, status: str, detail: str) -> None:
    with faults.listener(talk) as server:
        began = time.monotonic()
        outcome = connect_tcp(at(server.port, "db.example:1"), soon(0.5))
        assert time.monotonic() - began < 2
        assert outcome.status == status
        assert detail in outcome.detail


# --- plaintext -------------------------------------------------------------------------------------------------------


def test_what_a_port_speaks(milvus_plain: MilvusServer, milvus_tls: MilvusServer) -> None:
    assert probe_plaintext(at(milvus_plain.port), soon()).speaks == "http2"
    assert probe_plaintext(at(milvus_tls.port), soon()).speaks == "closed"
    with faults.http1_server() as web:
        outcome = probe_plaintext(at(web.port), soon())
        assert (outcome.speaks, outcome.detail) == ("http1", "HTTP/1.1 400 Bad Request")
    with faults.never_accepting() as port:
        assert probe_plaintext(at(port), soon(0.3)).speaks == "silent"
    with faults.refused_port() as port:
        assert probe_plaintext(at(port), soon()).speaks == "unreachable"


def reset(connection: socket.socket) -> None:
    connection.recv(1)
    faults.reset_on_close(connection)


@pytest.mark.parametrize(
    ("talk", "speaks"),
    [
        (saying(b"\x15\x03\x01\x00\x02\x02\x46"), "tls"),
        (saying(b"SSH-2.0-OpenSSH_9.6\r\n"), "other"),
        (saying(b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + bytes(8)), "http2"),
        (saying(b"\x00\x00\x08\x00\x00\x00\x00\x00\x01" + bytes(8)), "other"),
        (saying(b""), "closed"),
        (reset, "closed"),
    ],
    ids=["an alert", "SSH", "an end of HTTP/2", "another frame", "nothing", "a reset"],
)
def test_the_first_bytes_tell(talk: Talk, speaks: str) -> None:
    with faults.listener(talk) as server:
        assert probe_plaintext(at(server.port), soon()).speaks == speaks


# --- all together ----------------------------------------------------------------------------------------------------


def gathered(profile: Profile, seconds: float = 5.0) -> Any:
    return gather_results(route_to(profile.endpoint), profile.endpoint.host, profile.tls, soon(seconds))


def test_a_look_goes_no_deeper_than_it_must(milvus_plain: MilvusServer, milvus_tls: MilvusServer) -> None:
    seen = gathered(Profile(alias="p", uri="no.such.host.invalid"))
    assert seen.resolution.failure
    assert (seen.attempts, seen.tls, seen.plaintext) == ((), None, None)
    with faults.refused_port() as port:
        seen = gathered(Profile(alias="p", uri=f"127.0.0.1:{port}"))
        assert [outcome.status for outcome in seen.attempts] == ["refused"]
    seen = gathered(Profile(alias="p", uri=milvus_plain.address))
    assert seen.plaintext.speaks == "http2"
    assert seen.tls is None
    seen = gathered(Profile(alias="p", uri=milvus_tls.address))
    assert seen.plaintext.speaks == "closed"
    assert seen.tls.speaks_tls
    seen = gathered(Profile(alias="p", uri=milvus_tls.uri))
    assert seen.plaintext is None
    assert seen.tls.distrust == "unknown issuer"


def test_no_probe_sends_a_secret(certificates: Certificates) -> None:
    token = SecretText("root:canary-7f3a")
    with faults.recorder() as recorder:
        one = Profile(alias="p", uri=f"127.0.0.1:{recorder.port}", token=token)
        gathered(one, 1.0)
        gathered(Profile(alias="p", uri=f"https://127.0.0.1:{recorder.port}", token=token), 1.0)
        assert recorder.received
        assert not recorder.saw("canary-7f3a")
