"""What is answered before typer and pydantic are imported is what the machinery says, or is left to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from milvus_profiles.cli.exec_environment import environment_of, plain_environment
from milvus_profiles.cli.listing import glance
from milvus_profiles.config.invalid import Findings
from milvus_profiles.config.loading import load
from milvus_profiles.config.resolved import check_plaintext
from milvus_profiles.errors import UnknownProfileError
from milvus_profiles.interop.running import unsaid, variables
from milvus_profiles.live.opening import secret_context
from milvus_profiles.masked import MaskedMapping
from milvus_profiles.secrets.resolution import resolve
from tests.support.command import Command, packages_of
from tests.support.files import written
from tests.test_cli_short import WRONG_FIELDS, WRONG_ROOTS

USUAL = [
    "timeout = 5", "user = 'root'", "user = 'r'\npassword = 'pw'", "token = 'a:b'", "token = {keyring = true}",
    "token = {env = 'T'}", "protected = true", "description = 'a, b'", "ssl = true", "db_name = 'films'",
    "ssl = {server_name = 'other.example'}", "user = 'r'\npassword = {keyring = true}", "allow_insecure = true",
    "extends = 'base'", "user = 'r'\npassword = {env = 'T'}", "token = {file = 'token'}",
]  # fmt: skip
ADDRESSES = [
    "uri = 'h'", "uri = 'https://h.example/films'", "uri = 'http://127.0.0.1'", "uri = 'tcp://h:1234'", "host = 'h'",
    "host = 'h'\nport = 80", "port = 80", "timeout = 3", "uri = './milvus.db'", "uri = './milvus.db'\nssl = true",
    "uri = './milvus.db'\ntoken = 'x'", "uri = 'unix:/tmp/x.sock'", "uri = 'http://[::1]:5'", "uri = 'h'\nhost = 'h'",
    "uri = 'http://u:p@h'", "uri = 'h h'", "uri = 'http://h'\nssl = false", "uri = 'https://h'\nssl = false",
    "uri = 'h/a'\ndb_name = 'b'", "uri = 'h/a'\ndb_name = 'a'", "host = 'H.Example'", "uri = 'http://1.2.3'",
    "uri = 'h'\nssl = {ca = 'nothing.pem'}", "uri = 'h'\nssl = {cert = 'x.pem'}", "uri = 'h:0'", "uri = ''",
    "uri = 'h'\nretry = true", "uri = 'h'\nproxy = 'http://p:1'", "uri = 'h'\ncall_timeout = 3",
    "token = 'x'", "user = 'x'", "password = 'x'", "uri = 'h'\ntoken = {command = ['true']}", "uri = 'h\\u0007'",
    "uri = 'h'\ndescription = '\\u001b[31m'", "uri = 'h'\ndescription = 'token=canary'", "uri = 'h'\nuser = 'é'",
]  # fmt: skip
VARIABLES: list[dict[str, str]] = [
    {"MILVUS_URI": "https://env.example"},
    {"MILVUS_URI": "https://env.example", "MILVUS_TOKEN": "a:b", "MILVUS_CONN_ALIAS": "named"},
    {"MILVUS_URI": "https://env.example", "MILVUS_USER": "u", "MILVUS_PASSWORD": "p", "MILVUS_DB": "d"},
    {"MILVUS_PROFILES__P__URI": "https://other.example"},
    {"MILVUS_PROFILES__P__TOKEN": "a:b"},
    {"MILVUS_PROFILES__NEW__URI": "https://new.example"},
    {"MILVUS_PROFILES__P__TIMEOUT": "-1"},
    {"MILVUS_PROFILES__P__NONSENSE": "1"},
    {"MILVUS_PROFILE": "base"},
    {"MILVUS_PROFILE": "nobody"},
    {"MILVUS_PROFILES_FILE": "/nowhere/file"},
]


def texts() -> list[str]:
    """Files, right and wrong ones: each with a profile p, and most with another."""
    base = "[profiles.base]\nuri = 'https://base.example'\nuser = 'reader'\n"
    found = [f"[profiles.p]\nuri = 'https://h'\n{line}\n{base}" for line in USUAL]
    found += [f"[profiles.p]\n{line}\n{base}" for line in ADDRESSES]
    found += [f"[profiles.p]\n{'' if w.startswith('uri') else 'uri = 0x10'.replace('0x10', repr('http://h'))}\n{w}\n"
              for w in WRONG_FIELDS]  # fmt: skip
    found += [f"{wrong}\n[profiles.p]\nuri = 'h'\n" for wrong in WRONG_ROOTS if not wrong.startswith("[")]
    found += [f"[profiles.p]\nuri = 'h'\n{wrong}\n" for wrong in WRONG_ROOTS if wrong.startswith("[")]
    return [*found, "", "[[[", "default_profile = 'P'\n[profiles.p]\nuri = 'h'\n", f"default_profile = 'no'\n{base}"]


@pytest.fixture
def own(home: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own file, in this process; T is a variable."""
    monkeypatch.chdir(project)
    written(home / ".config/milvus/token", "a:from-file\n")
    return home / ".config/milvus/milvus.toml"


