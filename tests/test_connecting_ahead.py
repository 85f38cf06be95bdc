"""While a keyring or a program takes its time for the secret, TCP and TLS are set up, and nothing of a call is sent."""

from __future__ import annotations

import contextlib
import shlex
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import milvus_profiles as mp
from milvus_profiles import errors
from tests.support import faults
from tests.support.certificates import Certificates
from tests.support.connections import Declared, Shell
from tests.support.hostile_tls import inside_tls
from tests.support.scripted_grpc import Call, milvus_answer, scripted_server
from tests.support.waiting import until

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADERS = 1


@pytest.fixture
def flag(tmp_path: Path) -> Path:
    return tmp_path / "connected"


def _command(flag: Path, then: str) -> str:
    """A program that waits for the flag, and then does something: without the flag it fails."""
    script = f"for i in $(seq 200); do test -e {shlex.quote(str(flag))} && {then}; sleep 0.05; done; exit 9"
    return f"token = {{command = ['/bin/sh', '-c', {script!r}]}}"


@contextlib.contextmanager
def relay(port: int, flag: Path) -> Iterator[int]:
    """Passes bytes on to a port, and raises the flag when somebody connects."""

    def talk(connection: socket.socket) -> None:
        with socket.create_connection((faults.HOST, port)) as upstream:
            flag.touch()
            faults.pump_both_ways(connection, upstream, lambda: None)

    with faults.listener(talk) as server:
        yield server.port


@pytest.mark.parametrize("tls", [False, True])
def test_the_connection_is_there_before_the_secret_is(
    shell: Shell, flag: Path, tmp_path: Path, certificates: Certificates, tls: bool
) -> None:
    calls: list[Call] = []

    def script(call: Call) -> bytes:
        calls.append(call)
        return milvus_answer(call)

    with (
        scripted_server(script, identity=certificates.server if tls else None) as server,
        relay(server.port, flag) as port,
    ):
        scheme, more = ("https", [f"ssl.ca = '{certificates.ca}'"]) if tls else ("http", [])
        secret = _command(flag, "echo root:Milvus && exit 0")
        profiles = Declared(tmp_path / "milvus.toml").says(f"uri = '{scheme}://127.0.0.1:{port}'", secret, *more)
        conn = shell.connect("prod", profiles=profiles)
        assert shell.ping(conn) < 10
        shell.disconnect_all()
    assert {call.metadata.get("authorization") for call in calls} == {"cm9vdDpNaWx2dXM="}
    assert len({call.peer for call in calls}) == 1, "it is the connection that was begun"


class Watching:
    """A server that takes down what is sent to it and answers as an HTTP/2 server begins to."""

    def __init__(self, flag: Path) -> None:
        self._flag = flag
        self.port = 0
        self.received = b""
        self.ended = threading.Event()

    def talk(self, connection: socket.socket) -> None:
        connection.sendall(b"\0\0\0\4\0\0\0\0\0")  # an empty SETTINGS frame
        with contextlib.suppress(OSError):
            while content := connection.recv(65536):
                self.received += content
                if len(self.received) > len(_PREFACE):
                    self._flag.touch()
        self.ended.set()

    def frames(self) -> list[int]:
        """The types of the frames that came."""
        rest, found = self.received.removeprefix(_PREFACE), []
        while len(rest) >= 9:
            found.append(rest[3])
            rest = rest[9 + int.from_bytes(rest[:3], "big") :]
        return found


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def watching(request: pytest.FixtureRequest, flag: Path, certificates: Certificates) -> Iterator[Watching]:
    made = Watching(flag)
    with inside_tls(certificates.server, made.talk) if request.param else faults.listener(made.talk) as server:
        made.port = server.port
        yield made


def test_where_the_secret_fails_what_was_begun_is_closed_and_no_call_was_sent(
    shell: Shell,
    watching: Watching,
    flag: Path,
    tmp_path: Path,
    certificates: Certificates,
    request: pytest.FixtureRequest,
) -> None:
    tls = "tls" in request.node.callspec.id
    file = Declared(tmp_path / "milvus.toml")
    scheme, more = ("https", [f"ssl.ca = '{certificates.ca}'"]) if tls else ("http", [])
    address = f"uri = '{scheme}://127.0.0.1:{watching.port}'"
    profiles = file.says(address, "db_name = 'here'", _command(flag, "exit 3"), *more)
    with pytest.raises(errors.SecretUnavailableError, match="3"):
        shell.connect("prod", profiles=profiles)
    assert watching.ended.wait(30)
    assert watching.received.startswith(_PREFACE)
    assert _HEADERS not in watching.frames()
    assert not mp.list_connections()


def test_of_a_server_whose_certificate_is_not_trusted_the_secret_is_asked_for_and_not_sent(
    shell: Shell, flag: Path, tmp_path: Path, certificates: Certificates
) -> None:
    asked = tmp_path / "asked"
    file = Declared(tmp_path / "milvus.toml")
    with scripted_server(milvus_answer, identity=certificates.server) as server:
        command = f"token = {{command = ['/bin/sh', '-c', 'touch {asked}; echo root:canary']}}"
        profiles = file.says(f"uri = 'https://127.0.0.1:{server.port}'", "timeout = 5", command)
        with pytest.raises(errors.TLSError) as caught:
            shell.connect("prod", profiles=profiles)
        assert not server.calls
    assert asked.exists()
    assert "canary" not in f"{caught.value} {caught.value!r}"


def test_a_wrong_certificate_file_is_told_after_the_secret_as_ever(
    shell: Shell, flag: Path, tmp_path: Path, certificates: Certificates
) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n")
    file = Declared(tmp_path / "milvus.toml")
    secret = "token = {command = ['/bin/sh', '-c', 'exit 3']}"
    profiles = file.says("uri = 'https://127.0.0.1:1'", f"ssl.ca = '{tmp_path}/ca.pem'", secret)
    with pytest.raises(errors.SecretUnavailableError):
        shell.connect("prod", profiles=profiles)
    profiles = file.says(
        "uri = 'https://127.0.0.1:1'", f"ssl.ca = '{tmp_path}/ca.pem'", secret.replace("exit 3", "echo a")
    )
    with pytest.raises(errors.TLSError, match="holds no certificate"):
        shell.connect("prod", profiles=profiles)


def test_a_connection_that_was_begun_and_refused_is_explained_as_ever(shell: Shell, tmp_path: Path) -> None:
    secret = "token = {command = ['/bin/sh', '-c', 'sleep 0.3; echo root:Milvus']}"
    with faults.refused_port() as port:
        profiles = Declared(tmp_path / "milvus.toml").says(f"uri = 'http://127.0.0.1:{port}'", secret)
        with pytest.raises(errors.UnreachableError, match="refuses"):
            shell.connect("prod", profiles=profiles)
    until(lambda: not mp.list_connections())
