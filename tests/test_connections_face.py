"""`from milvus_profiles import connections`: what programs for pymilvus's `connections` do, on real servers."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import milvus_profiles as mp
from milvus_profiles import connections, errors
from milvus_profiles.channel.pymilvus_import import import_with_pymilvus
from tests.support import faults
from tests.support.certificates import Certificates
from tests.support.command import Command, Outcome
from tests.support.milvus import MilvusServer
from tests.support.ports import documented_port
from tests.support.users import administrator
from tests.support.waiting import side_by_side
from tests.test_hygiene import CANARY, PROGRAM, leaks


@pytest.fixture(autouse=True)
def _nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A directory and a home without profiles, and no alias that another test left."""
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    yield
    for alias, _ in connections.list_connections():
        connections.remove_connection(alias)
    mp.disconnect_all(grace=0)
    assert connections.list_connections() == []


IMPORT = "from pymilvus import connections"
WITH_A_USER = f"""\
{IMPORT}
connections.connect(
  alias="default",
  user='username',
  password='password',
  host='localhost',
  port='19530'
)
 
connections.disconnect("default")
"""  # noqa: W293  # as it is printed
WITH_A_TOKEN = f"""\
{IMPORT}
connections.connect(
  alias="default",
  uri="localhost:19530",
  token="root:Milvus",
)
connections.disconnect("default")
"""
WITH_TABS = f"""\
{IMPORT}
connections.connect(
\talias="default", 
\thost='localhost', 
\tport='19530'
\t)
connections.disconnect("default")
"""  # noqa: W291
INTERACTIVE = f"""\
>>> {IMPORT}
>>> connections.connect(alias="default", host='localhost', port='19530')
>>> connections.disconnect("default")
"""


def run(program: str, directory: Path, **env: str) -> Outcome:
    program = program.replace(IMPORT, "from milvus_profiles import connections").replace(">>> ", "")
    return Command([sys.executable, "-c"], directory, directory)(program, env=env)


def test_the_documented_user_is_one_that_the_server_has_to_know(milvus_auth: MilvusServer, tmp_path: Path) -> None:
    # With that user they are run by test_orm.
    with documented_port() as port, faults.tcp_proxy(milvus_auth.port, port):
        assert "AuthenticationError" in run(WITH_A_USER, tmp_path).stderr


def test_the_documented_programs_for_a_server_without_users(milvus_plain: MilvusServer, tmp_path: Path) -> None:
    with documented_port() as port, faults.tcp_proxy(milvus_plain.port, port) as proxy:
        for number, program in enumerate((WITH_TABS, INTERACTIVE, f"{IMPORT}\nconnections.connect()"), 1):
            done = run(program, tmp_path)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
            assert proxy.connections == number
        # The selected profile is not the alias `default`: whoever names one gets that one.
        hijacked = run(WITH_TABS, tmp_path, MILVUS_URI="http://127.0.0.1:1", MILVUS_CONN_ALIAS="other")
        assert hijacked.returncode == 0, hijacked.stderr


def parts(server: MilvusServer) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": str(server.port)}


def test_connect_disconnect_and_connect_again(milvus_auth: MilvusServer) -> None:
    conn = connections.connect("db", "root", "Milvus", **parts(milvus_auth))
    assert conn.ping() > 0
    assert connections.has_connection("db")
    assert connections.list_connections() == [("db", conn)]
    assert mp.has_connection("db")
    assert [info.alias for info in mp.list_connections()] == ["db"]
    for disconnect in (connections.disconnect, mp.disconnect):
        disconnect("db")
        disconnect("db")
        assert conn.is_closed
        assert not connections.has_connection("db")
        assert connections.list_connections() == [("db", None)]
        conn = connections.connect("db")  # the address and the password are known still
        assert conn.ping() > 0
    connections.remove_connection("db")
    assert connections.list_connections() == []
    assert connections.get_connection_addr("db") == {}
    with pytest.raises(errors.UnknownProfileError):
        connections.connect("db")


