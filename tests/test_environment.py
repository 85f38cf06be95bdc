"""The environment as a layer: what each variable means, and that none is passed over in silence."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_profiles.config.fields import FIELDS, field, read_text
from milvus_profiles.config.loading import load
from milvus_profiles.config.settings import FAMILY, PREFIX, EnvironmentLayer, read_environment
from milvus_profiles.config.values import unflatten
from milvus_profiles.errors import ConfigError
from milvus_profiles.masked import MaskedMapping, SecretText
from milvus_profiles.profile import Profile
from tests.support.errors import refused
from tests.support.files import written

CANARY = "s3cr3tc4n4ry"


def read(**variables: str) -> EnvironmentLayer:
    return read_environment(MaskedMapping(variables), "/cwd")


def values(layer: EnvironmentLayer, alias: str) -> dict[str, Any]:
    """The fields of an alias, by dotted name."""
    return {".".join(path): value.value for path, value in layer.fields[alias].items()}


def refusal(**variables: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(**variables)
    assert str(caught.value.location) in variables
    return caught.value


def profile(alias: str, env: Mapping[str, str], file: str | None = None) -> Profile:
    return load(file, env={"HOME": "/nowhere", **env}, cwd="/")[alias]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path / "milvus.toml", FILE)


# --- variables of a profile ----------------------------------------------------------------------------------------


def test_an_empty_environment_declares_nothing() -> None:
    assert read() == EnvironmentLayer()
    others = dict.fromkeys(
        ["PATH", "MILVUS", "MILVUS_PROFLE", "XMILVUS_PROFILES__A__URI", "milvus_profiles__a__uri"], "x"
    )
    assert read(**others) == EnvironmentLayer()


READ = [
    # Scalars, as the type of their field.
    ("URI", "http://h", "http://h"),
    ("TIMEOUT", " 2.5 ", 2.5),
    ("CALL_TIMEOUT", "10", 10.0),
    ("MANAGEMENT_PORT", "9092", 9092),
    ("ALLOW_INSECURE", "TRUE", True),
    ("PROTECTED", "0", False),
    ("DESCRIPTION", " text ", " text "),
    ("DB_NAME", "5", "5"),
    ("USER", "true", "true"),
    # Tables, leaf by leaf.
    ("SSL__SERVER_NAME", "x", "x"),
    ("KEEPALIVE__TIME", "30", 30.0),
    ("RETRY__ATTEMPTS", "3", 3),
    ("POOL__MODE", "exclusive", "exclusive"),
    ("POOL__MAX_TOTAL_PER_KEY", "3", 3),
    ("POOL__LIFETIME_JITTER", "0.5", 0.5),
    ("TOKEN__COMMAND", '["op", "read", "x y"]', ["op", "read", "x y"]),
    ("TOKEN__PASS_ENV", '["A"]', ["A"]),
    ("TOKEN__KEYRING", "true", True),
    ("TOKEN__ENV", "NAME", "NAME"),
]
PATHS = [
    ("TOKEN__FILE", "f", "/cwd/f"),
    ("TOKEN_FILE", "~/token", "/home/me/token"),
    ("PASSWORD_FILE", "/f", "/f"),
    ("SSL__CA", "certs/ca.pem", "/cwd/certs/ca.pem"),
    ("SSL__CA", "~/ca.pem", "/home/me/ca.pem"),
    ("URI", "x/m.db", "/cwd/x/m.db"),
    ("URI", "unix:m.sock", "unix:/cwd/m.sock"),
    ("URI", "~/m.db", "/home/me/m.db"),
    ("URI", "not an address.db/x", "not an address.db/x"),
]


def read_alone(name: str, text: str) -> Any:
    """What one variable gives its field."""
    [(field, value)] = values(read(**{"HOME": "/home/me", PREFIX + f"P__{name}": text}), "p").items()
    assert field == name.lower().replace("__", ".").replace("_file", ".file")
    return value


@pytest.mark.parametrize(("name", "text", "value"), READ)
def test_a_variable_is_read_as_the_type_of_its_field(name: str, text: str, value: Any) -> None:
    found = read_alone(name, text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(("name", "text", "value"), PATHS)
def test_relative_paths_count_from_the_current_directory_and_the_tilde_is_home(
    name: str, text: str, value: str
) -> None:
    assert read_alone(name, text) == value
    family = read(MILVUS_URI="./u.db", MILVUS_TOKEN_FILE="f").uri_fields
    assert [value.value for value in family.values()] == ["/cwd/u.db", "/cwd/f"]


@pytest.mark.parametrize(
    ("text", "value"),
    [(text, True) for text in ("true", "Yes", "ON", "1")] + [(text, False) for text in ("false", "No", "off", "0")],
)
def test_switches_are_words_for_true_and_false(text: str, value: bool) -> None:
    for name in ("ssl", "retry", "allow_insecure", "protected"):
        assert values(read(**{f"MILVUS_PROFILES__P__{name.upper()}": text}), "p") == {name: value}


WRONG_TEXTS = {
    "timeout must be a number": ["10s", "1_0", "١٠"],
    "management_port must be a whole number": ["9091.0"],
    "port must be a whole number": ["x", "0x50", "٥", "9" * 5000],
    "ssl must be true or false": ["maybe"],
    "retry must be true or false": ["4"],
    "allow_insecure must be true or false": ["2"],
    "keepalive is a table": ["30"],
    "pool is a table": ["{}"],
    "keepalive.time must be a number": ["often"],
    "retry.attempts must be a whole number": ["4.0"],
    "pool.test_on_borrow must be true or false": ["si"],
    "token.keyring must be true or false": ["please"],
    "token.command must be a JSON array": ["op read", '{"a": 1}', '["op"', "[" * 100_000],
    "token.pass_env must be a JSON array": ["A,B"],
}


@pytest.mark.parametrize(("message", "text"), [(said, text) for said, texts in WRONG_TEXTS.items() for text in texts])
def test_text_of_another_type_is_refused(message: str, text: str) -> None:
    name = message.split()[0].upper().replace(".", "__")
    error = refusal(**{f"MILVUS_PROFILES__P__{name}": text})
    assert error.message.startswith(message)
    if "table" in message:
        assert "one by one" in (error.hint or "")


def test_tokens_and_passwords_are_always_literal() -> None:
    for text in ("true", "5", "{ keyring = true }", '["op"]', " x ", "file:/x"):
        layer = read(MILVUS_PROFILES__P__TOKEN=text, MILVUS_PROFILES__Q__PASSWORD=text)
        assert values(layer, "p") == {"token": SecretText(text)}
        assert values(layer, "q") == {"password": SecretText(text)}
    assert CANARY not in repr(
        read(MILVUS_PROFILES__P__TOKEN=CANARY, MILVUS_PROFILES__P__USER=CANARY, MILVUS_URI=CANARY)
    )


def test_an_empty_value_counts_as_unset() -> None:
    names = "MILVUS_PROFILES__P__URI", "MILVUS_PROFILES__P__NO_SUCH_FIELD", "MILVUS_PROFILESX", "MILVUS_URI"
    assert read(**dict.fromkeys(names, "")) == EnvironmentLayer()
    assert read(MILVUS_PROFILES__P__TOKEN="", MILVUS_PROFILES__P__TOKEN_FILE="/f").fields.keys() == {"p"}
    layer = read(MILVUS_URI="http://h", MILVUS_TOKEN="", MILVUS_USER="u", MILVUS_CONN_ALIAS="", MILVUS_DB="")
    assert (layer.uri_alias, set(layer.uri_fields)) == ("default", {("uri",), ("user",)})


# --- aliases -------------------------------------------------------------------------------------------------------


def test_an_alias_is_lower_cased_and_keeps_its_underscores() -> None:
    layer = read(MILVUS_PROFILES__PROD_EU__URI="http://h", MILVUS_PROFILES__Dev1__URI="http://h")
    assert layer.names == {"prod_eu": "prod_eu", "dev1": "dev1"}
    assert set(layer.fields) == {"prod_eu", "dev1"}


def test_a_declared_name_that_folds_to_it_is_meant(file: Path) -> None:
    file.write_text('[profiles."Prod-EU.1"]\nuri = "http://h"\n')
    profiles = load(file, env={"MILVUS_PROFILES__PROD_EU_1__TIMEOUT": "3"})
    assert list(profiles) == ["Prod-EU.1"]
    assert profiles["prod_eu_1"].timeout == 3.0
    assert profiles["prod_eu_1"].alias == "Prod-EU.1"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("MILVUS_PROFILES__PROD", "MILVUS_PROFILES__PROD__URI"),
        ("MILVUS_PROFILES__", "MILVUS_PROFILES__ALIAS__FIELD"),
        ("MILVUS_PROFILES____URI", "MILVUS_PROFILES__ALIAS__FIELD"),
        ("MILVUS_PROFILES__P__", "MILVUS_PROFILES__ALIAS__FIELD"),
        ("MILVUS_PROFILES__P__SSL__", "MILVUS_PROFILES__ALIAS__FIELD"),
        ("MILVUS_PROFILES__P__SSL__CA__X", "MILVUS_PROFILES__ALIAS__FIELD"),
        ("MILVUS_PROFILES", "did you mean MILVUS_PROFILE?"),
        ("MILVUS_PROFILES_PROD__URI", "MILVUS_PROFILES__ALIAS__FIELD"),
        ("MILVUS_PROFILES_FIL", "did you mean MILVUS_PROFILES_FILE?"),
        ("MILVUS_PROFILES_KEYRING_TIMOUT", "did you mean MILVUS_PROFILES_KEYRING_TIMEOUT?"),
        ("MILVUS_PROFILES__-P__URI", "ASCII letters"),
        ("MILVUS_PROFILES__Ä__URI", "ASCII letters"),
        (f"MILVUS_PROFILES__{'P' * 65}__URI", "64 characters"),
    ],
)
def test_a_variable_that_names_no_alias_and_field_is_refused(name: str, hint: str) -> None:
    assert hint in (refusal(**{name: "x"}).hint or "")


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("P__URL", "unknown field 'url'", "did you mean MILVUS_PROFILES__P__URI?"),
        ("P__TOKN", "unknown field 'tokn'", "did you mean MILVUS_PROFILES__P__TOKEN?"),
        ("P__PASSWORD_FIL", "unknown field 'password_fil'", "did you mean MILVUS_PROFILES__P__PASSWORD_FILE?"),
        ("P___URI", "unknown field '_uri'", "did you mean MILVUS_PROFILES__P__URI?"),
        ("P__XYZZY", "unknown field 'xyzzy'", "the fields are DESCRIPTION, URI,"),
        ("P__ALIAS", "unknown field 'alias'", None),
        ("P__SSL__CACERT", "unknown field 'ssl.cacert'", "did you mean MILVUS_PROFILES__P__SSL__CERT?"),
        ("P__SSL__QQQ", "unknown field 'ssl.qqq'", "ssl has ca, cert, key, server_name"),
        ("P__URI__X", "unknown field 'uri.x'", "uri is not a table"),
        ("P__SLL__CA", "unknown field 'sll'", "did you mean 'ssl'?"),
        ("P__TOKEN_FILE__X", "unknown field 'token_file'", None),
        ("P__POOL__SIZE", "unknown field 'pool.size'", None),
        ("P__TOKEN__VAULT", "unknown field 'token.vault'", "token has keyring, env, file, command, pass_env"),
    ],
)
def test_an_unknown_field_is_refused_with_the_variable_that_was_meant(
    name: str, message: str, hint: str | None
) -> None:
    error = refusal(**{PREFIX + name: CANARY})
    assert error.message == message
    assert error.hint
    assert hint is None or error.hint.startswith(hint)
    assert CANARY not in str(error)


def test_an_alias_without_an_address_is_an_error_only_when_it_is_taken() -> None:
    env = {"MILVUS_PROFILES__PORD__TIMEOUT": "5", "MILVUS_PROFILES__PROD__URI": "http://h"}
    profiles = load(env={"HOME": "/nowhere", **env}, cwd="/")
    assert profiles["prod"].timeout == 10.0
    assert profiles.select().alias == "prod"
    assert profiles.use("prod").profile.alias == "prod"
    with refused("…'pord' has no address", at="MILVUS_PROFILES__PORD__TIMEOUT", hint="did you mean 'prod'?"):
        profiles.use("pord")


# --- contradictions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("P__TOKEN", CANARY), ("P__TOKEN_FILE", "/f")),
        (("P__PASSWORD", CANARY), ("P__PASSWORD_FILE", "/f")),
        (("P__TOKEN", CANARY), ("P__TOKEN__FILE", "/f")),
        (("P__TOKEN", CANARY), ("P__TOKEN__ENV", "A")),
        (("P__TOKEN", CANARY), ("P__TOKEN__PASS_ENV", '["A"]')),
        (("P__TOKEN_FILE", "/f"), ("P__TOKEN__FILE", "/g")),
        (("P__TOKEN_FILE", "/f"), ("P__TOKEN__FILE", "/f")),
        (("P__TOKEN_FILE", "/f"), ("P__TOKEN__ENV", "A")),
        (("P__TOKEN__ENV", "A"), ("P__TOKEN__KEYRING", "true")),
        (("P__TOKEN__ENV", "A"), ("P__TOKEN__COMMAND", '["x"]')),
        (("P__SSL", "false"), ("P__SSL__CA", "/c")),
        (("P__RETRY", "false"), ("P__RETRY__ATTEMPTS", "3")),
        (("P__URI", "http://h"), ("p__uri", "http://h")),
        (("P__TIMEOUT", "1"), ("p__TIMEOUT", "2")),
        (("PROD_EU__URI", "http://h"), ("PROD-EU__URI", "http://h")),
    ],
)
def test_two_variables_that_say_one_thing_are_refused_by_name(one: tuple[str, str], other: tuple[str, str]) -> None:
    error = refusal(**{PREFIX + one[0]: one[1], PREFIX + other[0]: other[1]})
    assert PREFIX + one[0] in error.message
    assert PREFIX + other[0] in error.message
    assert error.hint == "unset one of them"
    assert CANARY not in str(error)


@pytest.mark.parametrize(("table", "leaf"), [("ssl", "ca"), ("ssl", "server_name"), ("retry", "attempts")])
def test_true_beside_its_own_table_says_nothing_more(table: str, leaf: str) -> None:
    name = f"{PREFIX}P__{table.upper()}"
    assert values(read(**{name: "true", f"{name}__{leaf.upper()}": "3"}), "p").keys() == {f"{table}.{leaf}"}


@pytest.mark.parametrize(
    ("env", "source"),
    [
        ({"P__URI": "https://h", "P__SSL": "false"}, "P__SSL"),
        ({"P__URI": "http://h", "P__HOST": "h"}, "P__URI"),
        ({"P__URI": "http://h", "P__TOKEN": CANARY, "P__PASSWORD": CANARY, "P__USER": "u"}, "P__TOKEN"),
        ({"P__URI": f"http://root:{CANARY}@h"}, "P__URI"),
        ({"P__URI": "http://h", "P__KEEPALIVE__TIME": "3"}, "P__KEEPALIVE__TIME"),
        ({"P__URI": "http://h", "P__TIMEOUT": "inf"}, "P__TIMEOUT"),
        ({"P__URI": "http://h", "P__RETRY__INITIAL": "9"}, "P__RETRY__INITIAL"),
        ({"P__URI": "http://h", "P__TOKEN__KEYRING": "false"}, "P__TOKEN__KEYRING"),
        ({"P__URI": "http://h", "P__TOKEN__PASS_ENV": '["A"]'}, "P__TOKEN__PASS_ENV"),
        ({"P__URI": "http://h", "P__TOKEN__COMMAND": f'["{CANARY}", 5]'}, "P__TOKEN__COMMAND"),
        ({"P__URI": "http://h", "P__DESCRIPTION": "a\udcff"}, "P__DESCRIPTION"),
        ({"MILVUS_URI": f"http://root:{CANARY}@h"}, "MILVUS_URI"),
        ({"MILVUS_URI": "http://h", "MILVUS_PASSWORD": CANARY}, "MILVUS_PASSWORD"),
        ({"MILVUS_URI": "http://h/a", "MILVUS_DB": "b"}, "MILVUS_DB"),
        ({"MILVUS_URI": "http://h", "MILVUS_TOKEN": f"{CANARY}\nx"}, "MILVUS_TOKEN"),
        ({"MILVUS_URI": "http://h", "MILVUS_ALLOW_INSECURE": "maybe"}, "MILVUS_ALLOW_INSECURE"),
    ],
)
def test_contradictions_between_fields_are_found_with_their_variables(env: dict[str, str], source: str) -> None:
    of_family = source.startswith("MILVUS")
    prefix = "" if of_family else PREFIX
    with refused(at=prefix + source) as caught:
        profile("default" if of_family else "p", {prefix + name: value for name, value in env.items()})
    assert caught.value.hint
    assert CANARY not in str(caught.value)


# --- the MILVUS_URI family -----------------------------------------------------------------------------------------


def test_milvus_uri_declares_the_profile_default_with_its_family() -> None:
    made = profile("default", {"MILVUS_URI": "https://h", "MILVUS_TOKEN": "t", "MILVUS_DB": "d"})
    assert (made.alias, made.uri, made.token, made.db_name) == ("default", "https://h", SecretText("t"), "d")
    made = profile("default", {"MILVUS_URI": "h", "MILVUS_USER": "u", "MILVUS_PASSWORD": "p", "MILVUS_DB_NAME": "d"})
    assert (made.user, made.password, made.db_name) == ("u", SecretText("p"), "d")
    assert profile("default", {"MILVUS_URI": "h", "MILVUS_DB": "d", "MILVUS_DB_NAME": "d"}).db_name == "d"
    made = profile("default", {"MILVUS_URI": "h", "MILVUS_ALLOW_INSECURE": "true", "MILVUS_USER": "u"})
    assert (made.allow_insecure, made.auth) == (True, "keyring")


def test_milvus_conn_alias_names_it() -> None:
    layer = read(MILVUS_URI="http://h", MILVUS_CONN_ALIAS="Prod-EU")
    assert layer.uri_alias == "Prod-EU"
    assert profile("prod_eu", {"MILVUS_URI": "http://h", "MILVUS_CONN_ALIAS": "Prod-EU"}).alias == "Prod-EU"
    with refused(at="MILVUS_CONN_ALIAS"):
        read(MILVUS_URI="http://h", MILVUS_CONN_ALIAS="a b")


def test_a_token_wins_over_user_and_password() -> None:
    for token in ({"MILVUS_TOKEN": "t"}, {"MILVUS_TOKEN_FILE": "/f"}):
        layer = read(MILVUS_URI="http://h", MILVUS_USER="u", MILVUS_PASSWORD="p", **token)
        assert {path[0] for path in layer.uri_fields} == {"uri", "token"}


@pytest.mark.parametrize(("one", "other"), [("MILVUS_TOKEN", "MILVUS_TOKEN_FILE"), ("MILVUS_DB", "MILVUS_DB_NAME")])
def test_contradictions_in_the_family_are_refused(one: str, other: str) -> None:
    fault = "differ" if one == "MILVUS_DB" else "say the same thing twice"
    with refused(f"{one} and {other} are both set and {fault}") as caught:
        read(MILVUS_URI="http://h", **{one: CANARY, other: "other"})
    assert CANARY not in str(caught.value)


def test_without_milvus_uri_the_others_are_ignored_and_named() -> None:
    others = {name: "x" for name in FAMILY if name != "MILVUS_URI"}
    layer = read(**others)
    assert layer.uri_alias is None
    assert layer.uri_fields == {}
    assert set(layer.ignored) == set(others)
    # Even those that would be wrong, or contradict each other.
    assert read(MILVUS_ALLOW_INSECURE="maybe", MILVUS_CONN_ALIAS="a b", MILVUS_DB="a", MILVUS_DB_NAME="b").ignored
    assert read(MILVUS_URI="http://h", MILVUS_TOKEN="t").ignored == ()


def test_milvus_uri_replaces_a_profile_of_the_file_whole(file: Path) -> None:
    file.write_text(
        f'[profiles.Default]\nuri = "http://file"\ntoken = "{CANARY}"\ntimeout = 3\n[profiles.other]\nuri = "http://o"\n'
    )
    profiles = load(file, env={"MILVUS_URI": "http://env"})
    made = profiles["default"]
    assert (made.alias, made.uri, made.token, made.timeout) == ("Default", "http://env", None, 10.0)
    resolved = profiles.resolve("default")
    assert str(resolved.origin) == "MILVUS_URI"
    assert [(path, str(origin)) for path, origin in resolved.raw.overridden] == [
        (("uri",), f"{file}:2:1"),
        (("token",), f"{file}:3:1"),
        (("timeout",), f"{file}:4:1"),
    ]
    assert profiles["other"].uri == "http://o"


def test_milvus_uri_replaces_even_a_broken_profile(file: Path) -> None:
    for broken in ("default = 5", "default = { extends = 'nobody' }", "default = { extends = 'default' }"):
        file.write_text(f"[profiles]\n{broken}\n")
        assert load(file, env={"MILVUS_URI": "http://env"})["default"].uri == "http://env"


def test_variables_with_the_alias_in_their_name_beat_the_family() -> None:
    env = {"MILVUS_URI": "http://h", "MILVUS_DB": "a", "MILVUS_TOKEN": "t", "MILVUS_PROFILES__DEFAULT__DB_NAME": "b"}
    profiles = load(env={"HOME": "/nowhere", **env}, cwd="/")
    assert profiles["default"].db_name == "b"
    assert profiles["default"].token == SecretText("t")
    assert [str(origin) for _, origin in profiles.resolve("default").raw.overridden] == ["MILVUS_DB"]
    moved = profile("default", env | {"MILVUS_PROFILES__DEFAULT__URI": "http://other"})
    assert (moved.uri, moved.token) == ("http://other", None)


# --- overrides of a declared profile -------------------------------------------------------------------------------

FILE = """
[profiles.prod]
uri = "https://h"
user = "root"
password = { env = "PW" }
timeout = 3
ssl = { server_name = "a", ca = "/dir/missing.pem" }
retry = { attempts = 3, initial = 0.5 }
keepalive = { time = 20 }
pool = { max_uses = 5, mode = "exclusive" }
"""


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"SSL__SERVER_NAME": "b"}, {"ssl": {"server_name": "b", "ca": "/dir/missing.pem"}}),
        ({"SSL__CA": "/c"}, {"ssl": {"server_name": "a", "ca": "/c"}}),
        ({"SSL": "true"}, {"ssl": {"server_name": "a", "ca": "/dir/missing.pem"}}),
        ({"RETRY__MAX": "2"}, {"retry": {"attempts": 3, "initial": 0.5, "max": 2.0}}),
        ({"RETRY": "false"}, {"retry": False}),
        ({"KEEPALIVE__TIMEOUT": "1"}, {"keepalive": {"time": 20, "timeout": 1.0}}),
        ({"POOL__MAX_USES": "6"}, {"pool": {"max_uses": 6, "mode": "exclusive"}}),
        ({"TIMEOUT": "9"}, {"timeout": 9.0}),
        ({"PASSWORD": "x"}, {"password": SecretText("x"), "user": "root"}),
        ({"PASSWORD__KEYRING": "true"}, {"password": {"keyring": True}, "user": "root"}),
        ({"PASSWORD__ENV": "OTHER"}, {"password": {"env": "OTHER"}}),
        ({"TOKEN": "x"}, {"token": SecretText("x"), "password": None, "user": "root"}),
        ({"TOKEN_FILE": "/f"}, {"token": {"file": "/f"}, "password": None}),
        ({"DB_NAME": "d"}, {"db_name": "d", "password": {"env": "PW"}}),
        ({"URI": "http://x"}, {"uri": "http://x", "user": None, "password": None, "timeout": 3}),
        ({"HOST": "x"}, {"uri": None, "host": "x", "user": None, "password": None}),
        ({"HOST": "x", "PORT": "5"}, {"uri": None, "host": "x", "port": 5, "user": None}),
        ({"URI": "http://x", "USER": "me"}, {"uri": "http://x", "user": "me", "password": None}),
        ({"URI": "http://x", "TOKEN": "t"}, {"uri": "http://x", "token": SecretText("t"), "user": None}),
    ],
)
def test_a_variable_replaces_one_field_or_one_leaf(
    file: Path, variables: dict[str, str], expected: dict[str, Any]
) -> None:
    env = {f"MILVUS_PROFILES__PROD__{name}": value for name, value in variables.items()}
    table = unflatten(load(file, env=env).raw("prod").values)
    assert {name: table.get(name) for name in expected} == expected


def test_another_command_keeps_the_variables_that_are_passed_to_it(file: Path) -> None:
    file.write_text('[profiles.p]\nuri = "http://h"\ntoken = { command = ["a"], pass_env = ["X"] }\n')
    made = load(file, env={"MILVUS_PROFILES__P__TOKEN__COMMAND": '["b"]'})["p"]
    assert made.token is not None
    assert made.token.model_dump() == {"command": ("b",), "pass_env": ("X",)}  # type: ignore[union-attr]
    made = load(file, env={"MILVUS_PROFILES__P__TOKEN__ENV": "E"})["p"]
    assert made.token.model_dump() == {"env": "E"}  # type: ignore[union-attr]


def test_what_gave_way_is_known_with_its_origin(file: Path) -> None:
    env = {"MILVUS_PROFILES__PROD__URI": "http://x", "MILVUS_PROFILES__PROD__SSL__CA": "/c"}
    raw = load(file, env=env).raw("prod")
    assert {".".join(path): str(origin) for path, origin in raw.overridden} == {
        "uri": f"{file}:3:1",
        "user": f"{file}:4:1",
        "password.env": f"{file}:5:14",
        "ssl.ca": f"{file}:7:28",
    }
    assert str(raw.values["uri",].origin) == "MILVUS_PROFILES__PROD__URI"
    assert str(raw.values["ssl", "server_name"].origin) == f"{file}:7:9"


# --- fields and their types ----------------------------------------------------------------------------------------


def test_every_field_of_the_model_can_be_set_by_a_variable() -> None:
    examples = {"int": "5", "float": "5", "bool": "true", "str": "x", "secret": "x", "array": '["x"]'}
    for name in FIELDS:
        described = field((name,))
        assert described.kind or described.keys
        for path in [(name,)] * (described.kind is not None) + [(name, key) for key in described.keys]:
            assert read_text(path, examples[field(path).kind or ""]) is not None
    assert "alias" not in FIELDS


@given(
    st.dictionaries(
        st.builds(
            "{}{}__{}".format,
            st.just(PREFIX),
            st.sampled_from(["P", "p", "Q_R", "X-Y", "_", ""]),
            st.sampled_from([*(f.upper() for f in FIELDS), "TOKEN__ENV", "SSL__CA", "TOKEN_FILE", "RETRY__MAX", "NO"]),
        ),
        st.sampled_from(["", "true", "5", "x", '["x"]', "http://h", CANARY, "\udcff", "/p"]),
        max_size=5,
    )
)
def test_any_variables_make_a_layer_or_one_clear_error(variables: dict[str, str]) -> None:
    outcome = attempt(partial(read_environment, MaskedMapping(variables), "/cwd"))
    if isinstance(outcome, EnvironmentLayer):
        for raw in outcome.fields.values():
            assert all(str(value.origin) in variables for value in raw.values())
    else:
        error, shown = outcome
        assert error.location is not None
        assert error.location.source in variables
        assert CANARY not in shown


def attempt(make: Callable[[], Any]) -> Any:
    """The result; or the error, and all that its traceback shows of the frames from here on."""
    try:
        return make()
    except ConfigError as error:
        return error, "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MILVUS_PROFILES__P__TOKEN__COMMAND", f'["{CANARY}"'),
        ("MILVUS_PROFILES__P__TIMEOUT", CANARY),
        ("MILVUS_PROFILES__P__TOKN", CANARY),
        ("MILVUS_PROFILES__P__PASSWORD__ENV", f"{CANARY}-"),
        ("MILVUS_PROFILES__P__SSL", CANARY),
        ("MILVUS_PROFILES__P__TOKEN", f"{CANARY}\nx"),
        ("MILVUS_PROFILES__P__PASSWORD", CANARY),
        ("MILVUS_PROFILES__P__TOKEN_FILE", f"{CANARY}\n"),
        ("MILVUS_PROFILES_X", CANARY),
        ("MILVUS_ALLOW_INSECURE", CANARY),
        ("MILVUS_PASSWORD", CANARY),
        ("MILVUS_CONN_ALIAS", f"{CANARY} "),
    ],
)
def test_no_error_of_a_variable_holds_its_value(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("MILVUS_PROFILES__P__URI", "http://h")
    monkeypatch.setenv("MILVUS_URI", "http://h")
    monkeypatch.setenv(name, value)
    error, shown = attempt(lambda: [load(cwd="/")[alias] for alias in ("p", "default")])
    assert isinstance(error, ConfigError)
    # A wrong alias and a wrong path are named; they are no secrets.
    assert CANARY not in shown or name in ("MILVUS_CONN_ALIAS", "MILVUS_PROFILES__P__TOKEN_FILE")


# --- variables that tune -------------------------------------------------------------------------------------------


def settings_of(**env: str) -> Any:
    return load(env={"HOME": "/nowhere", **env}, cwd="/").settings


def test_variables_of_the_settings_themselves_are_not_read() -> None:
    # pydantic-settings would take these by itself.
    made = settings_of(DEFAULT_PROFILE="x", MAX_CONNECTIONS="5", KEYRING_BACKENDS="[]", PROFILE="x", ENVIRONMENT="{}")
    assert (made.default_profile, made.max_connections, made.keyring_backends, made.profile) == (None, 65_536, [], None)
    assert settings_of(MILVUS_PROFILES_KEYRING_TIMEOUT="5").profile is None
