"""The models: every field, every contradiction, no guessing at types, no secret in anything that shows."""

from __future__ import annotations

import copy
import os
import pickle
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from milvus_profiles.config.fields import FIELDS, field
from milvus_profiles.errors import ConfigError
from milvus_profiles.fieldtypes import fields_in, wording
from milvus_profiles.masked import MASK, SecretText
from milvus_profiles.names import check_alias, fold_alias, is_alias
from milvus_profiles.pool_settings import PoolSettings
from milvus_profiles.profile import SSL, Keepalive, Profile, Retry
from milvus_profiles.references import CommandRef, EnvRef, FileRef, KeyringRef
from tests.support.files import written
from tests.support.obstacles import as_nobody, reachable

CANARY = "s3cr3t-c4n4ry"
PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def profile(**fields: Any) -> Profile:
    return Profile(alias="prod", **fields)


def findings(**fields: Any) -> list[Any]:
    """What is wrong; empty for a valid profile."""
    try:
        Profile.model_validate({"alias": "a", **fields})
    except ValidationError as error:
        return list(error.errors(include_input=False, include_url=False))
    return []


def refusals(**fields: Any) -> list[str]:
    return [f"{'.'.join(str(part) for part in found['loc'])}: {found['msg']}" for found in findings(**fields)]


@pytest.fixture
def pem(tmp_path: Path) -> str:
    return str(written(tmp_path / "ca.pem", PEM))


# --- aliases -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alias", ["a", "A1", "prod", "prod-eu", "prod_eu", "prod.eu", "a-b_c.d", "0", "1.2", "a" * 64])
def test_valid_aliases(alias: str) -> None:
    assert check_alias(alias) == alias
    assert is_alias(alias)
    assert Profile(alias=alias, host="h").alias == alias


@pytest.mark.parametrize(
    "alias",
    [
        "", "-", ".", "-a", "a-", "_a", "a_", ".a", "a.", "a--b", "a__b", "a..b", "a-_b", "a.-b", "a b", "a/b", "a\n",
        "\na", "ä", "prödukt", "a\x00", "a\x1b[31m", "a" * 65, "[link=x]", "К8s", "a:b", "a'b", 'a"b', "1\u0660",
        "a" * 100_000,
    ],
)  # fmt: skip
def test_invalid_aliases_are_refused_by_name_and_model_alike(alias: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_alias(alias)
    assert caught.value.hint
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 200
    assert not is_alias(alias)
    with pytest.raises(ConfigError):
        Profile(alias=alias, host="h")


def test_aliases_are_compared_without_case_and_with_separators_equal() -> None:
    assert fold_alias("Prod-EU") == fold_alias("prod_eu") == fold_alias("PROD.eu") == "prod_eu"
    assert fold_alias("prodeu") != fold_alias("prod-eu")


@given(st.text(max_size=70))
def test_a_text_is_an_alias_by_one_rule_everywhere(text: str) -> None:
    try:
        Profile(alias=text, host="h")
    except ConfigError:
        assert not is_alias(text)
    else:
        assert is_alias(text)
        assert fold_alias(fold_alias(text)) == fold_alias(text)


# --- defaults and every field --------------------------------------------------------------------------------------


def test_the_defaults_are_those_of_the_documentation() -> None:
    made = profile(uri="http://h")
    assert (made.timeout, made.call_timeout, made.proxy, made.management_port) == (10.0, None, None, 9091)
    assert (made.allow_insecure, made.protected, made.ssl, made.pool, made.extends) == (False, False, None, None, None)
    assert made.retry == profile(retry=True).retry == Retry(attempts=4, initial=0.1, max=1.0)
    assert made.keepalive == Keepalive(time=330.0, timeout=10.0)
    assert made.auth == "none"


def test_the_pool_has_the_defaults_of_milvus_own_pool() -> None:
    pool = PoolSettings()
    assert pool.mode == "shared"
    assert (pool.max_channels, pool.soft_limit, pool.hard_limit) == (4, 50, 90)
    assert (pool.max_idle_per_key, pool.min_idle_per_key, pool.max_total_per_key, pool.max_total) == (5, 0, 10, 50)
    assert (pool.block_when_exhausted, pool.max_block_wait) == (True, 3.0)
    assert (pool.eviction_interval, pool.min_evictable_idle) == (60.0, 10.0)
    assert (pool.test_on_borrow, pool.test_on_return, pool.test_while_idle) == (False, True, False)
    assert (pool.max_lifetime, pool.lifetime_jitter, pool.max_uses, pool.max_waiting) == (None, 0.1, None, None)
    assert (pool.drain_timeout, pool.leak_threshold) == (30.0, None)


def test_hosts_have_one_spelling_in_every_field() -> None:
    assert SSL(server_name="Other.Example.").server_name == "other.example"
    assert profile(uri="h", proxy="http://Proxy.example:3128").proxy == "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("fields", "uri", "db_name"),
    [
        ({"uri": "https://h/db"}, "https://h:443", "db"),
        ({"uri": "http://h/db", "db_name": "db"}, "http://h:19530", "db"),
        ({"uri": "http://h", "ssl": True}, "https://h:19530", None),
        ({"uri": "tcp://h", "ssl": {}}, "https://h:19530", None),
        ({"uri": "http://h", "ssl": False}, "http://h:19530", None),
        ({"uri": "https://h", "ssl": True}, "https://h:443", None),
        ({"host": "H."}, "http://h:19530", None),
        ({"host": "::1", "port": 5}, "http://[::1]:5", None),
        ({"host": "[::1]", "port": 5, "ssl": True}, "https://[::1]:5", None),
        ({"uri": "/data/m.db", "ssl": False}, "/data/m.db", None),
    ],
)
def test_address_and_tls_make_the_endpoint(fields: dict[str, Any], uri: str, db_name: str | None) -> None:
    made = profile(**fields)
    assert made.endpoint.uri == uri
    assert made.db_name == db_name
    assert not made.is_template


