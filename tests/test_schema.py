"""The JSON Schema agrees with the models on what is valid."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import milvus_profiles as mp
from milvus_profiles.config.schema import file_schema
from milvus_profiles.tomltext.parser import loads
from tests.support.command import Command

SAMPLES = sorted((Path(__file__).parents[1] / "sample_configs").rglob("*.toml"))
VALIDATOR = Draft202012Validator(file_schema())


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_samples_fit_the_schema(path: Path) -> None:
    assert list(VALIDATOR.iter_errors(loads(path.read_text()))) == []


@pytest.mark.parametrize(
    "line",
    [
        "timout = 3",
        'timeout = "3"',
        "timeout = 0",
        "port = 0",
        "port = 70000",
        'ssl = "yes"',
        "ssl = { caa = 'x' }",
        "retry = { attempts = 9 }",
        "token = { env = 'X', file = 'y' }",
        "token = { keyring = false }",
        "token = { command = [] }",
        "token = 3",
        "pool = { mode = 'other' }",
    ],
)
def test_what_the_models_refuse_the_schema_refuses(line: str, tmp_path: Path) -> None:
    text = f"[profiles.a]\n{line}\n"
    path = tmp_path / "milvus.toml"
    path.write_text(text)
    assert mp.load(path, env={}).findings("a")
    assert list(VALIDATOR.iter_errors(loads(text)))


@pytest.mark.parametrize(
    "line",
    [
        "retry = true",
        "retry = false",
        "retry = { attempts = 2 }",
        "ssl = true",
        "ssl = { server_name = 'x' }",
        "token = { command = ['x'], pass_env = ['Y'] }",
        "token = { keyring = true }",
        "token = 'literal'",
        "pool = { mode = 'exclusive', max_lifetime = 60.5 }",
        "keepalive = { time = 5 }",
    ],
)
def test_what_the_models_take_the_schema_takes(line: str, tmp_path: Path) -> None:
    text = f"[profiles.a]\n{line}\n"
    path = tmp_path / "milvus.toml"
    path.write_text(text)
    assert mp.load(path, env={}).findings("a") == []
    assert list(VALIDATOR.iter_errors(loads(text))) == []


def test_fields_carry_their_descriptions(cli: Command) -> None:
    schema = cli("config", "schema").json
    assert schema["$defs"]["Profile"]["properties"]["proxy"]["description"].startswith("`http://HOST:PORT`")
    assert schema["properties"]["profiles"]["additionalProperties"] == {"$ref": "#/$defs/Profile"}
