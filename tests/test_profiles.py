"""Layers, selection and inheritance: which profile is meant, and where each of its values comes from."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from milvus_profiles.config.layers import inherit
from milvus_profiles.config.loading import load, load_text
from milvus_profiles.config.locations import find_project_file, state_directory, user_file
from milvus_profiles.config.profiles import Profiles
from milvus_profiles.config.values import Origin, Raw, RawProfile, Value, override
from milvus_profiles.errors import ConfigError, UnknownProfileError
from milvus_profiles.files.paths import home_directory
from milvus_profiles.masked import SecretText
from milvus_profiles.profile import Profile
from tests.support.errors import refused
from tests.support.files import written
from tests.support.obstacles import as_nobody, reachable
from tests.support.waiting import side_by_side

CANARY = "s3cr3tc4n4ry"


class World:
    """A home and a project directory, and what is loaded from there."""

    def __init__(self, home: Path, project: Path) -> None:
        self.home, self.project = home, project
        self.user_file = home / ".config" / "milvus" / "milvus.toml"
        self.project_file = project / "milvus.toml"

    def user(self, text: str) -> None:
        written(self.user_file, text)

    def found(self, text: str) -> None:
        self.project_file.write_text(text)

    def env(self, **variables: str) -> dict[str, str]:
        return {"HOME": str(self.home), **variables}

    def load(self, file: Any = None, /, **variables: str) -> Profiles:
        return load(file, env=self.env(**variables), cwd=self.project)


@pytest.fixture
def world(home: Path, project: Path) -> World:
    return World(home, project)


def named(text: str, env: Mapping[str, str] | None = None) -> Profiles:
    """The profiles of one text, as if it stood in a file that was named."""
    return load_text(text.encode(), "/dir/milvus.toml", "named", env=env)


# --- what does not show ----------------------------------------------------------------------------------------------


def test_no_generic_tool_shows_a_misspelt_secret_of_any_profile(world: World) -> None:
    world.user(f"""