def test_tls_settings_in_force() -> None:
    assert profile(uri="http://h").tls is None
    assert profile(uri="http://h", ssl=False).tls is None
    assert profile(uri="https://h").tls == SSL()
    assert profile(uri="http://h", ssl=True).tls == SSL()
    assert profile(uri="http://h", ssl={"server_name": "x"}).tls == SSL(server_name="x")


def test_a_profile_without_an_address_is_a_template_that_cannot_be_used() -> None:
    for fields in ({}, {"port": 5}, {"user": "root"}, {"password": "pw"}, {"ssl": False}):
        made = profile(**fields)
        assert made.is_template
        for use in ("address", "endpoint", "tls"):
            with pytest.raises(ConfigError, match="'prod' has no address") as caught:
                getattr(made, use)
            assert caught.value.hint
    assert profile(user="root").auth == "keyring"


# --- credentials ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "kind", "user"),
    [
        ({}, None, None),
        ({"token": "key"}, "inline", None),
        ({"token": {"keyring": True}}, "keyring", None),
        ({"token": {"env": "NAME"}}, "env", None),
        ({"token": {"file": "/f"}}, "file", None),
        ({"token": {"command": ["op", "read"]}}, "command", None),
        ({"user": "root"}, "keyring", "root"),
        ({"user": "root", "password": "pw"}, "inline", "root"),
        ({"user": "root", "password": {"keyring": True}}, "keyring", "root"),
        ({"user": "root", "password": {"env": "NAME"}}, "env", "root"),
        ({"user": "root", "password": {"command": ["x"], "pass_env": ["A", "B"]}}, "command", "root"),
        ({"user": "root", "token": {"keyring": True}}, "keyring", "root"),
        ({"user": "root", "token": "root:pw"}, "inline", None),
    ],
)
def test_where_the_secret_comes_from(fields: dict[str, Any], kind: str | None, user: str | None) -> None:
    made = profile(uri="http://h", **fields)
    assert made.auth == (kind or "none")
    if kind is None:
        assert made.credential is None
    else:
        assert made.credential is not None
        assert (made.credential.kind, made.credential.user) == (kind, user)


