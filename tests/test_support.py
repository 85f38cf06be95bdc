"""The ground that the other tests stand on: does each fixture do what it promises?"""

from __future__ import annotations

import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from tests.conftest import StartMilvus
from tests.support import faults
from tests.support.certificates import Certificates, Identity
from tests.support.command import Command
from tests.support.milvus import SERVICE, MilvusServer
from tests.support.ports import ports
from tests.support.reaper import Reaper
from tests.support.requirements import need
from tests.support.scripted_grpc import Call, Refusal, milvus_answer, not_milvus, scripted_server, starting_milvus
from tests.support.secret_service import KeyringSession
from tests.support.waiting import until

PROJECT = Path(__file__).parents[1]


def python(code: str, *arguments: str, env: dict[str, str] | None = None, timeout: float = 20) -> str:
    """What a Python process of its own prints."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=env, cwd=PROJECT, timeout=timeout, check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip


def gone(pid: int) -> bool:
    """Whether a process has ended, though perhaps nobody has asked yet how."""
    try:
        os.kill(pid, 0)
        return sys.platform == "linux" and ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def call(
    target: str, method: str = "GetVersion", *, token: str = "", timeout: float = 10, **tls: bytes | None
) -> bytes:
    """One call by bare grpcio, with a token as Milvus's clients send it."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    with (
        grpc.secure_channel(target, grpc.ssl_channel_credentials(**tls), options)
        if tls
        else grpc.insecure_channel(target, options)
    ) as channel:
        rpc = channel.unary_unary(SERVICE + method, request_serializer=bytes, response_deserializer=bytes)
        answer: bytes = rpc(b"", timeout=timeout, metadata=(("authorization", token),) if token else ())
    return answer


def refusal(target: str, method: str = "GetVersion", **options: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(target, method, **options)  # type: ignore[arg-type]
    return caught.value.code(), caught.value.details() or ""


def local(port: int) -> str:
    return f"127.0.0.1:{port}"


# --- the session ----------------------------------------------------------------------------------------------------


def test_both_loopback_addresses_work() -> None:
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as listener:
            listener.bind((host, 0))
            listener.listen()
            socket.create_connection(listener.getsockname()[:2], timeout=2).close()


def test_no_variable_of_the_machine_reaches_a_test(tmp_path: Path) -> None:
    machine = {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(tmp_path),
        "HOME": "/home/developer",
        "MILVUS_URI": "http://production:19530",
        "https_proxy": "http://proxy:3128",
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": "/ca.pem",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "DISPLAY": ":0",
        "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/1000/bus",
    }
    left = python(
        "import os; from tests.support.environment import shield; shield(); print(dict(os.environ))", env=machine
    )
    assert "production" not in left
    assert "developer" not in left
    assert "run/user" not in left
    assert not {"proxy", "GRPC", "KEYRING", "DISPLAY"} & set(left.replace("_", " ").replace("'", " ").split())


def test_a_missing_tool_skips_at_home_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs no-such-tool"):
        need("sh", "no-such-tool")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="needs no-such-tool"):
        need("sh", "no-such-tool")
    need("sh")


DIES_WITHOUT_TEARDOWN = """
import os, signal, subprocess, sys, pathlib
from tests.support.reaper import Reaper
reaper = Reaper()
reaper.watch_path(pathlib.Path(sys.argv[1]))
server = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL, start_new_session=True)
reaper.watch_process(server.pid)
print(server.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_session_leaves_behind_is_ended(tmp_path: Path) -> None:
    leftover = tmp_path / "data"
    leftover.mkdir()
    session = subprocess.run(
        [sys.executable, "-c", DIES_WITHOUT_TEARDOWN, str(leftover)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert session.returncode == -signal.SIGKILL
    # The output was read to its end, and the reaper holds the other end of it: it is done as well.
    assert not leftover.exists()
    assert gone(int(session.stdout))


def test_two_sessions_never_pick_the_same_port() -> None:
    code = "from tests.support.ports import ports; print(*(ports().take() for _ in range(20)))"
    mine = {ports().take() for _ in range(20)}
    theirs = {int(port) for port in python(code).split()}
    for port in mine:
        ports().give_back(port)
    assert len(mine) == len(theirs) == 20
    assert not mine & theirs


# --- certificates -----------------------------------------------------------------------------------------------------


def handshake(
    certificates: Certificates, server: Identity, host: str = "127.0.0.1", client: Identity | None = None
) -> str:
    """What Python's TLS has to say about this server: "verified", or its complaint."""
    context = ssl.create_default_context(cafile=str(certificates.ca))
    if client:
        context.load_cert_chain(client.cert, client.key)
    with faults.tls_without_h2(server, client_ca=certificates.ca if client else None) as listener:
        try:
            with (
                socket.create_connection(("127.0.0.1", listener.port), timeout=10) as raw,
                context.wrap_socket(raw, server_hostname=host) as secured,
            ):
                # In TLS 1.3 the server's verdict on the client's certificate comes after the handshake.
                secured.sendall(b"GET / HTTP/1.1\r\n\r\n")
                return "verified" if secured.recv(1024).startswith(b"HTTP/1.1 200") else "no answer"
        except ssl.SSLError as error:
            return error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else error.reason


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_the_server_certificate_is_good_for_every_loopback_name(certificates: Certificates, host: str) -> None:
    assert handshake(certificates, certificates.server, host) == "verified"


