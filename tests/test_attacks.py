"""A cloned repository, a hostile directory or a hostile server gets no secret, with real processes and real sockets.

Each attack is met by the command line (`profile test`) and by a Python program (`mp.connect`); the attacker is a
listening socket that keeps every byte it is sent.  A control shows that the socket would see the secret.
"""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from tests.support.certificates import Identity
from tests.support.command import Command, Outcome
from tests.support.faults import Recorder, listener, recorder, refused_port
from tests.support.milvus import MilvusServer
from tests.support.scripted_grpc import Call, Refusal, milvus_answer, scripted_server
from tests.support.secret_service import KeyringSession

pytestmark = pytest.mark.security

CANARY = "canary-Zq8w5tRx"
PROGRAM = """\
import json, sys
import milvus_profiles as mp

fields = json.loads(sys.argv[2])
try:
    connection = mp.connect(sys.argv[1] or None, timeout=1.5, **fields)
except mp.MilvusProfilesError as error:
    print(json.dumps({"error": type(error).__name__, "text": str(error), "status": error.exit_status}))
else:
    print(json.dumps({"error": None, "endpoint": str(connection.endpoint)}))
    connection.close()
"""


@pytest.fixture
def attacker() -> Iterator[Recorder]:
    with recorder() as opened:
        yield opened


@pytest.fixture
def good_port() -> Iterator[int]:
    """Where the user's own profile leads: nothing has to answer there."""
    with refused_port() as port:
        yield port


@dataclass(frozen=True)
class Result:
    """What came of an attack: from the command line and from a program."""

    status: int
    error: str | None
    text: str
    """The whole message that the program got, as it is."""
    told: str


class Victim:
    """Stands in the project and uses a profile."""

    def __init__(self, cli: Command, directory: Path) -> None:
        self.cli = cli
        script = directory / "program"
        script.mkdir()
        (script / "program.py").write_text(PROGRAM)
        self.python = Command([sys.executable, script / "program.py"], cli.home, cli.cwd)

    def project_file(self, text: str, directory: Path | None = None) -> Path:
        path = (directory or self.cli.cwd) / "milvus.toml"
        path.write_text(text)
        return path

    def uses(
        self,
        alias: str = "prod",
        *,
        env: Mapping[str, str | None] | None = None,
        keyring: KeyringSession | None = None,
        cwd: Path | None = None,
        fields: Mapping[str, object] | None = None,
        config: Path | None = None,
    ) -> Result:
        """Test the profile and connect to it, side by side."""
        words = [*(["--config", str(config)] if config else []), "profile", "test", "--json", "--timeout", "1.5"]
        tested = self.cli.popen(*words, *([alias] if alias else []), env=env, keyring=keyring, cwd=cwd)
        named = {**(env or {}), **({"MILVUS_PROFILES_FILE": str(config)} if config else {})}
        connected = self.python.popen(alias, json.dumps(fields or {}), env=named, keyring=keyring, cwd=cwd)
        try:
            test_out, test_err = tested.communicate(timeout=60)
            program_out, program_err = connected.communicate(timeout=60)
        except BaseException:
            for process in (tested, connected):
                process.kill()
                process.wait()
            raise
        told = f"{test_out}\n{test_err}\n{program_out}\n{program_err}"
        assert connected.returncode == 0, program_err
        answer = json.loads(program_out)
        return Result(tested.returncode, answer["error"], answer.get("text", ""), told)


@pytest.fixture
def victim(cli: Command, tmp_path: Path) -> Victim:
    return Victim(cli, tmp_path)


def assert_refused(result: Result, attacker: Recorder, status: int, error: str) -> None:
    """It ended in its named error, twice, and not one byte was sent."""
    assert (result.status, result.error) == (status, error), result.told
    assert CANARY not in result.told
    assert attacker.connections == 0


def profile(alias: str, port: int, *lines: str, host: str = "127.0.0.1") -> str:
    return "\n".join((f"[profiles.{alias}]", f'uri = "http://{host}:{port}"', *lines, ""))


# --- the control -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["own file", "variable", "MILVUS_URI"])
def test_the_socket_sees_a_secret_that_is_meant_for_it(victim: Victim, attacker: Recorder, way: str) -> None:
    env = {}
    if way == "own file":
        victim.cli.own_file(profile("prod", attacker.port, f'token = "{CANARY}"'))
    elif way == "variable":
        victim.cli.own_file(profile("prod", attacker.port))
        env = {"MILVUS_PROFILES__PROD__TOKEN": CANARY}
    else:
        env = {
            "MILVUS_URI": f"http://127.0.0.1:{attacker.port}",
            "MILVUS_TOKEN": CANARY,
            "MILVUS_CONN_ALIAS": "prod",
        }
    result = victim.uses(env=env)
    assert result.error is not None  # a recorder answers nothing
    assert attacker.saw(CANARY)
    assert CANARY not in result.told


# --- a repository that takes the name of one of the user's profiles --------------------------------------------------


@pytest.mark.parametrize(
    ("own", "taken"),
    [("prod", "prod"), ("prod", "PROD"), ("eu-prod", "eu_prod"), ("eu_prod", '"eu.Prod"')],
)
def test_a_project_cannot_take_an_alias_of_the_user(
    victim: Victim, attacker: Recorder, good_port: int, own: str, taken: str
) -> None:
    victim.cli.own_file(profile(own, good_port, f'token = "{CANARY}"'))
    file = victim.project_file(profile(taken, attacker.port))
    result = victim.uses(own)
    assert_refused(result, attacker, 5, "UntrustedError")
    for place in (str(file), f"127.0.0.1:{attacker.port}", f"127.0.0.1:{good_port}", "milvus-profiles trust"):
        assert place in result.told


