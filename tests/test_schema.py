"""The JSON Schema agrees with the models on what is valid."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import milvus_profiles as mp
from milvus_profiles.config.loading import load_text
from milvus_profiles.config.schema import file_schema
from milvus_profiles.errors import MilvusProfilesError
from milvus_profiles.tomltext.parser import loads
from tests.support.command import Command

SAMPLES = sorted((Path(__file__).parents[1] / "sample_configs").rglob("*.toml"))
VALIDATOR = Draft202012Validator(file_schema())


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_samples_fit_the_schema(path: Path) -> None:
    assert list(VALIDATOR.iter_errors(loads(path.read_text()))) == []


WRONG_LINES = [
    "timout = 3", 'timeout = "3"', "timeout = 0", "port = 0", "port = 70000", 'ssl = "yes"', "ssl = { caa = 'x' }",
    "retry = { attempts = 9 }", "token = { env = 'X', file = 'y' }", "token = { keyring = false }",
    "token = { command = [] }", "token = 3", "pool = { mode = 'other' }", "pool = { max_total = 5 }",
    "uri = 'h'\nhost = 'h'", "uri = 'h'\nport = 1", "uri = 'https://h'\nssl = false", "uri = 'h'\npassword = 'x'",
    "user = 'a:b'", "token = 'x'\npassword = 'y'", "token = '***'", 'token = "***\\n"', 'token = "a\\u0001"',
    "keepalive = { time = 4.9 }", "ssl = { cert = 'x' }", "db_name = 'a b'", "proxy = 'http://h'", "alias = 'a'",
]  # fmt: skip
GOOD_LINES = [
    "retry = true", "retry = false", "retry = { attempts = 2 }", "ssl = true", "ssl = { server_name = 'x' }",
    "token = { command = ['x'], pass_env = ['Y'] }", "token = { keyring = true }", "token = 'literal'",
    "pool = { mode = 'exclusive', max_lifetime = 60.5 }", "keepalive = { time = 5 }", "host = 'h'\nport = 1",
    "uri = 'http://h'\nssl = false", "uri = 'h'\nuser = 'u'\npassword = \"a\\tb\"", "password = 'x'",
    "token = '*a*'", 'token = "a\\r\\n"', "pool = { max_total_per_key = 5 }",
]  # fmt: skip


@pytest.mark.parametrize("line", WRONG_LINES + GOOD_LINES)
def test_the_models_and_the_schema_refuse_the_same(line: str, tmp_path: Path) -> None:
    text = f"[profiles.a]\n{line}\n"
    path = tmp_path / "milvus.toml"
    path.write_text(text)
    assert bool(mp.load(path, env={}).findings("a")) is (line in WRONG_LINES)
    assert bool(list(VALIDATOR.iter_errors(loads(text)))) is (line in WRONG_LINES)


def test_fields_carry_their_descriptions(cli: Command) -> None:
    schema = cli("config", "schema").json
    assert schema["$defs"]["Profile"]["properties"]["proxy"]["description"].startswith("`http://HOST:PORT`")
    assert schema["properties"]["profiles"]["additionalProperties"] == {"$ref": "#/$defs/Profile"}


# --- documents that are generated from the schema --------------------------------------------------------------------

SCHEMA = file_schema()

# What no schema says of one table: what an address is, what stands in a file, how two numbers compare, what a name
# refers to.
BEYOND = re.compile(
    r"(?:[a-z_.]+: )?(?:the (?:host|address|port) |must name its port|extends names|retry\.max is below|"
    r"soft_limit is above|min_idle_per_key is above|must be text in UTF-8|contains U\\+|"
    r"Milvus Lite has no TLS)|.*(?:cannot read|is not a PEM file|but the uri names the database)"
)
# What it extends gives the rest of these.
INHERITED = re.compile(
    r"uri and (?:host|port) are both|token and password are both|password needs user|ssl = false contradicts"
)
TEXTS = {
    "uri": ["http://h", "https://h:1", "h:1", "unix:/s", "./m.db", "tcp://h/db", "", "http://u:p@h"],
    "host": ["h", "::1", "127.0.0.1", "", "a b", "h/x", "u@h"],
    "proxy": ["http://p:1", "HTTP://p:1/", "http://p", "https://p:1", "p:1", "http://p:1/x", ""],
    "file": ["PEM", "/missing", "", "a\nb"],
    "extends": ["base", "BASE", "nobody"],
}
LIKE = {"server_name": "host", "ca": "file", "cert": "file", "key": "file"}
ANY_TEXT = ["", "a", "a b", "a:b", "a\tb", "a\nb", "\x01", "***", "*a", "é", "A_1", "x" * 300]
WRONG: list[Any] = ["x", 3, 1.5, True, [], {}, [3], {"x": 1}]


def boundaries(node: dict[str, Any]) -> Iterator[float]:
    for keyword in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
        if keyword in node:
            yield from (node[keyword] - 1, node[keyword], node[keyword] + 1)
    yield from (1, 7)


def values(node: dict[str, Any], name: str) -> st.SearchStrategy[Any]:
    """Values that fit a node of the schema, and some that just do not."""
    if "$ref" in node:
        return values(SCHEMA["$defs"][node["$ref"].rpartition("/")[2]], name)
    if branches := node.get("anyOf") or node.get("oneOf"):
        return st.one_of([values(branch, name) for branch in branches if branch.get("type") != "null"])
    if "enum" in node or "const" in node:
        return st.sampled_from([*node.get("enum", [node.get("const")]), *WRONG[:4]])
    kind = node.get("type")
    if kind == "object":
        return table(node)
    if kind == "array":
        return st.lists(values(node["items"], name), max_size=2)
    if kind == "boolean":
        return st.booleans()
    if kind == "integer":
        return st.sampled_from([int(number) for number in boundaries(node)])
    if kind == "number":
        return st.sampled_from([number + more for number in boundaries(node) for more in (0, 0.5)])
    assert kind == "string", node
    # Those of the field more often than any others, and what fits nearly everywhere more often still.
    good = TEXTS.get(LIKE.get(name, name), ["a"])
    return st.integers(0, 3).flatmap(lambda draw: st.sampled_from(ANY_TEXT if draw == 0 else good))


def mostly(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Now and then a value of another type."""
    return st.integers(0, 20).flatmap(lambda draw: st.sampled_from(WRONG) if draw == 0 else strategy)


