"""Every fault that a Milvus client can meet: the stage it shows at, its exit status, and a remedy that repairs it.

One table, on real servers and sockets.  `mp.diagnose`, `mp.connect` and `profile test` are asked about each.
"""

from __future__ import annotations

import contextlib
import functools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from milvus_profiles.channel.lite import acquire_lite
from tests.support import faults, scripted_grpc
from tests.support.certificates import Certificates, Identity
from tests.support.command import Command, Outcome, asking
from tests.support.fork_server import ForkServer
from tests.support.milvus import MilvusServer
from tests.support.secret_service import KeyringSession


@dataclass(frozen=True)
class Fault:
    """A profile with something wrong, and what has to be said about it.

    Attributes:
        stage, status, code: where it fails, the exit status, the error's code.
        profile: its lines; {names} are filled in from the stand, here and in `said`.
        said, hint: words of the detail and of the remedy.
        stored: what the keyring holds for it.
        repaired: whether the hint's commands, followed with the right file or secret, repair it.
    """

    stage: str
    status: int
    code: str
    profile: str
    said: str
    hint: str
    stored: str | None = None
    repaired: bool = False


TOKEN = 'token = {{ file = "{token}" }}'
CA = 'ssl = {{ ca = "{ca}" }}'

AUTH = functools.partial(Fault, "auth", 9, "auth")
TLS = functools.partial(Fault, "tls", 7, "tls")
DATABASE = functools.partial(Fault, "database", 10, "database")
NOT_MILVUS = functools.partial(Fault, "grpc", 8, "not_milvus")
UNREACHABLE = functools.partial(Fault, "tcp", 6, "unreachable")
CONFIG = functools.partial(Fault, "config", 3, "config")
SECRET = functools.partial(Fault, "secret", 4, "secret")