@pytest.mark.parametrize("how", ["MILVUS_PROFILE", "default_profile of the user", "default_profile of the project"])
def test_whatever_selects_the_taken_alias(victim: Victim, attacker: Recorder, good_port: int, how: str) -> None:
    own, taken = profile("prod", good_port, f'token = "{CANARY}"'), profile("prod", attacker.port)
    default = 'default_profile = "prod"\n'
    victim.cli.own_file(default + own if "user" in how else own)
    victim.project_file(default + taken if "project" in how else taken)
    env = {"MILVUS_PROFILE": "prod"} if how == "MILVUS_PROFILE" else {}
    assert_refused(victim.uses("", env=env), attacker, 5, "UntrustedError")


def test_a_project_with_another_port_or_without_tls_is_another_endpoint(
    victim: Victim, attacker: Recorder, good_port: int
) -> None:
    victim.cli.own_file(f'[profiles.prod]\nuri = "https://127.0.0.1:{attacker.port}"\ntoken = "{CANARY}"\n')
    victim.project_file(profile("prod", attacker.port))
    assert_refused(victim.uses(), attacker, 5, "UntrustedError")


def test_an_invalid_profile_of_the_user_still_guards_its_alias(victim: Victim, attacker: Recorder) -> None:
    victim.cli.own_file(f'[profiles.prod]\nuri = "https://"\ntoken = "{CANARY}"\n')
    victim.project_file(profile("prod", attacker.port))
    assert_refused(victim.uses(), attacker, 5, "UntrustedError")


def test_files_are_not_merged_so_an_address_gets_no_token_of_another_file(
    victim: Victim, attacker: Recorder, good_port: int
) -> None:
    victim.cli.own_file(f'[profiles.prod]\nuser = "root"\npassword = "{CANARY}"\n')  # a template
    victim.project_file(profile("prod", attacker.port))
    result = victim.uses()
    assert result.error is not None
    assert not attacker.saw(CANARY)
    assert CANARY not in result.told


def test_a_project_cannot_extend_a_profile_of_the_user(victim: Victim, attacker: Recorder, good_port: int) -> None:
    victim.cli.own_file(profile("base", good_port, f'token = "{CANARY}"'))
    victim.project_file(profile("evil", attacker.port, 'extends = "base"'))
    assert_refused(victim.uses("evil"), attacker, 3, "ConfigError")


def test_extends_carries_no_secret_to_another_address(victim: Victim, attacker: Recorder, good_port: int) -> None:
    victim.cli.own_file(
        profile("base", good_port, 'user = "root"', f'password = "{CANARY}"', "allow_insecure = true")
        + profile("child", attacker.port, 'extends = "base"')
        + profile("grandchild", attacker.port, 'extends = "child"')
    )
    for alias in ("child", "grandchild"):
        result = victim.uses(alias)
        assert result.error is not None
        assert CANARY not in result.told
    assert attacker.connections > 0
    assert not attacker.saw(CANARY)
    assert not attacker.saw("root:")


def test_an_address_from_a_variable_gets_no_token_of_a_file(victim: Victim, attacker: Recorder, good_port: int) -> None:
    victim.cli.own_file(profile("prod", good_port, f'token = "{CANARY}"'))
    result = victim.uses(env={"MILVUS_PROFILES__PROD__URI": f"http://127.0.0.1:{attacker.port}"})
    assert CANARY not in result.told
    assert attacker.connections > 0
    assert not attacker.saw(CANARY)


def test_a_project_cannot_make_a_profile_of_the_user_the_default(
    victim: Victim, attacker: Recorder, good_port: int
) -> None:
    victim.cli.own_file(profile("prod", attacker.port, f'token = "{CANARY}"'))
    victim.project_file('default_profile = "prod"\n' + profile("other", good_port))
    assert_refused(victim.uses(""), attacker, 5, "UntrustedError")


def test_a_secret_is_not_stored_for_the_address_of_a_project_that_took_the_alias(
    victim: Victim, attacker: Recorder, good_port: int, keyring_session: KeyringSession
) -> None:
    victim.cli.own_file(profile("prod", good_port, 'user = "root"'))
    victim.project_file(profile("prod", attacker.port, 'user = "root"'))
    outcome = victim.cli("secret", "set", "prod", keyring=keyring_session, input=CANARY, status=5)
    assert CANARY not in outcome.stdout + outcome.stderr
    (victim.cli.cwd / "milvus.toml").unlink()
    assert victim.cli("secret", "set", "prod", keyring=keyring_session, input=CANARY).returncode == 0