@pytest.mark.parametrize(
    ("server", "verdict"),
    [
        ("ending_server", "verified"),
        ("foreign_server", "unable to get local issuer certificate"),
        ("expired_server", "certificate has expired"),
        ("not_yet_valid_server", "certificate is not yet valid"),
        ("other_host_server", "IP address mismatch"),
        ("self_signed_server", "self-signed certificate"),
    ],
)
def test_each_certificate_shows_its_own_fault(certificates: Certificates, server: str, verdict: str) -> None:
    assert verdict in handshake(certificates, getattr(certificates, server)).replace("self signed", "self-signed")


def test_a_server_can_tell_our_client_from_a_foreign_one(certificates: Certificates) -> None:
    assert handshake(certificates, certificates.server, client=certificates.client) == "verified"
    assert "UNKNOWN_CA" in handshake(certificates, certificates.server, client=certificates.foreign_client)


def test_private_keys_are_private(certificates: Certificates) -> None:
    keys = list(certificates.directory.glob("*.key"))
    assert len(keys) == 13
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


# --- faults on the socket -----------------------------------------------------------------------------------------


def test_a_refused_port_refuses() -> None:
    with faults.refused_port() as port, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=2)


def test_a_black_hole_swallows_connections() -> None:
    with faults.black_hole() as port, pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", port), timeout=0.3)


def test_a_port_that_never_accepts_connects_and_is_silent() -> None:
    with faults.never_accepting() as port, socket.create_connection(("127.0.0.1", port), timeout=2) as client:
        client.sendall(b"hello?")
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(1)


def test_a_slow_server_is_silent_first_and_then_passes_on() -> None:
    with not_milvus() as behind, faults.slow_server(0.4, forward_to=behind.port) as slow:
        began = time.monotonic()
        assert refusal(local(slow.port))[0] is grpc.StatusCode.UNIMPLEMENTED
        assert time.monotonic() - began > 0.4
    began = time.monotonic()
    with faults.slow_server(60) as slow, socket.create_connection(("127.0.0.1", slow.port), timeout=2):
        assert slow.wait_for_connections(1)
    assert time.monotonic() - began < 5


def test_a_web_server_answers_get_and_not_grpc() -> None:
    with faults.http1_server() as web:
        assert urllib.request.urlopen(f"http://127.0.0.1:{web.port}/").read() == b"200 OK"
        code, details = refusal(local(web.port))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "http1.x server" in details


def test_tls_without_h2_is_not_for_grpc(certificates: Certificates) -> None:
    with faults.tls_without_h2(certificates.server) as web:
        code, details = refusal(local(web.port), root_certificates=certificates.ca.read_bytes())
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "ALPN" in details


def test_a_tls_listener_can_be_held_to_old_versions(certificates: Certificates) -> None:
    context = ssl.create_default_context(cafile=str(certificates.ca))
    with (
        faults.tls_without_h2(certificates.server, newest=ssl.TLSVersion.TLSv1_2) as web,
        socket.create_connection(("127.0.0.1", web.port), timeout=2) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as secured,
    ):
        assert secured.version() == "TLSv1.2"


@pytest.mark.parametrize("token", ["hunter22", "cm9vdDpodW50ZXIyMg==", "cm9vdDE6aHVudGVyMjI=", "cjpodW50ZXIyMg=="])
def test_the_attacker_recognises_a_secret_in_every_disguise(token: str) -> None:
    with faults.recorder() as attacker:
        refusal(local(attacker.port), token=token, timeout=0.3)
        assert attacker.saw("hunter22")
        assert not attacker.saw("stranger")


