"""What an attacker tried after all the rest: each test is an attempt that no other test makes, with its outcome."""

from __future__ import annotations

import base64
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import keyring
import keyring.backend
import pytest

import milvus_profiles as mp
from milvus_profiles.config.aliases import aliases
from milvus_profiles.config.documents import read_document
from milvus_profiles.config.trust import TrustStore
from milvus_profiles.endpoint import endpoint_of
from milvus_profiles.errors import ConfigError, UntrustedError
from milvus_profiles.interop.imports import SOURCES, read
from milvus_profiles.interop.running import superseded
from milvus_profiles.masked import SecretText, server_text
from milvus_profiles.secrets.os_keyring import OSKeyring, allowing
from tests.support.certificates import Certificates
from tests.support.command import Command
from tests.support.faults import listener, recorder
from tests.support.hostile_tls import server_context
from tests.support.scripted_grpc import Call, Refusal, message, milvus_answer, number, scripted_server
from tests.support.secret_service import KeyringSession

pytestmark = pytest.mark.security

CANARY = "canary-Zq8w5tRx"
GATED = '[profiles.prod]\nuri = "http://127.0.0.1:1"\ntoken = { env = "TEAM_TOKEN" }\n'


# --- a repository that hides the TLS of one of the user's profiles ----------------------------------------------------


OWN_TLS = [
    '[profiles.prod]\nuri = "https://db.example"\nssl = true\n',
    '[profiles.prod]\nssl = { server_name = "db.example" }\n',
    '[profiles.prod]\nssl = true\nport = "x"\n',
]


@pytest.mark.parametrize("own", OWN_TLS, ids=["profile", "template", "invalid"])
@pytest.mark.parametrize("line", ["ssl = false", "", 'description = "mine"'])
@pytest.mark.parametrize("way", ["uri", "host", "call"])
def test_a_project_cannot_take_the_tls_off_an_address_that_is_the_users(
    cli: Command, home: Path, project: Path, own: str, line: str, way: str
) -> None:
    """The address and the token are the user's; the file that merely has the alias hides that TLS was asked for."""
    cli.own_file(own)
    (project / "milvus.toml").write_text(f"[profiles.prod]\n{line}\n")
    env = {"HOME": str(home), "MILVUS_PROFILES__PROD__TOKEN": CANARY}
    fields: dict[str, Any] = {}
    if way == "uri":
        env["MILVUS_PROFILES__PROD__URI"] = "tcp://127.0.0.1:1"
    elif way == "host":
        env["MILVUS_PROFILES__PROD__HOST"] = "127.0.0.1"
    else:
        fields = {"uri": "127.0.0.1:1", "token": CANARY}
    profiles = mp.load(env=env, cwd=project)
    with pytest.raises(UntrustedError, match="without TLS"):
        profiles.use("prod", fields)
    # Who asks for plaintext by a variable gets it, and a file that leaves TLS on takes nothing away.
    assert not mp.load(env={**env, "MILVUS_PROFILES__PROD__SSL": "false"}, cwd=project).use("prod", fields).profile.tls
    (project / "milvus.toml").write_text("[profiles.prod]\nssl = true\n")
    assert mp.load(env=env, cwd=project).use("prod", fields).profile.tls


def test_without_tls_of_the_users_own_a_project_hides_nothing(cli: Command, home: Path, project: Path) -> None:
    cli.own_file('[profiles.prod]\nuri = "http://127.0.0.1:1"\n')
    (project / "milvus.toml").write_text('[profiles.prod]\ndescription = "mine"\n')
    env = {"HOME": str(home), "MILVUS_PROFILES__PROD__URI": "127.0.0.1:2"}
    assert mp.load(env=env, cwd=project).use("prod").profile.endpoint.port == 2


# --- addresses -------------------------------------------------------------------------------------------------------


NO_HOST = [
    "good.example／.evil.example", "good.example：443", "good.example＠evil.example", "evil.example℀.good.example",
    "good.example＃.evil.example", "good.example？x", "good.example＼evil.example", "⑫7.1", "localhost..", "127.1.",
    "0x7f000001", "0X7F.0.0.1", "017700000001", "0", "a;b", "a,b", "a|b", "*.example", "-h", "[v1.x]", "[::1]x:80",
    "h:65536", "h:+80", "h:８０", "h:", "h/%2e%2e", "u@h", "loc\u00adalhost", "а" * 63,
]  # fmt: skip