FAULTS = {
    "wrong-password": AUTH(
        'uri = "http://{auth}"\nuser = "root"', "does not accept the user and the password",
        "milvus-profiles secret set wrong-password", stored="canary-3f7a", repaired=True,
    ),
    "no-token": AUTH(
        'uri = "http://{auth}"', "wants a token or a password, and there is none", "profile set no-token user=root",
        repaired=True,
    ),
    "malformed-token": AUTH(
        'uri = "http://{auth}"\ntoken = {{ keyring = true }}', "takes for an API key since it has no colon",
        "milvus-profiles secret set malformed-token", stored="root-canary-3f7a", repaired=True,
    ),
    "wrong-token-in-a-file": AUTH(
        'uri = "http://{auth}"\ntoken = {{ file = "{wrong}" }}', "does not accept", "put the right one into the file",
    ),
    "wrong-token-in-a-variable": AUTH(
        'uri = "http://{auth}"\ntoken = {{ env = "WRONG_TOKEN" }}', "does not accept", "set the variable WRONG_TOKEN",
    ),
    "unknown-database": DATABASE(
        f'uri = "http://{{auth}}"\ndb_name = "defualt"\n{TOKEN}', "has no database 'defualt'; it has default",
        "db_name=default", repaired=True,
    ),
    "unknown-database-in-the-uri": DATABASE(
        f'uri = "http://{{auth}}/Default2"\n{TOKEN}', "it has default", "/default", repaired=True,
    ),
    "unknown-issuer": TLS(
        f'uri = "https://{{tls}}"\n{TOKEN}', "is not among the public ones", "ssl.ca=PATH", repaired=True,
    ),
    "foreign-ca": TLS(
        f'uri = "https://{{tls}}"\nssl = {{{{ ca = "{{foreign_ca}}" }}}}\n{TOKEN}', "is not in {foreign_ca}",
        "--pin-certificate", repaired=True,
    ),
    "expired-certificate": TLS(f'uri = "https://{{expired}}"\n{CA}', "ended on", "the server needs a new certificate"),
    "certificate-of-tomorrow": TLS(f'uri = "https://{{tomorrow}}"\n{CA}', "begins only on", "check the clocks"),
    "self-signed": TLS(f'uri = "https://{{self_signed}}"\n{CA}', "self-signed", "ssl.ca=PATH", repaired=True),
    "wrong-host": TLS(
        f'uri = "https://{{other_host}}"\n{CA}', "is for other.example, not for 127.0.0.1",
        "ssl.server_name=other.example", repaired=True,
    ),
    "server-name-of-another": TLS(
        f'uri = "https://{{tls}}"\nssl = {{{{ ca = "{{ca}}", server_name = "other.example" }}}}\n{TOKEN}',
        "is for localhost, 127.0.0.1", "ssl.server_name=localhost", repaired=True,
    ),
    "plaintext-to-tls": TLS(
        f'uri = "http://{{tls}}"\n{TOKEN}', "speaks TLS, and the profile has none", "uri=https://", repaired=True,
    ),
    "plaintext-to-mtls": TLS(
        f'uri = "http://{{mtls}}"\n{TOKEN}', "speaks TLS, and the profile has none", "uri=https://", repaired=True,
    ),
    "plaintext-to-tls-without-h2": TLS('uri = "http://{https}"', "speaks TLS, and the profile has none", "uri=https://"),
    "plaintext-to-tls-by-host": TLS(
        f'host = "127.0.0.1"\nport = {{tls_port}}\n{TOKEN}', "speaks TLS, and the profile has none", "ssl=true",
        repaired=True,
    ),
    "tls-to-plaintext": TLS(
        f'uri = "https://{{auth}}"\n{TOKEN}', "speaks plaintext, and the profile has TLS", "uri=http://", repaired=True,
    ),
    "tls-by-its-table-to-plaintext": TLS(
        f'uri = "https://{{auth}}/default"\n{CA}\n{TOKEN}', "speaks plaintext", "ssl", repaired=True,
    ),
    "mtls-without-certificate": TLS(
        f'uri = "https://{{mtls}}"\n{CA}\n{TOKEN}', "wants a client certificate", "ssl.cert=PATH ssl.key=PATH",
        repaired=True,
    ),
    "mtls-with-a-foreign-one": TLS(
        f'uri = "https://{{mtls}}"\n{TOKEN}\n'
        'ssl = {{ ca = "{ca}", cert = "{foreign_cert}", key = "{foreign_key}" }}',
        "refuses the client certificate {foreign_cert}", "ssl.cert=PATH ssl.key=PATH", repaired=True,
    ),
    "alpn-without-h2": NOT_MILVUS(f'uri = "https://{{https}}"\n{CA}', "TLS but not HTTP/2", "check the port"),
    "refused-port": UNREACHABLE('uri = "http://{refused}"', "refuses connections", "is the port right?"),
    "black-hole": UNREACHABLE('uri = "http://{hole}"\ntimeout = 1', "no TCP connection", "a firewall"),
    "silent-port": Fault(
        "grpc", 6, "unreachable", 'uri = "http://{silent}"\ntimeout = 4', "and then says nothing", "check the port",
    ),
    "silent-port-with-tls": Fault(
        "tls", 6, "unreachable", f'uri = "https://{{silent}}"\ntimeout = 4\n{CA}', "says nothing", "check the port",
    ),
    "http-1-port": NOT_MILVUS('uri = "http://{web}"', "a web server answers", "19530"),
    "http-1-port-with-tls": NOT_MILVUS(
        f'uri = "https://{{web}}"\n{CA}', "a web server without TLS answers", "check the port",
    ),
    "grpc-but-not-milvus": NOT_MILVUS('uri = "http://{other}"', "is not a Milvus", "19530"),
    "grpc-but-not-milvus-with-tls": NOT_MILVUS(f'uri = "https://{{other_tls}}/db"\n{CA}', "is not a Milvus", "19530"),
    "still-starting": Fault(
        "grpc", 8, "not_ready", 'uri = "http://{starting}"', "is not ready yet",
        "profile test still-starting --wait 60", repaired=True,
    ),
    "dns-failure": Fault(
        "dns", 6, "unreachable", 'uri = "http://milvus.invalid:19530"', "cannot be resolved", "name server",
    ),
    "empty-keyring": SECRET(
        'uri = "http://{auth}"\nuser = "somebody"', "the keyring has no secret",
        "milvus-profiles secret set empty-keyring",
    ),
    "unset-variable": SECRET(
        'uri = "http://{auth}"\ntoken = {{ env = "UNSET_TOKEN" }}', "UNSET_TOKEN is not set", "set UNSET_TOKEN",
    ),
    "secret-over-plaintext": Fault(
        "config", 3, "insecure", 'uri = "http://192.0.2.1"\ntoken = "root:Milvus"', "unencrypted", "allow_insecure",
    ),
    "invalid-profile": CONFIG('uri = "http://{auth}"\ntimeout = -1', "timeout", "profile set invalid-profile"),
    "no-address": CONFIG("timeout = 5", "has no address", "give it uri or host"),
    "missing-ca-file": CONFIG(
        'uri = "https://{tls}"\nssl = {{ ca = "/nowhere/ca.pem" }}', "/nowhere/ca.pem", "profile set missing-ca-file",
    ),
    "key-of-another": TLS(
        'uri = "https://{mtls}"\nssl = {{ ca = "{ca}", cert = "{cert}", key = "{foreign_key}" }}',
        "does not belong to the certificate", "issued together",
    ),
    "lite-in-use": UNREACHABLE('uri = "{in_use}"', "{in_use}/LOCK", "close it in the other"),
    "lite-in-a-file": Fault("tcp", 3, "config", 'uri = "{file}"', "is a file", "name another path"),
}  # fmt: skip

