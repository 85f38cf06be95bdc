"""Profiles of plain values: what connects without the models is what the models would make of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from milvus_profiles import SSL, Keepalive, Profile, Retry
from milvus_profiles.config.fields import FIELDS
from milvus_profiles.config.invalid import validate
from milvus_profiles.config.layers import standing_of
from milvus_profiles.config.resolved import plain_profile
from milvus_profiles.config.values import Origin, RawProfile, Value
from milvus_profiles.connectable import Connectable, PlainProfile, comparable
from milvus_profiles.live.spec import SpecKey
from milvus_profiles.masked import SecretText
from milvus_profiles.references import CommandRef, EnvRef, FileRef, KeyringRef
from tests.support.certificates import Certificates
from tests.support.environment import run_python
from tests.support.files import written
from tests.support.milvus import MilvusServer

# --- the two agree ----------------------------------------------------------------------------------------------------

HOSTS = st.one_of(
    st.sampled_from(["localhost", "h", "127.0.0.1", "10.0.0.256", "1.2.3", "a..b", "a-", "x.y.", "h" * 64, "0x7f.1"]),
    st.text("abc019.-", min_size=1, max_size=20),
)
PORTS = st.sampled_from([1, 443, 19530, 65535, 0, 65536, True, 80.0])
WORDS = st.one_of(st.sampled_from(["root", "default", "a.b", "u@x"]), st.text("aZ_9.@- :$", max_size=8))
DATABASES = st.sampled_from(["", "", "", "/", "/default", "/root", "/a.b"])
URIS = st.one_of(
    st.builds("{}{}{}{}".format, st.sampled_from(["", "http://", "https://", "tcp://", "HTTPS://"]), HOSTS,
              st.sampled_from(["", ":19530", ":1", ":0", ":70000", ":"]), DATABASES),
    st.sampled_from(["/m.db", "/tmp/x", "unix:/run/m.sock", "[::1]:19530", "http://[::1]", "u@h", "a:b@h"]),
)  # fmt: skip
TIMES = st.sampled_from([1, 0.001, 5e-324, 3600, 3601, 86400.0, 0, -1, True, float("nan"), float("inf"), None])
TEXTS = st.one_of(st.none(), st.text("a \"'${}\\<é\n", max_size=6), st.sampled_from(["x" * 1001, "x" * 70_000]))
TOKENS = st.builds(SecretText, st.one_of(st.sampled_from(["root:Milvus", "***", "a b", "x" * 20_000, "<token>"]),
                                         st.text("aZ9:.@*\n é'$", min_size=1, max_size=8)))  # fmt: skip
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "description": TEXTS,
    "uri": URIS,
    "host": HOSTS,
    "port": PORTS,
    "user": WORDS,
    "db_name": WORDS,
    "ssl": st.sampled_from([True, False, None, 1, "true"]),
    "ssl.ca": st.sampled_from(["/", "/nowhere/ca.pem", __file__]),
    "ssl.cert": st.sampled_from(["/nowhere/c.pem", "/../x"]),
    "ssl.key": st.sampled_from(["/nowhere/k.pem"]),
    "ssl.server_name": HOSTS,
    "timeout": TIMES,
    "call_timeout": TIMES,
    "management_port": PORTS,
    "allow_insecure": st.sampled_from([True, False, 0, "no"]),
    "protected": st.booleans(),
    "extends": WORDS,
    **{f"{name}{form}": strategy for name in ("token", "password") for form, strategy in {
        "": TOKENS,
        ".keyring": st.sampled_from([True, False, 1]),
        ".env": st.sampled_from(["A", "_B9", "9", "A B", "A" * 300]),
        ".file": st.sampled_from(["/f", "/a/../b", "//f", "/f/", "/a b", "/${HOME}"]),
    }.items()},
    "retry": st.booleans(),
    "proxy": st.sampled_from([None, "http://p:1"]),
}  # fmt: skip

# An address and up to three more, so that half of them are plain.
FEW = st.lists(st.sampled_from([name for name in VALUES if name not in ("uri", "host")]), max_size=3, unique=True)
FIELDS_OF_CALLS = st.tuples(st.sampled_from([["uri"], ["host"], ["host", "port"], []]), FEW).flatmap(
    lambda names: st.fixed_dictionaries({name: VALUES[name] for name in [*names[0], *names[1]]})
)


def raw_of(fields: dict[str, Any], alias: str = "prod") -> RawProfile:
    values = {tuple(name.split(".")): Value(value, Origin("call", f"{name}=")) for name, value in fields.items()}
    return RawProfile(alias, values, [], Origin("call", "connect()"), None)


def told(profile: Connectable) -> dict[str, Any]:
    """All that connecting asks of a profile, in a form that does not tell how it was made."""
    found = {name: comparable(getattr(profile, name)) for name in ("alias", *FIELDS) if name != "pool"}
    found |= {name: getattr(profile, name) for name in ("is_template", "auth", "untrusted", "standing")}
    if profile.credential is not None:
        found["credential"] = (profile.credential.kind, comparable(profile.credential.source), profile.credential.user)
    if not profile.is_template:
        found |= {"address": profile.address, "endpoint": profile.endpoint, "tls": comparable(profile.tls)}
        found["key"] = SpecKey.of(profile)
    return found


@given(FIELDS_OF_CALLS)
@example({"uri": "http://localhost:19530/a", "db_name": "a", "token": SecretText("root:Milvus"), "timeout": 3})
@example({"host": "h", "port": 1, "user": "u", "password.env": "A", "ssl.server_name": "x", "call_timeout": 1})
@example({"uri": "/m.db", "user": "root"})
@example({"uri": "https://h", "token.keyring": True, "user": "u"})
@example({"uri": "https://h", "token.file": "/a/../b"})
@example({"uri": "https://h", "ssl": True, "ssl.server_name": "x"})
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.too_slow])
def test_what_is_plain_is_what_the_models_make_of_it(fields: dict[str, Any]) -> None:
    raw = raw_of(fields)
    for check_files in (False, True):
        plain = plain_profile(raw, check_files=check_files)
        event("plain" if plain is not None else "for the models")
        if plain is None:
            continue
        model = validate(raw, check_files=check_files)
        assert isinstance(model, Profile)
        assert told(plain) == told(model.placed(standing_of(raw)))
        assert type(plain.timeout) is type(model.timeout) is float
        assert plain.validated() == model
        assert plain.validated() is plain.validated()


class Text(str):
    """What is no plain text, though it looks like one."""

    __slots__ = ()


USUAL: list[dict[str, Any]] = [
    {"uri": "http://localhost:19530", "token": SecretText("root:Milvus")},
    {"uri": "https://in01.example.com/db", "token.env": "TOKEN", "timeout": 5, "description": "the one"},
    {"host": "milvus.internal", "port": 443, "ssl": True, "user": "root"},
    {"host": "h", "user": "root", "password.file": "/run/secret", "extends": "base", "call_timeout": 2.5},
    {"uri": "/data/m.db"},
    {"uri": "h", "token": None, "user": None, "db_name": None},
]
FOR_THE_MODELS: list[dict[str, Any]] = [
    {"uri": Text("http://h")},
    {"uri": "h", "retry": False},
    {"uri": "h", "proxy": "http://p:1"},
    {"uri": "h", "keepalive.time": 10},
    {"uri": "h", "pool.max_channels": 2},
    {"uri": "h", "token.command": ["op"]},
    {"uri": "h", "nonsense": 1},
    {"uri": "h", "timeout": None},
    {"uri": "h", "ssl.ca": "/nowhere"},
    {"uri": "h", "ssl.ca": __file__, "ssl.cert": "/x"},
]


@pytest.mark.parametrize("fields", [*USUAL, *FOR_THE_MODELS])
def test_usual_profiles_are_plain_and_everything_else_is_for_the_models(fields: dict[str, Any]) -> None:
    assert (plain_profile(raw_of(fields)) is not None) == (fields in USUAL)


def test_no_alias_is_plain_that_the_model_refuses() -> None:
    for alias in ("a--b", "a" * 65, "é", ""):
        assert plain_profile(raw_of({"uri": "h"}, alias)) is None


def test_certificates_are_plain_where_they_are_some(certificates: Certificates, tmp_path: Path) -> None:
    raw = raw_of({"uri": "https://h", "ssl.ca": str(certificates.ca)})
    plain = plain_profile(raw)
    assert plain is not None
    model = validate(raw)
    assert isinstance(model, Profile)
    assert SpecKey.of(plain) == SpecKey.of(model)
    assert SpecKey.of(plain).way[-1]
    no_pem = written(tmp_path / "ca.pem", "none")
    assert plain_profile(raw_of({"uri": "https://h", "ssl.ca": str(no_pem)})) is None


def test_every_part_of_a_table_counts_where_two_are_compared() -> None:
    for made in (SSL(), Retry(), Keepalive()):
        key = comparable(made)
        assert isinstance(key, tuple)
        assert len(key) - 1 == len(type(made).model_fields)
    for one, other in (
        (SSL(), SSL(server_name="x")),
        (Retry(), Retry(max=2.0)),
        (Keepalive(), Keepalive(timeout=9.0)),
        (EnvRef(env="A"), EnvRef(env="B")),
        (EnvRef(env="/a"[1:]), FileRef(file="/a")),
        (KeyringRef(keyring=True), EnvRef(env="A")),
        (CommandRef(command=("op",)), CommandRef(command=("op",), pass_env=("A",))),
    ):
        assert comparable(one) == comparable(type(one).model_validate(one.model_dump()))
        assert comparable(one) != comparable(other)


def test_a_plain_profile_does_not_change_and_shows_no_secret() -> None:
    plain = plain_profile(raw_of({"uri": "http://localhost", "token": SecretText("canary-7f3a")}))
    assert isinstance(plain, PlainProfile)
    with pytest.raises(AttributeError):
        plain.timeout = 1.0
    with pytest.raises(AttributeError):
        del plain.token
    assert "canary" not in f"{plain!r} {plain} {vars(plain)}"


# --- and connects without pydantic ------------------------------------------------------------------------------------

PROGRAM = """
import asyncio, sys
import milvus_profiles as mp

