"""`connect` and its kin on real servers: what is of threads only, and what is decided before anything is opened."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import milvus_profiles as mp
from milvus_profiles import errors
from milvus_profiles.channel.pymilvus_import import import_with_pymilvus
from milvus_profiles.channel.wire import GET_VERSION
from milvus_profiles.live.request import InsecureTransportWarning
from tests.support import faults, scripted_grpc
from tests.support.certificates import Certificates
from tests.support.connections import at, declared, of
from tests.support.milvus import MilvusServer


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    yield
    mp.disconnect_all(grace=0)
    assert mp.list_connections() == []


def test_a_ping_that_a_disconnect_ends_says_so() -> None:
    def script(call: scripted_grpc.Call) -> bytes:
        if call.method == GET_VERSION.path:
            threading.Thread(target=mp.disconnect, args=("prod",), kwargs={"grace": 0.0}).start()
            time.sleep(1)
        return scripted_grpc.milvus_answer(call)

    with scripted_grpc.scripted_server(script) as server:
        conn = at(server.port).connect("prod")
        with pytest.raises(mp.ConnectionClosedError, match="before the call ended"):
            conn.ping()
        assert "GetVersion" in server.names()


def test_many_idle_connections_are_closed_without_a_thread_for_each(
    milvus_plain: MilvusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    start = threading.Thread.start

    def noted(thread: threading.Thread) -> None:
        started.append(thread.name)
        start(thread)

    profiles = of(milvus_plain)
    held = [mp.connect("prod", profiles=profiles, dedicated=True) for _ in range(20)]
    held.append(mp.connect("prod", profiles=profiles))
    monkeypatch.setattr(threading.Thread, "start", noted)
    mp.disconnect_all(grace=5)
    assert all(conn.is_closed for conn in held)
    assert started.count("milvus-profiles close") <= 2, started


def test_python_does_not_keep_a_place_at_its_exit_for_each_connection_there_ever_was(
    milvus_plain: MilvusServer,
) -> None:
    profiles = of(milvus_plain)
    before = atexit._ncallbacks()
    for _ in range(5):
        mp.connect("prod", profiles=profiles, dedicated=True).close()
        mp.connect("prod", profiles=profiles)
        mp.disconnect("prod")
    assert atexit._ncallbacks() == before


def test_connection_args_are_those_of_milvus_client(any_server: MilvusServer) -> None:
    arguments = mp.connection_args("prod", profiles=of(any_server))
    assert arguments["uri"] == any_server.uri
    assert arguments.get("token") == any_server.token
    client = import_with_pymilvus("pymilvus").MilvusClient(**arguments)
    assert client.list_collections() == []
    client.close()


def test_connection_args_map_every_field(certificates: Certificates) -> None:
    tls = {"ca": str(certificates.ca), "server_name": "other.example"}
    files = {"cert": str(certificates.client.cert), "key": str(certificates.client.key)}

    def arguments(**ssl: str) -> dict[str, Any]:
        env = {f"MILVUS_PROFILES__P__SSL__{name.upper()}": value for name, value in ssl.items()}
        env |= {"MILVUS_PROFILES__P__URI": "https://h.example/films", "MILVUS_PROFILES__P__TOKEN": "k"}
        return mp.connection_args("p", profiles=mp.load(env=env, cwd="/"))

    one_way = arguments(**tls)
    assert one_way.pop("grpc_options")["grpc.enable_http_proxy"] == 0
    assert one_way == {
        "uri": "https://h.example:443",
        "db_name": "films",
        "token": "k",
        "timeout": 10.0,
        "dedicated": True,
        "secure": True,
        "server_pem_path": tls["ca"],
        "server_name": "other.example",
    }
    mutual = arguments(**tls, **files)
    assert "server_pem_path" not in mutual  # with it pymilvus would ignore the client's certificate
    assert (mutual["ca_pem_path"], mutual["client_pem_path"]) == (tls["ca"], files["cert"])
    assert mutual["client_key_path"] == files["key"]
    with pytest.raises(errors.ConfigError, match="together with a CA"):
        arguments(**files)


def test_no_failed_connect_leaves_a_thread_or_a_socket_behind() -> None:
    def held_after(attempts: int) -> tuple[int, int]:
        for _ in range(attempts):
            with pytest.raises(errors.UnreachableError):
                mp.connect(uri=f"http://127.0.0.1:{port}", profiles=declared())
        time.sleep(0.5)
        return threading.active_count(), len(os.listdir("/proc/self/fd"))

    with faults.refused_port() as port:
        threads, files = held_after(3)
        threads_later, files_later = held_after(10)
        assert threads_later <= threads
        assert files_later <= files + 2


@pytest.mark.parametrize(
    "env",
    [
        {"MILVUS_PROFILES__PROD__URI": "10.255.255.1:19530", "MILVUS_PROFILES__PROD__TOKEN": "x"},
        {"MILVUS_URI": "10.255.255.1", "MILVUS_TOKEN": "x", "MILVUS_CONN_ALIAS": "prod"},
        {"MILVUS_PROFILES__PROD__URI": "http://10.255.255.1:19530", "MILVUS_PROFILES__PROD__TOKEN__KEYRING": "true"},
        {"MILVUS_PROFILES__PROD__URI": "http://10.255.255.1:19530", "MILVUS_PROFILES__PROD__USER": "root"},
    ],
)
def test_a_secret_over_plaintext_to_a_far_host_is_refused_before_any_socket(env: dict[str, str]) -> None:
    with pytest.raises(errors.InsecureTransportError) as caught:
        mp.connect("prod", profiles=mp.load(env=env, cwd="/"))
    assert caught.value.exit_status == 3
    assert "allow_insecure" in str(caught.value).lower()  # a field of a file, or a variable


# An address that no machine here has, so that nothing is sent: the connect fails, after the warning.
NOWHERE = "no-such-host.invalid"


@pytest.mark.parametrize(
    ("env", "fields"),
    [
        ({"MILVUS_URI": f"http://{NOWHERE}", "MILVUS_TOKEN": "x"}, {}),
        ({"MILVUS_URI": NOWHERE, "MILVUS_TOKEN": "x", "MILVUS_ALLOW_INSECURE": "1"}, {}),
        ({"MILVUS_PROFILES__PROD__URI": NOWHERE}, {"token": "x", "allow_insecure": True}),
        ({}, {"uri": f"tcp://{NOWHERE}", "token": "x"}),
        ({}, {"host": NOWHERE, "token": "x"}),
    ],
)
def test_plaintext_that_was_chosen_deliberately_is_a_warning(env: dict[str, str], fields: dict[str, Any]) -> None:
    profiles = mp.load(env=env, cwd="/")
    with pytest.warns(InsecureTransportWarning), pytest.raises(errors.UnreachableError):
        mp.connect(next(iter(profiles), None), profiles=profiles, timeout=3, **fields)