@pytest.mark.parametrize("host", NO_HOST)
def test_what_could_be_read_as_another_host_is_none(host: str) -> None:
    with pytest.raises(ConfigError):
        endpoint_of(f"http://{host}")


@pytest.mark.parametrize(
    "host",
    ["localhost.localdomain", "localhost.evil", "127.0.0.1e0", "127.0.0.1.example", "0.0.0.0", "[::]",
     "[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::7f00:1]", "xn--localhost", "lоcalhost"],
)  # fmt: skip
def test_what_only_looks_like_loopback_is_none(host: str) -> None:
    assert not endpoint_of(f"http://{host}").is_loopback


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("①27.0.0.1", "127.0.0.1"),
        ("127。0．0｡1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("[::FFFF:7f00:1]", "127.0.0.1"),
        ("ⓛocalhoſt。", "localhost"),
        ("faß.example", "fass.example"),
        ("ｈ:00080", "h"),
    ],
)
def test_another_spelling_is_shown_and_bound_as_what_it_means(host: str, shown: str) -> None:
    assert endpoint_of(f"http://{host}").host == shown


# --- trust -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["hard link", "work tree", "submodule", "link of a submodule", "bytes in its name"])
def test_trust_goes_along_to_no_other_place(home: Path, project: Path, tmp_path: Path, how: str) -> None:
    env = {"HOME": str(home), "TEAM_TOKEN": CANARY}
    file = project / "milvus.toml"
    file.write_text(GATED)
    TrustStore.load(env).pin(read_document(str(file), "project"))
    assert mp.load(env=env, cwd=project).use("prod").trusted
    other = project / "vendor/sub" if "submodule" in how else tmp_path / "other"
    if how == "bytes in its name":
        other = Path(os.fsdecode(os.fsencode(other) + b"\xff\n'"))
    other.mkdir(parents=True)
    (other / ".git").write_text(f"gitdir: {project}/.git\n")
    assert "prod" not in mp.load(env=env, cwd=other)
    if how == "hard link":
        os.link(file, other / "milvus.toml")
    elif how.startswith("link"):
        (other / "milvus.toml").symlink_to(file)
    else:
        (other / "milvus.toml").write_text(GATED)
    with pytest.raises(UntrustedError):
        mp.load(env=env, cwd=other).use("prod")
    TrustStore.load(env).pin(read_document(str(other / "milvus.toml"), "project"))
    assert mp.load(env=env, cwd=other).use("prod").trusted


def test_what_is_trusted_no_longer_is_not_connected_to_although_a_connection_is_open(home: Path, project: Path) -> None:
    env = {"HOME": str(home), "TEAM_TOKEN": CANARY}
    file = project / "milvus.toml"
    with scripted_server(milvus_answer) as server:
        file.write_text(GATED.replace("127.0.0.1:1", f"127.0.0.1:{server.port}"))
        TrustStore.load(env).pin(read_document(str(file), "project"))
        with mp.load(env=env, cwd=project).connect("prod") as connection:
            connection.ping()
            TrustStore.load(env).unpin(str(file))
            with pytest.raises(UntrustedError):
                mp.load(env=env, cwd=project).connect("prod")


def test_a_fifo_in_place_of_git_ends_the_search_and_waits_for_nobody(home: Path, project: Path) -> None:
    below = project / "below"
    below.mkdir()
    os.mkfifo(below / ".git")
    (project / "milvus.toml").write_text(GATED)
    assert list(mp.load(env={"HOME": str(home)}, cwd=below)) == []


def test_a_file_that_takes_long_to_read_is_not_read_for_completion(home: Path, project: Path) -> None:
    path = project / "milvus.toml"
    path.write_text("[profiles.a]\n#" + "x" * (7 << 20))
    assert aliases({"HOME": str(home)}, str(project)) == ["a"]
    path.write_text("[profiles.a]\n#" + "x" * (8 << 20))
    assert aliases({"HOME": str(home)}, str(project)) == []