def environments(home: Path) -> list[MaskedMapping]:
    plain = {"HOME": str(home), "T": "a:from-variable"}
    return [MaskedMapping(plain), *(MaskedMapping({**plain, **more}) for more in VARIABLES)]


def same_rows(env: MaskedMapping) -> bool:
    """Whether the short way answered; what it said is then held against the machinery."""
    try:
        glanced = glance(None, None, env)
    except Exception:
        return False
    if glanced is None:
        return False
    profiles = load(env=env)
    assert [alias for alias, *_ in glanced.profiles] == [*profiles]
    for (alias, raw, seen), (other, whole, profile) in zip(glanced.profiles, profiles.examined(), strict=True):
        assert not isinstance(profile, Findings), profile.message
        assert whole is not None
        assert (alias, raw.declared.location(), raw.document) == (other, whole.declared.location(), whole.document)
        shown = [(one.description, one.db_name, one.auth, one.is_template) for one in (seen, profile)]
        assert shown[0] == shown[1]
        assert profile.is_template or profile.endpoint == seen.endpoint
        assert profiles.is_trusted(whole)
    try:
        selected: str | None = profiles.select().alias
    except UnknownProfileError as error:
        selected = None if error.location is None else "a fault"
    assert glanced.selected == selected
    return True


def same_variables(alias: str, env: MaskedMapping) -> bool:
    """Whether the short way had an environment for a program; it is then held against the machinery's."""
    try:
        given = plain_environment(alias, None, env)
    except Exception:
        return False
    if given is None:
        return False
    profiles = load(env=env)
    used = profiles.use(alias)
    profile, token = used.profile, None
    assert check_plaintext(used) is None
    assert not unsaid(profile)
    if profile.credential is not None:
        token = resolve(profile.credential, profile.endpoint, secret_context(profiles, alias))
    found = variables(profile, profile.endpoint, token, address=True)
    assert dict(given.items()) == dict(environment_of(profile.alias, found, env, None).items())
    return True


def test_list_and_exec_say_the_same_whichever_way_a_profile_was_read(own: Path, home: Path) -> None:
    env = environments(home)[0]
    listed = given = 0
    for number, text in enumerate(texts()):
        written(own, text)
        is_listed = same_rows(env)
        assert is_listed or number >= len(USUAL), text
        listed += is_listed
        given += same_variables("p", env)
    # Or this would hold of nothing: what is usual is answered, but for the fields that a list does not know.
    assert listed > len(USUAL)
    assert given > len(USUAL) // 2


@pytest.mark.parametrize("line", [*USUAL[:4], "token = {env = 'T'}"])
def test_variables_say_the_same_whichever_way_a_profile_was_read(own: Path, home: Path, line: str) -> None:
    written(own, f"[profiles.p]\nuri = 'https://h'\n{line}\n[profiles.base]\nuri = 'https://base.example'\n")
    answered = [same_rows(env) + same_variables("p", env) for env in environments(home)]
    assert sum(answered) > len(VARIABLES) // 2


