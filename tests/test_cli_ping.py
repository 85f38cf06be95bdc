"""``ping``: round trips over one connection, with a summary, for people and as lines of JSON.

``ping --probe``: for containers, the verdict of ``connect`` as an exit status, at little cost and in silence.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from milvus_profiles.config.fields import FIELDS, find_field
from milvus_profiles.live.liveness import is_plainly_served
from milvus_profiles.profile import Profile
from tests.support import faults, obstacles, scripted_grpc
from tests.support.certificates import Certificates
from tests.support.command import Command, Outcome, packages_of
from tests.support.hostile_server import hostile_server
from tests.support.milvus import MilvusServer
from tests.support.ports import ports
from tests.support.secret_service import KeyringSession
from tests.test_hostile_server import SCENARIOS, environment


@pytest.fixture
def declared(project: Path, server: scripted_grpc.ScriptedServer) -> scripted_grpc.ScriptedServer:
    """The server that the profile `prod` of the project leads to."""
    (project / "milvus.toml").write_text(f'[profiles.prod]\nuri = "http://127.0.0.1:{server.port}"\n')
    return server


def test_each_answer_and_a_summary_are_told(cli: Command, declared: scripted_grpc.ScriptedServer) -> None:
    lines = cli("ping", "-c", "3", "-i", "0.01", status=0).stdout.splitlines()
    assert [line.rpartition(", ")[0] for line in lines[:3]] == ["prod: 1 of 3", "prod: 2 of 3", "prod: 3 of 3"]
    assert lines[3].startswith("prod: 3 answers, min ")
    assert [part.split()[0] for part in lines[3].split(", ")[1:]] == ["min", "median", "p99", "max"]
    assert lines[4].startswith("to connect once more: secret ")
    assert ", dns " in lines[4]
    assert ", tcp " in lines[4]


def test_json_has_a_line_for_each_answer_and_one_for_all(cli: Command, declared: scripted_grpc.ScriptedServer) -> None:
    said = cli("ping", "prod", "--count", "2", "--interval", "0", "--json", status=0).stdout.splitlines()
    one, two, summary = map(json.loads, said)
    assert {key: one[key] for key in ("alias", "number", "error")} == {"alias": "prod", "number": 1, "error": None}
    assert two["number"] == 2
    assert summary["answers"] == 2
    assert summary["min"] <= summary["median"] <= summary["p99"] <= summary["max"]
    assert summary["min"] in (one["ms"], two["ms"])
    assert {"secret", "dns", "tcp", "grpc"} <= set(summary["stages"])


def test_the_time_that_a_secret_takes_is_a_part_of_its_own(
    cli: Command, project: Path, declared: scripted_grpc.ScriptedServer
) -> None:
    (project / "milvus.toml").write_text(
        f'[profiles.prod]\nuri = "http://127.0.0.1:{declared.port}"\n'
        'token = {command = ["/bin/sh", "-c", "sleep 0.3; echo token"]}\n'
    )
    cli("trust", status=0)
    summary = json.loads(cli("ping", "-c", "1", "--json", status=0).stdout.splitlines()[-1])
    assert summary["stages"]["secret"] >= 300
    assert summary["max"] < summary["stages"]["secret"]


@pytest.mark.parametrize(("words", "option"), [("-c 3", "--count"), ("--interval=1", "--interval")])
def test_a_probe_asks_once(cli: Command, declared: scripted_grpc.ScriptedServer, words: str, option: str) -> None:
    refused = cli("ping", "--probe", *words.split(), status=2)
    assert refused.stderr.startswith(f"error: --probe asks once, so {option} has no place beside it\n")
    assert "--probe prints nothing" in cli("ping", "--probe", "--json", status=2).stderr
    assert "two profiles" in cli("ping", "prod", "--probe", "--profile", "other", status=2).stderr
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
    cli: Command, declared: scripted_grpc.ScriptedServer, words: str, said: str
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


def test_quiet_leaves_the_summary(cli: Command, declared: scripted_grpc.ScriptedServer) -> None:
    assert len(cli("ping", "-q", "-c", "2", "-i", "0", status=0).stdout.splitlines()) == 2


def probe(cli: Command, *words: str | Path, env: Mapping[str, str | None] | None = None, status: int = 0) -> None:
    done = cli("ping", "--probe", *words, env=env, status=status)
    assert done.stdout == done.stderr == ""


def env_of(uri: str, **fields: str) -> dict[str, str]:
    more = {f"MILVUS_PROFILES__PROD__{name.upper()}": value for name, value in fields.items()}
    return {"MILVUS_PROFILES__PROD__URI": uri, **more}


HEAVY = {"grpc", "pydantic", "typer", "google", "keyring", "cryptography", "asyncio"}


def heavy(cli: Command, *words: str, env: Mapping[str, str]) -> set[str]:
    """The heavy libraries that a probe takes to a server that lets it in."""
    return packages_of(cli, "-m", "milvus_profiles", "ping", "--probe", *words, env=env) & HEAVY


def test_a_token_in_a_file_over_tls_is_let_in_without_any_client(
    cli: Command, milvus_tls: MilvusServer, certificates: Certificates, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("root:Milvus\n")
    env = env_of(milvus_tls.uri, token_file=str(tmp_path / "token"), ssl__ca=str(certificates.ca), db_name="default")
    assert not heavy(cli, "prod", "--timeout", "5", env=env)
    assert not heavy(cli, env=env)


def test_user_and_password_of_the_milvus_uri_family_are_let_in(cli: Command, milvus_auth: MilvusServer) -> None:
    env = {"MILVUS_URI": milvus_auth.uri, "MILVUS_USER": "root", "MILVUS_PASSWORD": "Milvus"}
    assert not heavy(cli, env=env)


def test_a_client_certificate_is_shown(cli: Command, milvus_mtls: MilvusServer, certificates: Certificates) -> None:
    client = certificates.client
    tls = {"ssl__ca": str(certificates.ca), "ssl__cert": str(client.cert), "ssl__key": str(client.key)}
    assert not heavy(cli, env=env_of(milvus_mtls.uri, token="root:Milvus", **tls))
    del tls["ssl__cert"], tls["ssl__key"]
    probe(cli, env=env_of(milvus_mtls.uri, token="root:Milvus", **tls), status=7)


def test_a_named_file_is_read(cli: Command, server: scripted_grpc.ScriptedServer, tmp_path: Path) -> None:
    path = tmp_path / "profiles.toml"
    path.write_text(f'default_profile = "prod"\n[profiles.prod]\nuri = "http://127.0.0.1:{server.port}"\ntimeout = 5\n')
    path.chmod(0o600)
    assert not heavy(cli, "--config", str(path), env={})
    assert not heavy(cli, env={"MILVUS_PROFILES_FILE": str(path)})
    assert server.names() == ["Connect", "Connect"]


def test_what_the_short_way_does_not_know_is_asked_by_grpc(
    cli: Command, milvus_228: MilvusServer, milvus_auth: MilvusServer
) -> None:
    """A server without Connect; a field that it does not understand; a secret that a program gives."""
    assert heavy(cli, env=env_of(milvus_228.uri))
    env = env_of(milvus_auth.uri, token="root:Milvus", retry__attempts="3")
    assert heavy(cli, env=env)
    env = env_of(milvus_auth.uri, token__command='["echo", "root:Milvus"]')
    assert heavy(cli, env=env)


def test_a_secret_of_the_keyring_is_found(
    cli: Command, milvus_auth: MilvusServer, keyring_session: KeyringSession
) -> None:
    address = ["--uri", milvus_auth.uri, "--user", "root", "--password-stdin", "--user-file"]
    cli("add", "prod", *address, keyring=keyring_session, input="Milvus", status=0)
    assert cli("ping", "--probe", keyring=keyring_session, status=0).stdout == ""


def test_every_refusal_is_that_of_a_test(cli: Command, milvus_auth: MilvusServer, tmp_path: Path) -> None:
    free = ports().take()
    cases: dict[int, dict[str, str]] = {
        9: env_of(milvus_auth.uri, token="root:wrong"),
        10: env_of(milvus_auth.uri, token="root:Milvus", db_name="nowhere"),
        6: env_of(f"http://127.0.0.1:{free}"),
        7: env_of(milvus_auth.uri.replace("http", "https")),
        4: env_of(milvus_auth.uri, token_file=str(tmp_path / "none")),
        3: env_of("http://milvus.example", token="t", user="u", password="p"),
    }
    for status, env in cases.items():
        assert cli("test", "prod", env=env).returncode == status
        probe(cli, "prod", env=env, status=status)
    assert cli("ping", "--probe", "nobody", env=cases[6], status=3).stderr == ""


def test_a_secret_over_plaintext_is_refused_before_any_socket_opens(cli: Command, project: Path) -> None:
    own = cli.own_file('[profiles.prod]\nuri = "milvus.example"\ntoken = {env = "TOKEN"}\n')
    probe(cli, env={"TOKEN": "t"}, status=3)
    own.write_text(own.read_text() + "allow_insecure = true\ntimeout = 0.5\n")
    probe(cli, env={"TOKEN": "t"}, status=6)


@pytest.mark.security
def test_a_file_of_a_repository_needs_trust(cli: Command, project: Path, server: scripted_grpc.ScriptedServer) -> None:
    (project / "milvus.toml").write_text(f'[profiles.prod]\nuri = "http://127.0.0.1:{server.port}"\n')
    env = {"MILVUS_PROFILES__PROD__TOKEN": "s3cret"}
    probe(cli, "prod", env=env, status=5)
    assert server.calls == []
    cli("trust", status=0)
    probe(cli, "prod", env=env)


@pytest.mark.security
def test_a_file_that_everybody_may_change_is_refused(cli: Command, server: scripted_grpc.ScriptedServer) -> None:
    own = cli.own_file(f'[profiles.prod]\nuri = "http://127.0.0.1:{server.port}"\n')
    probe(cli)
    own.chmod(0o666)
    probe(cli, status=3)


@pytest.mark.security
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_hostile_server_is_good_only_where_it_is_so_to_connect(name: str) -> None:
    asked = SCENARIOS[name]
    good = False
    with hostile_server(asked.make()) as server, contextlib.suppress(Exception):
        good = is_plainly_served("p", None, environment(server.port, asked.database), 1.0)
    assert not good or None in asked.errors


def test_a_server_that_is_not_ready_is_not_ready(cli: Command) -> None:
    with scripted_grpc.starting_milvus() as server:
        env = env_of(f"http://127.0.0.1:{server.port}")
        probe(cli, env=env, status=8)
        server.ready.set()
        probe(cli, env=env)


def test_a_server_that_says_nothing_ends_it_in_its_time(cli: Command) -> None:
    with faults.black_hole() as port:
        done: Outcome = cli("ping", "--probe", "--timeout", "1", env=env_of(f"http://127.0.0.1:{port}"), status=6)
    assert done.stdout == done.stderr == ""


def test_with_v_it_says_why_not(cli: Command) -> None:
    env = env_of(f"http://127.0.0.1:{ports().take()}")
    said = cli("ping", "--probe", "-v", env=env, status=6)
    assert said.stdout == ""
    assert "refuses connections" in said.stderr
    assert cli("ping", "--probe", "--nonsense", env=env, status=2).stderr.startswith("error: ")


def test_profile_is_the_alias_too(cli: Command, server: scripted_grpc.ScriptedServer) -> None:
    env = {**env_of(f"http://127.0.0.1:{server.port}"), "MILVUS_PROFILES__OTHER__URI": "http://127.0.0.1:1"}
    probe(cli, "--profile", "prod", env=env)
    probe(cli, env={**env, "MILVUS_PROFILE": "prod"})
    probe(cli, "--profile=other", env=env, status=6)
    probe(cli, env=env, status=3)


def test_it_needs_neither_a_home_nor_a_place_to_write(
    cli: Command, milvus_auth: MilvusServer, project: Path, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("root:Milvus")
    env = env_of(milvus_auth.uri, token_file=str(tmp_path / "token"))
    with obstacles.read_only_root(project) as seen:
        inside = Command([*seen.prefix, *cli.program], cli.home, project)
        home: dict[str, str | None] = {"HOME": None, "XDG_RUNTIME_DIR": None}
        probe(inside, env={**env, **home})
        probe(inside, env={**env, **home, "MILVUS_PROFILES__PROD__DB_NAME": "nowhere"}, status=10)
        done = inside("profile", "use", "prod", env={**env, **home})
        assert done.returncode != 0  # nothing can, indeed


def test_the_fields_that_are_read_without_the_models_are_theirs() -> None:
    schema = Profile.model_json_schema()
    kinds = {"string": "str", "boolean": "bool", "integer": "int", "number": "float", "array": "array"}

    def parts(described: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The kinds of value that it may be."""
        for part in (*described.get("anyOf", ()), *described.get("oneOf", ())):
            yield from parts(part)
        if "$ref" in described:
            yield schema["$defs"][described["$ref"].rpartition("/")[2]]
        elif "type" in described:
            yield described

    def check(path: tuple[str, ...], described: dict[str, Any]) -> None:
        found = find_field(path)
        assert found is not None
        keys = {key: inner for part in parts(described) for key, inner in part.get("properties", {}).items()}
        assert (found.path, found.keys) == (path, tuple(keys))
        plain = [part for part in parts(described) if part["type"] in kinds]
        assert {found.kind} - {None} == {"secret" if "writeOnly" in part else kinds[part["type"]] for part in plain}
        for key, inner in keys.items():
            check((*path, key), inner)

    assert tuple(name for name in Profile.model_fields if name != "alias") == FIELDS
    for name in FIELDS:
        check((name,), schema["properties"][name])
    assert find_field(("nothing",)) is None
    assert find_field(("ssl", "nothing")) is None
