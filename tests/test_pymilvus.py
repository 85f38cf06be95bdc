"""`conn.client()`: the pymilvus client of a profile, with each version of pymilvus, on every kind of server."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import os
import subprocess
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

import milvus_profiles as mp
from milvus_profiles import errors
from milvus_profiles.channel.pymilvus_client import open_client
from milvus_profiles.channel.pymilvus_import import import_with_pymilvus
from milvus_profiles.masked import MaskedFields, SecretText
from tests.support import faults, layers, sockets
from tests.support.connections import at, declared, of, variables_of
from tests.support.environment import coverage_variables, run_python
from tests.support.milvus import MilvusServer
from tests.support.reporters import reported
from tests.support.waiting import until

PROJECT = Path(__file__).parents[1]
PROGRAM = (PROJECT / "tests/support/pymilvus_program.py").read_text()


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    yield
    mp.disconnect_all(grace=0)


def connect(server: MilvusServer) -> mp.Connection:
    return mp.connect("prod", profiles=of(server))


@pytest.fixture(scope="module")
def servers(
    milvus_plain: MilvusServer, milvus_auth: MilvusServer, milvus_tls: MilvusServer, milvus_mtls: MilvusServer
) -> Iterator[dict[str, str]]:
    """Profiles of servers that have a database `films`."""
    named = {"plain": milvus_plain, "auth": milvus_auth, "tls": milvus_tls, "mtls": milvus_mtls}
    env: dict[str, str] = {}
    made: list[MilvusServer] = []
    for alias, server in named.items():
        env |= {**variables_of(server, alias=alias), f"MILVUS_PROFILES__{alias.upper()}__DB_NAME": "films"}
        if "films" not in connect(server).client().list_databases():  # others use these servers, too
            connect(server).client().create_database("films")
            made.append(server)
    yield env
    for server in made:
        connect(server).client().drop_database("films")
    mp.disconnect_all(grace=0)


@pytest.mark.parametrize("version", [*(pytest.param(older, marks=pytest.mark.sdks) for older in ("2.5", "2.6")), "3.0"])
def test_clients_of_profiles_work_with_each_version(version: str, servers: dict[str, str], tmp_path: Path) -> None:
    python = layers.need_layer(f"pymilvus-{version}")
    # What a repository may hold, and pymilvus would put into the environment of the whole process.
    (tmp_path / ".env").write_text("CANARY_OF_DOTENV=1\nhttps_proxy=http://evil.example\n")
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(PROJECT),
        # Nothing there answers, and pymilvus up to 3.0 crashes on its import by the second.
        "http_proxy": "http://127.0.0.1:9",
        "MILVUS_CONN_TIMEOUT": "10s",
        "MILVUS_PROFILES__LITE__URI": str(tmp_path / "lite.db"),
        **servers,
        **coverage_variables(),
    }
    aliases = ["plain", "auth", "tls", "mtls"]
    done = run_python(PROGRAM, *aliases, "lite", python=python, env=env, cwd=tmp_path, timeout=240)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["version"].startswith(version)
    assert told["environment"] == []
    on_a_server = {
        "inserted": 1,
        "in default": False,
        "same": True,
        "connections": 0,
        "there": True,
        "async": [1, 1],
        "async connections": 0,
        "closed": ["ConnectionClosedError", "ConnectionNotExistException"],
        "registered": [],
    }
    for alias in aliases:
        assert told[alias] == on_a_server, alias
    assert told["lite"] == {**on_a_server, "in default": True}  # the profile names no database
    assert told["searched"] == [1]


@pytest.mark.sdks
@pytest.mark.parametrize("version", ["2.5", "2.6"])
def test_what_holds_for_our_calls_holds_with_each_version(version: str) -> None:
    python = layers.need_layer(f"pymilvus-{version}")
    file = "tests/test_pymilvus_channel.py"
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "--tb=short", "-n", "0", "-m", "", "-p", "no:cacheprovider", file],
        cwd=PROJECT, env={**os.environ}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_a_password_that_changes_on_the_server_is_not_noticed(milvus_auth: MilvusServer, tmp_path: Path) -> None:
    """By a client that lives, beside whoever changes it there and in the file."""
    admin = connect(milvus_auth).client()
    admin.create_user("rotating", "Password0")
    secret = tmp_path / "password"
    secret.write_text("Password0")
    login = {"MILVUS_PROFILES__PROD__USER": "rotating", "MILVUS_PROFILES__PROD__PASSWORD_FILE": str(secret)}
    profiles = at(milvus_auth.port, **login)

    def rotate(old: str, new: str) -> None:
        secret.write_text(new)
        admin.update_password("rotating", old, new)

    async def in_asyncio() -> None:
        client = (await mp.aio.connect("prod", profiles=profiles)).client()
        await client.list_collections()
        rotate("Password1", "Password2")
        await client.list_collections()

    try:
        client = mp.connect("prod", profiles=profiles).client()
        client.list_collections()
        rotate("Password0", "Password1")
        assert client.list_collections() == []
        asyncio.run(in_asyncio())
    finally:
        admin.drop_user("rotating")


def test_arguments_of_the_call_win(milvus_auth: MilvusServer, milvus_plain: MilvusServer) -> None:
    conn = connect(milvus_auth)
    before = sockets.connections_to(milvus_plain.port)
    elsewhere = conn.client(uri=milvus_plain.uri, token="")
    assert elsewhere.list_collections() == []
    assert sockets.connections_to(milvus_plain.port) == before + 1
    elsewhere.close()
    with pytest.raises(import_with_pymilvus("pymilvus").MilvusException):
        conn.client(token="root:wrong").list_collections()


@pytest.mark.parametrize("wrong", [{"token": "hush" * 2}, {"password": "hush" * 2, "user": "root"}])
def test_a_client_that_cannot_connect_shows_no_secret(milvus_auth: MilvusServer, wrong: dict[str, str]) -> None:
    conn = connect(milvus_auth)
    with pytest.raises(import_with_pymilvus("pymilvus").MilvusException) as caught:
        open_client(
            conn.profile, conn.endpoint, SecretText("root:" + "hush" * 2), MaskedFields({"timeout": 5, **wrong})
        )
    frames = list(traceback.walk_tb(caught.value.__traceback__))[1:]  # the first is this test's
    assert frames
    caught.value.__traceback__ = caught.value.__traceback__.tb_next
    assert "hushhush" not in reported(caught.value)
    assert not [value for frame, _ in frames for value in frame.f_locals.values() if "hushhush" in repr(value)]
    assert "hushhush" not in "".join(
        traceback.TracebackException.from_exception(caught.value.with_traceback(None), capture_locals=True).format()
    )


def test_no_client_that_failed_leaves_a_connection_behind(milvus_auth: MilvusServer) -> None:
    conn = connect(milvus_auth)
    alone = sockets.connections_to(milvus_auth.port)
    for _ in range(3):
        with pytest.raises(import_with_pymilvus("pymilvus").MilvusException):
            conn.client(token="root:wrong")
    until(lambda: sockets.connections_to(milvus_auth.port) == alone)


def test_the_client_goes_on_after_its_connection_was_cut(milvus_plain: MilvusServer) -> None:
    with faults.tcp_proxy(milvus_plain.port) as proxy:
        client = at(proxy.port).connect("prod").client()
        proxy.drop()
        assert client.list_collections() == []
        client.close()


def test_an_ipv6_address_is_refused_by_name() -> None:
    profiles = declared(MILVUS_PROFILES__SIX__URI="http://[::1]:19530")
    with pytest.raises(errors.ConfigError, match=r"IPv6 address \[::1\]:19530") as caught:
        mp.connection_args("six", profiles=profiles)
    assert caught.value.hint is not None


def test_without_pymilvus_the_command_is_named(milvus_plain: MilvusServer, tmp_path: Path) -> None:
    program = """