[profiles.good]
uri = "https://h"
token = {{ command = ["op", "{CANARY}"] }}
[profiles.near]
uri = "https://h"
tokn = "{CANARY}"
password = {{ keyrin = "{CANARY}" }}
ssl = {{ kye = "{CANARY}" }}
[profiles.good-enough]
extends = "good"
""")
    profiles = world.load()
    for alias in ("good", "good-enough"):
        for resolved in (profiles.use(alias), profiles.resolve(alias)):
            for shown in (resolved.origin._asdict(), tuple(resolved.origin), copy.deepcopy(resolved.origin)):
                assert CANARY not in repr(shown)
            for thing in (resolved, resolved.raw, profiles.documents[0], profiles.select(alias)):
                assert CANARY not in repr(dataclasses.asdict(thing))
                assert CANARY not in repr(dataclasses.astuple(thing))
                assert CANARY not in repr(copy.deepcopy(thing))
                assert CANARY not in repr([getattr(thing, field.name) for field in dataclasses.fields(thing)])


# --- the mapping ---------------------------------------------------------------------------------------------------


def test_nothing_anywhere_is_an_empty_mapping(world: World) -> None:
    profiles = world.load()
    assert (len(profiles), list(profiles), "x" in profiles) == (0, [], False)
    assert profiles.user_file == str(world.user_file)
    assert repr(profiles) == "<Profiles: 0 from the environment>"
    with refused("there is no profile 'x'…", hint="…profile add…", kind=UnknownProfileError):
        profiles["x"]
    with refused("there are no profiles…", hint="…profile add…", kind=UnknownProfileError):
        profiles.select()


def test_profiles_are_a_mapping_by_folded_alias() -> None:
    profiles = named('[profiles.Prod-EU]\nuri = "http://h"\n[profiles.dev]\nhost = "d"\n')
    assert list(profiles) == ["Prod-EU", "dev"]
    assert len(profiles) == 2
    for spelling in ("Prod-EU", "prod_eu", "PROD.EU"):
        assert spelling in profiles
        assert profiles[spelling].alias == "Prod-EU"
    assert "prod eu" not in profiles
    assert 5 not in profiles  # type: ignore[comparison-overlap]
    assert profiles.get("nobody") is None
    assert {alias: made.endpoint.uri for alias, made in profiles.items()} == {
        "Prod-EU": "http://h:19530",
        "dev": "http://d:19530",
    }
    assert isinstance(profiles["dev"], Profile)
    assert repr(profiles) == "<Profiles: 2 from /dir/milvus.toml>"


def test_an_unknown_alias_comes_with_the_nearest_or_with_those_there_are() -> None:
    profiles = named("".join(f'[profiles.name{n}]\nuri = "http://h"\n' for n in range(10)))
    with refused(hint="did you mean 'name3'?", kind=UnknownProfileError):
        profiles["nmae3"]
    names = ", ".join(f"name{n}" for n in range(8))
    with refused(hint=f"there are: {names} and 2 more", kind=UnknownProfileError):
        profiles["xyzzy"]
    with refused(kind=UnknownProfileError) as caught:
        profiles["\x1b[31m" + "a" * 1_000_000]
    assert len(str(caught.value)) < 300
    assert caught.value.message.isprintable()


def test_all_that_is_wrong_is_counted_where_the_first_is_shown() -> None:
    profiles = named('[profiles.p]\nuri = "h"\ntimeout = "5"\nport = "x"\nprotected = 1\n')
    for _ in range(2):  # raised again, it is not counted twice
        with refused(at="/dir/milvus.toml:4:8") as caught:
            profiles["p"]
        hint = caught.value.hint or ""
        assert hint.count("more") == 1
        assert hint.endswith("(2 more: `milvus-profiles --config /dir/milvus.toml config validate` lists all)")
    with refused(hint="…(1 more…"):
        named('[profiles.p]\ntimout = 5\nport = "x"\n')["p"]


@pytest.mark.parametrize(
    ("body", "message", "line", "hint"),
    [
        ("timeout = '5'", "timeout must be a number", "2:11", None),
        ("uri = 5", "uri must be text in quotes", "2:7", None),
        ("port = 1.5", "port must be a whole number", "2:8", None),
        ("port = 70000", "port must be a number from 1 to 65535", "2:8", None),
        ("port = 0", "port must be a number from 1 to 65535", "2:8", None),
        (
            "timeout = 0",
            "timeout must be more than 0",
            "2:11",
            "`milvus-profiles --config /dir/milvus.toml profile set p timeout=VALUE`",
        ),
        ("timeout = 1e9", "timeout must be at most 86400", "2:11", None),
        ("timeout = inf", "timeout must be a finite number", "2:11", None),
        ("protected = 1", "protected must be true or false", "2:13", None),
        ("ssl = 'yes'", "ssl must be true or false", "2:7", None),
        ("ssl = { ca = 5 }", "ssl.ca must be text in quotes", "2:14", None),
        (
            "ssl = { ca = 'missing.pem' }",
            "ssl.ca: cannot read /dir/missing.pem: No such file or",
            "2:14",
            "profile set p ssl.ca=PATH`",
        ),
        ("ssl = { server_name = 'a b' }", "ssl.server_name: the host is not a valid host name", "2:23", None),
        ("keepalive = 5", "keepalive must be a table", "2:13", None),
        ("keepalive = { time = 3, timeout = 1 }", "keepalive.time is below 5 seconds", "2:22", None),
        ("retry = { attempts = 9 }", "retry.attempts must be at most 5", "2:22", None),
        ("retry = { initial = 3 }", "retry.max is below retry.initial", "2:9", None),
        ("pool = { mode = 'x' }", 'pool.mode must be "shared" or "exclusive"', "2:17", None),
        ("pool = { mode = 'shared', max_total = 5 }", "max_total is a setting of a whole pool", "2:39", None),
        ("token = { env = 'a b' }", "token.env is not the name of a variable", "2:17", None),
        ("token = { keyring = false }", "token.keyring must be true", "2:21", None),
        ("token = { keyring = 1 }", "token.keyring must be true or false", "2:21", None),
        ("token = { command = 'x' }", "token.command must be an array of texts", "2:21", None),
        ("token = { command = [] }", "token.command must not be empty", "2:21", None),
        ("token = { command = ['x', 5] }", "token.command.1 must be text in quotes", "2:27", None),
        ("token = { command = [''] }", "token.command.0 must not be empty", "2:22", None),
        ("token = 5", "token: must be a string, or a table", "2:9", None),
        ("token = ''", "token: is empty", "2:9", None),
        (
            'token = "a\\nb"',
            "token: has several lines",
            "2:9",
            "then `milvus-profiles --config /dir/milvus.toml secret set p`",
        ),
        ("token = { env = 'A', file = 'B' }", "token: a secret reference has exactly one", "2:9", None),
        ("token = {}", "token: a secret reference has exactly one", "2:9", None),
        ("proxy = 'x'", "proxy: must be http://HOST:PORT", "2:9", None),
        ("user = 'a:b'", "the user's name contains a colon", "2:8", "profile set p user=NAME`"),
        ("user = 'a\u00a0b'", "user: contains U+00A0 (NO-BREAK SPACE)", "2:8", None),
        ("user = ''", "user: must not be empty", "2:8", "profile set p user=VALUE`"),
        ('uri = "http://h\\u0007"', "the address contains U+0007 (a control character)", "2:7", "remove it"),
        ("uri = 'http://a:b@c'", "the address contains user information", "2:7", "keyring"),
        ("uri = 'http://h'\nhost = 'h'", "uri and host are both given", "2:7", "profile unset p host`"),
        ("ssl = false\nuri = 'https://h'", "ssl = false contradicts https", "2:7", "profile unset p ssl`"),
        (
            "uri = 'http://h/a'\ndb_name = 'b'",
            "db_name is 'b', but the uri names the database 'a'",
            "3:11",
            "profile unset p db_name`",
        ),
        ("uri = 'm.db'\nssl = true", "Milvus Lite has no TLS", "3:7", "profile unset p ssl`"),
        ("uri = 'h'\npassword = 'y'", "password needs user", "3:12", "profile set p user=NAME`"),
        ("host = 'root:hunter2'", "host: the host has a colon in it and is no IPv6", "2:8", "its port and a user have"),
        ("token = 'x'\npassword = 'y'", "token and password are both given", "2:9", None),
        ("timout = 5", "unknown key 'timout'", "2:1", "did you mean 'timeout'?"),
        ("alias = 'x'", "unknown key 'alias'", "2:1", None),
        ("xyzzy = 5", "unknown key 'xyzzy'", "2:1", "a profile has description, uri,"),
        ("'<x>' = 5", "unknown key '<x>'", "2:1", "a profile has"),
        ("'<table>' = 5", "unknown key '<table>'", "2:1", "a profile has"),
        ("'\\u001b[31m' = 5", "unknown key '\\\\u001b[31m'", "2:1", "a profile has"),
        ("ssl = { xyz = 'x' }", "unknown key 'ssl.xyz'", "2:9", "ssl has ca, cert, key, server_name"),
        ("ssl = { crt = 'x' }", "unknown key 'ssl.crt'", "2:9", "did you mean 'cert'?"),
        ("token = { env = 'A', pas_env = [] }", "unknown key 'token.pas_env'", "2:22", "did you mean 'pass_env'?"),
        ("[profiles.p.eu]\nuri = 'x'", "unknown key 'eu'", "2:13", 'a dot in an alias is quoted: [profiles."p.eu"]'),
        ("[profiles.p.'e u']\nuri = 'x'", "unknown key 'e u'", "2:13", "a profile has"),
        ("[[profiles.p.list]]\nuri = 'x'", "unknown key 'list'", "2:14", "a profile has"),
        ("extends = 5", "extends must be text in quotes", "2:11", None),
    ],
)
def test_every_finding_has_its_place_and_its_remedy(body: str, message: str, line: str, hint: str | None) -> None:
    (error,) = named(f"[profiles.p]\n{body}\n").findings("p")
    assert error.message.startswith(message)
    assert error.hint
    assert (hint or "") in error.hint
    assert error.location is not None
    assert str(error.location) == f"/dir/milvus.toml:{line}"
    assert error.location.excerpt


def test_a_profile_that_is_no_table_says_how_to_write_one() -> None:
    profiles = named("[profiles]\np = 5\nq = []\n")
    for alias, line in (("p", 2), ("q", 3)):
        hint = f"write [profiles.{alias}] above its fields"
        with refused("…is not a table", at=f"/dir/milvus.toml:{line}:5", hint=hint):
            profiles[alias]


# --- layers --------------------------------------------------------------------------------------------------------

USER = '[profiles.prod]\nuri = "https://user"\nuser = "root"\ntimeout = 3\n[profiles.mine]\nuri = "http://mine"\n'


def test_a_profile_comes_whole_from_the_first_file_that_declares_it(world: World) -> None:
    world.user(USER)
    world.found('[profiles.PROD]\nuri = "https://user"\ndb_name = "d"\n[profiles.theirs]\nuri = "http://theirs"\n')
    profiles = world.load()
    assert list(profiles) == ["PROD", "theirs", "mine"]
    made = profiles["prod"]
    assert (made.alias, made.user, made.timeout, made.db_name) == ("PROD", None, 10.0, "d")
    resolved = profiles.resolve("prod")
    assert str(resolved.origin) == f"{world.project_file}:1:11"
    assert not resolved.trusted
    assert {".".join(path): str(origin) for path, origin in resolved.raw.overridden} == {
        "uri": f"{world.user_file}:2:1",
        "user": f"{world.user_file}:3:1",
        "timeout": f"{world.user_file}:4:1",
    }
    assert profiles.resolve("mine").trusted
    assert [document.role for document in profiles.documents] == ["project", "user"]


def test_a_broken_profile_behind_a_stronger_one_does_not_matter(world: World) -> None:
    world.found('[profiles.prod]\nuri = "https://user"\n')
    for broken in ("prod = 5", "prod = { extends = 'nobody' }"):
        world.user(f"[profiles]\n{broken}\n")
        assert world.load()["prod"].uri == "https://user"


def test_a_named_file_is_the_only_one_that_is_read(world: World, tmp_path: Path) -> None:
    world.user("this is [ not toml")
    world.found("nor = is this")
    file = written(tmp_path / "other.toml", aliases("only"))
    for profiles in (
        world.load(file),
        world.load(str(file)),
        world.load(MILVUS_PROFILES_FILE=str(file)),
        world.load(file, MILVUS_PROFILES_FILE="/nonexistent"),
        world.load("../other.toml"),
        world.load(MILVUS_PROFILES_FILE="../other.toml"),
    ):
        assert list(profiles) == ["only"]
        assert profiles.documents[0].role == "named"
        assert profiles.documents[0].path == str(file)
        assert profiles.resolve("only").trusted


def test_a_named_file_may_stand_under_the_home_directory(world: World) -> None:
    (world.home / "m.toml").write_text('[profiles.only]\nuri = "~/x.db"\n')
    for profiles in (world.load("~/m.toml"), world.load(MILVUS_PROFILES_FILE="~/m.toml")):
        assert profiles["only"].endpoint.uri == f"{world.home}/x.db"


def test_a_tilde_is_the_home_directory_of_each_call(world: World, tmp_path: Path) -> None:
    file = written(tmp_path / "m.toml", '[profiles.only]\nuri = "~/x.db"\n')
    for home in (world.home, world.project, world.home):
        profiles = load(file, env={"HOME": str(home)}, cwd=world.project)
        assert profiles.use("only").profile.endpoint.uri == f"{home}/x.db"
        assert profiles["only"].endpoint.uri == f"{home}/x.db"


@pytest.mark.skipif(sys.platform == "win32", reason="modes of Windows say nothing")
def test_a_home_directory_that_others_may_fill_by_now_is_none_for_a_tilde(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(world.home))
    file = written(tmp_path / "m.toml", '[profiles.file]\nuri = "~/x.db"\n')
    own = {"HOME": str(world.home)}
    variables = {**own, "MILVUS_PROFILES__VARIABLE__URI": "~/x.db"}
    for alias, env in (("file", own), ("variable", variables), ("file", variables)):
        world.home.chmod(0o755)
        assert load(file, env=env, cwd=world.project).use(alias).profile.endpoint.uri == f"{world.home}/x.db"
        world.home.chmod(0o777)
        with pytest.raises(ConfigError, match="begins with ~"):
            load(file, env=env, cwd=world.project).use(alias)


def test_a_named_file_that_is_missing_is_an_error_that_says_who_names_it(world: World, tmp_path: Path) -> None:
    world.user(USER)
    with refused("the file that file= names does not exist", at=f"{tmp_path}/no.toml", hint="…profile add…"):
        world.load(tmp_path / "no.toml")
    with refused("…that MILVUS_PROFILES_FILE names does not exist"):
        world.load(MILVUS_PROFILES_FILE="no.toml")
    with refused("…that --config names…"):
        load("no.toml", env={}, cwd="/", file_name="--config")
    with refused("the file that file= names: a path holds a NUL character…"):
        world.load("a\x00b")
    with refused("file= names no file…"):
        load("")
    for there, said in ((tmp_path, "that is a directory"), ("/dev/zero", "that is not a file but a device")):
        with refused(said):
            world.load(there)


def test_a_broken_file_is_one_error_for_every_use(world: World) -> None:
    world.user("[profiles.x")
    with pytest.raises(ConfigError, match="not valid TOML"):
        world.load()
    world.user_file.unlink()
    world.user_file.symlink_to("nowhere")
    with pytest.raises(ConfigError, match="No such file"):
        world.load()


def test_the_environment_is_taken_as_it_was_when_loading(world: World) -> None:
    env = world.env(MILVUS_URI="http://one")
    profiles = load(env=env, cwd=world.project)
    env["MILVUS_URI"] = "http://two"
    assert profiles["default"].uri == "http://one"
    assert "one" not in repr(profiles.env)


def test_loading_reads_nothing_of_the_process_when_all_is_given(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("MILVUS_URI", "http://process")
    monkeypatch.setenv("MILVUS_PROFILES__X__URI", "http://process")
    world.user('[profiles.p]\nuri = "~/m.db"\nssl = { ca = "~/ca.pem" }\n[profiles.q]\nuri = "~/q.db"\n')
    profiles = world.load(MILVUS_PROFILES__R__URI="~/r.db")
    assert list(profiles) == ["p", "q", "r"]
    assert profiles["q"].endpoint.uri == f"{world.home}/q.db"
    assert profiles["r"].endpoint.uri == f"{world.home}/r.db"
    assert profiles.raw("p").values["ssl", "ca"].value == f"{world.home}/ca.pem"
    assert profiles.use("q", {"uri": "~/s.db"}).profile.endpoint.uri == f"{world.home}/s.db"


def test_relative_paths_count_from_the_file_that_declares_them(world: World, tmp_path: Path) -> None:
    file = written(
        tmp_path / "deep" / "m.toml",
        '[profiles.a]\nuri = "x.db"\n[profiles.b]\nuri = "unix:x.sock"\n[profiles.c]\nuri = "unix:///x.sock"\n'
        '[profiles.d]\nuri = "http://h"\ntoken = { file = "../t" }\nssl = { ca = "ca.pem", cert = "/c", key = "k" }\n'
        '[profiles.e]\nuri = "a/b://../c.db"\n[profiles.f]\nuri = "unix://x"\n',
    )
    profiles = world.load(file)
    assert profiles["a"].endpoint.uri == f"{tmp_path}/deep/x.db"
    assert profiles["b"].endpoint.uri == f"unix:{tmp_path}/deep/x.sock"
    assert profiles["c"].endpoint.uri == "unix:/x.sock"
    raw = profiles.raw("d").values
    assert raw["token", "file"].value == f"{tmp_path}/t"
    assert [raw["ssl", name].value for name in ("ca", "cert", "key")] == [
        f"{tmp_path}/deep/ca.pem",
        "/c",
        f"{tmp_path}/deep/k",
    ]
    assert profiles["e"].endpoint.uri == f"{tmp_path}/deep/a/c.db"
    with pytest.raises(ConfigError, match="unix:// takes an absolute path"):
        profiles["f"]


# --- the settings of the root --------------------------------------------------------------------------------------


def test_root_settings_come_from_the_nearest_file_and_limits_add_up(world: World) -> None:
    world.user('default_profile = "u"\nmax_connections = 5\nkeyring_backends = ["a.B"]\n')
    world.found('default_profile = "p"\nmax_connections = 9\n')
    made = world.load().settings
    assert (made.default_profile, made.max_connections, made.keyring_backends) == ("p", 5, ["a.B"])
    world.found("max_connections = 3\n")
    assert world.load().settings.max_connections == 3
    assert load(env={"HOME": "/nowhere"}, cwd="/").settings.max_connections == 65_536


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("default_profile = 5", "default_profile must be the alias", 19),
        ("default_profile = ['x']", "default_profile must be the alias", 19),
        ("max_connections = '5'", "max_connections must be a whole number from 1 to 65536", 19),
        ("max_connections = true", "max_connections must be a whole number", 19),
        ("max_connections = 0", "max_connections must be a whole number", 19),
        ("max_connections = 65537", "max_connections must be a whole number", 19),
        ("max_connections = 5.0", "max_connections must be a whole number", 19),
        ("max_connections = 0x" + "f" * 5000, "max_connections must be a whole number", 19),
        ("keyring_backends = 'x'", "keyring_backends must be an array", 20),
        ("keyring_backends = ['x', 5]", "keyring_backends must be an array", 20),
    ],
)
def test_wrong_root_settings_are_refused_even_in_a_hidden_file(
    world: World, text: str, message: str, column: int
) -> None:
    world.user(text)
    world.found('default_profile = "x"\nmax_connections = 7\n')
    with refused(f"{message}…", at=f"{world.user_file}:1:{column}") as caught:
        world.load()
    assert len(str(caught.value)) < 600


# --- which one is meant --------------------------------------------------------------------------------------------


def aliases(*names: str) -> str:
    return "".join(f'[profiles.{name}]\nuri = "http://{name}"\n' for name in names)


def test_each_step_of_the_selection_beats_the_next(world: World) -> None:
    everything = aliases("one", "two", "three", "four", "default")
    world.user(f'default_profile = "two"\n{everything}')
    world.found(f'default_profile = "three"\n{everything}')
    env = {"MILVUS_PROFILE": "four", "MILVUS_URI": "http://env", "MILVUS_CONN_ALIAS": "env"}

    chosen = world.load(**env).select("one", name="--profile")
    assert (chosen.alias, str(chosen.origin)) == ("one", "--profile")
    # An explicit name beats everything around it, and what it hides is said.
    assert chosen.hidden[:2] == ("MILVUS_PROFILE names it (four)", "MILVUS_URI declares it (env)")

    def select(**variables: str) -> tuple[str, str, str]:
        chosen = world.load(**variables).select()
        return chosen.alias, str(chosen.origin), chosen.reason

    assert select(**env) == ("four", "MILVUS_PROFILE", "MILVUS_PROFILE names it")
    del env["MILVUS_PROFILE"]
    assert select(**env)[:2] == ("env", "MILVUS_URI")
    assert f"default_profile of {world.project_file} names it (three)" in world.load(**env).select().hidden
    assert select()[:2] == ("three", f"{world.project_file}:1:1")
    world.found(everything)
    assert select()[:2] == ("two", f"{world.user_file}:1:1")
    world.user(everything)
    assert select() == ("default", "None", "its alias is `default`")
    world.found(aliases("single"))
    world.user("")
    assert select() == ("single", "None", "it is the only one there is")
    world.user(aliases("another"))
    with refused("…none is the default…", hint="…name one of single, another…", kind=UnknownProfileError):
        world.load().select()


def test_a_named_files_default_is_the_only_one(world: World, tmp_path: Path) -> None:
    world.user(f'default_profile = "two"\n{aliases("two")}')
    file = written(tmp_path / "m.toml", f'default_profile = "B"\n{aliases("a", "b")}')
    assert world.load(file).select().alias == "b"
    assert world.load(file, MILVUS_PROFILE="A").select().alias == "a"


def test_what_names_the_same_profile_is_not_hidden(world: World) -> None:
    world.user(f'default_profile = "prod"\n{aliases("prod")}')
    assert world.load(MILVUS_PROFILE="Prod").select("PROD").hidden == ()
    assert world.load(MILVUS_PROFILE="Prod").select("PROD").alias == "prod"


@pytest.mark.parametrize(
    ("variables", "source"), [({"MILVUS_PROFILE": "pord"}, "MILVUS_PROFILE"), ({}, "{user_file}:1:19")]
)
def test_a_selected_name_that_nobody_declares_is_refused_where_it_stands(
    world: World, variables: dict[str, str], source: str
) -> None:
    world.user(f'default_profile = "prd"\n{aliases("prod", "dev")}')
    place = source.format(user_file=world.user_file)
    with refused(at=place, hint="did you mean 'prod'?", kind=UnknownProfileError):
        world.load(**variables).select()
    with refused(at="None", kind=UnknownProfileError):
        world.load().select("nobody")


def test_templates_and_typing_errors_are_not_the_only_one_there_is(world: World) -> None:
    world.user('[profiles.base]\ntimeout = 3\n[profiles.real]\nextends = "base"\nuri = "http://h"\n')
    assert world.load(MILVUS_PROFILES__RAEL__TIMEOUT="3").select().alias == "real"
    world.user("[profiles.base]\ntimeout = 3\n")
    with pytest.raises(UnknownProfileError, match="none is the default"):
        world.load().select()
    # A broken one counts: it wants to be one, and says what is wrong when it is taken.
    world.user("[profiles.broken]\nextends = 'x'\n")
    assert world.load().select().alias == "broken"


def test_an_empty_variable_counts_as_unset(world: World) -> None:
    world.user(aliases("single"))
    profiles = world.load(MILVUS_PROFILE="", MILVUS_PROFILES_FILE="")
    assert profiles.select().reason == "it is the only one there is"


# --- extends -------------------------------------------------------------------------------------------------------


def inherited(text: str) -> dict[str, Any]:
    raw = named(text).raw("child")
    return {".".join(path): value.value for path, value in raw.values.items() if path != ("extends",)}


def child(base: str, own: str) -> str:
    return f'[profiles.base]\n{base}\n[profiles.child]\nextends = "base"\n{own}\n'


BASE = """uri = "https://h"
user = "root"
password = "pw"
allow_insecure = true
proxy = "http://p:1"
db_name = "d"
ssl = { ca = "/ca", cert = "/c", key = "/k", server_name = "s" }"""
HOMELESS = BASE.replace('uri = "https://h"\n', "")
COMMAND = 'uri = "http://h"\ntoken = { command = ["x"], pass_env = ["A"] }'
CHAIN = """[profiles.a]
timeout = 1
user = "root"
password = "pw"
[profiles.b]
extends = "A"
uri = "http://b"
call_timeout = 2
[profiles.c]
extends = "b"
db_name = "c"
"""
FREE = {"proxy": "http://p:1", "db_name": "d", "ssl.ca": "/ca"}
BOUND = {
    "user": "root", "password": SecretText("pw"), "allow_insecure": True,
    "ssl.cert": "/c", "ssl.key": "/k", "ssl.server_name": "s",
}  # fmt: skip
LIMITS = {"timeout": 1, "call_timeout": 2, "db_name": "c"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # The child's fields replace the parent's tables whole.
        (
            child(
                'timeout = 3\ncall_timeout = 4\nssl = { server_name = "a", ca = "/ca" }\n'
                "retry = { attempts = 2 }\npool = { max_uses = 5 }",
                'timeout = 9\nssl = { cert = "/c", key = "/k" }\nretry = false',
            ),
            {"timeout": 9, "call_timeout": 4, "ssl.cert": "/c", "ssl.key": "/k", "retry": False, "pool.max_uses": 5},
        ),
        # What is bound to the parent's address stays behind when the child has one of its own, references whole.
        (child(BASE, 'uri = "https://o"'), {**FREE, "uri": "https://o"}),
        (child(BASE, 'host = "o"'), {**FREE, "host": "o"}),
        (child(BASE, "port = 5"), {**FREE, "uri": "https://h", "port": 5}),
        (child(BASE.replace("password", "token"), 'uri = "https://o"'), {**FREE, "uri": "https://o"}),
        (child(BASE, 'uri = "https://o"\nuser = "me"'), {**FREE, "uri": "https://o", "user": "me"}),
        (child(COMMAND, ""), {"uri": "http://h", "token.command": ["x"], "token.pass_env": ["A"]}),
        (child(COMMAND, 'uri = "http://o"'), {"uri": "http://o"}),
        # Nothing is bound where the child has no address, or the parent none.
        (child(BASE, "timeout = 3"), {**FREE, **BOUND, "uri": "https://h", "timeout": 3}),
        (child(HOMELESS, 'uri = "https://o"'), {**FREE, **BOUND, "uri": "https://o"}),
        # The other form of an address or a credential gives way.
        (child('uri = "http://h"', 'host = "x"'), {"host": "x"}),
        (child('host = "h"\nport = 5', 'uri = "x"'), {"uri": "x"}),
        (child('token = "t"', 'user = "u"\npassword = "p"'), {"user": "u", "password": SecretText("p")}),
        (child('user = "u"\npassword = "p"', 'token = { env = "T" }'), {"user": "u", "token.env": "T"}),
        # A chain reaches to the first ancestor, and these rules hold on the way.
        (
            CHAIN.replace("profiles.c", "profiles.child"),
            {**LIMITS, "user": "root", "password": SecretText("pw"), "uri": "http://b"},
        ),
        (CHAIN + '[profiles.child]\nextends = "c"\nuri = "http://d"\n', {**LIMITS, "uri": "http://d"}),
    ],
)
def test_what_a_child_gets_of_its_parent(text: str, expected: dict[str, Any]) -> None:
    assert inherited(text) == expected


def test_tls_stays_on_when_nothing_else_of_the_parents_table_does() -> None:
    text = '[profiles.base]\nuri = "http://h"\nssl = { server_name = "s" }\n[profiles.child]\nextends = "base"\n'
    made = named(text + 'uri = "http://other"\n')["child"]
    assert made.endpoint.uri == "https://other:19530"
    assert made.ssl is True
    assert named(text + 'uri = "http://other"\nssl = false\n')["child"].endpoint.uri == "http://other:19530"


def test_origins_lead_to_the_profile_that_says_it() -> None:
    profiles = named('[profiles.a]\nuri = "http://h"\ntimeout = 5\n[profiles.b]\nextends = "a"\nretry.attempts = 2\n')
    resolved = profiles.resolve("b")
    assert str(resolved.origin) == "/dir/milvus.toml:4:11"
    assert str(resolved.origin_of("timeout")) == "/dir/milvus.toml:3:1"
    assert str(resolved.origin_of("retry")) == "/dir/milvus.toml:6:7"
    assert str(resolved.origin_of("extends")) == "/dir/milvus.toml:5:1"
    assert str(resolved.origin_of("keepalive")) == "default"
    assert resolved.origin_of("keepalive").location() is None


def test_an_inherited_mistake_is_shown_where_it_stands() -> None:
    error = named('[profiles.a]\ntimeout = "x"\n[profiles.b]\nextends = "a"\nuri = "http://h"\n').findings("b")[0]
    assert str(error.location) == "/dir/milvus.toml:2:11"


@pytest.mark.parametrize(
    ("text", "alias", "chain", "line"),
    [
        ('[profiles.a]\nextends = "a"\n', "a", "a -> a", 2),
        ('[profiles.a]\nextends = "B"\n[profiles.b]\nextends = "a"\n', "a", "a -> b -> a", 4),
        (
            '[profiles.x]\nextends = "A"\n[profiles.a]\nextends = "b"\n[profiles.b]\nextends = "a"\n',
            "x",
            "a -> b -> a",
            6,
        ),
    ],
)
def test_a_circle_is_refused_and_shown(text: str, alias: str, chain: str, line: int) -> None:
    with refused(f"extends runs in a circle: {chain}", at=f"/dir/milvus.toml:{line}:11"):
        named(text)[alias]


def test_a_parent_that_is_not_there_is_refused_with_a_suggestion(world: World) -> None:
    said = "extends names 'bsae', which /dir/milvus.toml does not declare"
    with refused(said, at="/dir/milvus.toml:3:11", hint="did you mean 'base'?"):
        named('[profiles.base]\n[profiles.b]\nextends = "bsae"\n')["b"]
    # The parent stands in the same file.
    world.user(aliases("base"))
    world.found('[profiles.child]\nextends = "base"\n')
    with refused("…does not declare"):
        world.load()["child"]
    with refused("…which the environment does not declare"):
        world.load(MILVUS_PROFILES__E__EXTENDS="base")["e"]
    with refused("extends cannot be set from the environment…", at="MILVUS_PROFILES__BASE__EXTENDS"):
        world.load(MILVUS_PROFILES__BASE__EXTENDS="x")["base"]


def test_parents_in_the_environment(world: World) -> None:
    env = {
        "MILVUS_PROFILES__BASE__TIMEOUT": "3",
        "MILVUS_PROFILES__BASE__DB_NAME": "d",
        "MILVUS_PROFILES__P__EXTENDS": "Base",
        "MILVUS_PROFILES__P__URI": "http://h",
    }
    made = world.load(**env)["p"]
    assert (made.timeout, made.db_name, made.uri) == (3.0, "d", "http://h")
    assert str(world.load(**env).resolve("p").origin) == "MILVUS_PROFILES__P__URI"
    made = world.load(MILVUS_URI="http://u", MILVUS_TOKEN="t", MILVUS_PROFILES__P__EXTENDS="default")["p"]
    assert (made.uri, made.token) == ("http://u", SecretText("t"))
    made = world.load(**env, MILVUS_URI="http://u", MILVUS_PROFILES__DEFAULT__EXTENDS="base")["default"]
    assert (made.uri, made.timeout, made.db_name) == ("http://u", 3.0, "d")
    circle = {"MILVUS_PROFILES__P__EXTENDS": "default", "MILVUS_PROFILES__DEFAULT__EXTENDS": "p"}
    with refused("…circle: p -> default -> p"):
        world.load(MILVUS_URI="http://u", **circle)["p"]


def test_a_template_is_listed_but_cannot_be_used() -> None:
    profiles = named('[profiles.base]\ntimeout = 3\n[profiles.basis]\nuri = "http://h"\n')
    assert profiles["base"].is_template
    with refused("the profile 'base' has no address", at="/dir/milvus.toml:1:11") as caught:
        profiles.use("base")
    assert caught.value.exit_status == 3
    assert profiles.use("base", {"uri": "http://x"}).profile.endpoint.uri == "http://x:19530"


def test_a_template_is_refused_whatever_its_neighbours_are() -> None:
    for neighbours, hint in (
        ("[profiles.basis]\nextends = 'basis'\n[profiles.bases]\nextends = 'x'\n", "…"),
        ("[profiles.basis]\ntimeout = 3\n", "…give it uri or host…"),
    ):
        with refused("…'base' has no address", hint=hint):
            named("[profiles.base]\n" + neighbours).use("base")


# --- fields of a call ----------------------------------------------------------------------------------------------


def test_fields_of_the_call_beat_every_layer(world: World) -> None:
    world.user('[profiles.p]\nuri = "http://h"\ntoken = "t"\ntimeout = 3\nssl = { server_name = "a" }\n')
    profiles = world.load(MILVUS_PROFILES__P__TIMEOUT="4")
    resolved = profiles.use("p", {"timeout": 5, "ssl": {"server_name": "b"}, "db_name": "d"})
    made = resolved.profile
    assert (made.timeout, made.db_name, made.token) == (5.0, "d", SecretText("t"))
    assert made.ssl.server_name == "b"  # type: ignore[union-attr]
    assert str(resolved.origin_of("timeout")) == "timeout="
    assert {path for path, _ in resolved.raw.overridden} == {("timeout",), ("ssl", "server_name")}
    moved = profiles.use("p", {"uri": "http://other"}).profile
    assert (moved.uri, moved.token, moved.timeout) == ("http://other", None, 4.0)
    assert profiles.use("p").profile.timeout == 4.0
    assert profiles.use("p", {}).profile.timeout == 4.0
    assert profiles["p"].timeout == 4.0


def test_secrets_of_the_call_are_hidden_at_once() -> None:
    profiles = named('[profiles.p]\nuri = "http://h"\nuser = "u"\n')
    resolved = profiles.use("p", {"password": CANARY})
    assert resolved.profile.password == SecretText(CANARY)
    assert CANARY not in repr(resolved)
    assert CANARY not in repr(list(resolved.raw.values.items()))
    assert resolved.raw.values["password",].value == SecretText(CANARY)


def test_wrong_fields_of_the_call_are_refused_by_name() -> None:
    profiles = named('[profiles.p]\nuri = "http://h"\n')
    for fields, message, source in (
        ({"timeout": "5"}, "timeout must be a number", "timeout="),
        ({"tokn": CANARY}, "unknown key 'tokn'", "tokn="),
        ({"alias": "x"}, "unknown key 'alias'", "alias="),
        ({"timeout": {"a": 1}}, "timeout must be a number", "timeout="),
        ({"ssl": {"ca": "missing"}}, "ssl.ca: cannot read", "ssl="),
        ({"token": "t", "user": "u", "password": CANARY}, "token and password", "token="),
        ({"ssl": False, "uri": "https://h"}, "ssl = false contradicts", "ssl="),
        ({"uri": f"http://root:{CANARY}@h"}, "the address contains user information", "uri="),
    ):
        with refused(f"{message}…", at=source) as caught:
            profiles.use("p", fields)
        assert CANARY not in str(caught.value)


def test_relative_paths_of_the_call_count_from_the_current_directory(world: World) -> None:
    world.user(aliases("p"))
    assert world.load().use("p", {"uri": "m.db"}).profile.endpoint.uri == f"{world.project}/m.db"


def test_an_address_alone_makes_an_anonymous_profile(world: World) -> None:
    resolved = world.load().anonymous({"uri": "m.db"})
    assert (resolved.profile.alias, resolved.profile.endpoint.uri) == ("anonymous", f"{world.project}/m.db")
    assert resolved.trusted
    assert str(resolved.origin) == "connect()"
    assert world.load().anonymous({"host": "h", "port": 5, "token": CANARY}).profile.endpoint.uri == "http://h:5"
    with refused("no profile and no address was given…"):
        world.load().anonymous({"timeout": 5})
    with refused("unknown key 'adress'"):
        world.load().anonymous({"adress": "h"})


def test_connecting_needs_a_way_to_connect(world: World) -> None:
    with refused(hint="…milvus_profiles.load()…"):
        world.load().connect("x")


def test_the_source_is_the_real_files(world: World, tmp_path: Path) -> None:
    file = written(tmp_path / "m.toml", "")
    (tmp_path / "link.toml").symlink_to(file)
    assert world.load(file).source == world.load(tmp_path / "link.toml").source == (str(file),)
    assert world.load().source == ()


def test_a_text_can_be_tried_before_it_is_a_file() -> None:
    profiles = load_text(b'[profiles.p]\nuri = "~/m.db"\n', "/dir/milvus.toml", "user", env={"HOME": "/me", "X": "y"})
    assert profiles["p"].endpoint.uri == "/me/m.db"
    assert dict(profiles.env) == {"HOME": "/me"}
    with refused("…not valid TOML…") as caught:
        load_text(f"token = {CANARY}".encode(), "/dir/milvus.toml", "user")
    assert CANARY not in str(caught.value)


# --- where the files are -------------------------------------------------------------------------------------------


def test_the_search_for_a_project_file_goes_upwards(world: World) -> None:
    world.found(aliases("p"))
    deep = world.project / "a" / "b" / "c"
    deep.mkdir(parents=True)
    assert find_project_file(str(deep), world.env())[0] == str(world.project_file)
    (world.project / "a" / "milvus.toml").write_text("")
    assert find_project_file(str(deep), world.env())[0] == str(world.project / "a" / "milvus.toml")


def test_the_search_ends_with_the_directory_of_the_repository(world: World) -> None:
    (world.project.parent / "milvus.toml").write_text(aliases("outside"))
    (world.project / "sub").mkdir()
    assert find_project_file(str(world.project / "sub"), world.env())[0] is None
    (world.project / ".git").rmdir()
    assert find_project_file(str(world.project / "sub"), world.env())[0] == str(world.project.parent / "milvus.toml")
    # A worktree or submodule has a file there.
    (world.project / ".git").write_text("gitdir: elsewhere")
    assert find_project_file(str(world.project / "sub"), world.env())[0] is None
    (world.project / ".git").unlink()
    (world.project / ".git").symlink_to("nowhere")
    assert find_project_file(str(world.project / "sub"), world.env())[0] is None


def test_the_search_ends_with_the_home_directory(world: World) -> None:
    (world.home.parent / "milvus.toml").write_text(aliases("outside"))
    work = world.home / "work"
    work.mkdir()
    assert find_project_file(str(work), world.env())[0] is None
    link = world.home.parent / "link"
    link.symlink_to(world.home)
    assert find_project_file(str(work), world.env(HOME=str(link)))[0] is None
    (world.home / "milvus.toml").write_text("")
    assert find_project_file(str(work), world.env())[0] == str(world.home / "milvus.toml")
    for outside in ("/", "/usr/share"):  # where it ends at the root
        assert find_project_file(outside, {"HOME": "/nowhere"})[0] is None


def test_the_users_own_file_is_not_taken_for_a_project_file(world: World) -> None:
    world.user(f"keyring_backends = []\n{aliases('p')}")
    own = world.user_file.parent
    assert find_project_file(str(own), world.env())[0] is None
    profiles = load(env=world.env(), cwd=own)
    assert [document.role for document in profiles.documents] == ["user"]
    # The search goes on above it.
    (world.home / "milvus.toml").write_text(aliases("q"))
    assert find_project_file(str(own), world.env())[0] == str(world.home / "milvus.toml")


def test_a_link_to_nowhere_is_passed_over_and_one_to_itself_is_an_error(world: World) -> None:
    world.project_file.symlink_to("nowhere")
    assert find_project_file(str(world.project), world.env())[0] is None
    world.project_file.unlink()
    world.project_file.symlink_to("milvus.toml")
    with refused("cannot look for a project file…", at=world.project_file, hint="…--config…"):
        world.load()


def test_the_places_of_the_users_files() -> None:
    assert user_file({"HOME": "/me"}) == "/me/.config/milvus/milvus.toml"
    assert user_file({"HOME": "/me", "XDG_CONFIG_HOME": "/x"}) == "/x/milvus/milvus.toml"
    assert state_directory({"HOME": "/me"}) == "/me/.local/state/milvus"
    assert state_directory({"HOME": "/me", "XDG_STATE_HOME": "/x"}) == "/x/milvus"
    # The specification says that relative paths there are ignored.
    for relative in ("", "x", "./x", "~/x"):
        assert user_file({"HOME": "/me", "XDG_CONFIG_HOME": relative}) == "/me/.config/milvus/milvus.toml"
        assert state_directory({"HOME": "/me", "XDG_STATE_HOME": relative}) == "/me/.local/state/milvus"
    assert home_directory({"HOME": "/me"}) == "/me"
    assert os.path.isabs(home_directory({}) or "")


def test_a_deleted_current_directory_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declared = str(written(tmp_path / "profiles.toml", aliases("a")))
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    remedy = "change to a directory that exists"
    with refused("the current directory cannot be read: No such file or directory", hint=remedy):
        load()
    assert len(load(cwd="/", env={"HOME": "/nowhere"})) == 0
    assert [*load(declared), *load(env={"MILVUS_PROFILES_FILE": declared})] == ["a", "a"]


def test_a_directory_that_may_not_be_looked_into_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0)
    said = "cannot look for a project file: Permission denied"
    with reachable(tmp_path), as_nobody(), refused(said, hint="…MILVUS_PROFILES_FILE…"):
        load(cwd=closed / "below", env={"HOME": "/nowhere"})


# --- many profiles -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The most profiles that there can be connections; all but one in a hundred is broken."""
    path = tmp_path_factory.mktemp("many") / "milvus.toml"
    with path.open("w") as file:
        for number in range(65_536):
            good = number % 100 == 0
            file.write(f"[profiles.p-{number}]\nuri = {f'{chr(34)}http://h{number}{chr(34)}' if good else number}\n")
    return path