def test_lite_never_has_a_credential() -> None:
    for fields in ({"user": "root"}, {"token": "x"}, {"user": "root", "password": "x"}, {"token": {"keyring": True}}):
        assert profile(uri="/m.db", **fields).auth == "none"


def test_references_hold_what_was_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert profile(token={"env": "_A1"}).token == EnvRef(env="_A1")
    assert profile(token={"command": ["op", "read"]}).token == CommandRef(command=("op", "read"), pass_env=())
    assert profile(token={"command": ("op",), "pass_env": ["A"]}).token == CommandRef(command=("op",), pass_env=("A",))
    assert profile(token=KeyringRef(keyring=True)).token == KeyringRef(keyring=True)
    assert profile(token=SecretText("x")).token == SecretText("x")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert profile(token={"file": "x"}).token == FileRef(file=str(tmp_path / "x"))
    assert profile(token={"file": "~/x"}).token == FileRef(file="/home/me/x")


# --- contradictions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"uri": "http://h", "port": 1}, "uri and port are both given"),
        ({"uri": "/m.db", "ssl": True}, "Milvus Lite has no TLS"),
        ({"uri": "/m.db", "ssl": {}}, "Milvus Lite has no TLS"),
        ({"uri": "http://h", "password": "p"}, "password needs user"),
        ({"pool": {"eviction_interval": 5}}, "eviction_interval is a setting of a whole pool"),
        ({"pool": {"drain_timeout": 5}}, "drain_timeout is a setting of a whole pool"),
        ({"uri": ""}, "empty"),
        ({"host": "h", "keepalive": {"time": 4.999}}, "keepalive.time is below 5 seconds"),
        ({"pool": {"soft_limit": 91}}, "soft_limit is above hard_limit"),
        ({"pool": {"min_idle_per_key": 11}}, "min_idle_per_key is above max_total_per_key"),
        ({"token": {"pass_env": ["X"]}}, "exactly one of keyring, env, file, command"),
        ({"token": {"valt": "x"}}, "exactly one of keyring, env, file, command"),
        ({"proxy": "https://p:1"}, "must be http://HOST:PORT"),
        ({"proxy": "http://p"}, "must name its port"),
        ({"proxy": "http://p:1/x"}, "without a path"),
        ({"proxy": f"http://root:{CANARY}@p:1"}, "user information"),
        ({"proxy": "http://:1"}, "host is empty"),
    ],
)
def test_contradictions_are_refused_in_one_sentence(fields: dict[str, Any], message: str) -> None:
    (found,) = refusals(**fields)
    assert message in found
    assert CANARY not in found


@pytest.mark.parametrize("half", ["cert", "key"])
def test_a_certificate_without_its_key_and_a_key_without_its_certificate_are_refused(pem: str, half: str) -> None:
    (found,) = refusals(uri="https://h", ssl={half: pem})
    other = {"cert": "key", "key": "cert"}[half]
    assert f"ssl.{half} needs ssl.{other}" in found


# --- strictness ----------------------------------------------------------------------------------------------------

