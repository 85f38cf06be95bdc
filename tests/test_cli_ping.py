"""``ping``: round trips over one connection, with a summary, for people and as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import scripted_grpc
from tests.support.command import Command


@pytest.fixture
def server(project: Path) -> Iterator[scripted_grpc.ScriptedServer]:
    with scripted_grpc.scripted_server(scripted_grpc.milvus_answer) as found:
        (project / "milvus.toml").write_text(f'[profiles.prod]\nuri = "http://127.0.0.1:{found.port}"\n')
        yield found


def test_each_answer_and_a_summary_are_told(cli: Command, server: scripted_grpc.ScriptedServer) -> None:
    lines = cli("ping", "-c", "3", "-i", "0.01", status=0).stdout.splitlines()
    assert [line.rpartition(", ")[0] for line in lines[:3]] == ["prod: 1 of 3", "prod: 2 of 3", "prod: 3 of 3"]
    assert lines[3].startswith("prod: 3 answers, min ")
    assert [part.split()[0] for part in lines[3].split(", ")[1:]] == ["min", "median", "p99", "max"]
    assert lines[4].startswith("to connect once more: secret ")
    assert ", dns " in lines[4]
    assert ", tcp " in lines[4]


def test_json_has_a_line_for_each_answer_and_one_for_all(cli: Command, server: scripted_grpc.ScriptedServer) -> None:
    said = cli("ping", "prod", "--count", "2", "--interval", "0", "--json", status=0).stdout.splitlines()
    one, two, summary = map(json.loads, said)
    assert {key: one[key] for key in ("alias", "number", "error")} == {"alias": "prod", "number": 1, "error": None}
    assert two["number"] == 2
    assert summary["answers"] == 2
    assert summary["min"] <= summary["median"] <= summary["p99"] <= summary["max"]
    assert summary["min"] in (one["ms"], two["ms"])
    assert {"secret", "dns", "tcp", "grpc"} <= set(summary["stages"])


def test_the_time_that_a_secret_takes_is_a_part_of_its_own(
    cli: Command, project: Path, server: scripted_grpc.ScriptedServer
) -> None:
    (project / "milvus.toml").write_text(
        f'[profiles.prod]\nuri = "http://127.0.0.1:{server.port}"\n'
        'token = {command = ["/bin/sh", "-c", "sleep 0.3; echo token"]}\n'
    )
    cli("trust", status=0)
    summary = json.loads(cli("ping", "-c", "1", "--json", status=0).stdout.splitlines()[-1])
    assert summary["stages"]["secret"] >= 300
    assert summary["max"] < summary["stages"]["secret"]


@pytest.mark.parametrize(("words", "option"), [("-c 3", "--count"), ("--interval=1", "--interval")])
def test_a_probe_asks_once(cli: Command, server: scripted_grpc.ScriptedServer, words: str, option: str) -> None:
    refused = cli("ping", "--probe", *words.split(), status=2)
    assert refused.stderr.startswith(f"error: --probe asks once, so {option} has no place beside it\n")
    assert cli("ping", "--probe", status=0).stdout == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("ping -c x", "Invalid value for '--count' / '-c': a whole number is wanted"),
        ("watch --every x", "Invalid value for '--every': a number is"),
        ("ping prod -c 0", "Invalid value for '--count' / '-c': it must be at least 1"),
        ("ping prod -i 3601", "Invalid value for '--interval' / '-i': it must be at most 3600"),
        ("test prod --timeout 0", "Invalid value for '--timeout': it must be at least 0.001"),
        ("watch --every nan", "Invalid value for '--every': "),
        ("add x --host h --port 0", "port must be a number from 1 to 65535"),
        ("add x --host h --port 70000", "port must be a number from 1 to 65535"),
        ("set prod management_port=0", "management_port must be a number from 1 to 65535"),
        ("add x h:0", "the port is not a number from 1 to 65535"),
    ],
)
def test_limits_are_told_in_words_of_ours(
    cli: Command, server: scripted_grpc.ScriptedServer, words: str, said: str
) -> None:
    error = cli(*words.split(), "--json").error["message"]
    assert error.startswith(said)
    assert "Input should" not in error


def test_a_server_that_cannot_be_reached_is_the_error_of_connect(cli: Command, project: Path) -> None:
    (project / "milvus.toml").write_text('[profiles.prod]\nuri = "http://127.0.0.1:1"\n')
    said = cli("ping", "-c", "1", status=6)
    assert "refuses connections" in said.stderr
    assert said.stdout == ""
    assert cli("ping", "nobody", status=3).stderr.startswith("error: there is no profile 'nobody'")


def test_quiet_leaves_the_summary(cli: Command, server: scripted_grpc.ScriptedServer) -> None:
    assert len(cli("ping", "-q", "-c", "2", "-i", "0", status=0).stdout.splitlines()) == 2