@pytest.mark.parametrize("options", ["", "--json", "-v", "--profile base", "--profile nobody", "-q --no-color", "-vv"])
@pytest.mark.parametrize("trusted", [True, False])
def test_list_prints_the_same_for_files_of_every_kind(cli: Command, project: Path, options: str, trusted: bool) -> None:
    cli.own_file("[profiles.p]\nuri = 'https://h'\ndescription = 'mine'\n[profiles.base]\nuri = './x.db'\n")
    (project / "milvus.toml").write_text("[profiles.theirs]\nuri = 'https://t'\nuser = 'root'\n")
    if trusted:
        cli("trust", status=0)
    quick = cli("list", *options.split())
    # With a field that only the machinery knows, which nothing of a list shows.
    cli.own_file(
        "[profiles.p]\nuri = 'https://h'\ndescription = 'mine'\n[profiles.base]\nuri = './x.db'\ncall_timeout = 5\n"
    )
    thorough = cli("list", *options.split())
    assert quick.stdout == thorough.stdout
    assert quick.returncode == thorough.returncode
    said = [[line for line in one.stderr.splitlines() if "DEBUG" not in line] for one in (quick, thorough)]
    assert said[0] == said[1]
    assert quick.returncode == (3 if "nobody" in options else 0)


def test_list_looks_the_same_on_a_terminal(cli: Command) -> None:
    text = "[profiles.p]\nuri = 'https://h'\ndescription = 'a line'\n[profiles.base]\nuri = './x.db'\n"
    cli.own_file(text)
    quick = cli.tty("list", status=0)
    cli.own_file(f"{text}call_timeout = 5\n")
    assert quick.raw == cli.tty("list", status=0).raw


HEAVY = {"typer", "pydantic", "pydantic_settings", "rich", "keyring", "grpc", "ssl", "asyncio"}


def heavy(cli: Command, *words: str) -> set[str]:
    """What the program imports of these, and what it becomes."""
    return packages_of(cli, "-m", "milvus_profiles", *words, env={"T": "a:b"}) & HEAVY


def test_list_and_exec_need_no_machinery_for_plain_profiles(cli: Command) -> None:
    cli.own_file("default_profile = 'p'\n[profiles.p]\nuri = 'https://h'\ntoken = {env = 'T'}\n")
    for words in (
        ["list"],
        ["profile", "ls", "--json"],
        ["current"],
        ["exec", "p", "--", "true"],
        ["exec", "P", "true"],
    ):
        assert heavy(cli, *words) == set(), words
    assert "pydantic" not in heavy(cli, "--version")
    assert {"typer", "pydantic"} <= heavy(cli, "show", "p")


def test_plain_root_settings_need_no_pydantic_settings(cli: Command) -> None:
    cli.own_file("default_profile = 'p'\n[profiles.p]\nuri = 'https://h'\n")
    assert "pydantic_settings" not in heavy(cli, "show")
    cli.own_file("max_connections = 5\ndefault_profile = 'p'\n[profiles.p]\nuri = 'https://h'\n")
    assert "pydantic_settings" in heavy(cli, "show")


def test_a_trusted_project_file_is_as_good_as_the_users_own(cli: Command, project: Path) -> None:
    (project / "milvus.toml").write_text("[profiles.p]\nuri = 'https://h'\ntoken = {env = 'T'}\n")
    assert cli("exec", "p", "--", "true", env={"T": "x"}).returncode == 5
    cli("trust", status=0)
    assert heavy(cli, "exec", "p", "--", "true") == set()
    (project / "milvus.toml").write_text("[profiles.p]\nuri = 'https://elsewhere'\ntoken = {env = 'T'}\n")
    assert cli("exec", "p", "--", "true", env={"T": "x"}).returncode == 5


def test_what_is_to_be_said_before_a_program_is_said(cli: Command) -> None:
    cli.own_file("[profiles.p]\nuri = 'http://far.example'\ntoken = 'x'\nallow_insecure = true\n")
    assert "is sent to far.example:19530 unencrypted" in cli("exec", "p", "--", "true", status=0).stderr
    cli.own_file("[profiles.p]\nuri = 'https://h'\ntoken = 'x'\n")
    os.chmod(cli.user_file, 0o644)
    assert "can be read by every user" in cli("exec", "p", "--", "true", status=0).stderr
    assert "can be read by every user" in cli("list", status=0).stderr
    os.chmod(cli.user_file, 0o666)
    assert cli("exec", "p", "--", "true").returncode == 3
