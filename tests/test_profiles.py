"""Profiles as a program has them: a mapping, what is wrong with each, and fields of a call."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import threading
from pathlib import Path

import pytest

from milvus_profiles.config.loading import load, load_text
from milvus_profiles.errors import ConfigError, UnknownProfileError
from milvus_profiles.masked import SecretText
from milvus_profiles.profile import Profile
from tests.support.errors import refused
from tests.support.files import written
from tests.support.waiting import side_by_side
from tests.support.world import World, aliases, named

CANARY = "s3cr3tc4n4ry"


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


def test_paths_of_a_call_count_from_the_current_directory_and_an_address_needs_no_profile(world: World) -> None:
    world.user(aliases("p"))
    assert world.load().use("p", {"uri": "m.db"}).profile.endpoint.uri == f"{world.project}/m.db"
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
