"""A cloned repository, a hostile directory or a hostile server gets no secret, with real processes and real sockets.

Each attack is met by the command line (`profile test`) and by a Python program (`mp.connect`); the attacker is a
listening socket that keeps every byte it is sent.  A control shows that the socket would see the secret.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import grpc
import pytest

from tests.support.command import Command
from tests.support.faults import Recorder, listener, recorder, refused_port
from tests.support.files import written
from tests.support.milvus import MilvusServer
from tests.support.scripted_grpc import Call, Refusal, scripted_server
from tests.support.secret_service import KeyringSession
from tests.support.waiting import side_by_side

pytestmark = pytest.mark.security

CANARY = "canary-Zq8w5tRx"
PROGRAM = """\
import json, sys
import milvus_profiles as mp

try:
    connection = mp.connect(sys.argv[1] or None, timeout=1.5)
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

    def project_file(self, text: str) -> Path:
        path = self.cli.cwd / "milvus.toml"
        path.write_text(text)
        return path

    def uses(
        self,
        alias: str = "prod",
        *,
        env: Mapping[str, str | None] | None = None,
        keyring: KeyringSession | None = None,
        cwd: Path | None = None,
        config: Path | None = None,
    ) -> Result:
        """Test the profile and connect to it, side by side."""
        words = [*(["--config", str(config)] if config else []), "profile", "test", "--json", "--timeout", "1.5"]
        test = partial(self.cli.real, *words, *([alias] if alias else []), env=env, keyring=keyring, cwd=cwd)
        named = {**(env or {}), **({"MILVUS_PROFILES_FILE": str(config)} if config else {})}
        connect = partial(self.python.real, alias, env=named, keyring=keyring, cwd=cwd)
        tested, connected = side_by_side(lambda run: run(), [test], [connect])
        told = f"{tested.stdout}\n{tested.stderr}\n{connected.stdout}\n{connected.stderr}"
        assert connected.returncode == 0, connected.stderr
        return Result(tested.returncode, connected.json["error"], connected.json.get("text", ""), told)


@pytest.fixture
def victim(cli: Command, tmp_path: Path) -> Victim:
    return Victim(cli, tmp_path)


def assert_refused(result: Result, attacker: Recorder, status: int, error: str) -> None:
    """It ended in its named error, twice, and not one byte was sent."""
    assert (result.status, result.error) == (status, error), result.told
    assert CANARY not in result.told
    assert attacker.connections == 0


GOOD, EVIL = "@good", "@evil"
"""Stand for the port of the user's own server, and for the attacker's."""
TOKEN, GATED = f'token = "{CANARY}"', 'token = { env = "TEAM_TOKEN" }'
DEFAULT = 'default_profile = "prod"\n'


def profile(alias: str, port: int | str, *lines: str) -> str:
    return "\n".join((f"[profiles.{alias}]", f'uri = "http://127.0.0.1:{port}"', *lines, ""))


OWN, TAKEN = profile("prod", GOOD, TOKEN), profile("prod", EVIL)
GATED_PARENT = f"[profiles.base]\n{GATED}\n" + profile("evil", EVIL, 'extends = "base"')
TEMPLATE = f'[profiles.prod]\nuser = "root"\npassword = "{CANARY}"\n'
FAMILY = (
    profile("base", GOOD, 'user = "root"', f'password = "{CANARY}"', "allow_insecure = true")
    + profile("child", EVIL, 'extends = "base"')
    + profile("grandchild", EVIL, 'extends = "child"')
)
OF_THE_ENVIRONMENT: list[dict[str, str]] = [
    {"TOKEN": CANARY}, {"TOKEN__COMMAND": '["cat", "@file"]'}, {"USER": "root", "PASSWORD_FILE": "@file"},
]  # fmt: skip
HALVES = [('host = "127.0.0.1"', {"PORT": EVIL}), (f"port = {EVIL}", {"HOST": "127.0.0.1"})]


@dataclass(frozen=True)
class Attempt:
    """The user's file, the project's, the profile that is used, and the variables that are set."""

    own: str
    project: str
    alias: str = "prod"
    env: Mapping[str, str] = field(default_factory=dict)

    def made(self, victim: Victim, good: int, evil: int, secret: Path) -> Result:
        def filled(text: str) -> str:
            return text.replace(GOOD, str(good)).replace(EVIL, str(evil)).replace("@file", str(secret))

        secret.write_text(CANARY)
        victim.cli.own_file(filled(self.own))
        victim.project_file(filled(self.project))
        return victim.uses(self.alias, env={name: filled(value) for name, value in self.env.items()})


def of_prod(variables: Mapping[str, str]) -> dict[str, str]:
    return {f"MILVUS_PROFILES__PROD__{name}": value for name, value in variables.items()} | {"TEAM_TOKEN": CANARY}