def test_of_65536_profiles_only_the_one_that_is_asked_for_matters(many: Path) -> None:
    profiles = load(many, env={"HOME": "/nowhere"})
    assert len(profiles) == 65_536
    assert profiles["p-65500"].uri == "http://h65500"
    assert profiles.use("P_65500").profile.uri == "http://h65500"
    with refused("uri must be text in quotes", at=f"{many}:{2 * 65_536}:7"):
        profiles["p-65535"]
    with refused(hint="did you mean 'p-65535'?", kind=UnknownProfileError):
        profiles["q-65535"]
    with refused(kind=UnknownProfileError) as unknown:
        profiles.select()
    assert len(str(unknown.value)) < 300


@pytest.mark.campaign
def test_every_place_among_65536_profiles_is_found(many: Path) -> None:
    profiles = load(many, env={"HOME": "/nowhere"})
    (document,) = profiles.documents
    assert [document.line(("profiles", alias)) for alias in profiles] == list(range(1, 2 * 65_536, 2))
    errors = [error for alias in profiles for error in profiles.findings(alias)]
    assert len(errors) == 65_536 - 656
    assert {error.location.excerpt for error in errors[:2] if error.location} == {"uri = 1", "uri = 2"}


def test_a_circle_of_thousands_is_shown_in_short() -> None:
    text = "".join(f'[profiles.p{n}]\nextends = "p{(n + 1) % 3000}"\n' for n in range(3000))
    with refused("extends runs in a circle: p0 -> p1 -> p2 -> p3 -> ... -> p2997 -> p2998 -> p2999 -> p0"):
        named(text)["p0"]