def heavy():
    return sorted({"pydantic", "pydantic_core", "importlib.metadata"} & sys.modules.keys())

def look(conn):
    print(heavy())
    found = conn.profile
    assert isinstance(found, mp.Profile) and found is conn.profile and found.connect is not None
    same = found.model_fields_set == {"alias", "uri", "token"}
    print("pydantic" in heavy(), found.alias, found.auth, found.endpoint, found.timeout, same)

async def run():
    async with mp.aio.connect(*alias, **fields) as conn:
        assert await conn.ping() > 0
        assert (await mp.aio.connect(*alias, **fields)).alias == conn.alias
        look(conn)

kind, *alias = sys.argv[1:]
fields = {}
if not alias:
    import os
    fields = {"uri": os.environ["ADDRESS"], "token": "root:Milvus"}
if kind == "asyncio":
    asyncio.run(run())
else:
    with mp.connect(*alias, **fields) as conn:
        assert conn.ping() > 0
        assert mp.connect(*alias, **fields).alias == conn.alias
        assert [one.alias for one in mp.list_connections()]
        look(conn)
"""


WAYS = {
    "by name": (["p"], "p", "env"),
    "by address": ([], "anonymous", "inline"),
    "of a project that nobody trusts": (["p"], "p", "inline"),
}


@pytest.mark.parametrize("kind", ["threads", "asyncio"])
@pytest.mark.parametrize("way", WAYS)
def test_a_call_is_made_without_pydantic_and_the_profile_is_real(
    kind: str, way: str, milvus_auth: MilvusServer, tmp_path: Path
) -> None:
    words, alias, auth = WAYS[way]
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "home"),
        "ADDRESS": milvus_auth.uri,
        "TOKEN": "root:Milvus",
    }
    secret = '{ env = "TOKEN" }' if auth == "env" else '"root:Milvus"'
    file = written(tmp_path / "milvus.toml", f'[profiles.p]\nuri = "{milvus_auth.uri}"\ntoken = {secret}\n')
    if way == "by name":
        env["MILVUS_PROFILES_FILE"] = str(file)
    done = run_python(PROGRAM, kind, *words, env=env, cwd=tmp_path)
    assert done.stdout == f"[]\nTrue {alias} {auth} {milvus_auth.uri} 10.0 True\n", done.stderr


def test_without_file_descriptors_what_cannot_be_validated_is_an_error_and_later_is(
    milvus_auth: MilvusServer, tmp_path: Path
) -> None:
    program = """
import os, resource, sys
import milvus_profiles as mp
address = os.environ["ADDRESS"]
with mp.connect(uri=address, token="root:Milvus") as conn:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    for ask in (lambda: mp.connect(uri=address, retry=False), lambda: conn.profile):
        try:
            ask()
        except mp.ConfigError as error:
            print(error.message.rpartition("loaded: ")[2])
    print(conn.ping() > 0)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    print(conn.profile.alias, mp.connect(uri=address, token="root:Milvus", retry=False).profile.retry)
"""
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "ADDRESS": milvus_auth.uri}
    done = run_python(program, env=env, cwd=tmp_path)
    refused, again, *rest = done.stdout.splitlines()
    assert "Too many open files" in refused, done.stderr
    assert "Too many open files" in again
    assert rest == ["True", "anonymous False"]