_SECONDS = "timeout call_timeout"
PORTS: list[Any] = ["19530", True, 1.0, 0, 65_536, -1, 10**40]
WRONG: dict[str, list[Any]] = {
    _SECONDS: ["5", True, [5], {"s": 5}, float("nan"), float("inf"), 0, -1, 86_401, 10**400],
    "port": PORTS,
    "management_port": [*PORTS, None],
    "allow_insecure protected": ["true", 1, 0, "", None, []],
    "description uri user db_name proxy extends host": [5, True, ["x"], {"x": "y"}, b"x", Path("x")],
    "ssl": [1, 0, "true", [True], {"server_name": "a b"}, {"server_name": ""}, {"cacert": "x"}],
    "retry": [
        0, 1, "false", None, {"attempts": 1}, {"attempts": 6}, {"attempts": "4"}, {"attempts": True}, {"initial": 0},
        {"tries": 3},
    ],
    "keepalive": [True, None, {"time": "30"}, {"timeout": 0}, {"time": float("inf")}, {"interval": 5}],
    "pool": [
        True, {"mode": "Shared"}, {"max_channels": 0}, {"max_uses": 0}, {"lifetime_jitter": 1}, {"max_block_wait": -1},
        {"test_on_borrow": 1}, {"size": 5},
    ],
    "tokn _address": ["x"],
    "token": [
        5, True, ["x"], "", "a\nb", "a\x7f", {"keyring": False}, {"keyring": 1}, {"keyring": "true"}, {"env": ""},
        {"env": "A-B"}, {"env": "1A"}, {"env": "A\n"}, {"env": 5}, {"env": "Ä"}, {"file": ""}, {"file": "a\x00b"},
        {"file": 5}, {"command": "op read"}, {"command": []}, {"command": ["op", ""]}, {"command": ["op", 5]},
        {"command": ["op"], "pass_env": "A"}, {"command": ["op"], "pass_env": ["A B"]}, {"env": "A", "pass_env": ["B"]},
        {"env": "A", "default": "x"},
    ],
    "description": ["a\udcff"],
    "user": ["", "a\tb"],
    "db_name": ["", "a b", "ä", "a\n"],
    "host": ["", "h:1", "127.1"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "wrong"),
    [(field, wrong) for names, values in WRONG.items() for field in names.split() for wrong in values],
)
def test_nothing_is_guessed_or_converted(field: str, wrong: Any) -> None:
    assert len(refusals(**{field: wrong}, **({"host": "h"} if field == "port" else {}))) == 1


@pytest.mark.parametrize("field", _SECONDS.split())
@pytest.mark.parametrize("right", [1, 0.001, 86_400])
def test_whole_numbers_are_seconds_too(field: str, right: float) -> None:
    assert getattr(profile(**{field: right}), field) == float(right)


def test_the_mask_is_not_taken_for_a_secret() -> None:
    # What a dump of a profile holds in the place of its secret must not become the secret.
    made = profile(uri="http://h", token=CANARY)
    assert made.model_dump()["token"] == MASK
    with pytest.raises(ValidationError, match="mask"):
        Profile.model_validate(made.model_dump())
    with pytest.raises(ValidationError, match="mask"):
        Profile.model_validate_json(made.model_dump_json())
    assert refusals(token="**********")
    assert not refusals(token="a*")


# --- certificates --------------------------------------------------------------------------------------------------