# --- secrets of the environment and of the call ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "variables",
    [
        {"TOKEN": CANARY},
        {"TOKEN_FILE": "{file}"},
        {"TOKEN__FILE": "{file}"},
        {"TOKEN__ENV": "OTHER"},
        {"TOKEN__COMMAND": '["cat", "{file}"]'},
        {"USER": "root", "PASSWORD": CANARY},
        {"USER": "root", "PASSWORD_FILE": "{file}"},
    ],
    ids=lambda variables: "+".join(variables),
)
def test_a_secret_of_the_environment_is_not_sent_to_the_address_of_a_project(
    victim: Victim, attacker: Recorder, tmp_path: Path, variables: dict[str, str]
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(CANARY)
    victim.project_file(profile("prod", attacker.port))
    env = {f"MILVUS_PROFILES__PROD__{name}": value.replace("{file}", str(secret)) for name, value in variables.items()}
    result = victim.uses(env={**env, "OTHER": CANARY})
    assert_refused(result, attacker, 5, "UntrustedError")
    assert "MILVUS_PROFILES_FILE=" in result.told
    assert "milvus-profiles trust" in result.told


@pytest.mark.parametrize("half", ['host = "127.0.0.1"', "port = {port}"])
def test_half_of_an_address_from_a_project_is_an_address_from_a_project(
    victim: Victim, attacker: Recorder, half: str
) -> None:
    victim.project_file("[profiles.prod]\n" + half.format(port=attacker.port) + "\n")
    other = {"PORT": str(attacker.port)} if half.startswith("host") else {"HOST": "127.0.0.1"}
    env = {f"MILVUS_PROFILES__PROD__{name}": value for name, value in {**other, "TOKEN": CANARY}.items()}
    assert_refused(victim.uses(env=env), attacker, 5, "UntrustedError")


def test_a_secret_of_the_call_is_not_sent_to_the_address_of_a_project(victim: Victim, attacker: Recorder) -> None:
    victim.project_file(profile("prod", attacker.port))
    for fields in ({"token": CANARY}, {"user": "root", "password": CANARY}, {"token": {"env": "OTHER"}}):
        before = attacker.connections
        outcome = victim.python("prod", json.dumps(fields), env={"OTHER": CANARY})
        assert json.loads(outcome.stdout)["error"] == "UntrustedError"
        assert CANARY not in outcome.stdout + outcome.stderr
        assert attacker.connections == before == 0


def test_the_milvus_uri_family_without_its_uri_gives_a_project_nothing(victim: Victim, attacker: Recorder) -> None:
    victim.project_file(profile("default", attacker.port))
    result = victim.uses("", env={"MILVUS_TOKEN": CANARY, "MILVUS_USER": "root", "MILVUS_PASSWORD": CANARY})
    assert attacker.connections > 0  # without a secret it may be reached
    assert not attacker.saw(CANARY)
    assert CANARY not in result.told


def test_milvus_uri_keeps_its_token_from_a_project_of_the_same_alias(
    victim: Victim, attacker: Recorder, good_port: int
) -> None:
    victim.project_file(profile("default", attacker.port))
    result = victim.uses("", env={"MILVUS_URI": f"http://127.0.0.1:{good_port}", "MILVUS_TOKEN": CANARY})
    assert_refused(result, attacker, 6, "UnreachableError")


# --- what is gated ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "field"),
    [
        ('token = { env = "AWS_SECRET_ACCESS_KEY" }', "token.env"),
        ('user = "root"\npassword = { env = "AWS_SECRET_ACCESS_KEY" }', "password.env"),
        ('token = { file = "~/.ssh/id_rsa" }', "token.file"),
        ('token = { file = "../home/.ssh/id_rsa" }', "token.file"),
        ('token = { command = ["sh", "-c", "touch {marker}; cat $HOME/.ssh/id_rsa"] }', "token.command"),
        ('token = { keyring = true, pass_env = ["AWS_SECRET_ACCESS_KEY"] }', "token.pass_env"),
        ('ssl = { ca = "evil.pem" }', "ssl.ca"),
        ('ssl = { ca = "evil.pem", server_name = "prod.example" }', "ssl.ca, ssl.server_name"),
        ('ssl = { cert = "~/client.pem", key = "~/.ssh/id_rsa" }', "ssl.cert, ssl.key"),
        ('proxy = "http://127.0.0.1:{port}"', "proxy"),
        ("allow_insecure = true", "allow_insecure"),
        ('user = "root"\nallow_insecure = true', "allow_insecure"),
    ],
    ids=lambda value: value if "=" not in value else "",
)
def test_a_project_cannot_reach_for_what_is_not_its_own(
    victim: Victim, attacker: Recorder, tmp_path: Path, lines: str, field: str
) -> None:
    (victim.cli.home / ".ssh").mkdir()
    (victim.cli.home / ".ssh/id_rsa").write_text(CANARY)
    marker = tmp_path / "marker"
    text = lines.replace("{marker}", str(marker)).replace("{port}", str(attacker.port))
    file = victim.project_file(profile("evil", attacker.port, text))
    result = victim.uses("evil", env={"AWS_SECRET_ACCESS_KEY": CANARY})
    assert_refused(result, attacker, 5, "UntrustedError")
    assert f"sets {field}" in result.told
    assert str(file) in result.told
    assert not marker.exists()
    for words in (["list"], ["show", "evil"], ["show", "evil", "--explain"]):
        looked = victim.cli("profile", *words, "--json")
        assert looked.returncode == (3 if "pass_env" in field and words[0] == "show" else 0), looked.stderr
        assert CANARY not in looked.stdout + looked.stderr
    assert not marker.exists()


def test_a_parent_profile_in_the_project_is_gated_like_its_child(victim: Victim, attacker: Recorder) -> None:
    victim.project_file(
        '[profiles.base]\ntoken = { env = "AWS_SECRET_ACCESS_KEY" }\n'
        + profile("evil", attacker.port, 'extends = "base"')
    )
    assert_refused(victim.uses("evil", env={"AWS_SECRET_ACCESS_KEY": CANARY}), attacker, 5, "UntrustedError")