def test_the_attacker_saw_nothing_where_nothing_was_sent() -> None:
    with faults.recorder() as attacker:
        refusal(local(attacker.port), timeout=0.3)
        assert attacker.received.startswith(b"PRI * HTTP/2.0")
        assert attacker.connections == 1
        assert not attacker.saw("hunter22")


def echo(connection: socket.socket) -> None:
    while data := connection.recv(1024):
        connection.sendall(data)


def test_a_proxy_counts_freezes_drops_and_refuses() -> None:
    with faults.listener(echo) as real, faults.tcp_proxy(real.port) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=2) as client:
            client.sendall(b"one")
            assert client.recv(10) == b"one"
            proxy.freeze()
            client.sendall(b"two")
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.recv(10)
            proxy.thaw()
            client.settimeout(2)
            assert client.recv(10) == b"two"
            assert (proxy.connections, proxy.open_connections) == (1, 1)

            proxy.refuse()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", proxy.port), timeout=2)
            client.sendall(b"three")
            assert client.recv(10) == b"three"
            proxy.listen()

            proxy.drop()
            with pytest.raises(ConnectionResetError):
                client.recv(10)
        assert proxy.wait_until_idle()
        socket.create_connection(("127.0.0.1", proxy.port), timeout=2).close()
        assert proxy.wait_for_connections(2)
        assert proxy.wait_until_idle()
        assert real.wait_until_idle()


def test_no_thread_outlives_its_fault() -> None:
    before = set(threading.enumerate())
    with faults.listener(echo) as real, faults.tcp_proxy(real.port) as proxy:
        clients = [socket.create_connection(("127.0.0.1", proxy.port), timeout=2) for _ in range(20)]
        assert real.wait_for_connections(20)
    for client in clients:
        client.close()
    deadline = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert set(threading.enumerate()) <= before


# --- servers that speak gRPC ---------------------------------------------------------------------------------------


def test_a_grpc_server_that_is_not_milvus_implements_nothing() -> None:
    with not_milvus() as server:
        code, details = refusal(local(server.port), "Connect")
    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert details == "unknown service milvus.proto.milvus.MilvusService"
    assert server.names() == ["Connect"]


def test_a_starting_milvus_becomes_ready() -> None:
    with starting_milvus() as server:
        assert "not ready yet" in refusal(local(server.port))[1]
        server.ready.set()
        assert b"v2.3.5-scripted" in call(local(server.port))
    with starting_milvus(1.0) as server:
        assert refusal(local(server.port))[0] is grpc.StatusCode.UNAVAILABLE
        time.sleep(1.0)
        assert b"v2.3.5-scripted" in call(local(server.port))


def test_a_script_sees_the_token_over_tls(certificates: Certificates) -> None:
    def script(seen: Call) -> bytes:
        if seen.metadata.get("authorization") != "right":
            raise Refusal(grpc.StatusCode.UNAUTHENTICATED, "auth check failure")
        return milvus_answer(seen)

    ca = certificates.ca.read_bytes()
    with scripted_server(script, identity=certificates.server) as server:
        assert refusal(local(server.port), token="wrong", root_certificates=ca)[0] is grpc.StatusCode.UNAUTHENTICATED
        assert call(local(server.port), token="right", root_certificates=ca)
    assert [seen.metadata["authorization"] for seen in server.calls] == ["wrong", "right"]


# --- real Milvus servers ----------------------------------------------------------------------------------------------


def test_the_plain_server_wants_nothing(milvus_plain: MilvusServer) -> None:
    assert milvus_plain.uri == f"http://127.0.0.1:{milvus_plain.port}"
    assert milvus_plain.token is None
    assert b"v2.3.5" in call(milvus_plain.address)
    assert b"v2.3.5" in call(milvus_plain.address, "Connect")


def test_the_server_with_authorization_wants_a_token(milvus_auth: MilvusServer) -> None:
    code, details = refusal(milvus_auth.address)
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert "missing authorization" in details
    assert (milvus_auth.token, milvus_auth.user, milvus_auth.password) == ("root:Milvus", "root", "Milvus")
    assert b"v2.3.5" in milvus_auth.call("GetVersion")