def table(node: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    known = {name: mostly(values(inner, name)) for name, inner in node["properties"].items()}
    required = {name: known.pop(name) for name in node.get("required", ())}

    @st.composite
    def made(draw: st.DrawFn) -> dict[str, Any]:
        found = {name: draw(strategy) for name, strategy in required.items()}
        for name in draw(st.lists(st.sampled_from(sorted(known)), unique=True, max_size=5)) if known else []:
            found[name] = draw(known[name])
        if draw(st.integers(0, 30)) == 0:
            found[draw(st.sampled_from(["alias", "tokn", "x"]))] = draw(st.sampled_from(WRONG))
        return found

    return made()


def said_of(document: dict[str, Any], directory: str) -> list[str]:
    """What validation finds wrong."""
    text = tomlkit.dumps(document).replace('"PEM"', f'"{directory}/a.pem"')
    try:
        profiles = load_text(text.encode(), f"{directory}/milvus.toml", "user", env={"HOME": directory})
        return [error.message for alias in profiles for error in profiles.findings(alias)]
    except MilvusProfilesError as error:
        return [error.message]


@given(table(SCHEMA["$defs"]["Profile"]))
def test_the_schema_and_the_models_agree_on_every_generated_profile(profile: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "a.pem").write_text("-----BEGIN CERTIFICATE-----\n")
        found = said_of({"profiles": {"base": {"uri": "http://b"}, "p": profile}}, os.fspath(directory))
    refused = [error.message for error in VALIDATOR.iter_errors({"profiles": {"p": profile}})]
    if refused:
        assert found, refused  # an editor never marks what is fine
    else:
        beyond = [message for message in found if BEYOND.match(message)]
        beyond += [message for message in found if "extends" in profile and INHERITED.match(message)]
        assert set(found) == set(beyond)


@given(
    st.sampled_from(["default_profile", "max_connections", "keyring_backends", "profiles", "profile", "uri"]),
    st.sampled_from([*WRONG, 0, 65_536, 65_537, ["a"], {"a": {"uri": "h"}}, {"a b": {"uri": "h"}}, {"a": 3}]),
)
def test_the_schema_and_the_models_agree_on_the_root(key: str, value: Any) -> None:
    document = {key: value}
    assert bool(said_of(document, "/nowhere")) == bool(list(VALIDATOR.iter_errors(document)))