TAKING = {
    "an alias": Attempt(OWN, TAKEN),
    "an alias in another spelling": Attempt(profile("eu_prod", GOOD, TOKEN), profile('"eu.Prod"', EVIL), "eu_prod"),
    "what a variable selects": Attempt(OWN, TAKEN, "", {"MILVUS_PROFILE": "prod"}),
    "what the user's default selects": Attempt(DEFAULT + OWN, TAKEN, ""),
    "what its own default selects": Attempt(OWN, DEFAULT + TAKEN, ""),
    "a port with TLS": Attempt(OWN.replace(GOOD, EVIL).replace("http:", "https:"), TAKEN),
    "an alias whose profile is invalid": Attempt(f'[profiles.prod]\nuri = "https://"\n{TOKEN}\n', TAKEN),
    "the default": Attempt(OWN.replace(GOOD, EVIL), DEFAULT + profile("other", GOOD), ""),
    "a variable by a parent": Attempt("", GATED_PARENT, "evil", {"TEAM_TOKEN": CANARY}),
    **{f"variables: {'+'.join(names)}": Attempt("", TAKEN, env=of_prod(names)) for names in OF_THE_ENVIRONMENT},
    **{
        f"an address beside {half}": Attempt("", f"[profiles.prod]\n{half}\n", env=of_prod({**other, "TOKEN": CANARY}))
        for half, other in HALVES
    },
}
# Addresses that may be reached, without a secret.
REACHED = {
    "of a child": Attempt(FAMILY, "", "child"),
    "of a grandchild": Attempt(FAMILY, "", "grandchild"),
    "of a variable": Attempt(OWN, "", env=of_prod({"URI": f"http://127.0.0.1:{EVIL}"})),
    "of a project beside a template of the user's": Attempt(TEMPLATE, TAKEN),
    "beside the family of MILVUS_URI without it": Attempt(
        "", profile("default", EVIL), "", {"MILVUS_TOKEN": CANARY, "MILVUS_USER": "root", "MILVUS_PASSWORD": CANARY}
    ),
}


# That the attacker's socket would see the secret.
MEANT = {
    "own file": Attempt(OWN.replace(GOOD, EVIL), ""),
    "variable": Attempt(profile("prod", EVIL), "", env={"MILVUS_PROFILES__PROD__TOKEN": CANARY}),
    "MILVUS_URI": Attempt("", "", "", {"MILVUS_URI": f"http://127.0.0.1:{EVIL}", "MILVUS_TOKEN": CANARY}),
}


@pytest.mark.parametrize("what", MEANT)
def test_the_socket_sees_a_secret_that_is_meant_for_it(
    victim: Victim, attacker: Recorder, good_port: int, tmp_path: Path, what: str
) -> None:
    result = MEANT[what].made(victim, good_port, attacker.port, tmp_path / "secret")
    assert result.error is not None  # a recorder answers nothing
    assert attacker.saw(CANARY)
    assert CANARY not in result.told


@pytest.mark.parametrize("what", TAKING)
def test_a_project_cannot_take_what_is_the_users(
    victim: Victim, attacker: Recorder, good_port: int, tmp_path: Path, what: str
) -> None:
    attempt = TAKING[what]
    result = attempt.made(victim, good_port, attacker.port, tmp_path / "secret")
    assert_refused(result, attacker, 5, "UntrustedError")
    assert "milvus-profiles trust" in result.told
    if "TEAM_TOKEN" in attempt.env and attempt.alias == "prod":
        assert "MILVUS_PROFILES_FILE=" in result.told
    elif attempt.own == OWN:
        for place in (f"{victim.cli.cwd}/milvus.toml", f"127.0.0.1:{attacker.port}", f"127.0.0.1:{good_port}"):
            assert place in result.told


@pytest.mark.parametrize("what", REACHED)
def test_no_secret_of_elsewhere_goes_to_an_address(
    victim: Victim, attacker: Recorder, good_port: int, tmp_path: Path, what: str
) -> None:
    result = REACHED[what].made(victim, good_port, attacker.port, tmp_path / "secret")
    assert result.error is not None
    assert attacker.connections > 0 or "template" in what
    assert not attacker.saw(CANARY)
    assert not attacker.saw("root:")
    assert CANARY not in result.told


def test_a_project_cannot_extend_a_profile_of_the_user(victim: Victim, attacker: Recorder, good_port: int) -> None:
    victim.cli.own_file(profile("base", good_port, f'token = "{CANARY}"'))
    victim.project_file(profile("evil", attacker.port, 'extends = "base"'))
    assert_refused(victim.uses("evil"), attacker, 3, "ConfigError")