def test_the_tls_server_is_verified(milvus_tls: MilvusServer, certificates: Certificates) -> None:
    assert milvus_tls.uri == f"https://127.0.0.1:{milvus_tls.port}"
    assert "Socket closed" in refusal(milvus_tls.address)[1]
    assert (
        "CERTIFICATE_VERIFY_FAILED"
        in refusal(milvus_tls.address, root_certificates=certificates.foreign_ca.read_bytes())[1]
    )
    assert b"v2.3.5" in milvus_tls.call("GetVersion")


def test_the_mutual_tls_server_wants_a_client_certificate(
    milvus_mtls: MilvusServer, certificates: Certificates
) -> None:
    assert milvus_mtls.certs == certificates
    code, _ = refusal(milvus_mtls.address, root_certificates=certificates.ca.read_bytes())
    assert code is grpc.StatusCode.UNAVAILABLE
    assert b"v2.3.5" in milvus_mtls.call("GetVersion")


def test_the_old_server_has_no_connect(milvus_228: MilvusServer) -> None:
    assert b"v2.2.8" in call(milvus_228.address)
    code, details = refusal(milvus_228.address, "Connect")
    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert "unknown method Connect" in details


def test_a_server_of_ones_own_can_be_suspended_killed_and_started_again(start_milvus: StartMilvus) -> None:
    server = start_milvus()
    first_pid, first_directory = server.pid, server.directory
    server.suspend()
    assert refusal(server.address, timeout=0.5)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    server.resume()
    assert call(server.address)

    server.kill()
    assert not server.is_running
    assert "refused" in refusal(server.address)[1]
    server.start()
    assert server.pid != first_pid
    assert call(server.address)
    assert not first_directory.exists()

    last_pid = server.pid
    server.remove()
    assert not server.directory.exists()
    assert not Path(f"/tmp/milvus/server_id_{last_pid}").exists()
    for run in (Path("/run/milvus/standalone.pid"), Path("/tmp/milvus/standalone.pid")):
        assert not run.exists() or run.read_text() not in (str(first_pid), str(last_pid))


def test_a_server_that_cannot_start_shows_its_log(start_milvus: StartMilvus, tmp_path: Path) -> None:
    nothing = Identity(tmp_path / "missing.pem", tmp_path / "missing.key")
    with pytest.raises(RuntimeError, match=r"(?s)died while starting.*missing\.pem"):
        start_milvus(tls="server", identity=nothing)


def test_the_shared_servers_run_side_by_side(
    milvus_plain: MilvusServer,
    milvus_auth: MilvusServer,
    milvus_tls: MilvusServer,
    milvus_mtls: MilvusServer,
    milvus_228: MilvusServer,
) -> None:
    servers = [milvus_plain, milvus_auth, milvus_tls, milvus_mtls, milvus_228]
    assert len({server.pid for server in servers}) == 5
    for server in servers:
        server.call("ShowCollections")
        with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/healthz", timeout=2) as answer:
            assert answer.read() == b"OK"


# --- keyrings --------------------------------------------------------------------------------------------------------

GET = "import keyring, sys; print(type(keyring.get_keyring()).__module__, keyring.get_password(*sys.argv[1:]))"


def test_the_keyring_library_and_the_fixture_see_the_same(keyring_session: KeyringSession) -> None:
    keyring_session.set("support", "tls|host|443|root", "päßword")
    assert python(GET, "support", "tls|host|443|root", env=keyring_session.env) == (
        "keyring.backends.SecretService päßword"
    )
    python("import keyring; keyring.set_password('support', 'other', 'two words')", env=keyring_session.env)
    assert keyring_session.get("support", "other") == "two words"
    assert keyring_session.usernames("support") == ["other", "tls|host|443|root"]
    keyring_session.delete("support", "other")
    assert keyring_session.get("support", "other") is None
    keyring_session.clear("support")
    assert keyring_session.usernames("support") == []


def test_a_keyring_has_no_display_and_a_home_of_its_own(keyring_session: KeyringSession) -> None:
    assert not {"DISPLAY", "WAYLAND_DISPLAY", "PYTHON_KEYRING_BACKEND"} & set(keyring_session.env)
    assert keyring_session.env["HOME"] == str(keyring_session.home)
    assert list(keyring_session.home.rglob("login.keyring"))


def test_a_locked_keyring_refuses_at_once(fresh_keyring: KeyringSession) -> None:
    fresh_keyring.set("support", "user", "secret")
    fresh_keyring.lock()
    with pytest.raises(subprocess.CalledProcessError) as caught:
        python(GET, "support", "user", env=fresh_keyring.env)
    assert "KeyringLocked" in caught.value.stderr