def test_a_project_cannot_name_sockets_and_databases_outside_of_it(
    victim: Victim, attacker: Recorder, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (victim.cli.cwd / "link").symlink_to(outside)
    (victim.cli.cwd / "sly.db").symlink_to(outside / "mine.db")
    addresses = ["unix:/run/other.sock", "unix:../outside/m.sock", "unix:link/m.sock", "../outside/mine.db"]
    addresses += ["link/mine.db", "sly.db", "~/mine.db", f"{victim.cli.cwd}-other/mine.db", "link/../../mine.db"]
    for address in addresses:
        victim.project_file(f'[profiles.evil]\nuri = "{address}"\n')
        outcome = victim.cli("profile", "test", "evil", "--json", status=5)
        assert "sets uri" in outcome.json[0]["stages"][0]["detail"]
    assert_refused(victim.uses("evil"), attacker, 5, "UntrustedError")
    assert list(outside.iterdir()) == []


def test_a_project_cannot_choose_the_keyring(victim: Victim, attacker: Recorder) -> None:
    (victim.cli.cwd / "evil_backend.py").write_text("raise SystemExit('imported')\n")
    victim.project_file(
        'keyring_backends = ["evil_backend.Keyring"]\n' + profile("evil", attacker.port, "token = { keyring = true }")
    )
    outcome = victim.cli("profile", "test", "evil", "--json", status=3)
    assert "keyring_backends" in outcome.error["message"]
    assert json.loads(victim.python("evil", "{}").stdout)["error"] == "ConfigError"
    assert attacker.connections == 0


# --- secrets of the keyring are bound to their endpoint --------------------------------------------------------------


@pytest.fixture
def stored(keyring_session: KeyringSession, good_port: int, victim: Victim) -> KeyringSession:
    """The user's password for one endpoint is in the keyring."""
    words = ["--uri", f"http://localhost:{good_port}", "--user", "root", "--password-stdin", "--user-file"]
    victim.cli("profile", "add", "mine", *words, keyring=keyring_session, input=CANARY, status=0)
    return keyring_session


def test_another_spelling_of_the_same_endpoint_finds_its_entry(
    victim: Victim, stored: KeyringSession, good_port: int
) -> None:
    victim.project_file(f'[profiles.same]\nuri = "HTTP://LocalHost.:{good_port}"\nuser = "root"\n')
    result = victim.uses("same", keyring=stored)
    assert (result.status, result.error) == (6, "UnreachableError")  # the secret was there, the server is not


@pytest.mark.parametrize(
    ("uri", "status", "error"),
    [
        ("http://127.0.0.1:{evil}", 4, "SecretUnavailableError"),
        ("http://localhost:{evil}", 4, "SecretUnavailableError"),
        ("http://127.0.0.1:{good}", 4, "SecretUnavailableError"),
        ("https://localhost:{good}", 4, "SecretUnavailableError"),
        ("unix:m.sock", 4, "SecretUnavailableError"),
        ("http://localhost:{good}@127.0.0.1:{evil}", 3, "ConfigError"),
        ("http://localhost:{good}%40127.0.0.1:{evil}", 3, "ConfigError"),
        ("http://localhost:{good}\\\\@127.0.0.1:{evil}", 3, "ConfigError"),
        ("http://localhost:{good}#@127.0.0.1:{evil}", 3, "ConfigError"),
        ("http://localhost:{good}?@127.0.0.1:{evil}", 3, "ConfigError"),
        ("http://localhost:{good}/x/../@127.0.0.1:{evil}", 3, "ConfigError"),
        ("http://127.0.0.1%00:{evil}", 3, "ConfigError"),
        ("http://localhost:{good}\\n127.0.0.1:{evil}", 3, "ConfigError"),
        ("http://127.1:{evil}", 3, "ConfigError"),
        ("http://0x7f.1:{evil}", 3, "ConfigError"),
        ("http://2130706433:{evil}", 3, "ConfigError"),
        ("http://0177.0.0.1:{evil}", 3, "ConfigError"),
        ("http://[::1%25lo]:{evil}", 3, "ConfigError"),
        ("dns://localhost:{good}/127.0.0.1:{evil}", 3, "ConfigError"),
        ("ipv4:127.0.0.1:{evil}", 3, "ConfigError"),
    ],
)
def test_another_endpoint_finds_no_entry(
    victim: Victim, attacker: Recorder, stored: KeyringSession, good_port: int, uri: str, status: int, error: str
) -> None:
    address = uri.format(evil=attacker.port, good=good_port)
    victim.project_file(f'[profiles.evil]\nuri = "{address}"\nuser = "root"\n')
    assert_refused(victim.uses("evil", keyring=stored), attacker, status, error)


@pytest.mark.parametrize("host", ["lоcalhost", "localhost\\u200b", "ｌocalhost.example"])
def test_a_name_that_only_looks_the_same_finds_no_entry(
    victim: Victim, attacker: Recorder, stored: KeyringSession, good_port: int, host: str
) -> None:
    victim.project_file(f'[profiles.evil]\nuri = "http://{host}:{good_port}"\nuser = "root"\nallow_insecure = false\n')
    result = victim.uses("evil", keyring=stored)
    assert result.error in ("UntrustedError", "ConfigError", "InsecureTransportError")
    assert result.status in (3, 5)
    assert CANARY not in result.told


def test_another_user_of_the_endpoint_finds_no_entry(
    victim: Victim, attacker: Recorder, stored: KeyringSession, good_port: int
) -> None:
    for line in ('user = "admin"', "token = { keyring = true }", 'user = "root|"'):
        victim.project_file(f'[profiles.evil]\nuri = "http://localhost:{good_port}"\n{line}\n')
        assert_refused(victim.uses("evil", keyring=stored), attacker, 4, "SecretUnavailableError")


def test_trust_does_not_lift_the_binding(
    victim: Victim, attacker: Recorder, stored: KeyringSession, good_port: int
) -> None:
    victim.project_file(profile("evil", attacker.port, 'user = "root"'))
    assert victim.cli("trust").returncode == 0
    assert_refused(victim.uses("evil", keyring=stored), attacker, 4, "SecretUnavailableError")


# --- secrets in plaintext --------------------------------------------------------------------------------------------


def test_a_secret_over_plaintext_to_another_machine_is_refused_before_any_socket_opens(victim: Victim) -> None:
    with recorder() as unused:
        victim.cli.own_file(f'[profiles.prod]\nuri = "http://192.0.2.1:19530"\ntoken = "{CANARY}"\n')
        assert_refused(victim.uses(), unused, 3, "InsecureTransportError")
        # A proxy takes the bytes off this machine, so loopback behind it is none.
        victim.cli.own_file(profile("prod", 1, f'token = "{CANARY}"', f'proxy = "http://127.0.0.1:{unused.port}"'))
        assert_refused(victim.uses(), unused, 3, "InsecureTransportError")


# --- trust -----------------------------------------------------------------------------------------------------------

GATED = 'token = { env = "TEAM_TOKEN" }'


def test_a_trusted_file_is_used_and_one_that_changed_since_is_not(victim: Victim, attacker: Recorder) -> None:
    env = {"TEAM_TOKEN": CANARY}
    with recorder() as team:
        file = victim.project_file(profile("prod", team.port, GATED))
        assert victim.cli("trust").returncode == 0
        assert victim.uses(env=env).error is not None
        assert team.saw(CANARY)
        trusted = file.stat()
        file.write_text(profile("prod", attacker.port, GATED).ljust(trusted.st_size))
        os.utime(file, ns=(trusted.st_atime_ns, trusted.st_mtime_ns))
        assert_refused(victim.uses(env=env), attacker, 5, "UntrustedError")


def test_a_program_that_runs_notices_that_the_trusted_file_changed(
    victim: Victim, attacker: Recorder, good_port: int, tmp_path: Path
) -> None:
    file = victim.project_file(profile("prod", good_port, GATED))
    assert victim.cli("trust").returncode == 0
    script = tmp_path / "watch.py"
    script.write_text(
        f"""\
import pathlib, milvus_profiles as mp
def name():
    try:
        mp.connect("prod", timeout=1)
    except mp.MilvusProfilesError as error:
        return type(error).__name__
before = name()
path = pathlib.Path({str(file)!r})
path.write_text(path.read_text().replace("{good_port}", "{attacker.port}"))
print(before, name())
"""
    )
    outcome = Command([sys.executable, script], victim.cli.home, victim.cli.cwd)(env={"TEAM_TOKEN": CANARY})
    assert outcome.stdout.split() == ["UnreachableError", "UntrustedError"], outcome.stderr
    assert attacker.connections == 0


def test_trust_is_for_one_path_not_for_a_text(victim: Victim, attacker: Recorder, tmp_path: Path) -> None:
    victim.project_file(profile("prod", attacker.port, GATED))
    assert victim.cli("trust").returncode == 0
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / ".git").mkdir(parents=True)
    shutil.copy(victim.cli.cwd / "milvus.toml", elsewhere)
    assert_refused(victim.uses(env={"TEAM_TOKEN": CANARY}, cwd=elsewhere), attacker, 5, "UntrustedError")