def test_add_connection_keeps_all_that_it_is_told(
    milvus_auth: MilvusServer, milvus_tls: MilvusServer, milvus_mtls: MilvusServer, certificates: Certificates
) -> None:
    ca, client = str(certificates.ca), certificates.client
    login = {"user": "root", "password": "Milvus", "server_pem_path": ca}
    files = {
        "ca_pem_path": ca, "client_pem_path": str(client.cert), "client_key_path": str(client.key),
        "server_name": "localhost",
    }  # fmt: skip
    given: dict[str, tuple[MilvusServer, dict[str, Any]]] = {
        "auth": (milvus_auth, {"address": milvus_auth.address, "token": "root:Milvus", "db_name": "default"}),
        "tls": (milvus_tls, {"uri": milvus_tls.uri, **login}),
        "ca": (milvus_tls, {**parts(milvus_tls), **login}),
        "mtls": (milvus_mtls, {**parts(milvus_mtls), "secure": True, "token": "root:Milvus", **files}),
    }
    connections.add_connection(**{alias: told for alias, (_, told) in given.items()})
    assert connections.list_connections() == [(alias, None) for alias in given]
    assert mp.list_connections() == []
    of_tls = {"user": "root", "secure": True, "server_pem_path": ca}
    shown = {"auth": {}, "tls": of_tls, "ca": of_tls, "mtls": {"secure": True, **files}}
    for alias, (server, _) in given.items():
        assert connections.connect(alias).ping() > 0
        told = {"address": server.address, "user": "", "db_name": "default", **shown[alias]}
        assert connections.get_connection_addr(alias) == told


def test_the_database_is_shown(milvus_auth: MilvusServer) -> None:
    admin = mp.connect(uri=milvus_auth.uri, token="root:Milvus", profiles=mp.load(env={})).client()
    admin.create_database("shown")
    try:
        connections.connect("db", token="root:Milvus", db_name="shown", **parts(milvus_auth))
        [listed] = connections.list_connections()
        assert (listed.alias, listed.db_name, listed.address) == ("db", "shown", milvus_auth.address)
        assert "shown" in repr(listed)
        assert connections.get_connection_addr("db")["db_name"] == "shown"
        connections.disconnect("db")
        assert connections.connect("db").profile.db_name == "shown"
        # Another database of the same alias takes the place of the first.
        connections.connect("db", db_name="default")
        assert [info.db_name for info in mp.list_connections() if info.alias == "db"] == ["default"]
    finally:
        connections.remove_connection("db")
        admin.drop_database("shown")
        admin.close()


def test_another_credential_takes_the_place_of_the_one_before(milvus_auth: MilvusServer) -> None:
    connections.connect("db", token="root:Milvus", **parts(milvus_auth))
    with pytest.raises(errors.AuthenticationError):
        connections.connect("db", token="root:wrong")
    assert connections.connect("db").ping() > 0  # what failed is not remembered
    assert connections.connect("db", user="root", password="Milvus").ping() > 0
    assert len(mp.list_connections()) == 1


def test_an_alias_leads_to_one_place_at_a_time(milvus_auth: MilvusServer, milvus_plain: MilvusServer) -> None:
    conn = connections.connect("db", **parts(milvus_plain))
    for tell in (
        lambda: connections.connect("db", token="root:Milvus", **parts(milvus_auth)),
        lambda: connections.add_connection(db=parts(milvus_auth)),
    ):
        with pytest.raises(errors.ParamError, match="is connected to") as caught:
            tell()
        assert "connections.disconnect('db')" in str(caught.value)
    assert conn.ping() > 0
    assert connections.connect("DB", **parts(milvus_plain)) is conn
    slower = connections.connect("db", timeout=20)
    assert (conn.ping() > 0, slower.profile.timeout) == (True, 20)
    assert len(connections.list_connections()) == 1
    connections.disconnect("db")
    assert connections.connect("db", token="root:Milvus", **parts(milvus_auth)).ping() > 0


def test_threads_that_connect_one_alias_open_one_connection(milvus_plain: MilvusServer) -> None:
    with faults.tcp_proxy(milvus_plain.port) as proxy:
        opened = side_by_side(lambda: connections.connect("db", port=proxy.port), threads=16)
        assert proxy.connections == 1
        assert connections.has_connection("db")
        assert all(connection.ping() > 0 for connection in opened)


def test_the_end_of_an_alias_without_blocking_the_loop(milvus_plain: MilvusServer) -> None:
    async def main() -> None:
        connections.connect("a", **parts(milvus_plain))
        await connections.async_disconnect("a")
        assert not connections.has_connection("a")
        connections.connect("a")
        await connections.async_remove_connection("a")

    asyncio.run(main())
    assert connections.list_connections() == []


