"""`connect` and its kin, from Python, on real servers."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

import milvus_profiles as mp
from milvus_profiles import errors
from milvus_profiles.channel.pymilvus_import import import_with_pymilvus
from milvus_profiles.channel.wire import GET_VERSION, SHOW_COLLECTIONS
from milvus_profiles.live.api import InsecureTransportWarning
from tests.support import faults, scripted_grpc
from tests.support.certificates import Certificates
from tests.support.milvus import MilvusServer


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    yield
    mp.disconnect_all(grace=0)
    assert mp.list_connections() == []


def load(text: str = "", *, directory: Path | None = None, **env: str) -> mp.Profiles:
    if not text:
        return mp.load(env=env, cwd="/")
    assert directory is not None
    path = directory / "profiles.toml"
    path.write_text(text)
    return mp.load(path, env=env, cwd=directory)


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
    return mp.load(env={**env, **more}, cwd="/")


@pytest.fixture(params=["plain", "auth", "tls", "mtls"])
def any_server(request: pytest.FixtureRequest) -> MilvusServer:
    server: MilvusServer = request.getfixturevalue(f"milvus_{request.param}")
    return server


# --- the good case ---


def test_a_ping_that_a_disconnect_ends_says_so() -> None:
    answered: list[str] = []

    def script(call: scripted_grpc.Call) -> bytes:
        answered.append(call.method)
        if call.method == GET_VERSION.path:
            threading.Thread(target=mp.disconnect, args=("prod",), kwargs={"grace": 0.0}).start()
            time.sleep(1)
        return scripted_grpc.milvus_answer(call)

    with scripted_grpc.scripted_server(script) as server:
        conn = load(MILVUS_PROFILES__PROD__URI=f"http://127.0.0.1:{server.port}").connect("prod")
        with pytest.raises(mp.ConnectionClosedError, match="before the call ended"):
            conn.ping()
        assert GET_VERSION.path in answered


def test_connect_shakes_hands_and_pings(any_server: MilvusServer) -> None:
    with mp.connect("prod", profiles=of(any_server)) as conn:
        assert conn.server_version is not None
        assert "2.3.5" in conn.server_version
        assert 0 < conn.ping() < 5
        assert conn.alias == "prod"
        assert conn.profile.alias == "prod"
        assert str(conn.endpoint) == any_server.uri
        assert not conn.is_closed
    assert conn.is_closed


def test_stubs_work_on_the_channel(any_server: MilvusServer) -> None:
    conn = mp.connect("prod", profiles=of(any_server))
    call = conn.channel.unary_unary(
        SHOW_COLLECTIONS.path, request_serializer=SHOW_COLLECTIONS.serialize,
        response_deserializer=SHOW_COLLECTIONS.deserialize,
    )  # fmt: skip
    assert list(call({}).collection_names) == []
    assert call.future({}).result().status.code == 0


def test_milvus_client_of_the_connection_works(any_server: MilvusServer) -> None:
    client = mp.connect("prod", profiles=of(any_server)).client()
    assert client.list_collections() == []
    assert client.list_databases() == ["default"]
    client.close()


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


def test_a_server_without_the_connect_call(milvus_228: MilvusServer) -> None:
    conn = mp.connect("prod", profiles=of(milvus_228))
    assert conn.server_version is not None
    assert "2.2.8" in conn.server_version
    assert conn.ping() > 0


def test_environment_alone(milvus_auth: MilvusServer, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("root:Milvus\n")
    profiles = load(MILVUS_URI=milvus_auth.uri, MILVUS_TOKEN_FILE=str(secret))
    assert mp.connect(profiles=profiles).alias == "default"
    profiles = load(MILVUS_URI=milvus_auth.uri, MILVUS_USER="root", MILVUS_PASSWORD="Milvus", MILVUS_CONN_ALIAS="ci")
    assert mp.connect(profiles=profiles).alias == "ci"


def test_profiles_connect_by_themselves(milvus_plain: MilvusServer) -> None:
    assert of(milvus_plain).connect("prod").ping() > 0


def test_process_wide_defaults_are_used(milvus_plain: MilvusServer, tmp_path: Path) -> None:
    program = "import milvus_profiles as mp; c = mp.connect(); print(c.alias, c.ping() > 0)"
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MILVUS_URI": milvus_plain.uri}
    done = subprocess.run([sys.executable, "-c", program], env=env, cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("default True\n", "")


# --- handles ---


def test_handles_share_one_channel_and_close_apart(milvus_plain: MilvusServer) -> None:
    profiles = of(milvus_plain)
    with faults.tcp_proxy(milvus_plain.port) as proxy:
        profiles = load(MILVUS_PROFILES__PROD__HOST="127.0.0.1", MILVUS_PROFILES__PROD__PORT=str(proxy.port))
        first, second = mp.connect("prod", profiles=profiles), mp.connect("PROD", profiles=profiles)
        first.ping()
        second.ping()
        assert proxy.connections == 1
        assert first is not second
        [info] = mp.list_connections()
        assert info.handles == 2
        first.close()
        first.close()
        with pytest.raises(errors.ConnectionClosedError):
            first.ping()
        with pytest.raises(errors.ConnectionClosedError):
            first.channel.unary_unary(GET_VERSION.path, None, None)(b"")
        with pytest.raises(errors.ConnectionClosedError):
            first.client()
        assert second.ping() > 0
        assert [info.handles for info in mp.list_connections()] == [1]
        second.close()
        # The channel lives until disconnect: the next handle opens nothing.
        assert mp.has_connection("prod")
        mp.connect("prod", profiles=profiles).ping()
        assert proxy.connections == 1


@pytest.mark.parametrize(
    ("fields", "shared"),
    [
        ({"description": "x"}, True),
        ({"protected": True}, True),
        ({"allow_insecure": True}, True),
        ({"pool": {"max_channels": 2}}, True),
        ({"management_port": 1}, True),
        ({"call_timeout": 5.0}, False),
        ({"keepalive": {"time": 60.0}}, False),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_field_of_a_call_opens_a_channel_only_if_it_is_the_channels(
    fields: dict[str, Any], shared: bool, milvus_plain: MilvusServer
) -> None:
    profiles = of(milvus_plain)
    first, second = mp.connect("prod", profiles=profiles), mp.connect("prod", profiles=profiles, **fields)
    assert first.ping() > 0
    assert second.ping() > 0
    assert len(mp.list_connections()) == (1 if shared else 2)


def test_closing_the_channel_closes_the_handle_only(milvus_plain: MilvusServer) -> None:
    profiles = of(milvus_plain)
    first, second = mp.connect("prod", profiles=profiles), mp.connect("prod", profiles=profiles)
    first.channel.close()
    assert first.is_closed
    assert second.ping() > 0


def test_a_dropped_handle_is_given_back(milvus_plain: MilvusServer) -> None:
    profiles = of(milvus_plain)
    keep = mp.connect("prod", profiles=profiles)
    mp.connect("prod", profiles=profiles)
    gc.collect()
    assert [info.handles for info in mp.list_connections()] == [1]
    assert keep.ping() > 0


def test_a_dedicated_channel_is_closed_with_its_handle(milvus_plain: MilvusServer) -> None:
    with faults.tcp_proxy(milvus_plain.port) as proxy:
        profiles = load(MILVUS_PROFILES__PROD__URI=f"http://127.0.0.1:{proxy.port}")
        shared = mp.connect("prod", profiles=profiles)
        own = mp.connect("prod", profiles=profiles, dedicated=True)
        own.ping()
        shared.ping()
        assert proxy.connections == 2
        own.close()
        assert [info.handles for info in mp.list_connections()] == [1]
        assert shared.ping() > 0


def test_an_address_alone_is_anonymous_and_dedicated(milvus_auth: MilvusServer) -> None:
    nothing = load()
    conn = mp.connect(uri=milvus_auth.uri, token="root:Milvus", profiles=nothing)
    assert conn.alias == "anonymous"
    other = mp.connect(host="127.0.0.1", port=milvus_auth.port, user="root", password="Milvus", profiles=nothing)
    assert len(mp.list_connections()) == 2
    conn.close()
    other.close()
    assert mp.list_connections() == []


def test_overrides_of_a_call_get_a_channel_of_their_own(milvus_auth: MilvusServer) -> None:
    profiles = of(milvus_auth)
    mp.connect("prod", profiles=profiles)
    mp.connect("prod", profiles=profiles, timeout=3)
    assert len(mp.list_connections()) == 1
    with pytest.raises(errors.AuthenticationError):
        mp.connect("prod", profiles=profiles, token="root:wrong")
    conn = mp.connect("prod", profiles=profiles, db_name="default")
    assert conn.profile.db_name == "default"
    assert [info.db_name for info in mp.list_connections()] == [None, "default"]


def test_disconnect_closes_all_handles_of_an_alias(milvus_plain: MilvusServer) -> None:
    profiles = load(MILVUS_PROFILES__A__URI=milvus_plain.uri, MILVUS_PROFILES__B__URI=milvus_plain.uri)
    a, dedicated = mp.connect("a", profiles=profiles), mp.connect("a", profiles=profiles, dedicated=True)
    b = mp.connect("b", profiles=profiles)
    mp.disconnect("A")
    assert a.is_closed
    assert dedicated.is_closed
    assert b.ping() > 0
    assert not mp.has_connection("a")
    assert mp.has_connection("b")
    mp.disconnect("a")
    mp.disconnect("nobody")
    assert mp.connect("a", profiles=profiles).ping() > 0
    mp.disconnect_all()
    assert b.is_closed


def test_disconnect_waits_for_calls_in_flight() -> None:
    started = threading.Event()

    def script(call: scripted_grpc.Call) -> bytes:
        if call.method == "GetVersion" and started.is_set():
            time.sleep(1.0)
        return scripted_grpc.milvus_answer(call)

    with scripted_grpc.scripted_server(script) as server:
        conn = mp.connect(uri=f"http://127.0.0.1:{server.port}", profiles=load())
        started.set()
        call = conn.channel.unary_unary(GET_VERSION.path, None, None).future(b"")
        time.sleep(0.2)
        mp.disconnect("anonymous", grace=10)
        assert call.done()
        assert call.code() is grpc.StatusCode.OK


def test_sixty_four_threads_open_one_connection(milvus_auth: MilvusServer) -> None:
    with faults.tcp_proxy(milvus_auth.port) as proxy:
        profiles = load(
            MILVUS_PROFILES__PROD__URI=f"http://127.0.0.1:{proxy.port}", MILVUS_PROFILES__PROD__TOKEN="root:Milvus"
        )
        with ThreadPoolExecutor(64) as threads:
            connections = list(threads.map(lambda _: mp.connect("prod", profiles=profiles), range(64)))
        assert all(conn.ping() > 0 for conn in connections)
        assert proxy.connections == 1
        assert [info.handles for info in mp.list_connections()] == [64]


def test_a_failure_reaches_every_thread_that_waited() -> None:
    with faults.black_hole() as port:
        profiles = load(MILVUS_PROFILES__PROD__URI=f"http://127.0.0.1:{port}", MILVUS_PROFILES__PROD__TIMEOUT="1")

        def attempt(_: int) -> BaseException:
            with pytest.raises(errors.UnreachableError) as caught:
                mp.connect("prod", profiles=profiles)
            return caught.value

        with ThreadPoolExecutor(8) as threads:
            failures = list(threads.map(attempt, range(8)))
        assert len({id(failure) for failure in failures}) == 8


def test_a_hanging_address_delays_no_other_alias(milvus_plain: MilvusServer) -> None:
    with faults.black_hole() as port:
        profiles = load(
            MILVUS_PROFILES__HOLE__URI=f"http://127.0.0.1:{port}",
            MILVUS_PROFILES__HOLE__TIMEOUT="20",
            MILVUS_PROFILES__GOOD__URI=milvus_plain.uri,
        )
        caught: list[BaseException] = []

        def hang() -> None:
            try:
                mp.connect("hole", profiles=profiles, timeout=3)
            except errors.UnreachableError as error:
                caught.append(error)

        hanging = threading.Thread(target=hang)
        hanging.start()
        time.sleep(0.2)
        assert mp.connect("good", profiles=profiles).ping() > 0
        assert hanging.is_alive()
        hanging.join()
        assert len(caught) == 1


def test_max_connections(milvus_plain: MilvusServer, tmp_path: Path) -> None:
    profiles = load(
        f'max_connections = 2\n[profiles.a]\nuri = "{milvus_plain.uri}"\n[profiles.b]\nuri = "{milvus_plain.uri}"\n'
        f'[profiles.c]\nuri = "{milvus_plain.uri}"\n',
        directory=tmp_path,
    )
    mp.connect("a", profiles=profiles)
    mp.connect("b", profiles=profiles)
    mp.connect("a", profiles=profiles)
    with pytest.raises(errors.ConnectionLimitError):
        mp.connect("c", profiles=profiles)
    mp.disconnect("a")
    assert mp.connect("c", profiles=profiles).ping() > 0


# --- changes on disk ---


def test_a_changed_description_opens_nothing(milvus_plain: MilvusServer, tmp_path: Path) -> None:
    path = tmp_path / "profiles.toml"
    path.write_text(f'[profiles.prod]\nuri = "{milvus_plain.uri}"\n')
    mp.connect("prod", profiles=mp.load(path, env={}))
    path.write_text(f'[profiles.prod]\nuri = "{milvus_plain.uri}"\ndescription = "x"\n')
    mp.connect("prod", profiles=mp.load(path, env={}))
    assert len(mp.list_connections()) == 1


# --- failures ---


def test_wrong_and_missing_credentials(milvus_auth: MilvusServer) -> None:
    for token in ("root:wrong", "nobody:Milvus", "an-api-key"):
        with pytest.raises(errors.AuthenticationError) as caught:
            mp.connect("prod", profiles=of(milvus_auth, MILVUS_PROFILES__PROD__TOKEN=token))
        assert token not in str(caught.value)
    with pytest.raises(errors.AuthenticationError):
        mp.connect("prod", profiles=load(MILVUS_PROFILES__PROD__URI=milvus_auth.uri))


def test_unknown_database(milvus_auth: MilvusServer) -> None:
    with pytest.raises(errors.DatabaseNotFoundError):
        mp.connect("prod", profiles=of(milvus_auth, MILVUS_PROFILES__PROD__DB_NAME="nope"))
    with pytest.raises(errors.DatabaseNotFoundError):
        mp.connect("prod", profiles=of(milvus_auth), db_name="nope")


def test_tls_against_plaintext_and_plaintext_against_tls(milvus_plain: MilvusServer, milvus_tls: MilvusServer) -> None:
    for uri in (milvus_plain.uri.replace("http://", "https://"), milvus_tls.uri.replace("https://", "http://")):
        with pytest.raises(errors.TLSError):
            mp.connect("prod", profiles=load(MILVUS_PROFILES__PROD__URI=uri))


def test_certificates_that_do_not_fit(
    milvus_tls: MilvusServer, milvus_mtls: MilvusServer, certificates: Certificates
) -> None:
    with pytest.raises(errors.TLSError):
        mp.connect("prod", profiles=of(milvus_tls, MILVUS_PROFILES__PROD__SSL__CA=str(certificates.foreign_ca)))
    with pytest.raises(errors.TLSError):
        mp.connect("prod", profiles=of(milvus_tls, MILVUS_PROFILES__PROD__SSL__SERVER_NAME="wrong.example"))
    with pytest.raises(errors.TLSError):
        mp.connect("prod", profiles=load(MILVUS_PROFILES__PROD__URI=milvus_tls.uri))
    without = {"MILVUS_PROFILES__PROD__SSL__CERT": "", "MILVUS_PROFILES__PROD__SSL__KEY": ""}
    with pytest.raises(errors.TLSError):
        mp.connect("prod", profiles=of(milvus_mtls, **without))
    foreign = certificates.foreign_client
    with pytest.raises(errors.TLSError):
        mp.connect(
            "prod",
            profiles=of(
                milvus_mtls,
                MILVUS_PROFILES__PROD__SSL__CERT=str(foreign.cert),
                MILVUS_PROFILES__PROD__SSL__KEY=str(foreign.key),
            ),
        )


def test_what_is_not_there_or_not_a_milvus() -> None:
    with faults.refused_port() as port, pytest.raises(errors.UnreachableError):
        mp.connect(uri=f"http://127.0.0.1:{port}", profiles=load())
    with faults.black_hole() as port, pytest.raises(errors.UnreachableError):
        mp.connect(uri=f"http://127.0.0.1:{port}", profiles=load(), timeout=1)
    with pytest.raises(errors.UnreachableError):
        mp.connect(uri="http://no-such-host.invalid:19530", profiles=load(), timeout=5)
    with faults.http1_server() as web, pytest.raises(errors.NotMilvusError):
        mp.connect(uri=f"http://127.0.0.1:{web.port}", profiles=load())
    with scripted_grpc.not_milvus() as other, pytest.raises(errors.NotMilvusError):
        mp.connect(uri=f"http://127.0.0.1:{other.port}", profiles=load())


def test_a_server_that_is_starting_says_so_and_can_be_waited_for() -> None:
    with scripted_grpc.starting_milvus() as server, pytest.raises(errors.ServerNotReadyError):
        mp.connect(uri=f"http://127.0.0.1:{server.port}", profiles=load())
    with scripted_grpc.starting_milvus(1.0) as server:
        conn = mp.connect(uri=f"http://127.0.0.1:{server.port}", profiles=load(), wait_ready=20)
        assert conn.ping() > 0


def test_waiting_for_a_real_server(start_milvus: Any) -> None:
    server = start_milvus()
    server.stop()
    with pytest.raises(errors.UnreachableError, match="waited"):
        mp.connect(uri=server.uri, profiles=load(), wait_ready=0.5)
    starting = threading.Thread(target=server.start)
    starting.start()
    conn = mp.connect(uri=server.uri, profiles=load(), wait_ready=60)
    assert conn.ping() > 0
    starting.join()


def test_no_failed_connect_leaves_a_thread_or_a_socket_behind() -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    with faults.refused_port() as port:
        for _ in range(3):
            with pytest.raises(errors.UnreachableError):
                mp.connect(uri=f"http://127.0.0.1:{port}", profiles=load())
        time.sleep(0.5)
        threads, files = threading.active_count(), descriptors()
        for _ in range(10):
            with pytest.raises(errors.UnreachableError):
                mp.connect(uri=f"http://127.0.0.1:{port}", profiles=load())
        time.sleep(0.5)
        assert threading.active_count() <= threads
        assert descriptors() <= files + 2


# --- plaintext ---


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
    assert "allow_insecure" in str(caught.value)


def test_plaintext_through_a_proxy_is_not_loopback() -> None:
    with pytest.raises(errors.InsecureTransportError):
        mp.connect(
            "prod",
            profiles=load(
                MILVUS_PROFILES__PROD__URI="127.0.0.1:19530",
                MILVUS_PROFILES__PROD__TOKEN="x",
                MILVUS_PROFILES__PROD__PROXY="http://127.0.0.1:3128",
            ),
        )


@pytest.mark.parametrize(
    ("env", "fields"),
    [
        ({"MILVUS_URI": "http://HOST", "MILVUS_TOKEN": "x", "MILVUS_CONN_ALIAS": "prod"}, {}),
        ({"MILVUS_URI": "HOST", "MILVUS_TOKEN": "x", "MILVUS_CONN_ALIAS": "prod", "MILVUS_ALLOW_INSECURE": "1"}, {}),
        ({"MILVUS_PROFILES__PROD__URI": "HOST"}, {"token": "x", "allow_insecure": True}),
        ({}, {"uri": "tcp://HOST", "token": "x"}),
        ({}, {"host": "HOST", "token": "x"}),
    ],
)
def test_plaintext_that_was_chosen_deliberately_is_a_warning(env: dict[str, str], fields: dict[str, Any]) -> None:
    # An address that no machine here has, so that nothing is sent: the connect fails, after the warning.
    env = {name: value.replace("HOST", "no-such-host.invalid") for name, value in env.items()}
    fields = {n: v.replace("HOST", "no-such-host.invalid") if isinstance(v, str) else v for n, v in fields.items()}
    with pytest.warns(InsecureTransportWarning), pytest.raises(errors.UnreachableError):
        mp.connect("prod" if env else None, profiles=mp.load(env=env, cwd="/"), timeout=3, **fields)


# --- arguments ---


def test_unknown_fields_and_profiles() -> None:
    with pytest.raises(errors.ConfigError, match="did you mean 'uri'"):
        mp.connect(url="x", profiles=load())
    with pytest.raises(KeyError):
        mp.connect("nobody", profiles=load())
    with pytest.raises(errors.UnknownProfileError):
        mp.connect(profiles=load())
    with pytest.raises(errors.ConfigError, match="timeout"):
        mp.connect(uri="x", profiles=load(), timeout=-1)


def test_no_secret_of_a_call_is_in_a_traceback_with_locals() -> None:
    with faults.refused_port() as port:
        try:
            mp.connect(uri=f"http://127.0.0.1:{port}", user="root", password="hush" + "hush", profiles=load())
        except errors.UnreachableError as error:
            text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "hushhush" not in text.replace('"hush" + "hush"', "")


@pytest.mark.parametrize(
    "misplaced", [{"tokn": "hush" + "hush"}, {"user": "root", "password": b"hush" + b"hush"}], ids=["name", "type"]
)
def test_a_misplaced_secret_of_a_call_is_in_no_frame_of_ours(misplaced: dict[str, Any]) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        mp.connect(uri="http://127.0.0.1:1", profiles=load(), **misplaced)
    frames = list(traceback.walk_tb(caught.value.__traceback__))[1:]  # the first is this test's
    shown = [repr(value) for frame, _ in frames for value in frame.f_locals.values()]
    assert not [text for text in [*shown, str(caught.value)] if "hushhush" in text]


# --- Milvus Lite ---


def test_milvus_lite_is_shared_and_stopped_with_its_last_connection(tmp_path: Path) -> None:
    profiles = load('[profiles.local]\nuri = "./data.db"\n', directory=tmp_path)
    conn = mp.connect("local", profiles=profiles)
    other = mp.connect("local", profiles=profiles, dedicated=True)
    assert "lite" in (conn.server_version or "")
    assert str(conn.endpoint) == str(tmp_path / "data.db")
    client = conn.client()
    client.create_collection("c", dimension=2)
    assert other.client().list_collections() == ["c"]
    program = (
        "import milvus_profiles as mp\n"
        "try: mp.connect(uri='./data.db')\n"
        "except mp.DatabaseInUseError as e: print(e.exit_status, 'LOCK' in str(e))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "6 True\n", done.stderr
    mp.disconnect("local")
    program = "import milvus_profiles as mp; print(mp.connect(uri='./data.db').client().list_collections())"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "['c']\n", done.stderr


# --- fork ---


def test_a_forked_child_connects_anew_and_the_parent_goes_on(milvus_plain: MilvusServer, tmp_path: Path) -> None:
    program = f"""
import os, sys
import milvus_profiles as mp
profiles = mp.load(env={{"MILVUS_PROFILES__P__URI": {milvus_plain.uri!r}}}, cwd="/")
conn = mp.connect("p", profiles=profiles)
conn.ping()
pid = os.fork()
if pid == 0:
    try:
        conn.ping()
    except mp.ForkError:
        print("child: ForkError")
    assert mp.list_connections() == []
    print("child:", mp.connect("p", profiles=profiles).ping() > 0, flush=True)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
print("parent:", conn.ping() > 0)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout == "child: ForkError\nchild: True\nparent: True\n", done.stderr


def test_a_dedicated_channel_is_closed_with_a_handle_that_was_dropped(milvus_plain: MilvusServer) -> None:
    conn = mp.connect(uri=milvus_plain.uri, profiles=load())
    conn.ping()
    del conn
    gc.collect()
    deadline = time.monotonic() + 10
    while mp.list_connections() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert mp.list_connections() == []