def test_a_link_to_a_trusted_file_is_not_trusted_where_its_paths_lead_elsewhere(
    victim: Victim, attacker: Recorder, tmp_path: Path
) -> None:
    """The text is trusted, but `./token` in it would be the attacker's, and so would be a CA."""
    victim.project_file(profile("prod", attacker.port, 'token = { command = ["./token"] }'))
    assert victim.cli("trust").returncode == 0
    repository = tmp_path / "repository"
    (repository / ".git").mkdir(parents=True)
    (repository / "milvus.toml").symlink_to(victim.cli.cwd / "milvus.toml")
    marker = tmp_path / "marker"
    (repository / "token").write_text(f"#!/bin/sh\ntouch {marker}\n")
    (repository / "token").chmod(0o755)
    assert_refused(victim.uses(cwd=repository), attacker, 5, "UntrustedError")
    assert not marker.exists()


def test_a_directory_reached_by_a_link_is_the_same_directory(victim: Victim, tmp_path: Path, good_port: int) -> None:
    victim.project_file(profile("prod", good_port, GATED))
    assert victim.cli("trust").returncode == 0
    (tmp_path / "shortcut").symlink_to(victim.cli.cwd)
    result = victim.uses(env={"TEAM_TOKEN": CANARY, "PWD": str(tmp_path / "shortcut")}, cwd=tmp_path / "shortcut")
    assert result.error == "UnreachableError"


def test_a_project_file_that_is_a_link_to_the_users_own_brings_nothing_new(
    victim: Victim, attacker: Recorder, good_port: int
) -> None:
    own = victim.cli.own_file(profile("prod", good_port, f'token = "{CANARY}"'))
    (victim.cli.cwd / "milvus.toml").symlink_to(own)
    assert [row["trusted"] for row in victim.cli("profile", "list", "--json").json] == [True]
    assert_refused(victim.uses(), attacker, 6, "UnreachableError")