def test_a_chain_of_thousands_is_followed_to_its_end() -> None:
    text = '[profiles.p0]\nuri = "http://h"\n' + "".join(
        f'[profiles.p{number}]\nextends = "p{number - 1}"\n' for number in range(1, 5000)
    )
    profiles = named(text)
    assert profiles["p4999"].uri == "http://h"
    assert {made.uri for made in profiles.values()} == {"http://h"}
    assert {made.uri for made in named(text).values()} == {"http://h"}
    # Profiles without an address are passed over one by one when none is named.
    with pytest.raises(UnknownProfileError, match="none is the default"):
        named(text.replace('uri = "http://h"', "timeout = 3")).select()


# --- threads -------------------------------------------------------------------------------------------------------


def test_threads_may_load_and_resolve_side_by_side(world: World) -> None:
    text = aliases(*(f"p{number}" for number in range(50)))
    world.user(text)
    shared = world.load()
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        barrier.wait()
        for step in range(30):
            if number == 0:
                world.user(f"{text}# {step}\n")
            assert shared[f"p{step}"].host is None
            with contextlib.suppress(ConfigError):  # the file was read while it was being written
                load(world.user_file, env=world.env())

    side_by_side(work, *zip(range(8)))


# --- the rules as properties ---------------------------------------------------------------------------------------