def test_the_name_of_a_directory_forges_no_line(cli: Command, tmp_path: Path) -> None:
    directory = tmp_path / "x\nFORGED: all is well\ny"
    (directory / ".git").mkdir(parents=True)
    file = directory / "milvus.toml"
    told = ""
    for text, words in (
        (GATED, ["profile", "show", "prod"]),
        (GATED, ["trust"]),
        ("[profiles\n", ["profile", "list"]),
        (None, ["import", "--from", "dotenv"]),
    ):
        if text is not None:
            file.write_text(text)
        outcome = cli(*words, cwd=directory)
        told += outcome.stdout + outcome.stderr
    assert "FORGED" in told
    assert not [line for line in told.splitlines() if line.startswith(("FORGED", "y/"))]


# --- a server --------------------------------------------------------------------------------------------------------


TOKEN = 'root:s3cr€t "Pass>word?'
WAYS: dict[str, Callable[[str], str]] = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 without its padding": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "base64 of addresses": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
    "HEXADECIMAL": lambda text: text.encode().hex().upper(),
    "of addresses": lambda text: quote(text, safe=""),
    "of JSON": lambda text: json.dumps(text)[1:-1],
}


@pytest.mark.parametrize("part", ["token", "password"])
@pytest.mark.parametrize("way", WAYS)
def test_a_token_that_is_said_back_in_another_encoding_is_masked(way: str, part: str) -> None:
    said = WAYS[way](TOKEN if part == "token" else TOKEN.partition(":")[2])
    assert server_text(f"no <{said}> here", SecretText(TOKEN)) == "no <********> here"


def test_a_token_that_is_said_back_as_a_status_or_as_the_name_of_a_database_is_masked() -> None:
    def script(call: Call) -> bytes:
        method = call.method.rpartition("/")[2]
        if method == "ShowCollections":
            return message(1, number(3, 800) + message(2, b"database not found[database=films]"))
        if method == "ListDatabases":
            return message(1, b"") + message(2, CANARY.encode())
        return milvus_answer(call)

    with scripted_server(script) as server, pytest.raises(mp.DatabaseNotFoundError) as caught:
        mp.connect(uri=f"http://127.0.0.1:{server.port}", token=CANARY, db_name="films", timeout=5)
    assert "it has ********" in str(caught.value)
    assert CANARY not in str(caught.value)

    def refuse(call: Call) -> bytes:
        raise Refusal(grpc.StatusCode.INTERNAL, f"got {CANARY.encode().hex()}")

    with scripted_server(refuse) as server, pytest.raises(mp.MilvusProfilesError) as refused:
        mp.connect(uri=f"http://127.0.0.1:{server.port}", token=CANARY, timeout=5)
    assert "got ********" in str(refused.value)


def test_a_redirect_of_the_management_port_is_not_followed_and_the_token_does_not_go_there(cli: Command) -> None:
    asked: list[bytes] = []
    with recorder() as elsewhere, scripted_server(milvus_answer) as server:

        def talk(connection: Any) -> None:
            asked.append(connection.recv(65536))
            there = f"http://127.0.0.1:{elsewhere.port}/"
            connection.sendall(f"HTTP/1.1 302 Found\r\nLocation: {there}\r\nContent-Length: 0\r\n\r\n".encode())
            connection.recv(1)

        with listener(talk) as management:
            text = f'[profiles.a]\nuri = "http://127.0.0.1:{server.port}"\ntoken = "{CANARY}"\n'
            cli.own_file(f"{text}management_port = {management.port}\n")
            outcome = cli("profile", "test", "a")
    assert outcome.returncode == 0, outcome.stdout
    assert any(b"/healthz" in request for request in asked)
    assert not any(CANARY.encode() in request or b"uthorization" in request for request in asked)
    assert elsewhere.connections == 0