ENV = {"WRONG_TOKEN": "root:canary-3f7a"}
REPAIRED = [name for name, fault in FAULTS.items() if fault.repaired]


@dataclass
class Stand:
    """All that is wrong, at once: a home with a profile for each fault."""

    cli: Command
    keyring: KeyringSession
    values: dict[str, Any]
    starting: scripted_grpc.StartingServer
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    agreements: dict[str, dict[str, Any]] = field(default_factory=dict)

    def run(self, *words: str, input: str | None = None) -> Outcome:  # noqa: A002
        return self.cli(*words, env=ENV, keyring=self.keyring, input=input)


def failed_stage(report: dict[str, Any]) -> dict[str, Any]:
    [failed] = [stage for stage in report["stages"] if stage["status"] == "failed"]
    return dict(failed)


@pytest.fixture(scope="module")
def stand(
    tmp_path_factory: pytest.TempPathFactory,
    milvus_auth: MilvusServer,
    milvus_tls: MilvusServer,
    milvus_mtls: MilvusServer,
    certificates: Certificates,
    keyring_session: KeyringSession,
    fork_server: ForkServer,
) -> Iterator[Stand]:
    directory = tmp_path_factory.mktemp("stand")
    home, cwd = directory / "home", directory / "cwd"
    home.mkdir()
    (cwd / ".git").mkdir(parents=True)
    (directory / "token").write_text("root:Milvus\n")
    (directory / "wrong").write_text("root:canary-3f7a\n")
    (directory / "file.db").write_text("not a directory")
    with contextlib.ExitStack() as stack:
        open_ = stack.enter_context

        def milvus(identity: Identity) -> str:
            return at(scripted_grpc.scripted_server(scripted_grpc.milvus_answer, identity=identity))

        def at(server: contextlib.AbstractContextManager[Any]) -> str:
            opened = open_(server)
            return f"127.0.0.1:{getattr(opened, 'port', opened)}"

        starting = open_(scripted_grpc.starting_milvus())
        values = {
            "token": directory / "token",
            "wrong": directory / "wrong",
            "file": directory / "file.db",
            "auth": milvus_auth.address,
            "tls": milvus_tls.address,
            "tls_port": milvus_tls.port,
            "mtls": milvus_mtls.address,
            "ca": certificates.ca,
            "foreign_ca": certificates.foreign_ca,
            "cert": certificates.client.cert,
            "key": certificates.client.key,
            "foreign_cert": certificates.foreign_client.cert,
            "foreign_key": certificates.foreign_client.key,
            "self_signed_ca": certificates.self_signed_server.cert,
            "expired": milvus(certificates.expired_server),
            "tomorrow": milvus(certificates.not_yet_valid_server),
            "self_signed": milvus(certificates.self_signed_server),
            "other_host": milvus(certificates.other_host_server),
            "https": at(faults.tls_without_h2(certificates.server)),
            "refused": at(faults.refused_port()),
            "hole": at(faults.black_hole()),
            "silent": at(faults.never_accepting()),
            "web": at(faults.http1_server()),
            "other": at(scripted_grpc.not_milvus()),
            "other_tls": at(scripted_grpc.not_milvus(identity=certificates.server)),
            "starting": f"127.0.0.1:{starting.port}",
        }
        lease = acquire_lite(str(directory / "in-use.db"), None)
        stack.callback(lease.release)
        values["in_use"] = lease.directory
        cli = Command([fork_server.program], home, cwd, fork_server)
        stand = Stand(cli, keyring_session, values, starting)
        declare(stand, *FAULTS)
        keyring_session.clear("milvus-profiles")
        # One account serves several faults here, so each stored secret is there only while its own are asked.
        plain = [name for name, fault in FAULTS.items() if fault.stored is None]
        ask(stand, plain)
        for name, fault in FAULTS.items():
            if fault.stored is not None:
                assert stand.run("secret", "set", name, input=fault.stored).returncode == 0
                ask(stand, [name])
        keyring_session.clear("milvus-profiles")
        yield stand
        keyring_session.clear("milvus-profiles")