def test_editing_an_untrusted_file_does_not_trust_it(victim: Victim, attacker: Recorder) -> None:
    victim.project_file(profile("prod", attacker.port, GATED))
    added = victim.cli("profile", "add", "mine", "--uri", "localhost", status=0)
    assert "not trusted" in added.stderr
    assert victim.cli("profile", "set", "prod", "timeout=5").returncode == 0
    assert_refused(victim.uses(env={"TEAM_TOKEN": CANARY}), attacker, 5, "UntrustedError")


def test_a_file_above_a_directory_without_git_is_a_project_file_like_any_other(
    victim: Victim, attacker: Recorder, tmp_path: Path, good_port: int
) -> None:
    shared = tmp_path / "shared"
    (shared / "work/here").mkdir(parents=True)
    shared.chmod(0o1777)
    victim.cli.own_file(profile("prod", good_port, f'token = "{CANARY}"'))
    victim.project_file(profile("prod", attacker.port) + profile("evil", attacker.port, GATED), shared)
    assert_refused(victim.uses("prod", cwd=shared / "work/here"), attacker, 5, "UntrustedError")
    result = victim.uses("evil", cwd=shared / "work/here", env={"TEAM_TOKEN": CANARY})
    assert_refused(result, attacker, 5, "UntrustedError")


def test_a_pipe_in_place_of_the_project_file_does_not_hang(victim: Victim, attacker: Recorder) -> None:
    os.mkfifo(victim.cli.cwd / "milvus.toml")
    victim.cli("profile", "test", "prod", "--json", timeout=20, status=3)
    assert json.loads(victim.python("prod", "{}", timeout=20).stdout)["error"] == "ConfigError"


def test_testing_all_of_a_hostile_repository_sends_no_secret(
    victim: Victim, attacker: Recorder, stored: KeyringSession, good_port: int
) -> None:
    victim.project_file(
        profile("a", attacker.port, GATED)
        + profile("b", attacker.port, 'token = { command = ["cat", "secret"] }')
        + profile("c", attacker.port, 'user = "root"')
        + profile("mine", attacker.port, 'user = "root"')
        + profile("d", attacker.port)
    )
    env = {"TEAM_TOKEN": CANARY, "MILVUS_TOKEN": CANARY, "MILVUS_PROFILES__D__TOKEN": CANARY}
    outcome = victim.cli("profile", "test", "--all", "--json", "--timeout", "2", env=env, keyring=stored)
    statuses = {report["alias"]: report["exit_code"] for report in outcome.json}
    assert statuses == {"a": 5, "b": 5, "c": 4, "mine": 5, "d": 5}
    assert outcome.returncode == 4
    assert attacker.connections == 0


# --- a file that was named -------------------------------------------------------------------------------------------


def test_naming_the_file_is_trust_for_that_process_only(victim: Victim, attacker: Recorder) -> None:
    file = victim.project_file(profile("prod", attacker.port, GATED))
    assert victim.uses(config=file, env={"TEAM_TOKEN": CANARY}).error is not None
    assert attacker.saw(CANARY)
    seen = attacker.connections
    result = victim.uses(env={"TEAM_TOKEN": CANARY})
    assert (result.status, result.error) == (5, "UntrustedError")
    assert attacker.connections == seen


@pytest.mark.parametrize("form", ["TOKEN", "TOKEN_FILE"])
def test_a_container_with_a_file_in_its_image_takes_its_secret_from_the_environment(
    victim: Victim, tmp_path: Path, form: str, milvus_auth: MilvusServer
) -> None:
    sample = Path(__file__).parents[1] / "sample_configs/container/milvus.toml"
    image = tmp_path / "image"
    image.mkdir()
    text = sample.read_text().replace("https://milvus.internal.example:19530", milvus_auth.uri)
    (image / "milvus.toml").write_text(text.replace('db_name = "analytics"\n', ""))
    secret = tmp_path / "milvus-token"
    secret.write_text("root:Milvus\n")
    env = {
        "MILVUS_PROFILES_FILE": str(image / "milvus.toml"),
        f"MILVUS_PROFILES__PROD__{form}": "root:Milvus" if form == "TOKEN" else str(secret),
    }
    result = victim.uses("", env=env, cwd=image)
    assert (result.status, result.error) == (0, None), result.told
    # The same image without the variable: the file is merely found, and gets nothing.
    result = victim.uses("", env={**env, "MILVUS_PROFILES_FILE": None}, cwd=image)
    assert (result.status, result.error) == (5, "UntrustedError")


# --- what lies in a repository besides -------------------------------------------------------------------------------


def test_a_program_by_a_path_is_not_taken_from_where_one_stands(
    victim: Victim, attacker: Recorder, good_port: int, tmp_path: Path
) -> None:
    victim.cli.own_file(profile("prod", good_port, 'token = { command = ["./get-token"] }'))
    marker = tmp_path / "marker"
    trap = victim.cli.cwd / "get-token"
    trap.write_text(f"#!/bin/sh\ntouch {marker}\necho token\n")
    trap.chmod(0o755)
    assert_refused(victim.uses(), attacker, 4, "SecretUnavailableError")
    assert not marker.exists()