def test_a_suspended_keyring_hangs_until_it_is_resumed(fresh_keyring: KeyringSession) -> None:
    fresh_keyring.set("support", "user", "secret")
    os.kill(fresh_keyring.daemon_pid, 0)
    fresh_keyring.suspend()
    with pytest.raises(subprocess.TimeoutExpired):
        python(GET, "support", "user", env=fresh_keyring.env, timeout=1.5)
    fresh_keyring.resume()
    assert python(GET, "support", "user", env=fresh_keyring.env).endswith("secret")

    fresh_keyring.stop_daemon()
    with pytest.raises(subprocess.CalledProcessError):
        python(GET, "support", "user", env=fresh_keyring.env)


def test_without_a_bus_there_is_no_keyring(no_keyring_env: dict[str, str]) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        python(GET, "support", "user", env=no_keyring_env)
    assert "NoKeyringError" in caught.value.stderr


# --- the command -----------------------------------------------------------------------------------------------------

REPORT = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ), os.getcwd(), sys.stdin.read()]))"
ASK = """
import getpass, os, sys
name = input("name? ")
password = getpass.getpass("password? ")
print("\\x1b[1mhello\\x1b[0m", name, len(password), os.get_terminal_size().columns, sys.stdout.isatty())
"""


@pytest.fixture
def program(home: Path, project: Path) -> Command:
    return Command([sys.executable, "-c"], home, project)