def declare(stand: Stand, *names: str) -> None:
    stand.cli.own_file("".join(f"[profiles.{name}]\n{FAULTS[name].profile.format(**stand.values)}\n" for name in names))


def ask(stand: Stand, names: list[str]) -> None:
    tested = stand.run("profile", "test", *names, "--json")
    stand.reports |= {report["alias"]: report for report in tested.json}
    done = asking(stand.cli.home, stand.cli.cwd)(*names, env=ENV, keyring=stand.keyring, status=0)
    stand.agreements |= done.json


@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_is_named_at_its_stage_with_a_remedy(stand: Stand, name: str) -> None:
    fault, report, failed = FAULTS[name], stand.reports[name], failed_stage(stand.reports[name])
    assert (failed["name"], report["exit_code"]) == (fault.stage, fault.status), failed
    assert fault.said.format(**stand.values) in failed["detail"], failed
    assert fault.hint in (failed["hint"] or ""), failed
    names = [stage["name"] for stage in report["stages"]]
    after = report["stages"][names.index(fault.stage) + 1 :]
    assert {stage["status"] for stage in after} <= {"skipped"}


@pytest.mark.parametrize("name", FAULTS)
def test_connect_and_diagnose_agree(stand: Stand, name: str) -> None:
    fault, row = FAULTS[name], stand.agreements[name]
    for code, status, message, hint in (row["connect"], row["aio"]):
        assert (code, status) == (fault.code, fault.status)
        assert fault.said.format(**stand.values) in message
        # An error of a file has its place in it, which says what to change.
        assert fault.hint in (hint or "") or fault.stage == "config"
        assert "canary-3f7a" not in f"{message}{hint}"
    assert (row["failure"], row["report"]["exit_code"]) == ([fault.stage, fault.code], fault.status)