def test_pem_files_are_looked_at(pem: str, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    (tmp_path / "text.pem").write_text("hello")
    (tmp_path / "der.pem").write_bytes(b"\x30\x82" + bytes(range(256)))
    (tmp_path / "huge.pem").write_bytes(PEM.encode() + bytes(1 << 20))
    os.mkfifo(tmp_path / "fifo.pem")
    os.symlink("loop.pem", tmp_path / "loop.pem")
    os.symlink("nowhere", tmp_path / "dangling.pem")
    os.symlink("ca.pem", tmp_path / "link.pem")
    before = len(os.listdir("/proc/self/fd"))
    for name, word in {
        "missing.pem": "No such file",
        "dangling.pem": "No such file",
        "loop.pem": "symbolic link",
        "ca.pem/x": "Not a directory",
        ".": "directory",
        "fifo.pem": "is not a file",
        "empty.pem": "not a PEM file",
        "text.pem": "not a PEM file",
        "der.pem": "not a PEM file",
        "huge.pem": "larger than 1 MiB",
        "n" * 300: "name too long",
    }.items():
        (found,) = refusals(uri="https://h", ssl={"ca": str(tmp_path / name)})
        assert word in found
        assert str(tmp_path) in found
    assert len(os.listdir("/proc/self/fd")) == before
    for name in ("ca.pem", "link.pem"):
        assert profile(uri="https://h", ssl={"ca": str(tmp_path / name)}).tls == SSL(ca=str(tmp_path / name))
    assert refusals(ssl={"ca": "/dev/zero"}) == ["ssl.<table>.ca: /dev/zero is not a file but a device"]
    assert len(refusals(ssl={"ca": ""})) == len(refusals(ssl={"ca": "a\x00"})) == 1


def test_an_unreadable_pem_file_is_refused_by_name(tmp_path: Path) -> None:
    key = written(tmp_path / "key.pem", PEM, 0)
    with reachable(tmp_path), as_nobody():
        assert refusals(ssl={"ca": str(key)}) == [f"ssl.<table>.ca: cannot read {key}: Permission denied"]


def test_paths_of_certificates_become_absolute(pem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(os.path.dirname(pem))
    monkeypatch.setenv("HOME", os.path.dirname(pem))
    assert SSL(ca="ca.pem") == SSL(ca="./ca.pem") == SSL(ca="~/ca.pem") == SSL(ca=pem)


# --- nothing changes, nothing shows --------------------------------------------------------------------------------


def secretive() -> Profile:
    return profile(uri="http://h", user="root", password=CANARY)


def test_profiles_cannot_be_changed() -> None:
    made = secretive()
    for name in ("user", "alias", "uri", "timeout"):
        with pytest.raises(ValidationError):
            setattr(made, name, "x")
        with pytest.raises(ValidationError):
            delattr(made, name)
    for part in (made.retry, made.keepalive):
        with pytest.raises(ValidationError):
            part.max = part.time = 1  # type: ignore[misc, union-attr]


@pytest.mark.parametrize("secret", [{"token": CANARY}, {"user": "root", "password": CANARY}])
def test_no_text_of_a_profile_shows_its_secret(secret: dict[str, str]) -> None:
    made = profile(uri="http://h", **secret)
    for shown in (
        repr(made),
        str(made),
        f"{made}",
        repr(vars(made)),
        repr(made.model_dump()),
        repr(made.model_dump(mode="json")),
        made.model_dump_json(),
        repr(made.__getstate__()),
        repr(list(made)),
        repr(made.credential),
        repr(made.model_copy(deep=True)),
        repr(list(made.__repr_args__())),
    ):
        assert CANARY not in shown
    assert MASK in made.model_dump_json()


def test_a_profile_with_a_secret_is_copied_but_never_pickled() -> None:
    made = secretive()
    for twin in (copy.copy(made), copy.deepcopy(made), made.model_copy(), made.model_copy(deep=True)):
        assert twin == made
        assert twin.endpoint == made.endpoint
        assert twin.password == SecretText(CANARY)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(made, protocol)


def test_a_profile_without_a_literal_secret_is_pickled_whole() -> None:
    made = profile(uri="https://h/db", token={"env": "NAME"}, ssl={"server_name": "x"})
    twin = pickle.loads(pickle.dumps(made))
    assert twin == made
    assert twin.endpoint == made.endpoint
    assert twin.db_name == "db"


WITH_A_SECRET: list[dict[str, Any]] = [
    {"token": CANARY, "timeout": "x"}, {"token": CANARY, "tokn": CANARY}, {"token": CANARY, "password": CANARY},
    {"token": {"env": "A", "default": CANARY}},
    {"token": CANARY + "\nx"}, {"token": {"keyring": CANARY}}, {"token": {"env": CANARY}}, {"token": {CANARY: CANARY}},
    {"token": {"command": CANARY}}, {"token": {"command": [CANARY, 5]}}, {"token": [CANARY]},
    {"uri": f"http://root:{CANARY}@h"}, {"host": f"root:{CANARY}@h"}, {"proxy": f"http://root:{CANARY}@h:1"},
    {"uri": "http://h", "user": f"root:{CANARY}"}, {"password": CANARY, "uri": "http://h"}, {"ssl": CANARY},
    {"ssl": {"server_name": f"{CANARY} "}}, {"pool": CANARY}, {"retry": {"attempts": CANARY}}, {"keepalive": CANARY},
]  # fmt: skip


@pytest.mark.parametrize("fields", WITH_A_SECRET)
def test_no_validation_error_shows_a_secret(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        profile(**fields)
    error = caught.value
    for shown in (str(error), repr(error), repr(vars(error)), "".join(traceback.format_exception(error))):
        assert CANARY not in shown
    assert error.__cause__ is error.__context__ is None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        assert frame.f_code.co_filename == __file__ or CANARY not in repr(frame.f_locals)
    assert CANARY not in repr([(e["type"], e["msg"], e.get("ctx")) for e in findings(**fields)])


@pytest.mark.parametrize(
    ("make", "message", "hint"),
    [
        (lambda: Profile(alias="a", uri="h", timout=3), "unknown field 'timout'", "did you mean 'timeout'?"),  # type: ignore
        (lambda: Profile(alias="a", uri="h", database="x"), "unknown field 'database'", "did you mean 'db_name'?"),  # type: ignore
        (lambda: Profile(alias="a", uri="h", ssl={"caa": "x"}), "unknown field 'caa'", "did you mean 'ca'?"),  # type: ignore
        (lambda: Profile(alias="a", descriptoin="d"), "unknown field 'descriptoin'", "did you mean 'description'?"),  # type: ignore
        (lambda: PoolSettings(max_channel=3), "unknown field 'max_channel'", "did you mean 'max_channels'?"),  # type: ignore
        (lambda: PoolSettings(max_channels="3"), "max_channels must be a whole number", None),  # type: ignore
        (lambda: PoolSettings(max_channels=0, max_total=0), "max_channels must be at least 1", "1 more"),
        (lambda: Profile(timout=3), "unknown field 'timout'", "did you mean 'timeout'?; 1 more"),  # type: ignore
        (lambda: Profile(uri="h"), "alias is missing", None),  # type: ignore
    ],
)
def test_a_model_that_a_program_makes_wrong_is_an_error_with_a_suggestion(
    make: Callable[[], object], message: str, hint: str | None
) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert (caught.value.message, caught.value.hint) == (message, hint)
    assert str(caught.value.location) in ("Profile", "PoolSettings")


# One of these is wrong for any field, in whatever way the model has.
STRANGE: list[Any] = [
    None, "", "x", "'q'", "${X}", "\ud800", "x" * 70_000, "a b", "é", 0, 1, -1, 7, 100_001, 1.5, -0.5, float("nan"),
    float("inf"), 10**400, True, False, [], {}, ["x"], [1], [[]], ["\0"], ["x"] * 2000, {"x": 1}, {"env": 1},
    {"env": "1x"}, {"file": 1}, {"file": ""}, {"command": []}, {"command": ["\0"]}, {"command": 5}, {"command": [""]},
    {"keyring": "x"}, {"keyring": True, "env": "X"}, {"mode": "x"}, {1: 2}, b"x", (1,),
]  # fmt: skip


def test_no_word_of_pydantics_reaches_a_person() -> None:
    kinds = set()
    leaves = [(name, key) for name in FIELDS for key in field((name,)).keys]
    for path in [("alias",), *((name,) for name in FIELDS), *leaves]:
        for strange in STRANGE:
            data: Any = strange
            for name in reversed(path):
                data = {name: data}
            for finding in findings(**{"uri": "http://h", **data}):
                kinds.add(finding["type"])
                place = ".".join(map(str, fields_in(finding["loc"], finding["type"])))
                said = wording(finding, place)
                if finding["type"] != "extra_forbidden":  # which says what is right by itself
                    assert not said.endswith("is not valid") or "alias" in said, finding
                assert not re.search("Input|should|instance|constrained|<|greater|less than or", said), said
                assert re.match(r"[a-z_.0-9]+(:| )", said), said
    assert {"greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number"} <= kinds
    assert {"string_type", "int_type", "float_type", "bool_type"} <= kinds
