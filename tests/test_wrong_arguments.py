"""Arguments of a wrong type are refused by name, before anything is opened, whichever public function got them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import milvus_profiles as mp
from tests.support.environment import run_python

URI = "http://127.0.0.1:1"
WRONG: Any = ["c4n4ry"]
BAD: Any = "c4n4ry"
# What type checkers refuse, as tests/test_typing.py shows.
POSITIONAL: Any = [mp.Profile, mp.PoolSettings, mp.SSL, mp.ConnectionPool, mp.aio.ConnectionPool]


@pytest.fixture
def profiles(tmp_path: Path) -> mp.Profiles:
    (tmp_path / "milvus.toml").write_text(f'[profiles.prod]\nuri = "{URI}"\n')
    return mp.load(tmp_path / "milvus.toml", env={"HOME": str(tmp_path)})


ALIAS = "an alias or a Profile is wanted, not a value of the type list"
PROFILES = r"profiles= is what load\(\) returns, not a value of the type list"


def seconds(name: str) -> str:
    return f"{name}= is a number of seconds, not a value of the type list"


CALLS: dict[str, tuple[Callable[[mp.Profiles], object], str]] = {
    "connect an alias": (lambda _: mp.connect(WRONG), ALIAS),
    "connect bytes": (lambda p: mp.connect(WRONG[0].encode(), profiles=p), "not a value of the type bytes"),
    "connect profiles=": (lambda _: mp.connect("prod", profiles=WRONG), PROFILES),
    "connect dedicated=": (lambda p: mp.connect("prod", profiles=p, dedicated=WRONG), "dedicated= is True or False"),
    "connect wait_ready=": (lambda p: mp.connect("prod", profiles=p, wait_ready=WRONG), seconds("wait_ready")),
    "connect timeout=": (lambda p: mp.connect("prod", profiles=p, timeout=WRONG), seconds("timeout")),
    "disconnect": (lambda _: mp.disconnect(WRONG), ALIAS),
    "disconnect grace=": (lambda _: mp.disconnect("prod", grace=WRONG), seconds("grace")),
    "disconnect_all grace=": (lambda _: mp.disconnect_all(grace=WRONG), seconds("grace")),
    "has_connection": (lambda _: mp.has_connection(WRONG), ALIAS),
    "load": (lambda _: mp.load(WRONG), "file= is a path"),
    "load env=": (lambda _: mp.load(env=WRONG), "env= is a mapping of variables"),
    "load cwd=": (lambda _: mp.load(cwd=WRONG), "cwd= is a path"),
    "diagnose": (lambda _: mp.diagnose(WRONG), ALIAS),
    "diagnose profiles=": (lambda _: mp.diagnose("prod", profiles=WRONG), PROFILES),
    "diagnose timeout=": (lambda p: mp.diagnose("prod", profiles=p, timeout=WRONG), seconds("timeout")),
    "diagnose wait_ready=": (lambda p: mp.diagnose("prod", profiles=p, wait_ready=WRONG), seconds("wait_ready")),
    "diagnose on_stage=": (lambda p: mp.diagnose("prod", profiles=p, on_stage=WRONG), "on_stage= is a function"),
    "connection_args": (lambda _: mp.connection_args(WRONG), ALIAS),
    "connection_args profiles=": (lambda _: mp.connection_args("prod", profiles=WRONG), PROFILES),
    "select": (lambda p: p.select(WRONG), ALIAS),
    "resolve": (lambda p: p.resolve(WRONG), ALIAS),
    "connect ssl=": (lambda _: mp.connect(uri=URI, ssl=BAD), "ssl must be true or false, or a table with ca, cert"),
    "connect retry=": (lambda _: mp.connect(uri=URI, retry=BAD), r"such as retry=Retry\(attempts=4\)"),
    "connect keepalive=": (lambda _: mp.connect(uri=URI, keepalive=BAD), r"such as keepalive=Keepalive\(time=330.0\)"),
    "connect pool=": (lambda _: mp.connect(uri=URI, pool=BAD), r"such as pool=PoolSettings\(mode='shared'\)"),
    "Profile ssl=": (lambda _: mp.Profile(alias="x", uri=URI, ssl=BAD), r"such as ssl=SSL\(ca='PATH'\)"),
    "Profile keepalive=": (lambda _: mp.Profile(alias="x", uri=URI, keepalive=BAD), "a table with time, timeout"),
    "Profile": (lambda _: POSITIONAL[0](WRONG), r"by name.*\n.*write Profile\(alias=…\); its fields are alias, desc"),
    "PoolSettings": (lambda _: POSITIONAL[1](WRONG, max_channels=3), r"write PoolSettings\(mode=…\)"),
    "SSL": (lambda _: POSITIONAL[2](WRONG), r"write SSL\(ca=…\)"),
    "pool max_channels=": (
        lambda _: POSITIONAL[3](max_channels=WRONG),
        r"settings are one object: ConnectionPool\(PoolSettings\(max_channels=…\)\)",
    ),
    "pool max_chanels=": (lambda _: POSITIONAL[3](max_chanels=WRONG), r"PoolSettings\(max_channels=…\)"),
    "pool nonsense=": (lambda _: POSITIONAL[3](nonsense=WRONG), "unknown argument 'nonsense'"),
    "aio pool max_total=": (lambda _: POSITIONAL[4](max_total=WRONG), r"aio.ConnectionPool\(PoolSettings\(max_total=…"),
    "pool profiles=": (lambda _: mp.ConnectionPool(profiles=WRONG), PROFILES),
    "pool settings=": (lambda _: mp.ConnectionPool(WRONG), "settings= is no PoolSettings but a list"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_function_says_which_argument_is_wrong(profiles: mp.Profiles, name: str) -> None:
    call, said = CALLS[name]
    with pytest.raises(mp.ConfigError, match=said) as caught:
        call(profiles)
    assert "c4n4ry" not in str(caught.value)
    assert mp.list_connections() == []


@pytest.mark.parametrize("module", [mp, mp.aio], ids=lambda module: module.__name__)
def test_a_name_that_is_nearly_public_is_suggested(module: Any) -> None:
    for name in module.__all__:
        if name.startswith("_"):
            continue
        wrong = f"{name[:-2]}{name[-1]}"
        near = {other for other in module.__all__ if abs(len(other) - len(name)) < 3}
        with pytest.raises(AttributeError) as caught:
            getattr(module, wrong)
        said = str(caught.value)
        assert any(said.endswith(f"has no attribute {wrong!r}; did you mean {one!r}?") for one in near), said
    with pytest.raises(AttributeError, match=r"has no attribute 'nonsense_of_mine'$"):
        module.nonsense_of_mine  # noqa: B018
    assert not hasattr(module, "__wrapped__")


def test_a_traceback_suggests_it_once(tmp_path: Path) -> None:
    program = "import milvus_profiles as mp\nmp.conect('prod')\n"
    done = run_python(program, cwd=tmp_path)
    assert done.stderr.lower().count("did you mean") == 1
    assert done.stderr.endswith("has no attribute 'conect'; did you mean 'connect'?\n")


POOL: dict[str, tuple[Callable[[Any], Any], str]] = {
    "get_client": (lambda pool: pool.get_client(WRONG), ALIAS),
    "get_client None": (lambda pool: pool.get_client(None), "not a value of the type NoneType"),
    "get_client timeout=": (lambda pool: pool.get_client("prod", timeout=WRONG), seconds("timeout")),
    "return_client": (lambda pool: pool.return_client("prod", WRONG), "the connection is not from this pool"),
    "prepare": (lambda pool: pool.prepare(WRONG), ALIAS),
    "prepare timeout=": (lambda pool: pool.prepare("prod", timeout=WRONG), seconds("timeout")),
    "configure": (lambda pool: pool.configure(WRONG, mp.PoolSettings()), ALIAS),
    "configure settings=": (lambda pool: pool.configure("prod", WRONG), "settings= is no PoolSettings but a list"),
    "clear": (lambda pool: pool.clear(WRONG), ALIAS),
    "close timeout=": (lambda pool: pool.close(WRONG), seconds("timeout")),
}


@pytest.mark.parametrize("name", POOL)
def test_so_does_a_pool(profiles: mp.Profiles, name: str) -> None:
    call, said = POOL[name]
    with mp.ConnectionPool(profiles=profiles) as pool:
        with pytest.raises(mp.MilvusProfilesError, match=said):
            call(pool)
        for count in (pool.idle_count, pool.active_count):
            with pytest.raises(mp.ParamError, match=ALIAS):
                count(WRONG)
        with pytest.raises(mp.ParamError, match=ALIAS), pool.lease(WRONG):
            pass


ASYNCIO: dict[str, tuple[Callable[[mp.Profiles], Awaitable[object]], str]] = {
    "connect": (lambda _: mp.aio.connect(WRONG), ALIAS),
    "connect profiles=": (lambda _: mp.aio.connect("prod", profiles=WRONG), PROFILES),
    "connect wait_ready=": (lambda p: mp.aio.connect("prod", profiles=p, wait_ready=WRONG), seconds("wait_ready")),
    "disconnect": (lambda _: mp.aio.disconnect(WRONG), ALIAS),
    "disconnect grace=": (lambda _: mp.aio.disconnect("prod", grace=WRONG), seconds("grace")),
    "disconnect_all grace=": (lambda _: mp.aio.disconnect_all(grace=WRONG), seconds("grace")),
    "diagnose": (lambda _: mp.aio.diagnose(WRONG), ALIAS),
}


@pytest.mark.parametrize("name", ASYNCIO)
async def test_so_does_the_face_for_asyncio(profiles: mp.Profiles, name: str) -> None:
    call, said = ASYNCIO[name]
    with pytest.raises(mp.ParamError, match=said):
        await call(profiles)
    with pytest.raises(mp.ParamError, match=ALIAS):
        mp.aio.has_connection(WRONG)


@pytest.mark.parametrize("name", POOL)
async def test_so_does_a_pool_for_asyncio(profiles: mp.Profiles, name: str) -> None:
    call, said = POOL[name]
    async with mp.aio.ConnectionPool(profiles=profiles) as pool:
        with pytest.raises(mp.MilvusProfilesError, match=said):
            await call(pool)


def test_a_key_that_is_no_alias_is_one_that_the_mapping_has_not(profiles: mp.Profiles) -> None:
    wrong: Any = 5
    assert profiles.get(wrong) is None
    assert wrong not in profiles
    with pytest.raises(KeyError, match="there is no profile '5'"):
        profiles[wrong]


def test_more_findings_in_a_call_are_counted_and_no_command_is_named_that_would_not_look_at_them() -> None:
    wrong: Any = {"port": 70000, "db_name": "a b"}
    with pytest.raises(mp.ConfigError) as caught:
        mp.connect(host="h", **wrong)
    assert caught.value.hint == "correct it: connect with port=VALUE (1 more)"
