"""A profile that a program has in its hands, and what `connect` says of arguments that it does not know."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import milvus_profiles as mp
from milvus_profiles.config.fields import FIELDS
from milvus_profiles.profile import ProfileFields
from tests.support import scripted_grpc
from tests.support.files import written
from tests.support.pool_shells import Asyncio, Threads


@pytest.fixture
def uri(server: scripted_grpc.ScriptedServer) -> Iterator[str]:
    yield f"http://127.0.0.1:{server.port}"
    mp.disconnect_all()


@pytest.fixture
def profiles(tmp_path: Path, uri: str) -> mp.Profiles:
    path = written(tmp_path / "milvus.toml", f'[profiles.prod]\nuri = "{uri}"\n')
    return mp.load(path, env={"HOME": str(tmp_path)})


def test_a_profile_of_the_files_connects_as_by_its_name(profiles: mp.Profiles) -> None:
    profile = profiles["prod"]
    with profile.connect() as one, mp.connect(profile) as two, profiles.connect("prod") as three:
        assert {one.alias, two.alias, three.alias} == {"prod"}
        assert [(info.alias, info.handles) for info in mp.list_connections()] == [("prod", 3)]


def test_what_a_program_changed_in_it_is_the_calls(profiles: mp.Profiles) -> None:
    changed = profiles["prod"].model_copy(update={"call_timeout": 3.0})
    with mp.connect(changed) as connection:
        assert connection.profile.call_timeout == 3.0
    with mp.connect(changed, call_timeout=4.0) as connection:
        assert connection.profile.call_timeout == 4.0


def test_a_profile_that_a_program_made_has_a_channel_of_its_own(uri: str) -> None:
    profile = mp.Profile(alias="mine", uri=uri, db_name="d", retry=False, keepalive=mp.Keepalive(time=20))
    with profile.connect() as connection, mp.connect(profile) as other:
        assert connection.profile == profile
        assert [(info.alias, info.handles) for info in mp.list_connections()] == [("mine", 1), ("mine", 1)]
        assert other.profile.db_name == "d"
    assert mp.list_connections() == []
    with pytest.raises(mp.ConfigError, match="no profile and no address was given"):
        mp.Profile(alias="mine", timeout=3).connect()


def test_another_address_parts_a_profile_from_its_secret(uri: str) -> None:
    calls: list[scripted_grpc.Call] = []

    def script(call: scripted_grpc.Call) -> Any:
        calls.append(call)
        return scripted_grpc.milvus_answer(call)

    secret: Any = "c4n4ry"
    made = mp.Profile(alias="mine", uri="https://elsewhere.example", user="root", password=secret, db_name="d")
    with scripted_grpc.scripted_server(script) as server:
        with mp.connect(made, uri=f"http://127.0.0.1:{server.port}") as connection:
            assert connection.profile.credential is None
        with mp.connect(made, host="127.0.0.1", port=server.port) as connection:
            assert (connection.profile.user, connection.profile.db_name) == (None, "d")
    assert calls
    assert not any("authorization" in dict(call.metadata) for call in calls)


def test_a_client_takes_no_argument_that_would_carry_the_secret_elsewhere(profiles: mp.Profiles) -> None:
    pytest.importorskip("pymilvus")
    with profiles.connect("prod") as connection:
        with pytest.raises(mp.ParamError, match="uri= leads elsewhere"):
            connection.client(uri="http://127.0.0.1:1")
        for name in ("user", "password", "alias"):
            wrong: dict[str, Any] = {name: "x"}
            with pytest.raises(mp.ParamError, match=f"{name}= has no effect"):
                connection.client(**wrong)


async def test_a_profile_stands_where_an_alias_does(profiles: mp.Profiles) -> None:
    profile = profiles["prod"]
    assert mp.diagnose(profile).ok
    assert (await mp.aio.diagnose(profile)).ok
    with pytest.raises(mp.ParamError, match="in no file to be tested"):
        mp.diagnose(mp.Profile(alias="mine", uri="h"))
    profile.connect()
    assert mp.has_connection(profile)
    mp.disconnect(profile)
    assert not mp.has_connection(profile)
    await mp.aio.connect(profile)
    assert mp.aio.has_connection(profile)
    await mp.aio.disconnect(profile)
    assert not mp.aio.has_connection(profile)


@pytest.mark.parametrize("made", [False, True], ids=["declared", "made by the program"])
@pytest.mark.parametrize("kind", [Threads, Asyncio])
async def test_a_pool_takes_a_profile_for_a_key(kind: Any, profiles: mp.Profiles, uri: str, made: bool) -> None:
    key = mp.Profile(alias="mine", uri=uri) if made else profiles["prod"]
    do, entered = kind().do, kind().entered
    async with entered(kind.pool_class(profiles=profiles)) as pool:
        await do(pool.prepare, key)
        assert pool.idle_count(key) == pool.idle_count(key.alias) == 1
        await do(pool.configure, key, mp.PoolSettings(max_uses=100))
        async with entered(pool.lease(key)) as connection, entered(pool.lease(key.alias)) as other:
            assert connection.alias == other.alias == key.alias
            assert pool.active_count(key) == 2
        await do(pool.return_client, key.alias, await do(pool.get_client, key))
        await do(pool.return_client, key, await do(pool.get_client, key.alias))
        await do(pool.clear, key)
        assert pool.active_count(key) == 0


def test_one_key_of_a_pool_is_one_profile(profiles: mp.Profiles) -> None:
    profile = profiles["prod"]
    with mp.ConnectionPool(profiles=profiles) as pool:
        with pool.lease("prod"), pool.lease(profile):
            pass
        with pytest.raises(mp.ParamError, match="knows another profile 'prod'"):
            pool.get_client(profile.model_copy(update={"call_timeout": 3.0}))


def test_the_arguments_of_a_client_are_had_of_a_profile_too(profiles: mp.Profiles, uri: str) -> None:
    assert mp.connection_args(profiles["prod"]) == mp.connection_args("prod", profiles=profiles)
    made = mp.Profile(alias="mine", uri=uri, db_name="d")
    assert (mp.connection_args(made)["uri"], mp.connection_args(made)["db_name"]) == (uri, "d")
    with pytest.raises(mp.ParamError, match="no shared connection of it"):
        mp.connection_args(made, channel=True)


def test_the_orm_works_on_a_profile(profiles: mp.Profiles, uri: str) -> None:
    pytest.importorskip("pymilvus")
    for profile in (profiles["prod"], mp.Profile(alias="mine", uri=uri)):
        connection = mp.orm(profile)
        assert (connection.alias, f"{connection.endpoint}") == (profile.alias, uri)
        assert mp.connections.has_connection(profile.alias)
    # What the program made is known by its alias from then on.
    mp.connections.disconnect("mine")
    assert mp.connections.connect("mine").endpoint == connection.endpoint
    for alias in ("prod", "mine"):
        mp.connections.remove_connection(alias)


def test_a_profile_is_a_key_of_the_profiles(profiles: mp.Profiles) -> None:
    profile = profiles["prod"]
    assert profiles[profile] == profile
    assert profiles.select(profile).alias == profiles.resolve(profile).profile.alias == "prod"


def test_where_a_profile_was_taken_from_makes_no_difference_between_two(profiles: mp.Profiles) -> None:
    profile = profiles["prod"]
    made = mp.Profile(alias="prod", uri=profile.uri)
    assert profile == made == copy.deepcopy(profile) == pickle.loads(pickle.dumps(profile))
    assert hash(profile) == hash(made)


def test_a_profile_of_an_untrusted_file_needs_trust_whatever_became_of_the_object(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "milvus.toml").write_text(f'[profiles.evil]\nuri = "{uri}"\ntoken = {{env = "CANARY"}}\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CANARY", "c4n4ry")
    profile = mp.load()["evil"]
    for one in (
        profile,
        copy.copy(profile),
        copy.deepcopy(profile),
        pickle.loads(pickle.dumps(profile)),
        profile.model_copy(update={"timeout": 3.0}),
    ):
        with pytest.raises(mp.UntrustedError):
            mp.connect(one)
        with pytest.raises(mp.UntrustedError):
            one.connect()


MEANT = {"database": "db_name", "Database": "db_name", "profile": "alias", "url": "uri", "api_key": "token",
         "secure": "ssl", "dedicatd": "dedicated", "alais": "alias", "usr": "user"}  # fmt: skip


@pytest.mark.parametrize(("name", "meant"), MEANT.items())
def test_an_argument_that_there_is_not_has_a_suggestion(name: str, meant: str) -> None:
    wrong: dict[str, Any] = {name: "x"}
    with pytest.raises(mp.ConfigError, match=f"unknown field '{name}'") as caught:
        mp.connect(uri="http://127.0.0.1:1", **wrong)
    assert caught.value.hint == f"did you mean {meant!r}?"


@pytest.mark.parametrize("text", ["http://h", "h:19530", "./milvus.db"])
def test_an_address_in_the_place_of_an_alias_is_recognised(text: str, profiles: mp.Profiles) -> None:
    with pytest.raises(mp.UnknownProfileError) as caught:
        mp.connect(text, profiles=profiles)
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("that is an address: connect(uri=…) in a program")


@pytest.mark.parametrize("text", ["root:hunter2", "root:123456", "http://root:hunter2@h"])
def test_a_user_with_a_password_is_no_address(text: str, profiles: mp.Profiles) -> None:
    with pytest.raises(mp.UnknownProfileError) as caught:
        mp.connect(text, profiles=profiles)
    assert "address" not in (caught.value.hint or "")


def test_a_port_may_be_a_text_of_digits(uri: str) -> None:
    with mp.connect(host="127.0.0.1", port=uri.rpartition(":")[2]) as connection:
        assert f"http://127.0.0.1:{connection.endpoint.port}" == uri
    for wrong in ("x", "1.5", "٣", "-1", "70000"):
        with pytest.raises(mp.ConfigError, match="port"):
            mp.connect(host="127.0.0.1", port=wrong)


def test_the_typed_fields_are_the_fields_of_a_profile() -> None:
    assert set(ProfileFields.__annotations__) == set(FIELDS) - {"extends", "timeout"}


# --- classes of errors that Python has too ---------------------------------------------------------------------------


PYTHONS: dict[type[Exception], tuple[type[mp.MilvusProfilesError], ...]] = {
    ConnectionError: (mp.UnreachableError, mp.DatabaseInUseError),
    TimeoutError: (mp.ConnectTimeoutError, mp.PoolTimeoutError),
    PermissionError: (mp.AuthenticationError, mp.PermissionDeniedError),
    ImportError: (mp.MissingExtraError,),
    KeyError: (mp.UnknownProfileError,),
    ValueError: (mp.ParamError,),
}


@pytest.mark.parametrize("pythons", PYTHONS)
def test_errors_are_pythons_too_where_it_has_a_class(pythons: type[Exception]) -> None:
    for ours in PYTHONS[pythons]:
        assert issubclass(ours, pythons)
        assert str(ours("it failed", hint="do this")) == "it failed\nhint: do this"