def test_a_server_that_changes_its_certificate_is_pinned_as_it_was_shown(
    cli: Command, certificates: Certificates, tmp_path: Path
) -> None:
    """And what the probes of TLS agree on with the server is logged nowhere, whatever the environment says."""
    identities = [certificates.server, certificates.self_signed_server]
    contexts = [server_context(identity) for identity in identities]
    handshakes: list[int] = []

    def talk(connection: Any) -> None:
        # The first connection that says something is shown; all others see the other certificate.
        connection.settimeout(5)
        if not connection.recv(1, 2):  # peek
            return
        handshakes.append(1)
        context = contexts[0 if len(handshakes) == 1 else 1]
        with suppress(OSError), context.wrap_socket(connection.dup(), server_side=True) as secured:
            secured.settimeout(2)
            secured.recv(100)

    keys = tmp_path / "keys"
    with listener(talk) as server:
        words = ["profile", "add", "p", "--uri", f"https://127.0.0.1:{server.port}", "--pin-certificate", "--user-file"]
        screen = cli.tty(*words, answers=[("Trust this", "y")], env={"SSLKEYLOGFILE": str(keys)}, columns=200)
    assert screen.returncode == 0, screen.text
    assert "connecting will fail even if it is trusted" in screen.text
    kept = (cli.home / ".config/milvus/p.pem").read_bytes().strip()
    shown = identities[0].cert.read_bytes().strip()
    assert kept == shown
    assert not keys.exists()


# --- the environment -------------------------------------------------------------------------------------------------


def test_grpcs_second_proxy_variable_is_not_obeyed_either(cli: Command) -> None:
    program = Command([sys.executable, "-c"], cli.home, cli.cwd)
    with recorder() as proxy, scripted_server(milvus_answer) as server:
        env = {
            "GRPC_ADDRESS_HTTP_PROXY": f"127.0.0.1:{proxy.port}",
            "GRPC_ADDRESS_HTTP_PROXY_ENABLED_ADDRESSES": "127.0.0.0/8",
        }
        outcome = program(
            "import asyncio, milvus_profiles as mp\n"
            f"fields = dict(uri='http://127.0.0.1:{server.port}', token='{CANARY}', timeout=5)\n"
            "mp.connect(**fields).close()\n"
            "async def again(): await (await mp.aio.connect(**fields)).close()\n"
            "asyncio.run(again())\n",
            env=env,
        )
        assert outcome.returncode == 0, outcome.stderr
        assert proxy.connections == 0