def test_arguments_of_a_command_go_through_no_shell(
    victim: Victim, attacker: Recorder, good_port: int, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    victim.cli.own_file(
        profile("prod", good_port, f'token = {{ command = ["echo", "$(touch {marker})`touch {marker}`"] }}')
    )
    assert victim.uses().error == "UnreachableError"
    assert not marker.exists()


DOTENV = """\
MILVUS_URI=http://127.0.0.1:{port}
MILVUS_PROFILES__PROD__URI=http://127.0.0.1:{port}
MILVUS_PROFILES_FILE=/nowhere
MILVUS_PROFILE=evil
PYTHON_KEYRING_BACKEND=evil_backend.Keyring
http_proxy=http://127.0.0.1:{port}
https_proxy=http://127.0.0.1:{port}
grpc_proxy=http://127.0.0.1:{port}
GRPC_DEFAULT_SSL_ROOTS_FILE_PATH=evil.pem
SSL_CERT_FILE=evil.pem
CANARY_OF_DOTENV=1
"""


def test_a_dotenv_file_of_a_repository_changes_nothing(
    victim: Victim, attacker: Recorder, milvus_auth: MilvusServer, tmp_path: Path
) -> None:
    victim.cli.own_file(profile("prod", milvus_auth.port, 'user = "root"', 'password = "Milvus"'))
    (victim.cli.cwd / ".env").write_text(DOTENV.format(port=attacker.port))
    result = victim.uses()
    assert (result.status, result.error) == (0, None), result.told
    # Without a file of its own, as in a notebook, a program has python-dotenv search from where it stands.
    python = Command([sys.executable, "-c"], victim.cli.home, victim.cli.cwd)
    assert python(
        "import os; os.environ['MILVUS_URI'] = ''; import pymilvus; print(os.environ['MILVUS_PROFILE'])"
    ).stdout
    outcome = python(
        """\
import os
before = dict(os.environ)
import milvus_profiles as mp
with mp.connect("prod") as connection:
    client = connection.client()
    client.list_collections()
    client.close()
print({name for name in os.environ if os.environ[name] != before.get(name)}, set(before) - set(os.environ))
"""
    )
    assert outcome.stdout == "set() set()\n", outcome.stderr
    assert attacker.connections == 0


def test_proxy_variables_change_nothing_unless_the_profile_asks(
    victim: Victim, attacker: Recorder, milvus_auth: MilvusServer, milvus_tls: MilvusServer
) -> None:
    assert milvus_tls.certs is not None
    victim.cli.own_file(
        profile("prod", milvus_auth.port, f'token = "{milvus_auth.token}"')
        + f'[profiles.tls]\nuri = "{milvus_tls.uri}"\ntoken = "{milvus_tls.token}"\n'
        + f'ssl = {{ ca = "{milvus_tls.certs.ca}" }}\n'
    )
    names = ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    env: dict[str, str | None] = dict.fromkeys(names, f"http://127.0.0.1:{attacker.port}")
    for alias in ("prod", "tls"):
        result = victim.uses(alias, env=env)
        assert (result.status, result.error) == (0, None), result.told
    assert attacker.connections == 0


# --- hostile servers -------------------------------------------------------------------------------------------------

HOSTILE_TEXT = (
    "\x1b]0;owned\x07\x1b[2J\x1b[31mroot shell\u202e\u2066\u200b[link=http://evil]x[/link]\r\nerror: fake\x9b1m"
)
RAW = ("\x1b", "\x07", "\x9b", "\u202e", "\u2066", "\u200b", "\r")


def assert_harmless(*texts: str) -> None:
    for text in texts:
        assert not [hex(ord(char)) for char in RAW if char in text], ascii(text)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.INTERNAL])
def test_what_a_hostile_server_says_reaches_the_terminal_escaped_and_without_the_token(
    victim: Victim, code: grpc.StatusCode
) -> None:
    def script(call: Call) -> bytes:
        raise Refusal(code, f"{HOSTILE_TEXT} {call.metadata.get('authorization')!s} {CANARY}".replace("\r\n", "%0D%0A"))

    with scripted_server(script) as server:
        victim.cli.own_file(profile("prod", server.port, f'token = "{CANARY}"'))
        outcome = victim.cli("profile", "test", "prod")
        screen = victim.cli.tty("profile", "test", "prod", columns=200)
        result = victim.uses()
    assert result.status in (8, 9)
    assert_harmless(outcome.stdout, outcome.stderr, screen.text.replace("\r", ""), result.told)
    assert "\x1b]0;owned" not in screen.raw
    assert "\x1b[2J" not in screen.raw
    told = outcome.stdout + outcome.stderr + screen.raw + result.told
    assert CANARY not in told
    assert base64.b64encode(CANARY.encode()).decode().rstrip("=") not in told
    assert_harmless(result.text)


def test_a_hostile_version_and_reason_are_escaped(victim: Victim) -> None:
    def script(call: Call) -> bytes:
        return milvus_answer(call).replace(b"v2.3.5-scripted", "\x1b[2J\u202e\x9b1mvvvvv".encode()[:15])

    with scripted_server(script) as server:
        victim.cli.own_file(profile("prod", server.port))
        outcome = victim.cli("profile", "test", "prod")
        as_json = victim.cli("profile", "test", "prod", "--json")
    assert outcome.returncode == 0, outcome.stdout
    assert_harmless(outcome.stdout, outcome.stderr, as_json.stdout)


def test_a_server_that_refuses_the_token_for_ever_gets_it_no_more_often_than_calls_are_made(
    victim: Victim, tmp_path: Path
) -> None:
    """And a command is not run in a loop: resolved again at most once within 5 s."""

    def script(call: Call) -> bytes:
        raise Refusal(grpc.StatusCode.UNAUTHENTICATED, "again")

    counted = tmp_path / "counted"
    program = tmp_path / "get"
    program.write_text(f'#!/bin/sh\necho >> {counted}\necho "{CANARY}-$(wc -l < {counted})"\n')
    program.chmod(0o755)
    with scripted_server(script) as server:
        victim.cli.own_file(profile("prod", server.port, f'token = {{ command = ["{program}"] }}'))
        result = victim.uses()
        calls = len(server.calls)
    assert (result.status, result.error) == (9, "AuthenticationError")
    assert len(counted.read_text().splitlines()) <= 4  # two processes, the first answer and another one each
    assert calls <= 8
    assert CANARY not in result.told


