"""What the commands print with --json is what their schemas say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from milvus_profiles.cli.output_schemas import SCHEMAS, output_schema
from tests.support.command import Command
from tests.support.milvus import MilvusServer

FILE = """\
default_profile = "local"
[profiles.local]
uri = "http://127.0.0.1:{port}"
timeout = 2
description = "on this machine"
[profiles.base]
timeout = 5
[profiles.deep]
uri = "https://milvus.example:19530/books"
user = "reader"
timeout = 9
ssl = {{ server_name = "milvus.internal" }}
[profiles.wrong]
uri = "http://127.0.0.1"
timout = 3
"""


def assert_fits(what: str, value: Any) -> None:
    Draft202012Validator.check_schema(output_schema(what))
    assert [error.message for error in Draft202012Validator(output_schema(what)).iter_errors(value)] == []


@pytest.fixture
def with_file(cli: Command, milvus_plain: MilvusServer) -> Command:
    (cli.cwd / "milvus.toml").write_text(FILE.format(port=milvus_plain.port))
    return cli


def test_lists(with_file: Command) -> None:
    value = with_file("list", "--json", env={"MILVUS_URI": "http://127.0.0.1:1", "MILVUS_TOKEN": "x"}).json
    assert {row["alias"] for row in value} == {"local", "base", "deep", "wrong", "default"}
    assert_fits("list", value)


@pytest.mark.parametrize("alias", ["local", "base", "deep"])
def test_profiles(with_file: Command, alias: str) -> None:
    env = {f"MILVUS_PROFILES__{alias.upper()}__TIMEOUT": "7"}
    value = with_file("show", alias, "--json", env=env).json
    assert value["overridden"]
    assert_fits("show", value)


@pytest.mark.parametrize("words", [["local"], ["wrong"], ["local", "-v"], ["local", "wrong"]], ids=" ".join)
def test_reports_of_tests(with_file: Command, words: list[str]) -> None:
    assert_fits("test", with_file("test", *words, "--json").json)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["show", "nobody"], "unknown_profile"),
        (["show", "wrong"], "config"),
        (["show", "--nonsense"], "usage"),
        (["ping", "local", "--timeout", "never"], "usage"),
        (["test", "nobody"], "unknown_profile"),
        (["config", "schema", "nothing"], "usage"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_errors(with_file: Command, words: list[str], code: str) -> None:
    done = with_file(*words, "--json")
    value = json.loads(done.stderr.splitlines()[-1] if done.stderr.count("\n{") else done.stderr)
    assert (value["error"], done.stdout) == (code, "")
    assert_fits("error", value)


def test_a_key_more_or_less_does_not_fit(with_file: Command) -> None:
    [report] = with_file("test", "local", "--json").json
    missing = {key: value for key, value in report.items() if key != "exit_code"}
    for value in ([missing], [{**report, "more": 1}], [{**report, "ok": "yes"}]):
        assert list(Draft202012Validator(output_schema("test")).iter_errors(value))


@pytest.mark.parametrize("what", SCHEMAS)
def test_the_command_prints_them(cli: Command, what: str) -> None:
    assert cli("config", "schema", what).json == output_schema(what)


def test_a_name_that_is_nearly_right(cli: Command) -> None:
    done = cli("config", "schema", "lists")
    assert done.returncode == 2
    assert "did you mean list?" in done.stderr