_FIELDS = st.sampled_from(
    [
        ("uri",), ("host",), ("port",), ("user",), ("password",), ("token",), ("token", "env"), ("token", "command"),
        ("token", "pass_env"), ("password", "file"), ("db_name",), ("timeout",), ("ssl",), ("ssl", "ca"),
        ("ssl", "cert"), ("ssl", "key"), ("ssl", "server_name"), ("allow_insecure",), ("proxy",), ("description",),
        ("protected",), ("extends",), ("retry",), ("retry", "attempts"), ("pool", "mode"),
    ]
)  # fmt: skip
_BOUND = {"user", "password", "token", "allow_insecure"}


def _raw(name: str) -> st.SearchStrategy[Raw]:
    def build(paths: list[tuple[str, ...]]) -> Raw:
        scalars = {path[0] for path in paths if len(path) == 1}
        return {path: Value(name, Origin("call", name)) for path in paths if len(path) == 1 or path[0] not in scalars}

    return st.lists(_FIELDS, max_size=10, unique=True).map(build)


@given(_raw("parent"), _raw("child"))
@example({("token",): Value("parent", Origin("call"))}, {("token", "env"): Value("child", Origin("call"))})
def test_inheritance_never_carries_a_credential_to_another_address(parent: Raw, child: Raw) -> None:
    merged = inherit(parent, child)
    from_parent = {path for path, value in merged.items() if value.value == "parent"}
    assert all(merged[path].value == "child" for path in child)
    assert from_parent <= parent.keys() | {("ssl",)}
    assert not {path[0] for path in from_parent} & {"description", "protected", "extends"}
    assert not {path[0] for path in from_parent} & {path[0] for path in child}
    moved = bool({("uri",), ("host",)} & parent.keys()) and bool({"uri", "host", "port"} & {path[0] for path in child})
    if moved:
        assert not {path[0] for path in from_parent} & _BOUND
        assert not from_parent & {("ssl", "cert"), ("ssl", "key"), ("ssl", "server_name")}
        if any(path[0] == "ssl" for path in parent):
            assert any(path[0] == "ssl" for path in merged)
    assert inherit({}, child) == child