def test_a_secret_is_not_stored_for_the_address_of_a_project_that_took_the_alias(
    victim: Victim, attacker: Recorder, good_port: int, keyring_session: KeyringSession
) -> None:
    victim.cli.own_file(profile("prod", good_port, 'user = "root"'))
    victim.project_file(profile("prod", attacker.port, 'user = "root"'))
    outcome = victim.cli("secret", "set", "prod", keyring=keyring_session, input=CANARY, status=5)
    assert CANARY not in outcome.stdout + outcome.stderr
    (victim.cli.cwd / "milvus.toml").unlink()
    assert victim.cli("secret", "set", "prod", keyring=keyring_session, input=CANARY).returncode == 0


def test_milvus_uri_keeps_its_token_from_a_project_of_the_same_alias(
    victim: Victim, attacker: Recorder, good_port: int
) -> None:
    victim.project_file(profile("default", attacker.port))
    result = victim.uses("", env={"MILVUS_URI": f"http://127.0.0.1:{good_port}", "MILVUS_TOKEN": CANARY})
    assert_refused(result, attacker, 6, "UnreachableError")


@pytest.mark.parametrize(
    ("lines", "field"),
    [
        ('token = { env = "AWS_SECRET_ACCESS_KEY" }', "token.env"),
        ('token = { file = "~/.ssh/id_rsa" }', "token.file"),
        ('token = { command = ["sh", "-c", "touch {marker}; cat $HOME/.ssh/id_rsa"] }', "token.command"),
        ('token = { keyring = true, pass_env = ["AWS_SECRET_ACCESS_KEY"] }', "token.pass_env"),
        ('ssl = { ca = "evil.pem", server_name = "prod.example" }', "ssl.ca, ssl.server_name"),
        ('proxy = "http://127.0.0.1:{port}"', "proxy"),
        ("allow_insecure = true", "allow_insecure"),
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


def test_a_project_cannot_choose_the_keyring(victim: Victim, attacker: Recorder) -> None:
    (victim.cli.cwd / "evil_backend.py").write_text("raise SystemExit('imported')\n")
    victim.project_file(
        'keyring_backends = ["evil_backend.Keyring"]\n' + profile("evil", attacker.port, "token = { keyring = true }")
    )
    outcome = victim.cli("profile", "test", "evil", "--json", status=3)
    assert "keyring_backends" in outcome.error["message"]
    assert victim.python("evil").json["error"] == "ConfigError"
    assert attacker.connections == 0


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


def test_a_secret_over_plaintext_to_another_machine_is_refused_before_any_socket_opens(victim: Victim) -> None:
    with recorder() as unused:
        victim.cli.own_file(f'[profiles.prod]\nuri = "http://192.0.2.1:19530"\ntoken = "{CANARY}"\n')
        assert_refused(victim.uses(), unused, 3, "InsecureTransportError")
        # A proxy takes the bytes off this machine, so loopback behind it is none.
        victim.cli.own_file(profile("prod", 1, f'token = "{CANARY}"', f'proxy = "http://127.0.0.1:{unused.port}"'))
        assert_refused(victim.uses(), unused, 3, "InsecureTransportError")


def test_a_trusted_file_is_used_and_one_that_changed_since_is_not(victim: Victim, attacker: Recorder) -> None:
    env = {"TEAM_TOKEN": CANARY}
    with recorder() as team:
        file = victim.project_file(profile("prod", team.port, GATED))
        victim.cli("trust", status=0)
        assert victim.uses(env=env).error is not None
        assert team.saw(CANARY)
        trusted = file.stat()
        file.write_text(profile("prod", attacker.port, GATED).ljust(trusted.st_size))
        os.utime(file, ns=(trusted.st_atime_ns, trusted.st_mtime_ns))
        assert_refused(victim.uses(env=env), attacker, 5, "UntrustedError")


def test_a_project_file_that_is_a_link_to_the_users_own_brings_nothing_new(
    victim: Victim, attacker: Recorder, good_port: int
) -> None:
    own = victim.cli.own_file(profile("prod", good_port, f'token = "{CANARY}"'))
    (victim.cli.cwd / "milvus.toml").symlink_to(own)
    assert [row["trusted"] for row in victim.cli("profile", "list", "--json").json] == [True]
    assert_refused(victim.uses(), attacker, 6, "UnreachableError")


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


def test_a_server_that_refuses_the_token_for_ever_gets_it_no_more_often_than_calls_are_made(
    victim: Victim, tmp_path: Path
) -> None:
    """And a command is not run in a loop: resolved again at most once within 5 s."""

    def refuse(call: Call) -> bytes:
        raise Refusal(grpc.StatusCode.UNAUTHENTICATED, "again")

    counted = tmp_path / "counted"
    script = f'#!/bin/sh\necho >> {counted}\necho "{CANARY}-$(wc -l < {counted})"\n'
    program = written(tmp_path / "get", script, 0o755)
    with scripted_server(refuse) as server:
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