@pytest.mark.parametrize("name", REPAIRED)
def test_the_remedy_repairs_it(stand: Stand, name: str) -> None:
    """The commands of the hints are run as they stand; only files and secrets are filled in, as a person would."""
    declare(stand, name)
    stand.keyring.clear("milvus-profiles")
    if (stored := FAULTS[name].stored) is not None:
        stand.run("secret", "set", name, input=stored)
    followed = []
    for _ in range(4):
        outcome = stand.run("profile", "test", name, "--json")
        if outcome.returncode == 0:
            break
        for command in commands(failed_stage(outcome.json[0])["hint"]):
            followed.append(command)
            run_as_told(stand, name, command)
    assert outcome.returncode == 0, (followed, outcome.stdout)
    assert followed
    stand.starting.ready.clear()


def commands(hint: str) -> list[str]:
    return [command for command in re.findall(r"`milvus-profiles ([^`]+)`", hint) if "…" not in command]


def run_as_told(stand: Stand, name: str, command: str) -> None:
    ca = stand.values["self_signed_ca" if name == "self-signed" else "ca"]
    for key, value in (("ssl.ca", ca), ("ssl.cert", stand.values["cert"]), ("ssl.key", stand.values["key"])):
        command = command.replace(f"{key}=PATH", f"{key}={value}")
    words = shlex.split(command)
    assert "PATH" not in command
    if "--wait" in words:
        stand.starting.ready.set()
    secret = "root:Milvus" if name == "malformed-token" else "Milvus"
    done = stand.run(*words, input=secret if words[0] == "secret" else None)
    assert done.returncode == 0, (command, done.stderr)


def test_a_project_file_that_is_not_trusted(cli: Command, project: Path, milvus_auth: MilvusServer) -> None:
    (project / "milvus.toml").write_text(
        f'[profiles.dev]\nuri = "{milvus_auth.uri}"\ntoken = {{ env = "DEV_TOKEN" }}\n'
    )
    env = {"DEV_TOKEN": "root:Milvus"}
    outcome = cli("profile", "test", "dev", "--json", env=env)
    failed = failed_stage(outcome.json[0])
    assert (failed["name"], outcome.returncode) == ("config", 5)
    row = asking(cli.home, cli.cwd)("dev", env=env).json["dev"]
    assert row["failure"][1] == row["connect"][0] == row["aio"][0] == "untrusted"
    [command] = commands(failed["hint"])
    assert cli(*shlex.split(command)).returncode == 0
    assert cli("profile", "test", "dev", env=env).returncode == 0


def test_a_keyring_that_hangs(cli: Command, fresh_keyring: KeyringSession, milvus_auth: MilvusServer) -> None:
    cli.own_file(f'[profiles.hung]\nuri = "{milvus_auth.uri}"\nuser = "root"\n')
    env = {"MILVUS_PROFILES_KEYRING_TIMEOUT": "0.5"}
    assert cli("secret", "set", "hung", input="Milvus", keyring=fresh_keyring).returncode == 0
    with fresh_keyring.suspended():
        outcome = cli("profile", "test", "hung", "--json", env=env, keyring=fresh_keyring)
        row = asking(cli.home, cli.cwd)("hung", env=env, keyring=fresh_keyring).json["hung"]
    failed = failed_stage(outcome.json[0])
    assert (failed["name"], outcome.returncode) == ("secret", 4)
    assert "did not answer within 0.5 s" in failed["detail"]
    assert "MILVUS_PROFILES_KEYRING_TIMEOUT=60" in failed["hint"]
    assert (row["failure"][1], row["connect"][:2], row["aio"][:2]) == ("secret", ["secret", 4], ["secret", 4])
    # The remedy: more time, in which the keyring wakes up.
    env = {"MILVUS_PROFILES_KEYRING_TIMEOUT": "60"}
    assert cli("profile", "test", "hung", env=env, keyring=fresh_keyring).returncode == 0
