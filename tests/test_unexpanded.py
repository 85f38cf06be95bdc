"""What another program was to change: `${NAME}`, quotes that Docker keeps, a byte order mark before a piped secret."""

from __future__ import annotations

from pathlib import Path

import pytest

import milvus_profiles as mp
from tests.support.command import Command
from tests.support.milvus import MilvusServer
from tests.support.secret_service import KeyringSession

FIELDS = [
    'uri = "${MILVUS_URI}"', 'uri = "https://${HOST:-localhost}:19530"', 'uri = "${HOME}/milvus.db"',
    'uri = "unix:${RUNTIME}/milvus.sock"', 'host = "${HOST}"',
    'uri = "h.example"\nuser = "${DB_USER?}"\npassword = "x"',
    'uri = "h.example"\ndb_name = "${DB}"', 'uri = "https://h.example"\nssl = { ca = "${HOME}/ca.pem" }',
    'uri = "https://h.example"\nssl = { server_name = "${NAME}" }',
    'uri = "h.example"\ntoken = { file = "${CREDENTIALS_DIRECTORY}/token" }',
]  # fmt: skip


@pytest.mark.parametrize("fields", FIELDS)
def test_a_placeholder_in_a_file_is_named_with_the_remedy(cli: Command, fields: str) -> None:
    path = cli.own_file(f"[profiles.a]\n{fields}\n")
    error = cli("profile", "test", "a", "--json", status=3).json[0]["stages"][0]
    assert "contains ${…}" in error["detail"]
    assert "nothing is expanded here" in error["hint"]
    assert str(path) in cli("config", "validate", status=3).stderr


@pytest.mark.parametrize("name", ["token", "password"])
def test_a_placeholder_for_a_secret_is_none(cli: Command, name: str) -> None:
    user = 'user = "root"\n' if name == "password" else ""
    cli.own_file(f'[profiles.a]\nuri = "https://h.example"\n{user}{name} = "${{MILVUS_TOKEN}}"\n')
    error = cli("profile", "show", "a", "--json", status=3).error
    assert error["message"] == f"{name}: is ${{…}} itself, which nothing has put a value in place of"
    assert error["hint"].endswith('a file names a variable so: { env = "NAME" }')
    # What only has such a thing in it is a secret like any other.
    cli.own_file(f'[profiles.a]\nuri = "https://h.example"\n{user}{name} = "a${{MILVUS_TOKEN}}"\n')
    cli("profile", "show", "a", status=0)


def test_it_is_none_from_anywhere_else_either(cli: Command, tmp_path: Path, keyring_session: KeyringSession) -> None:
    (tmp_path / "secret").write_text("${TOKEN}\n")
    cli.own_file(
        '[profiles.variable]\nuri = "https://h"\ntoken = { env = "SECRET" }\n'
        f'[profiles.file]\nuri = "https://h"\ntoken = {{ file = "{tmp_path}/secret" }}\n'
        '[profiles.command]\nuri = "https://h"\ntoken = { command = ["echo", "${TOKEN:-x}"] }\n'
    )
    for alias in ("variable", "file", "command"):
        refused = cli("exec", alias, "true", env={"SECRET": "${TOKEN}"}, status=4).stderr
        assert "is ${…} itself" in refused, alias
    add = ("profile", "add", "b", "--uri", "https://b", "--token-stdin")
    assert "is ${…} itself" in cli(*add, input="${TOKEN}\n", keyring=keyring_session, status=3).stderr
    env = {"MILVUS_URI": "https://h", "MILVUS_TOKEN": "${TOKEN}"}
    assert "MILVUS_TOKEN" in cli("profile", "show", "default", env=env, status=3).stderr
    assert "is ${…} itself" in cli("import", "--from", "env", "--dry-run", env=env, status=3).stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MILVUS_URI", '"https://h.example"'),
        ("MILVUS_URI", "'./milvus.db'"),
        ("MILVUS_DB", '"films"'),
        ("MILVUS_USER", "'root'"),
        ("MILVUS_PROFILES__A__HOST", '"h.example"'),
        ("MILVUS_PROFILES__A__URI", '"h.example"'),
    ],
)
def test_quotes_that_were_not_taken_off_are_named_with_the_remedy(name: str, value: str) -> None:
    env = {"MILVUS_URI": "https://h.example", "MILVUS_PASSWORD": "x", name: value}
    with pytest.raises(mp.ConfigError, match="stands in quotes") as caught:
        mp.load(env=env)["a" if "__A__" in name else "default"]
    assert str(caught.value.location) == name
    assert "docker run --env-file" in (caught.value.hint or "")


def test_a_quoted_secret_is_sent_as_it_is_and_the_refusal_names_the_quotes(
    cli: Command, milvus_auth: MilvusServer
) -> None:
    for given in ({"MILVUS_TOKEN": '"root:Milvus"'}, {"MILVUS_USER": "root", "MILVUS_PASSWORD": "'Milvus'"}):
        env = {"MILVUS_URI": milvus_auth.uri, "MILVUS_ALLOW_INSECURE": "true", **given}
        outcome = cli("profile", "test", "--json", env=env, status=9)
        hints = [stage["hint"] for stage in outcome.json[0]["stages"] if stage["status"] == "failed"]
        assert [hint.startswith("the secret stands in quotes, which were sent with it") for hint in hints] == [True]
        assert "Milvus'" not in outcome.stdout
        found = [one for one in cli("doctor", "--json", env=env).json["findings"] if one["name"] == "variables"]
        secret = "MILVUS_TOKEN" if "MILVUS_TOKEN" in given else "MILVUS_PASSWORD"
        assert [one["detail"] for one in found] == [f"{secret}: in quotes, which are sent with the secret"]
    right = {"MILVUS_TOKEN": "root:Milvus", "MILVUS_URI": milvus_auth.uri}
    cli("profile", "test", env=right, status=0)


@pytest.mark.parametrize("written", ["\ufeffs3cret", "\ufeffs3cret\r\n", "s3cret\n"])
def test_a_byte_order_mark_before_a_secret_is_dropped(
    cli: Command, written: str, keyring_session: KeyringSession
) -> None:
    """PowerShell writes one into its pipes."""
    add = ("profile", "add", "a", "--uri", "https://bom.example", "--token-stdin", "--force")
    cli(*add, input=written, keyring=keyring_session, status=0)
    show = ("exec", "a", "--only", "MILVUS_TOKEN", "--", "printenv", "MILVUS_TOKEN")
    assert cli(*show, keyring=keyring_session).stdout == "s3cret\n"
    cli("secret", "set", "a", input=written, keyring=keyring_session, status=0)
    assert cli(*show, keyring=keyring_session).stdout == "s3cret\n"
    (cli.cwd / ".env").write_text(f"\ufeffMILVUS_URI=https://bom.example\nMILVUS_TOKEN={written.strip(chr(0xFEFF))}\n")
    found = cli("import", "--from", "dotenv", "--dry-run", "--json", status=0)
    assert found.json["profiles"][0]["uri"] == "https://bom.example:443"