def test_milvus_lite(tmp_path: Path) -> None:
    conn = connections.connect("lite", uri="./x.db")
    assert "lite" in (conn.server_version or "")
    assert connections.get_connection_addr("lite")["address"] == str(tmp_path / "x.db")
    client = conn.client()
    client.create_collection("c", dimension=2)
    client.close()


def test_a_forked_child_connects_anew(milvus_plain: MilvusServer, tmp_path: Path) -> None:
    program = f"""
import os
{IMPORT}
connections.connect("a", host="127.0.0.1", port={milvus_plain.port})
if (child := os.fork()) == 0:
    before = connections.has_connection("a"), connections.list_connections()[0][1]
    print("child", before, connections.connect("a").ping() > 0, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print("parent", connections.has_connection("a"), connections.connect("a").ping() > 0)
"""
    done = run(program, tmp_path)
    assert done.stdout == "child (False, None) True\nparent True True\n", done.stderr


def test_a_declared_profile_is_used(milvus_auth: MilvusServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "milvus.toml"
    file.write_text(f'[profiles.prod]\nuri = "{milvus_auth.uri}"\ntoken = {{ env = "PROD_TOKEN" }}\n')
    monkeypatch.setenv("MILVUS_PROFILES_FILE", str(file))
    monkeypatch.setenv("PROD_TOKEN", "root:Milvus")
    conn = connections.connect("prod")
    assert conn.ping() > 0
    assert connections.get_connection_addr("PROD")["address"] == milvus_auth.address
    with mp.connect("prod"):
        assert len(mp.list_connections()) == 1  # one channel for both
    connections.disconnect("prod")
    assert mp.list_connections() == []
    # An address of the call is not given the secret of the file.
    with pytest.raises(errors.AuthenticationError):
        connections.connect("prod", host="localhost", port=milvus_auth.port)


def test_the_environment_hijacks_no_other_alias(
    milvus_auth: MilvusServer, milvus_plain: MilvusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILVUS_URI", milvus_auth.uri)
    monkeypatch.setenv("MILVUS_TOKEN", "root:Milvus")
    assert connections.connect().endpoint.port == milvus_auth.port
    with pytest.raises(errors.UnknownProfileError):
        connections.connect("b", token="root:Milvus")
    connections.add_connection(b=parts(milvus_plain))
    assert connections.connect("b", token="anything").endpoint.port == milvus_plain.port
    monkeypatch.setenv("MILVUS_CONN_ALIAS", "named")
    assert connections.connect().alias == "named"


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"handler": "HTTP"}, NotImplementedError, "'HTTP'"),
        ({"pool": "Threads"}, errors.ParamError, "SingletonThread"),
        ({"pool": {"max_total": 3}}, errors.ParamError, "not supported"),
        ({"tokne": "x"}, errors.ParamError, "did you mean 'token'"),
        ({"secure": "yes"}, errors.ParamError, "secure must be True or False"),
        ({"port": "a"}, errors.ParamError, "port must be a number"),
        ({"port": 70000}, errors.ConfigError, "port"),
        ({"host": 7}, errors.ParamError, "host must be text, not int"),
        ({"uri": "http://root:pw@localhost"}, errors.ConfigError, "uri"),
        ({"timeout": "soon"}, errors.ConfigError, "timeout"),
        ({"client_pem_path": "/nowhere.pem"}, errors.ConfigError, "ssl"),
        ({"host": "localhost", "password": "x"}, errors.ConfigError, "user"),
    ],
    ids=str,
)
def test_wrong_arguments(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    for tell in (
        lambda: connections.connect("a", **{"host": "localhost", **arguments}),
        lambda: connections.add_connection(a={"host": "localhost", **arguments}),
    ):
        with pytest.raises(error, match=words):
            tell()
    assert connections.list_connections() == []


@pytest.mark.parametrize("ask", ["connect", "disconnect", "remove_connection", "get_connection_addr", "has_connection"])
def test_an_alias_is_text(ask: str) -> None:
    with pytest.raises(ValueError, match="alias must be text, not int") as caught:
        getattr(connections, ask)(7)
    assert isinstance(caught.value, mp.ParamError)
    assert isinstance(caught.value, mp.ConfigError)
    assert (caught.value.code, caught.value.exit_status) == ("config", 3)
    with pytest.raises(errors.ConfigError, match="not a valid alias"):
        connections.connect("no alias", host="localhost")


def test_one_wrong_alias_adds_none() -> None:
    with pytest.raises(errors.ParamError, match="'b' needs a dictionary"):
        connections.add_connection(a={"host": "h"}, b="h")  # type: ignore[arg-type]
    with pytest.raises(errors.ParamError):
        connections.add_connection(a={"host": "h"}, b={"host": "h", "x": 1})
    assert connections.list_connections() == []


def test_what_pymilvus_takes_and_we_need_not(milvus_plain: MilvusServer) -> None:
    conn = connections.connect(
        "a", None, None, None, None,  # type: ignore[arg-type]
        handler="GRPC", pool="QueuePool", keep_alive=True, secure=False, timeout=5,
        server_pem_path="", call_timeout=7, **parts(milvus_plain),
    )  # fmt: skip
    assert (conn.profile.timeout, conn.profile.call_timeout) == (5, 7)


def test_a_hanging_server_delays_no_other_alias(milvus_plain: MilvusServer) -> None:
    with faults.slow_server(30) as hole, ThreadPoolExecutor(1) as thread:
        hanging = thread.submit(connections.connect, "hole", port=hole.port, timeout=2)
        assert hole.wait_for_connections(1)
        assert connections.connect("good", **parts(milvus_plain)).ping() > 0
        assert not hanging.done()
        with pytest.raises(errors.UnreachableError):
            hanging.result(30)


def test_the_package_is_the_face() -> None:
    assert mp.connections is connections
    assert {"connect", "add_connection", "list_connections"} <= set(dir(connections))
    with pytest.raises(AttributeError):
        getattr(connections, "Coll" + "ection")
    theirs = import_with_pymilvus("pymilvus").connections
    public = {name for name, _ in inspect.getmembers(theirs, inspect.isroutine) if not name.startswith("_")}
    assert "get_connection_addr" in public
    assert public <= set(dir(connections))


TOLD = (
    PROGRAM.split("for alias in sys.argv[1:]:\n    fail(alias)")[0]
    + """\
import pathlib
from milvus_profiles import connections
secret = lambda: pathlib.Path(sys.argv[1]).read_text()
host, port, refused = "127.0.0.1", *sys.argv[2:]

def opened():
    for given in ({"token": "canary:" + secret()}, {"user": "canary", "password": secret()}):
        connections.add_connection(kept={"host": host, "port": port, **given})
        connection = connections.connect("kept")
        print("CONNECTED", connection.ping() > 0)
        everything_in(connections.list_connections()[0], {})
        print(connections.list_connections(), connections.get_connection_addr("kept"), vars(connections))
        connections.remove_connection("kept")

tries = [
    lambda: connections.connect("a", "root", secret(), host=host, port=port),
    lambda: connections.connect("a", token=secret(), host=host, port=port),
    lambda: connections.connect("a", token=secret(), host=host, port=refused),
    lambda: connections.connect("a", token=secret(), host=host, port=port, tokn="x"),
    lambda: connections.connect("a", token=secret(), host=host, port=port, pool="x"),
    lambda: connections.connect("a", token=secret(), host=host, port=port, handler="x"),
    lambda: connections.connect("a", token=secret(), uri="192.0.2.1:1"),
    lambda: connections.connect("a", token=secret()),
    lambda: connections.connect("a", tokn=secret(), host=host, port=port),
    lambda: connections.add_connection(a={"host": host, "port": "x", "token": secret()}),
    lambda: connections.add_connection(a={"uri": "192.0.2.1:1", "token": secret()}),
    lambda: connections.add_connection(a=secret()),
]
opened()
for number, attempt in enumerate(tries):
    try:
        attempt()
    except (mp.MilvusProfilesError, NotImplementedError) as error:
        print("FAILED", number, type(error).__name__)
        everything_about(error)
"""
)


def test_no_secret_shows(cli: Command, tmp_path: Path, milvus_auth: MilvusServer) -> None:
    secret, script = tmp_path / "secret", tmp_path / "program.py"
    secret.write_text(CANARY)
    script.write_text(TOLD)
    python = Command([sys.executable, script], cli.home, cli.cwd)
    with administrator(milvus_auth, "canary", CANARY), faults.refused_port() as refused:
        done = python(secret, str(milvus_auth.port), str(refused), timeout=120, status=0)
    assert done.stdout.count("CONNECTED True") == 2
    assert sum(line.startswith("FAILED") for line in done.stdout.splitlines()) == 12
    assert not leaks(done.stdout)
    assert not leaks(done.stderr)