def test_a_redirect_is_not_followed(victim: Victim, attacker: Recorder) -> None:
    target = f"http://127.0.0.1:{attacker.port}/"

    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(
            f'HTTP/1.1 307 Temporary Redirect\r\nLocation: {target}\r\nAlt-Svc: h2="127.0.0.1:{attacker.port}"\r\n'
            "Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        connection.shutdown(socket.SHUT_WR)
        connection.recv(65536)

    with listener(talk) as opened:
        victim.cli.own_file(profile("prod", opened.port, f'token = "{CANARY}"'))
        assert_refused(victim.uses(), attacker, 8, "NotMilvusError")


def test_a_grpc_answer_that_names_another_server_is_not_followed(victim: Victim, attacker: Recorder) -> None:
    """A status with trailers and an answer full of addresses: there is nothing in them that moves a connection."""
    address = f"127.0.0.1:{attacker.port}"

    def script(call: Call) -> bytes:
        raise Refusal(grpc.StatusCode.UNAVAILABLE, f"moved to {address}; Location: http://{address}")

    with scripted_server(script) as server:
        victim.cli.own_file(profile("prod", server.port, f'token = "{CANARY}"'))
        result = victim.uses()
    assert result.error is not None
    assert attacker.connections == 0
    assert CANARY not in result.told


def hostile_identity(directory: Path) -> Identity:
    """A certificate whose every text would act on a terminal."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    evil = "\x1b[2J\u202eevil\x9b1m"
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, evil),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "\x1b]0;owned\x07[link=x]"),
        ]
    )
    now = dt.datetime.now(dt.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=2))
        .not_valid_after(now + dt.timedelta(days=20))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("\x1b[31mevil.example"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    identity = Identity(directory / "evil.pem", directory / "evil.key")
    identity.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    identity.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return identity


@pytest.mark.parametrize("trusted", [True, False])
def test_the_texts_of_a_hostile_certificate_are_escaped(victim: Victim, tmp_path: Path, trusted: bool) -> None:
    identity = hostile_identity(tmp_path)
    with scripted_server(milvus_answer, identity=identity) as server:
        table = f'{{ ca = "{identity.cert}" }}' if trusted else "true"
        victim.cli.own_file(f'[profiles.prod]\nuri = "https://127.0.0.1:{server.port}"\nssl = {table}\n')
        outcome = victim.cli("profile", "test", "prod", "--verbose")
        result = victim.uses()
    assert outcome.returncode == result.status == (0 if trusted else 7), result.told
    assert_harmless(outcome.stdout, outcome.stderr, result.told, result.text)


# --- a hostile file on the screen ------------------------------------------------------------------------------------


@pytest.fixture
def hostile_file(victim: Victim, good_port: int) -> Path:
    text = "\\u001b[2J\\u202e\\u2066\\u200b\\u009b1m[link=http://evil]x[/link]\\u0007"
    return victim.project_file(
        f"""\
[profiles.a]
uri = "http://127.0.0.1:{good_port}"
description = "{text}"
[profiles.b]
uri = "http://{text}:1"
[profiles.c]
uri = "localhost"
"{text}" = 1
[profiles.d]
uri = "localhost"
extends = "{text}"
[profiles.e]
uri = "localhost"
token = {{ command = ["{text}", "x"] }}
[profiles.f]
uri = "localhost"
ssl = {{ ca = "{text}" }}
"""
    )


def _looks(victim: Victim) -> Iterator[Outcome]:
    yield victim.cli("profile", "list")
    yield victim.cli("profile", "list", "--json")
    for alias in "abcdef":
        yield victim.cli("profile", "show", alias, "--explain")
        yield victim.cli("profile", "test", alias)
    yield victim.cli("config", "validate")
    yield victim.cli("config", "validate", "--json")
    yield victim.cli("trust")
    yield victim.cli("profile", "test", "e")


def test_escapes_markup_and_bidirectional_controls_of_a_file_never_reach_the_terminal(
    victim: Victim, hostile_file: Path
) -> None:
    for outcome in _looks(victim):
        assert_harmless(outcome.stdout, outcome.stderr)
    for words in (["profile", "list"], ["profile", "show", "a"], ["profile", "show", "d"], ["config", "validate"]):
        screen = victim.cli.tty(*words, columns=200)
        assert_harmless(screen.text)
        assert "\x1b[2J" not in screen.raw
        assert "\x1b]8" not in screen.raw


def test_a_directory_with_a_hostile_name_is_escaped_too(victim: Victim, tmp_path: Path, good_port: int) -> None:
    directory = tmp_path / "x\x1b[2J\u202ey"
    (directory / ".git").mkdir(parents=True)
    victim.project_file(profile("prod", good_port, GATED), directory)
    for words in (["profile", "list"], ["profile", "show"], ["profile", "test"], ["trust"], ["config", "path"]):
        outcome = victim.cli(*words, cwd=directory)
        assert_harmless(outcome.stdout, outcome.stderr)
    outcome = victim.cli("profile", "test", "--json", cwd=directory)
    assert_harmless(outcome.stdout, outcome.stderr)