@given(_raw("base"), _raw("over"))
def test_a_stronger_layer_loses_nothing_and_drops_credentials_with_the_address(base: Raw, over: Raw) -> None:
    before = RawProfile("p", base, [], Origin("call", "x"), None)
    after = override(before, over)
    kept = {path for path, value in after.values.items() if value.value == "base"}
    assert all(after.values[path].value == "over" for path in over)
    # What is not in force any more is known to have given way, once.
    assert sorted(path for path, _ in after.overridden) == sorted(base.keys() - kept)
    if {"uri", "host", "port"} & {path[0] for path in over}:
        assert not {path[0] for path in kept} & _BOUND
    # A scalar and a table never stand in one field.
    for path in after.values:
        assert len(path) == 1 or (path[0],) not in after.values
    assert before.values == base
    assert override(before, {}).values == base


def test_variables_are_read_anew_when_they_change() -> None:
    def only(**env: str) -> Profiles:
        return load(env={"HOME": "/nowhere", **env}, cwd="/")

    first = only(MILVUS_URI="http://a", MILVUS_TOKEN="canary-1")
    assert only(MILVUS_URI="http://a", MILVUS_TOKEN="canary-1").settings is first.settings
    assert only(MILVUS_URI="http://a", MILVUS_TOKEN="canary-2")["default"] != first["default"]
    assert only(MILVUS_URI="http://b")["default"].endpoint.host == "b"
    assert len(only()) == 0
    # What is remembered shows no secret.
    assert "canary" not in repr(vars(sys.modules["milvus_profiles.config.settings"]))
