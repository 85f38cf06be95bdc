"""`import` from the files and variables of other tools: what becomes a profile, where secrets go, what is refused."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from dotenv import dotenv_values
from hypothesis import given
from hypothesis import strategies as st

from milvus_profiles.errors import ConfigError
from milvus_profiles.interop.imports import SOURCES, without
from milvus_profiles.interop.imports.found import ImportedProfiles, split_userinfo
from milvus_profiles.tomltext.parser import loads
from tests.support.command import Command, Outcome
from tests.support.milvus import MilvusServer
from tests.support.secret_service import KeyringSession
from tests.test_hygiene import CANARY, leaks

# What reads the content of a file; the environment is none.
PARSE = {name: source.parse for name, source in SOURCES.items() if source.parse is not None}


def profiles(cli: Command) -> dict[str, Any]:
    found: dict[str, Any] = loads(cli.user_file.read_text()).get("profiles", {}) if cli.user_file.exists() else {}
    return found


def importing(cli: Command, source: str, *words: str, status: int | None = 0, **how: Any) -> Outcome:
    return cli("import", "--from", source, *words, "--yes", status=status, **how)


def kept(keyring: KeyringSession, account: str) -> str | None:
    return keyring.get("milvus-profiles", account)


def assert_silent(cli: Command, *outcomes: Outcome) -> None:
    for outcome in outcomes:
        assert not leaks(outcome.stdout + outcome.stderr)
    assert not leaks("".join(path.read_text() for path in (cli.home / ".config").rglob("*") if path.is_file()))


# --- each source -----------------------------------------------------------------------------------------------------


def test_from_the_milvus_cli(cli: Command, certificates: Any, keyring_session: KeyringSession) -> None:
    source = cli.home / ".milvus_cli_connections.json"
    source.write_text(
        json.dumps(
            {
                "http://cli-one.example:19530": {"uri": "http://cli-one.example:19530", "token": None, "tlsmode": 0},
                "Prod EU!": {"uri": "https://cli-two.example", "token": f"root:{CANARY}", "tlsmode": 1, "cert": None},
                "key": {
                    "uri": "https://cli-three.example:443",
                    "token": f" {CANARY} ",
                    "tlsmode": 1,
                    "cert": str(certificates.ca),
                },
                "mutual": {"uri": "https://x.example", "tlsmode": 2},
                "broken": {"uri": 5},
                "worse": ["x"],
                "wrong": {"uri": f"http://root:{CANARY}@a b.example"},
            }
        )
    )
    outcome = importing(cli, "milvus-cli", keyring=keyring_session)
    assert profiles(cli) == {
        "cli-one-example": {"uri": "http://cli-one.example:19530"},
        "prod-eu": {"uri": "https://cli-two.example", "user": "root", "ssl": True},
        "key": {
            "uri": "https://cli-three.example:443",
            "token": {"keyring": True},
            "ssl": {"ca": str(certificates.ca)},
        },
    }
    assert kept(keyring_session, "tls|cli-two.example|443|root") == CANARY
    assert kept(keyring_session, "tls|cli-three.example|443|") == CANARY
    for number in (4, 5, 6, 7):
        assert f"connection {number} is left out" in outcome.stderr
    assert "imported 3 profiles, 2 with a secret in the keyring" in outcome.stdout
    assert_silent(cli, outcome)
    assert source.exists()


def test_from_variables(cli: Command, keyring_session: KeyringSession) -> None:
    env = {"MILVUS_URI": "https://env.example/films", "MILVUS_USER": "reader", "MILVUS_PASSWORD": CANARY}
    outcome = cli("import", "--from", "env", "--yes", "--json", env=env, keyring=keyring_session, status=0)
    assert outcome.json["profiles"] == [
        {
            "alias": "env-example",
            "uri": "https://env.example:443",
            "db_name": "films",
            "user": "reader",
            "secret": True,
            "origin": "the environment",
        }
    ]
    assert outcome.json["imported"] is True
    assert kept(keyring_session, "tls|env.example|443|reader") == CANARY
    assert_silent(cli, outcome)


def test_from_a_dotenv_file(cli: Command, keyring_session: KeyringSession) -> None:
    source = cli.cwd / ".env"
    source.write_text(
        "# ours\nDEBUG=1\n\nexport MILVUS_HOST='dotenv.example'\nMILVUS_PORT=443 # TLS\n"
        f'MILVUS_SECURE=True\nMILVUS_TOKEN="{CANARY}"\nMILVUS_DB_NAME=films\nMULTI="a\nMILVUS_TOKEN=b"\n'
    )
    outcome = importing(cli, "dotenv", "--delete-source", "--user-file", keyring=keyring_session)
    assert profiles(cli) == {
        "dotenv-example": {
            "uri": "dotenv.example:443",
            "token": {"keyring": True},
            "db_name": "films",
            "ssl": True,
        }
    }
    assert kept(keyring_session, "tls|dotenv.example|443|") == CANARY
    # Only the secret went, and what else holds the word stayed.
    assert source.read_text() == (
        "# ours\nDEBUG=1\n\nexport MILVUS_HOST='dotenv.example'\nMILVUS_PORT=443 # TLS\n"
        'MILVUS_SECURE=True\nMILVUS_DB_NAME=films\nMULTI="a\nMILVUS_TOKEN=b"\n'
    )
    assert_silent(cli, outcome)


# What python-dotenv gives for the same text, in an environment without these variables.
@pytest.mark.parametrize(
    "text",
    [
        "PW={c}\nMILVUS_TOKEN=${{PW}}\n",
        "PW='{c}'\nMILVUS_TOKEN='a ${{PW}} b'\n",
        'A=x\nB=${{A}}y\nMILVUS_TOKEN="${{A}}${{B}}{c}"\n',
        "MILVUS_TOKEN=${{NONE:-{c}}}\n",
        "A={c}\nMILVUS_TOKEN=${{A:-other}}\n",
        "A=\nMILVUS_TOKEN={c}${{A:-other}}\n",
        "A=1\nA={c}\nMILVUS_TOKEN=${{A}}\nA=2\n",
        "MILVUS_TOKEN={c}$A$(A)`A`\n",
        "MILVUS_TOKEN={c}\\${{A:-1}}\n",
    ],
)
def test_a_dotenv_file_is_expanded_as_python_dotenv_does_it(text: str) -> None:
    content = f"MILVUS_URI=https://h.example\n{text.format(c=CANARY)}"
    expected = dotenv_values(stream=io.StringIO(content))["MILVUS_TOKEN"]
    [entry] = PARSE["dotenv"](content.encode(), "/nowhere/.env").entries
    assert entry.secret is not None
    assert entry.secret.reveal() == expected


@pytest.mark.security
def test_references_of_a_dotenv_file_do_not_grow_without_end() -> None:
    doubled = "".join(f"A{number + 1}=${{A{number}}}${{A{number}}}\n" for number in range(60))
    content = f"A0={'x' * 100}\n{doubled}MILVUS_URI=https://h\nMILVUS_TOKEN=${{A60}}\n"
    found = PARSE["dotenv"](content.encode(), "/nowhere/.env")
    assert [one.reason for one in found.unusable] == ["MILVUS_TOKEN is too long"]


def test_deleting_leaves_what_only_refers_to_a_secret_and_says_where_that_is(
    cli: Command, keyring_session: KeyringSession
) -> None:
    source = cli.cwd / ".env"
    text = "DB_PASSWORD={}\nMILVUS_URI=https://refer.example\nMILVUS_USER=root\nMILVUS_PASSWORD=${{DB_PASSWORD}}\n"
    source.write_text(text.format(CANARY))
    words = ("dotenv", "--alias", "prod", "--delete-source", "--user-file")
    outcome = importing(cli, *words, keyring=keyring_session)
    assert kept(keyring_session, "tls|refer.example|443|root") == CANARY
    assert "the secret stays in " in outcome.stderr
    assert "in DB_PASSWORD: other programs may read it there" in outcome.stderr
    assert source.read_text() == text.format(CANARY)
    assert profiles(cli) == {"prod": {"uri": "https://refer.example", "user": "root"}}
    # A default is the secret itself, and so is what stands beside a reference.
    for value in (f"${{DB_PASSWORD:-{CANARY}}}", f"{CANARY}${{EMPTY}}"):
        source.write_text(f"EMPTY=\nMILVUS_URI=https://refer.example\nMILVUS_USER=root\nMILVUS_PASSWORD={value}\n")
        importing(cli, *words, "--force", keyring=keyring_session)
        assert source.read_text() == "EMPTY=\nMILVUS_URI=https://refer.example\nMILVUS_USER=root\n"
    assert_silent(cli, outcome)


def test_an_alias_can_be_named_for_one_profile_and_for_one_only(cli: Command) -> None:
    (cli.cwd / "servers").write_text("https://one.example\nhttps://two.example\n")
    words = ("pymilvus-uri", "servers", "--alias")
    assert "there are 2" in importing(cli, *words, "prod", status=2).stderr
    importing(cli, *words, "-prod-", status=3)
    assert profiles(cli) == {}
    (cli.cwd / "servers").write_text("https://one.example\n")
    importing(cli, *words, "prod")
    assert profiles(cli) == {"prod": {"uri": "https://one.example"}}
    assert "there is a profile 'prod' already" in importing(cli, *words, "prod", status=3).stderr


def test_without_a_format_it_lists_what_there_is(cli: Command) -> None:
    assert cli("import", "--json", status=0).json == []
    assert "nothing to import" in cli("import", status=0).stdout
    (cli.home / ".milvus_cli_connections.json").write_text(
        json.dumps({"a": {"uri": f"https://root:{CANARY}@cli.example"}, "b": {"uri": "https://b", "tlsmode": 2}})
    )
    (cli.cwd / ".env").write_text(f"MILVUS_URI=https://dotenv.example\x1b[31m\nMILVUS_TOKEN={CANARY}\n")
    (cli.home / ".zilliz").mkdir()
    (cli.home / ".zilliz/credentials").write_text("no INI")
    env = {"MILVUS_ADDRESS": "env.example", "MILVUS_TOKEN": CANARY}
    found = {record["source"]: record for record in cli("import", "--json", env=env, status=0).json}
    assert [*found] == ["milvus-cli", "env", "dotenv", "zilliz"]
    assert found["milvus-cli"] == {
        "source": "milvus-cli",
        "path": str(cli.home / ".milvus_cli_connections.json"),
        "profiles": [{"alias": "a", "uri": "https://cli.example:443"}],
        "error": None,
    }
    assert found["env"]["profiles"] == [{"alias": "env-example", "uri": "http://env.example:19530"}]
    assert "control character" in found["dotenv"]["error"]
    assert "INI" in found["zilliz"]["error"]
    outcome = cli("import", env=env, status=0)
    assert "~/.milvus_cli_connections.json" in outcome.stdout
    assert "\x1b" not in outcome.stdout
    assert_silent(cli, outcome)
    assert profiles(cli) == {}


def test_from_the_zilliz_cli(cli: Command, keyring_session: KeyringSession) -> None:
    directory = cli.home / ".zilliz"
    directory.mkdir()
    (directory / "credentials").write_text(f"[default]\napi_key = {CANARY}%d\nuser = me\n[org.x]\napi_key = k\n")
    outcome = importing(cli, "zilliz", keyring=keyring_session, status=3)
    assert "no cluster is chosen" in outcome.stderr
    (directory / "config").write_text(
        "[default]\ncluster_id = in03-1\nendpoint = https://in03-1.zilliz.example\ndatabase = films\n"
    )
    importing(cli, "zilliz", "--delete-source", keyring=keyring_session, status=3)
    (directory / "credentials").write_text(f"[default]\napi_key = {CANARY}%d\nuser = me\n")
    outcome = importing(cli, "zilliz", "--delete-source", keyring=keyring_session)
    assert profiles(cli) == {
        "zilliz": {"uri": "https://in03-1.zilliz.example", "token": {"keyring": True}, "db_name": "films"}
    }
    assert kept(keyring_session, "tls|in03-1.zilliz.example|443|") == f"{CANARY}%d"
    assert (directory / "credentials").read_text() == "[default]\nuser = me\n"
    assert_silent(cli, outcome)


def test_from_attu(cli: Command) -> None:
    servers = "10.0.0.1:19530, attu.example/films,https://attu.example:443,a b"
    env = {"MILVUS_SERVERS": servers, "MILVUS_DATABASE": "main"}
    outcome = importing(cli, "attu", env=env)
    assert profiles(cli) == {
        "10-0-0-1": {"uri": "10.0.0.1:19530", "db_name": "main"},
        "attu-example": {"uri": "attu.example/films"},
        "attu-example-2": {"uri": "https://attu.example:443", "db_name": "main"},
    }
    assert "server 4 is left out" in outcome.stderr


def test_from_an_address_with_a_password(
    cli: Command, milvus_auth: MilvusServer, keyring_session: KeyringSession
) -> None:
    uri = f"http://root:Milvus@127.0.0.1:{milvus_auth.port}/default"
    importing(cli, "pymilvus-uri", input=f"{uri}\n", keyring=keyring_session)
    assert cli("profile", "test", "127-0-0-1", keyring=keyring_session).returncode == 0
    # As an argument it would be for everyone to see.
    assert_silent(cli, importing(cli, "pymilvus-uri", f"http://root:{CANARY}@h.example", status=2))


def test_an_address_is_asked_for_on_a_terminal_and_not_shown(cli: Command, keyring_session: KeyringSession) -> None:
    screen = cli.tty(
        "import", "--from", "pymilvus-uri",
        answers=[("Address", f"https://u:{quote(CANARY, safe='')}@typed.example"), ("Import 1", "y")],
        keyring=keyring_session, columns=200, status=0,
    )  # fmt: skip
    assert kept(keyring_session, "tls|typed.example|443|u") == CANARY
    assert not leaks(screen.raw)


# --- asking, and what happens when it goes wrong ---------------------------------------------------------------------


LISTED = "# mine\nhttps://u:xxxxxxxx@asked.example\n\nhttps://other.example\n"


@pytest.fixture
def source(cli: Command, keyring_session: KeyringSession) -> Path:
    keyring_session.clear("milvus-profiles")
    path = cli.cwd / "list"
    path.write_text(LISTED)
    return path


def test_nothing_happens_without_an_answer(cli: Command, source: Path, keyring_session: KeyringSession) -> None:
    words = ["import", "--from", "pymilvus-uri", str(source)]
    assert cli(*words, keyring=keyring_session).returncode == 1
    declined = cli.tty(*words, answers=[("Import 2 profiles?", "n")], keyring=keyring_session, status=1)
    assert "asked.example" in declined.text
    dry = cli(*words, "--dry-run", "--delete-source", keyring=keyring_session, status=0)
    assert "asked-example" in dry.stdout
    assert cli(*words, "--dry-run", "--json").json["imported"] is False
    assert profiles(cli) == {}
    assert kept(keyring_session, "tls|asked.example|443|u") is None
    assert source.read_text() == LISTED


def test_deleting_the_source_is_a_question_of_its_own(
    cli: Command, source: Path, keyring_session: KeyringSession
) -> None:
    words = ["import", "--from", "pymilvus-uri", str(source), "--delete-source", "--force"]
    for answer, left in (("n", LISTED), ("y", "# mine\n\n")):
        answers = [("Import 2", "y"), ("Take what was imported out of", answer)]
        cli.tty(*words, answers=answers, keyring=keyring_session, status=0)
        assert source.read_text() == left
    source.write_text("https://asked.example\n")
    cli(*words, "--yes", keyring=keyring_session, status=0)
    assert not source.exists()


def test_what_is_there_already_is_left_alone_without_force(cli: Command, source: Path) -> None:
    cli("profile", "add", "other_example", "--uri", "127.0.0.1:1", "--user-file")
    source.write_text("https://other.example\nhttps://new.example\n")
    outcome = importing(cli, "pymilvus-uri", str(source))
    assert "line 1 is left out: there is a profile 'other-example' already" in outcome.stderr
    assert profiles(cli)["other_example"] == {"uri": "127.0.0.1:1"}
    importing(cli, "pymilvus-uri", str(source), "--force")
    assert profiles(cli)["other_example"] == {"uri": "https://other.example"}


def test_without_a_keyring_nothing_is_written_and_nothing_deleted(cli: Command, source: Path) -> None:
    assert importing(cli, "pymilvus-uri", str(source), "--delete-source", "--json", status=4).stdout == ""
    assert profiles(cli) == {}
    assert source.read_text() == LISTED


def test_a_file_that_refuses_the_edit_gives_the_keyring_back_what_it_had(
    cli: Command, source: Path, keyring_session: KeyringSession
) -> None:
    cli.own_file("[profiles\n")
    importing(cli, "pymilvus-uri", str(source), keyring=keyring_session, status=3)
    assert kept(keyring_session, "tls|asked.example|443|u") is None


def test_a_plaintext_address_of_elsewhere_is_warned_of(
    cli: Command, source: Path, keyring_session: KeyringSession
) -> None:
    source.write_text("http://u:p@far.example\n")
    outcome = importing(cli, "pymilvus-uri", str(source), keyring=keyring_session)
    assert "connecting with 'far-example' will be refused" in outcome.stderr


# --- hostile sources -------------------------------------------------------------------------------------------------

HOSTILE = [
    b"", b"\xff\xfe", b"\0", b"[" * 100_000, b'{"a": ' * 50_000, b"null", b"[]", b'{"a": {"uri": "\\u001b[2J"}}',
    b'{"a\\u001b[31m": {"uri": "http://h", "token": "a\\nb"}}', b"[x\napi_key=1", b"=\n",
    f"https://u:{CANARY}@h h".encode(), f'{{"a": {{"uri": "h", "token": "{CANARY}"}}, '.encode(),
    f"[default]\napi_key {CANARY}\n".encode(), f"MILVUS_URI=\x1b]0;x\x07\nMILVUS_TOKEN='{CANARY}".encode(),
    b"x" * (5 << 20),
]  # fmt: skip


@pytest.mark.parametrize("name", PARSE)
def test_a_source_that_is_not_what_it_should_be_is_one_clear_error(cli: Command, name: str) -> None:
    for content in HOSTILE[:-1]:
        try:
            found = PARSE[name](content, "/nowhere/source")
        except (ConfigError, RecursionError) as error:  # `read` makes one of the other
            said = str(error)
        else:
            said = f"{found.unusable}{[(entry.alias, entry.origin) for entry in found.entries]}{found!r}"
        assert not leaks(said)
    path = cli.cwd / "source"
    for content in (HOSTILE[3], HOSTILE[-1], HOSTILE[-2]):
        path.write_bytes(content)
        outcome = cli("import", "--from", name, str(path), "--dry-run")
        assert outcome.returncode in (0, 3), (content[:40], outcome.stderr)
        assert "Traceback" not in outcome.stderr
        assert "\x1b" not in outcome.stdout + outcome.stderr
        assert not leaks(outcome.stdout + outcome.stderr)
    for wrong in (str(cli.cwd), "no-such-file"):
        importing(cli, name, wrong, status=3)


@pytest.mark.parametrize(
    "options", ["", "--from milvus", "--from env x", "--from attu --delete-source", "--from env -"]
)
def test_bad_options(cli: Command, options: str) -> None:
    env = {"MILVUS_URI": "http://h", "MILVUS_SERVERS": "h"}
    cli("import", *options.split(), "--yes", env=env, status=2)
    assert profiles(cli) == {}


@given(st.binary(max_size=200))
def test_no_content_breaks_a_reader(content: bytes) -> None:
    for name, parse in PARSE.items():
        try:
            found = parse(content, "/nowhere/source")
        except ConfigError:
            continue
        assert isinstance(found, ImportedProfiles)
        if SOURCES[name].remove is not None:
            without(name, content, {entry.key for entry in found.entries})


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12).filter(lambda t: ":" not in t),
    st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=1, max_size=12),
)
def test_userinfo_comes_back_however_it_is_encoded(user: str, password: str) -> None:
    address, found_user, found_password = split_userinfo(
        f"https://{quote(user, safe='')}:{quote(password, safe='')}@h.example:443/films"
    )
    assert (address, found_user) == ("https://h.example:443/films", user)
    assert found_password is not None
    assert found_password.reveal() == password


def test_the_help_names_every_source(cli: Command) -> None:
    assert ", ".join(SOURCES) in " ".join(cli("import", "--help").stdout.split())