@pytest.mark.parametrize(
    "env",
    [
        {"COLUMNS": "99999999", "TERMINAL_WIDTH": "x", "LINES": "-1", "X_COMPLETE": "complete_bash"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii:strict"},
        {"PYTHONOPTIMIZE": "2", "PYTHONWARNINGS": "error", "PYTHONMALLOC": "debug"},
        {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1", "TERM": "\x1b[2J", "TZ": "\x01/../x"},
        {"SSL_CERT_FILE": "/dev/zero", "OPENSSL_CONF": "/nowhere", "TMPDIR": "/nowhere", "SUDO_UID": "9" * 40},
    ],
    ids=lambda env: next(iter(env)),
)
def test_variables_of_others_change_no_answer(cli: Command, env: dict[str, str | None]) -> None:
    cli.own_file('[profiles.a]\nuri = "http://127.0.0.1:1"\ndescription = "größe → ☃"\n')
    listed = cli("profile", "list", "--json", env=env)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert [row["alias"] for row in listed.json] == ["a"]


def test_an_address_of_the_bus_runs_no_program(cli: Command, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    cli.own_file('[profiles.a]\nuri = "https://127.0.0.1:1"\nuser = "root"\n')
    run = f"unixexec:path=/bin/sh,argv1=-c,argv2=touch {marker}"
    cli("secret", "status", "a", env={"DBUS_SESSION_BUS_ADDRESS": f"unix:abstract=x;{run};autolaunch:"}, status=4)
    assert not marker.exists()


def test_without_a_umask_nobody_else_gets_a_right_all_the_same(cli: Command) -> None:
    (cli.cwd / "milvus.toml").write_text(GATED)
    run = 'umask 0 && "$0" profile add a --uri http://127.0.0.1:1 --user-file && "$0" trust'
    outcome = Command(["sh", "-c", run, cli.program[0]], cli.home, cli.cwd)()
    assert outcome.returncode == 0, outcome.stderr
    made = [path for path in cli.home.rglob("*") if not path.is_symlink()]
    assert made
    assert not [path for path in made if stat.S_IMODE(path.stat().st_mode) & 0o077]


# --- a plugin --------------------------------------------------------------------------------------------------------


class _Sly(str):
    __slots__ = ()

    def endswith(self, *_: Any) -> bool:
        raise RuntimeError(CANARY)


class Odd(keyring.backend.KeyringBackend):
    """Answers as it is told to."""

    priority = -1
    answer: Any = None

    def get_password(self, service: str, username: str) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError


@pytest.fixture
def odd() -> Iterator[Odd]:
    before = keyring.get_keyring()
    backend = Odd()  # type: ignore[no-untyped-call]
    keyring.set_keyring(backend)
    try:
        with allowing(__name__):
            yield backend
    finally:
        keyring.set_keyring(before)


@pytest.mark.parametrize(
    "answer",
    [
        CANARY.encode(), 5, [CANARY], {"password": CANARY}, SystemExit(CANARY), KeyboardInterrupt(CANARY),
        GeneratorExit(CANARY),
    ],
    ids=lambda answer: type(answer).__name__,
)  # fmt: skip
def test_whatever_a_keyring_answers_is_one_typed_error_without_it(odd: Odd, answer: Any) -> None:
    odd.answer = answer
    with pytest.raises(mp.MilvusProfilesError) as caught:
        OSKeyring().get("tls|db.example|443|")
    assert CANARY not in f"{caught.value}{caught.value!r}"


def test_a_text_of_a_keyrings_own_class_is_taken_as_plain_text(odd: Odd) -> None:
    odd.answer = _Sly(CANARY)
    found = OSKeyring().get("tls|db.example|443|")
    assert found is not None
    assert type(found.reveal()) is str
    assert found == SecretText(CANARY)


# --- programs that are run -------------------------------------------------------------------------------------------


def test_a_program_under_exec_finds_nothing_of_another_connection(cli: Command) -> None:
    (cli.cwd / "milvus.toml").write_text('[profiles.evil]\nuri = "http://127.0.0.1:1"\n')
    names = ["TOKEN", "API_KEY", "PASSWORD", "USERNAME", "ADDRESS", "URL", "HOST", "PORT", "DATABASE", "TOKEN_FILE"]
    env = {f"MILVUS_{name}": CANARY for name in names}
    show = [sys.executable, "-c", "import os; print([name for name in os.environ if 'canary' in os.environ[name]])"]
    outcome = cli("exec", "evil", "--", *show, env={**env, "MILVUS_URI": ""})
    assert outcome.stdout == "[]\n", outcome.stderr
    assert {f"X_{name}" for name in names} <= set(superseded(prefix="X_"))


LOOK = ["ls", "-m", "/proc/self/fd"]


def test_programs_inherit_no_descriptor(cli: Command) -> None:
    """Neither one that gives a secret nor one that gets it; the fourth is the directory that `ls` lists."""
    cli.own_file(f'[profiles.a]\nuri = "http://127.0.0.1:1"\ntoken = {{ command = {json.dumps(LOOK)} }}\n')
    outcome = cli("exec", "a", "--", "sh", "-c", 'echo "$MILVUS_TOKEN"; exec "$@"', "sh", *LOOK)
    assert outcome.stdout == "0, 1, 2, 3\n" * 2, outcome.stderr


# --- what is imported ------------------------------------------------------------------------------------------------


def test_nothing_in_an_imported_file_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    """But what a .env file says by its own variables, which python-dotenv expands too."""
    monkeypatch.setenv("AWS_SECRET", CANARY)
    evil = f"$AWS_SECRET$(touch {CANARY})`id`%(x)s"
    found = SOURCES["dotenv"].parse(f"MILVUS_URI=https://h.example\nMILVUS_TOKEN={evil}\n".encode(), "/nowhere/.env")  # type: ignore[misc]
    assert found.entries[0].secret == SecretText(evil)
    for name in ("MILVUS_TOKEN", "MILVUS_URI", "MILVUS_USER", "MILVUS_DB"):
        text = f"MILVUS_URI=https://h.example\nMILVUS_TOKEN=x\nA=${{AWS_SECRET}}\n{name}=https://${{A}}.evil\n"
        found = SOURCES["dotenv"].parse(text.encode(), "/nowhere/.env")  # type: ignore[misc]
        reason = f"{name} refers to ${{AWS_SECRET}}, which the file does not set"
        assert [one.reason for one in found.unusable] == [reason]
        assert not found.entries
    text = "MILVUS_SERVERS=https://${AWS_SECRET}.evil.example\n"
    assert not SOURCES["attu"].parse(text.encode(), "/nowhere/.env").entries  # type: ignore[misc]
    evil = f"${{AWS_SECRET}}$(touch {CANARY})`id`%(x)s"
    found = SOURCES["milvus-cli"].parse(json.dumps({"a": {"uri": "https://h", "token": evil}}).encode(), "/nowhere/x")  # type: ignore[misc]
    assert found.entries[0].secret == SecretText(evil)


@pytest.mark.parametrize("kind", ["FIFO", "device", "directory"])
def test_what_lies_beside_an_imported_file_is_a_file_or_an_error(tmp_path: Path, kind: str) -> None:
    (tmp_path / "credentials").write_text(f"[default]\napi_key = {CANARY}%(x)s\n")
    config = tmp_path / "config"
    config.write_text("[default]\nendpoint = https://z.example\n")
    found = read("zilliz", str(tmp_path / "credentials"), env={}, cwd="/")
    assert found.entries[0].secret == SecretText(f"{CANARY}%(x)s")
    config.unlink()
    if kind == "FIFO":
        os.mkfifo(config)
    elif kind == "device":
        config.symlink_to("/dev/zero")
    else:
        config.mkdir()
    with pytest.raises(ConfigError, match=kind):
        read("zilliz", str(tmp_path / "credentials"), env={}, cwd="/")


def test_a_source_larger_than_anybodys_is_refused_before_it_is_parsed(cli: Command) -> None:
    (cli.cwd / ".env").write_text("A\n" * (200 << 10))
    with pytest.raises(ConfigError, match="larger than 256 KiB"):
        read("dotenv", None, env={}, cwd=str(cli.cwd))
    for text, said in (("A\n" * (200 << 10), "longer than 256 KiB"), ("[" * 100_000, "is not the JSON object")):
        outcome = cli("import", "--from", "milvus-cli", "-", "--dry-run", input=text, status=3)
        assert said in outcome.stderr


def test_what_an_import_decides_about_whom_to_trust_is_said_before_it_is_asked_for(
    cli: Command, certificates: Certificates
) -> None:
    source = cli.cwd / "connections.json"
    source.write_text(json.dumps({"team": {"uri": "https://h.example", "tlsmode": 1, "cert": str(certificates.ca)}}))
    outcome = cli("import", "--from", "milvus-cli", source, "--dry-run")
    assert f"'team' trusts the certificates in {certificates.ca}" in outcome.stderr
    (cli.cwd / ".env").write_text("MILVUS_URI=http://h.example\nMILVUS_ALLOW_INSECURE=yes\nMILVUS_CONN_ALIAS=team\n")
    outcome = cli("import", "--from", "dotenv", "--dry-run", "--json")
    assert "'team' lets its secret cross the network unencrypted" in json.loads(outcome.stderr)["warning"]


def test_an_import_takes_no_secret_of_another_profile_away(cli: Command, keyring_session: KeyringSession) -> None:
    account = "tls|import-victim.example|443|root"
    words = ["--uri", "https://import-victim.example", "--user", "root", "--password-stdin", "--user-file"]
    assert cli("profile", "add", "prod", *words, keyring=keyring_session, input=CANARY).returncode == 0
    lines = ["MILVUS_URI=https://import-victim.example", "MILVUS_USER=root", "MILVUS_CONN_ALIAS=harmless"]
    (cli.cwd / ".env").write_text("\n".join([*lines, "MILVUS_PASSWORD=another", ""]))
    before = cli.user_file.read_text()
    outcome = cli("import", "--from", "dotenv", "--yes", "--user-file", keyring=keyring_session, status=3)
    assert f"the keyring has another secret for {account}" in outcome.stderr
    assert keyring_session.get("milvus-profiles", account) == CANARY
    assert cli.user_file.read_text() == before
    outcome = cli("import", "--from", "dotenv", "--yes", "--user-file", "--force", keyring=keyring_session, status=0)
    assert keyring_session.get("milvus-profiles", account) == "another"
