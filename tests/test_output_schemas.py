"""What the commands print with --json is what their schemas say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.main import get_command

from milvus_profiles.cli.app import application
from milvus_profiles.cli.output_schemas import SCHEMAS, output_schema
from tests.support.command import Command
from tests.support.milvus import MilvusServer
from tests.support.secret_service import KeyringSession

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


# What each command is run with, one after the other; what only prepares stands behind a "~".
RUNS: dict[str, list[str]] = {
    "connect": ["connect -h 127.0.0.1 -p {port} -a new", "connect -a new", "connect -D", "connect -D"],
    "ping": ["ping local -c 2 -i 0", "ping local -c 3 -i 0 --timeout 0.001"],
    "watch": ["watch local wrong -c 2 --every 0.1", "watch local -c 1 -v"],
    "open": ["open cloud"],
    "add": ["add one ./one.db", "add two http://h --dry-run", "add three https://h --token-env T --default"],
    "use": ["use local", "use -", "use local --shell", "use local --dry-run", "use - --dry-run"],
    "current": ["current", "current --profile deep", "-q current"],
    "set": ["set local timeout=3", "set local timeout=3", "set local timeout=4 --dry-run"],
    "unset": ["unset local timeout", "unset deep ssl --dry-run"],
    "rename": ["rename local here", "rename deep there --dry-run"],
    "copy": ["copy local here", "copy local there --dry-run"],
    "remove": ["remove wrong --dry-run", "remove deep", "remove keyed --with-secret"],
    "secret-set": ["secret set keyed"],
    "secret-delete": ["~secret set keyed", "secret delete keyed", "secret delete keyed"],
    "secret-status": ["secret status keyed", "secret status local", "secret status variable"],
    "trust": ["trust --list", "trust", "~set local token.env=T", "trust", "trust --list"],
    "untrust": ["untrust", "~trust", "untrust --all", "untrust --all"],
    "export": ["export local --to env", "export keyed --to go", "~trust", "export local --to mcp"],
    "import": ["import", "import --from dotenv .env --alias e --dry-run", "import --from dotenv .env --alias e --yes"],
    "config-path": ["config path", "--config other.toml config path"],
    "config-validate": ["config validate good.toml"],
    "config-schema": ["config schema", "config schema watch"],
    "doctor": ["doctor"],
    "explain": ["explain", "explain tls", "explain 7"],
    "completion": ["completion bash", "completion powershell"],
    "version": ["version", "--version"],
    "help": ["help", "help add", "secret --help", "config schema -h"],
    "list": ["list"],
    "show": ["show local", "show base"],
    "test": ["test local"],
}
MORE = """\
[profiles.cloud]
uri = "https://in03-0123456789abcdef.serverless.gcp-us-west1.cloud.zilliz.com"
[profiles.keyed]
uri = "https://milvus.example"
user = "reader"
[profiles.variable]
uri = "https://milvus.example"
token = { env = "T" }
"""
_LINES = {"ping", "watch"}


@pytest.mark.parametrize("what", RUNS)
def test_what_commands_print(
    with_file: Command, what: str, milvus_plain: MilvusServer, fresh_keyring: KeyringSession
) -> None:
    file = with_file.cwd / "milvus.toml"
    file.write_text(file.read_text() + MORE)
    (with_file.cwd / "good.toml").write_text(MORE)
    (with_file.cwd / ".env").write_text("MILVUS_URI=http://old.example:19530\nMILVUS_TOKEN=c4n4ry\n")
    for run in RUNS[what]:
        words = run.strip("~").format(port=milvus_plain.port).split()
        done = with_file(*words, "--json", input="c4n4ry\n" if words[:2] == ["secret", "set"] else None,
                         keyring=fresh_keyring, env={"SHELL": "/bin/sh"})  # fmt: skip
        assert "c4n4ry" not in done.stdout + done.stderr
        if run.startswith("~"):
            continue
        assert done.stdout, (run, done.stderr)
        for value in map(json.loads, done.stdout.splitlines()) if what in _LINES else [done.json]:
            assert_fits(what, value)
        for line in done.stderr.splitlines():
            assert_fits("warning" if "warning" in json.loads(line) else "error", json.loads(line))


def test_what_an_editor_leads_to(with_file: Command) -> None:
    (with_file.cwd / "milvus.toml").write_text('[profiles.local]\nuri = "http://h"\n')
    for editor in ("true", "sed -i s/local/here/"):
        text = with_file.tty("edit", "--json", env={"EDITOR": editor}, status=0).text
        assert_fits("edit", json.loads(text[text.index("{") :]))


def test_errors_with_more_than_others(with_file: Command) -> None:
    for words, key in ((["config", "validate"], "errors"), (["open", "local"], "looked_for")):
        error = json.loads(with_file(*words, "--json").stderr.splitlines()[-1])
        assert error[key]
        assert_fits("error", error)


def test_each_command_has_a_schema() -> None:
    def walk(command: Any, path: str = "") -> Iterator[str]:
        for name, part in command.commands.items():
            if hasattr(part, "commands"):
                yield from walk(part, "" if name == "profile" else f"{name}-")
            elif not part.hidden:
                assert any("--json" in one.opts for one in part.params), name
                yield f"{path}{name}"

    # What `exec` prints is its program's.
    assert {*walk(get_command(application([])))} - {"exec"} == SCHEMAS.keys() - {"error", "warning"}
    assert RUNS.keys() == SCHEMAS.keys() - {"error", "warning", "edit"}


@pytest.mark.parametrize("what", SCHEMAS)
def test_the_command_prints_them(cli: Command, what: str) -> None:
    assert cli("config", "schema", what).json == output_schema(what)


def test_a_name_that_is_nearly_right(cli: Command) -> None:
    done = cli("config", "schema", "lists")
    assert done.returncode == 2
    assert "did you mean list?" in done.stderr