def test_a_command_runs_in_an_environment_of_which_everything_is_known(
    program: Command, home: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILVUS_URI", "http://production:19530")
    arguments, environment, cwd, stdin = program(REPORT, "a", "--json", env={"EXTRA": "1", "LANG": None}).json
    assert arguments == ["a", "--json"]
    assert cwd == str(project)
    assert stdin == ""
    assert {name for name in environment if not name.startswith(("COV", "LC_"))} == {
        "PATH", "HOME", "DBUS_SESSION_BUS_ADDRESS", "EXTRA"
    }  # fmt: skip
    assert environment["HOME"] == str(home)


def test_a_command_takes_input_a_directory_a_home_and_a_keyring(
    program: Command, keyring_session: KeyringSession, tmp_path: Path
) -> None:
    _, environment, cwd, stdin = program(
        REPORT, input="line\n", cwd=tmp_path, home=tmp_path, keyring=keyring_session
    ).json
    assert (stdin, cwd, environment["HOME"]) == ("line\n", str(tmp_path), str(tmp_path))
    keyring_session.set("support", "user", "secret")
    assert program(GET, "support", "user", keyring=keyring_session).stdout.endswith("secret\n")
    keyring_session.clear("support")
    assert "NoKeyringError" in program(GET, "support", "user").stderr


def test_a_command_that_hangs_is_ended_and_shown(program: Command) -> None:
    with pytest.raises(AssertionError, match=r"(?s)still running after.*so far"):
        program("import time; print('so far', flush=True); time.sleep(60)", timeout=0.5)


def test_a_terminal_shows_prompts_and_hides_passwords(program: Command) -> None:
    screen = program.tty(ASK, answers=[("name?", "Ada"), ("password?", "hidden")], columns=80)
    assert screen.text == "name? Ada\npassword? \nhello Ada 6 80 True\n"
    assert "\x1b[1m" in screen.raw
    assert screen.returncode == 0


def test_ctrl_c_reaches_a_command_on_a_terminal(program: Command) -> None:
    screen = program.tty(ASK, answers=[("name?", b"\x03")])
    assert screen.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in screen.text


def test_a_terminal_says_which_prompt_never_came(program: Command) -> None:
    with pytest.raises(AssertionError, match="ended without asking"):
        program.tty("print('done')", answers=[("sure?", "y")])
    with pytest.raises(AssertionError, match=r"(?s)waiting for 'sure.*name"):
        program.tty(ASK, answers=[("sure?", "y")], timeout=1)


def test_the_installed_command_runs_with_and_without_a_terminal(cli: Command) -> None:
    outcome = cli("--version")
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert cli.tty("--version").text == outcome.stdout


# What a program that the command becomes finds of the process it was: all that a fork could have left in it.
STATE = """
echo "$PWD"; umask; ulimit -a; env | sort | od -c; cat
[ ! -e /proc/self ] || { ls -m /proc/self/fd; grep -E "^(Sig[^Q]|Shd|Uid|Gid|Groups|Seccomp)" /proc/self/status
cut -d " " -f 5-8,19 /proc/self/stat; }
exit 3
"""


def test_a_command_in_a_copy_has_what_a_fresh_process_has(cli: Command) -> None:
    (cli.cwd / "milvus.toml").write_text('[profiles.a]\nuri = "http://127.0.0.1:1"\n')
    for env, text in (
        ({"EXTRA": "gr\udcfc\u00fc\u2603"}, "one\ntwo\n"),
        ({"PATH": "/usr/bin:/bin"}, None),
    ):
        words = ("exec", "a", "--", "sh", "-c", STATE)
        copied, started = (run(*words, env=env, input=text) for run in (cli, cli.real))
        assert copied.stdout == started.stdout
        assert (copied.returncode, copied.stderr) == (started.returncode, started.stderr) == (3, "")
    killed = cli("exec", "a", "--", "sh", "-c", "kill -TERM $$")
    assert killed.returncode == -signal.SIGTERM


def test_nothing_of_one_command_reaches_the_next(cli: Command, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        directory = tmp_path / name
        directory.mkdir()
        env = {f"MILVUS_PROFILES__{name.upper()}__URI": f"http://{name}.example:1"}
        listed = cli("profile", "list", "--json", env=env, cwd=directory, home=directory)
        assert [row["alias"] for row in listed.json] == [name]


def test_commands_in_copies_run_side_by_side(cli: Command) -> None:
    (cli.cwd / "milvus.toml").write_text('[profiles.a]\nuri = "http://127.0.0.1:1"\n')
    os.mkfifo(cli.cwd / "fifo")
    words = ("exec", "a", "--", "sh", "-c")
    with ThreadPoolExecutor() as threads:
        reading = threads.submit(cli, *words, "cat fifo")
        assert cli(*words, "echo met > fifo").returncode == 0
        assert reading.result().stdout == "met\n"


@pytest.mark.parametrize("words", ["sleep 600", "sleep 600 > /dev/null 2>&1"], ids=["writing", "silent"])
def test_a_command_in_a_copy_that_hangs_is_ended_and_shown(cli: Command, tmp_path: Path, words: str) -> None:
    (cli.cwd / "milvus.toml").write_text('[profiles.a]\nuri = "http://127.0.0.1:1"\n')
    pid = tmp_path / "pid"
    with pytest.raises(AssertionError, match=r"(?s)still running after.*so far"):
        cli("exec", "a", "--", "sh", "-c", f"echo so far; echo $$ > {pid}; exec {words}", timeout=2)
    until(lambda: gone(int(pid.read_text())))


def test_a_command_is_started_for_what_only_a_start_reads(cli: Command) -> None:
    assert "import 'milvus_profiles" in cli("--version", env={"PYTHONVERBOSE": "1"}).stderr
    assert "import 'milvus_profiles" in cli.real("--version", env={"PYTHONVERBOSE": "1"}).stderr
    assert cli("profile", "list", input="x" * 1_000_000).returncode == 0


SERVES_AND_DIES = """
import os, pathlib, signal, sys, threading, time
from tests.support.command import Command
from tests.support.fork_server import ForkServer
program, directory = sys.argv[1], pathlib.Path(sys.argv[2])
server = ForkServer(program, Command([], directory, directory).environment())
cli = Command([program], directory, directory, server)
(directory / "milvus.toml").write_text('[profiles.a]\\nuri = "http://127.0.0.1:1"\\n')
words = "exec", "a", "--", "sh", "-c", "echo $$ $PPID > pids.new; mv pids.new pids; exec sleep 600"
threading.Thread(target=cli, args=words, daemon=True).start()
while not (directory / "pids").exists():
    time.sleep(0.02)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_session_leaves_no_server_and_no_command_behind(cli: Command, home: Path) -> None:
    words = [sys.executable, "-c", SERVES_AND_DIES, cli.program[0], str(home)]
    session = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert (session.returncode, session.stderr) == (-signal.SIGKILL, "")
    for pid in map(int, (home / "pids").read_text().split()):
        until(lambda pid=pid: gone(pid))  # type: ignore[misc]


def test_a_project_ends_the_search_for_files(project: Path, home: Path) -> None:
    assert (project / ".git").is_dir()
    assert list(home.iterdir()) == []


def test_the_session_has_a_reaper_that_forgets(reaper: Reaper) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        reaper.watch_process(process.pid)
        process.kill()
    reaper.forget_process(process.pid)
