"""What a profile gets of the one that it extends, and what never goes to another address."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from milvus_profiles.config.layers import inherit
from milvus_profiles.config.values import Origin, Raw, RawProfile, Value, override
from milvus_profiles.errors import UnknownProfileError
from milvus_profiles.masked import SecretText
from tests.support.errors import refused
from tests.support.world import World, aliases, named

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
    ("pairs", "chain", "line"), [("aa", "a -> a", 2), ("aB ba", "a -> b -> a", 4), ("xA ab ba", "a -> b -> a", 6)]
)
def test_a_circle_is_refused_and_shown(pairs: str, chain: str, line: int) -> None:
    """Each pair is a profile and its parent."""
    text = "".join(f'[profiles.{pair[0]}]\nextends = "{pair[1]}"\n' for pair in pairs.split())
    with refused(f"extends runs in a circle: {chain}", at=f"/dir/milvus.toml:{line}:11"):
        named(text)[pairs[0]]


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
    # Whatever its neighbours are.
    for neighbours, hint in (
        ("[profiles.basis]\nextends = 'basis'\n[profiles.bases]\nextends = 'x'\n", "…"),
        ("[profiles.basis]\ntimeout = 3\n", "…give it uri or host…"),
    ):
        with refused("…'base' has no address", hint=hint):
            named("[profiles.base]\n" + neighbours).use("base")


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