import sys
sys.modules["pymilvus"] = None
import milvus_profiles as mp
try: mp.connect().client()
except mp.ConfigError as error: print(error)
"""
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MILVUS_URI": milvus_plain.uri, **coverage_variables()}
    done = run_python(program, env=env, cwd=tmp_path)
    assert 'pip install "milvus-profiles[pymilvus]"' in done.stdout, done.stderr


def test_connection_args_hide_the_token_from_a_log_only(tmp_path: Path) -> None:
    env = {"MILVUS_PROFILES__P__URI": "https://h", "MILVUS_PROFILES__P__TOKEN": "root:" + "hush" * 2}
    arguments = mp.connection_args("p", profiles=mp.load(env=env, cwd="/"))
    assert "hushhush" not in f"{arguments}{arguments!r}"
    assert arguments["token"] == "root:hushhush"
    assert json.loads(json.dumps(arguments)) == arguments  # Haystack writes them to a file
    assert copy.deepcopy(arguments) == arguments


def test_connection_args_share_the_milvus_lite_of_this_process(tmp_path: Path) -> None:
    profiles = declared(MILVUS_PROFILES__LITE__URI=str(tmp_path / "x.db"))
    make = import_with_pymilvus("pymilvus").MilvusClient
    arguments = mp.connection_args("lite", profiles=profiles)
    assert arguments["uri"].startswith("http://127.0.0.1:")
    theirs = make(**arguments)
    theirs.create_collection("c", dimension=2)
    with mp.connect("lite", profiles=profiles) as conn:
        assert conn.client().list_collections() == ["c"]
    gc.collect()
    assert mp.connection_args("lite", profiles=profiles) == arguments
    assert theirs.list_collections() == ["c"]
    theirs.close()
    mp.disconnect("lite")
    assert not mp.has_connection("lite")
    again = make(**mp.connection_args("lite", profiles=profiles))
    assert again.list_collections() == ["c"]
    again.close()
