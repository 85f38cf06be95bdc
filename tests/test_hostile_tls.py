"""Hostile ports, below HTTP/2: whatever they send, an error of ours in time, little memory, and nothing that moves a
terminal's cursor.

A program of its own connects to each and tests it, and measures itself while it does; the ports are in this process.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import faults, hostile_tls
from tests.support.certificates import Certificates, Identity
from tests.support.command import Command
from tests.support.files import written
from tests.support.forged import UTF8, alternative_names, constraints, dns, extension, forge, ip, name
from tests.support.hostile_tls import (
    ALERT,
    CHANGE_CIPHER,
    DATA,
    HANDSHAKE,
    Talk,
    breaking_off,
    dripping,
    flooding,
    in_front_of,
    inside_tls,
    record,
    saying,
)
from tests.support.scripted_grpc import milvus_answer, scripted_server
from tests.test_hostile_server import texts

pytestmark = pytest.mark.security

TIMEOUT = 1.0
SLACK = 1.0
NOISE = 1.0
"""Seconds for a machine that does something else besides."""
MORE_MIB = 64
SECRET = "canary-5f1d9c"
EVIL = "\x1b[2J\x1b]0;owned\x07\u202e\x9b1m".encode()

PROGRAM = Path(hostile_tls.__file__).with_name("hostile_program.py")


@dataclass(frozen=True)
class Outcome:
    """What the program met at a port."""

    threads: dict[str, Any]
    diagnosis: dict[str, Any]

    @property
    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = self.diagnosis["said"]
        return report

    def stage(self, wanted: str) -> dict[str, Any]:
        return next(stage for stage in self.report["stages"] if stage["name"] == wanted)

    @property
    def texts(self) -> str:
        return "\n".join(texts([self.threads["said"], self.report]))


def assert_harmless(outcome: Outcome, *, seconds: float) -> None:
    for part in (outcome.threads, outcome.diagnosis):
        assert part["more_mib"] <= MORE_MIB, part
        assert part["seconds"] <= seconds + SLACK + NOISE, part
    assert not [c for c in outcome.texts if not (c.isprintable() or c == "\n")]
    assert SECRET not in outcome.texts
    # Not without end either.
    assert all(len(stage["detail"]) < 2_000 for stage in outcome.report["stages"])


class Stand:
    """The ports, and a program that meets them all."""

    def __init__(self, directory: Path) -> None:
        self.home, self.cwd = directory / "home", directory / "cwd"
        self.home.mkdir()
        (self.cwd / ".git").mkdir(parents=True)
        self.lines: list[str] = []

    def add(self, alias: str, port: int, *lines: str, scheme: str = "https") -> None:
        self.lines += [f"[profiles.{alias}]", f'uri = "{scheme}://127.0.0.1:{port}"', f"timeout = {TIMEOUT}"]
        self.lines += [f'token = "root:{SECRET}"', *lines]

    def meet(self) -> dict[str, Outcome]:
        path = self.home / ".config/milvus/milvus.toml"
        written(path, "\n".join(self.lines))
        done = Command([sys.executable, "-W", "error", PROGRAM], self.home, self.cwd)("threads", "diagnosis", status=0)
        assert "Traceback" not in done.stderr
        assert "\x1b" not in done.stderr
        return {alias: Outcome(**ways) for alias, ways in done.json.items()}


# --- in place of a handshake, and within it --------------------------------------------------------------------------

_HELLO_REQUEST = b"\0\0\0\0"
_FOREVER = range(1 << 30)
_V12, _V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3

ALERTS = [0, 10, 20, 21, 22, 30, 40, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 60, 70, 71, 80, 86, 90, 100]
ALERTS += [109, 110, 111, 112, 113, 114, 115, 116, 120, 255]


def talks(identity: Identity) -> dict[str, Talk]:
    return {
        "garbage": saying(EVIL * 10),
        "garbage-without-end": flooding(lambda: (EVIL * 4_000 for _ in _FOREVER)),
        "a-record-that-drips": dripping(record(HANDSHAKE, b"\2\0\x40\0" + bytes(9_000))),
        "hello-requests-without-end": flooding(lambda: (record(HANDSHAKE, _HELLO_REQUEST * 4_000) for _ in _FOREVER)),
        "empty-records-without-end": flooding(lambda: (record(HANDSHAKE, b"") * 4_000 for _ in _FOREVER)),
        "a-message-of-16-megabytes": flooding(
            lambda: (record(HANDSHAKE, bytes(16_000)) for _ in range(1_100)),
            greeting=record(HANDSHAKE, b"\2\xff\xff\xff"),
        ),
        "warnings-without-end": flooding(lambda: (record(ALERT, b"\1\x70") * 4_000 for _ in _FOREVER)),
        "cipher-changes-without-end": flooding(lambda: (record(CHANGE_CIPHER, b"\1") * 4_000 for _ in _FOREVER)),
        "data-before-the-handshake": flooding(lambda: (record(DATA, bytes(16_000)) for _ in _FOREVER)),
        **{f"alert-{number}": saying(record(ALERT, bytes([2, number]))) for number in ALERTS},
        **{f"ends-after-{n}-of-1-3": breaking_off(identity, n, newest=_V13) for n in (0, 1, 60, 128, 400, 900)},
        **{f"ends-after-{n}-of-1-2": breaking_off(identity, n, newest=_V12) for n in (1, 70, 500, 900)},
        "drips-on-in-1-3": breaking_off(identity, 300, newest=_V13, drip=True),
        "drips-on-in-1-2": breaking_off(identity, 300, newest=_V12, drip=True),
    }


def certificates_of(directory: Path) -> dict[str, Identity]:
    authority = forge(name(("CN", "the CA")), constraints(ca=True))
    names = alternative_names([*dns("localhost"), *ip("127.0.0.1")])
    between = [forge(name(("CN", f"number {n}")), constraints(ca=True), issuer=authority) for n in range(1_000)]
    plain = forge(name(("CN", "leaf")), names, issuer=authority)
    huge = forge(name(("CN", "leaf")), names, extension("1.2.3.4", bytes(1 << 20)), issuer=authority)
    evil = forge(name(("CN", UTF8, EVIL), ("O", UTF8, EVIL * 2_000)), names, issuer=authority)
    (directory / "ca.pem").write_text(authority.pem)
    return {
        "a-chain-of-1000": plain.write(directory, "thousand", *between),
        "a-chain-of-200": plain.write(directory, "many", *between[:200]),
        "a-certificate-of-a-megabyte": huge.write(directory, "huge"),
        "a-subject-of-escapes": evil.write(directory, "evil"),
    }


INSIDE: dict[str, Talk] = {
    "inside-garbage": lambda stream: stream.sendall(EVIL * 10),
    "inside-garbage-without-end": flooding(lambda: (EVIL * 4_000 for _ in _FOREVER)),
    "inside-drips": dripping(b"\0\0\xff\4\0"),
    "inside-http": saying(b"HTTP/1.1 400 " + EVIL + b"\r\nContent-Length: 99999999999999999999\r\n\r\n"),
    "inside-closes": lambda stream: None,
}


@pytest.fixture(scope="module")
def tls_outcomes(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    ports, forged = Stand(tmp_path_factory.mktemp("stand")), tmp_path_factory.mktemp("forged")
    with contextlib.ExitStack() as stack:
        open_ = stack.enter_context
        trust = f'ssl = {{ ca = "{certificates.ca}" }}'
        milvus = open_(scripted_server(milvus_answer))
        for alias, talk in talks(certificates.server).items():
            ports.add(alias, open_(faults.listener(talk)).port, trust)
        for alias, identity in certificates_of(forged).items():
            ports.add(alias, open_(in_front_of(milvus.port, identity)).port, f'ssl = {{ ca = "{forged / "ca.pem"}" }}')
        for alias, talk in INSIDE.items():
            ports.add(alias, open_(inside_tls(certificates.server, talk)).port, trust)
        return ports.meet()


def test_a_hostile_tls_port_gets_an_error_of_ours_in_time_and_in_little_memory(
    tls_outcomes: dict[str, Outcome],
) -> None:
    assert len(tls_outcomes) > 60
    for alias, outcome in tls_outcomes.items():
        assert_harmless(outcome, seconds=TIMEOUT)
        assert outcome.threads["status"] == outcome.report["exit_code"], alias
        expected = {0} if alias in ("a-chain-of-200", "a-subject-of-escapes") else {6, 7, 8}
        assert outcome.threads["status"] in expected, (alias, outcome.threads)
        assert "verified" not in outcome.stage("tls")["detail"], alias


def test_what_a_server_breaks_off_with_is_told(tls_outcomes: dict[str, Outcome]) -> None:
    assert "breaks off the TLS handshake: internal error" in tls_outcomes["alert-80"].stage("tls")["detail"]
    assert "wants a client certificate" in tls_outcomes["alert-116"].stage("tls")["detail"]
    for alias in ("a-chain-of-1000", "a-certificate-of-a-megabyte"):
        assert "excessive message size" in tls_outcomes[alias].stage("tls")["detail"], alias
    for alias in ("ends-after-400-of-1-3", "ends-after-900-of-1-2"):
        assert "breaks off in its middle" in tls_outcomes[alias].stage("tls")["detail"], alias


def test_a_long_chain_and_endless_names_are_shown_in_part(tls_outcomes: dict[str, Outcome]) -> None:
    tls = tls_outcomes["a-chain-of-200"].stage("tls")
    assert tls["status"] == "ok"
    assert "chain of 201" in tls["detail"]
    assert len(tls["notes"]) <= 10
    assert r"subject CN=\x1b[2J" in tls_outcomes["a-subject-of-escapes"].stage("tls")["detail"]


# --- HTTP ------------------------------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\n"
DIGITS = b"9" * 20


def a_drip_of_a_body(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(OK + b"\r\n")
    dripping(b"x")(connection)


ANSWERS: dict[str, Talk] = {
    "a-good-one": saying(OK + b"Content-Length: 2\r\n\r\nOK"),
    "twenty-digits-of-length": saying(OK + b"Content-Length: " + DIGITS + b"\r\n\r\nOK"),
    "five-thousand-digits-of-length": saying(OK + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\nOK"),
    "a-negative-length": saying(OK + b"Content-Length: -" + DIGITS + b"\r\n\r\nOK"),
    "a-length-in-words": saying(OK + b"Content-Length: " + EVIL + b"\r\n\r\nOK"),
    "two-lengths": saying(OK + b"Content-Length: 1\r\nContent-Length: " + DIGITS + b"\r\n\r\nOK"),
    "a-chunk-of-twenty-digits": saying(OK + b"Transfer-Encoding: chunked\r\n\r\n" + DIGITS + b"\r\nOK"),
    "a-chunk-of-sixty-thousand-digits": saying(OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 60_000 + b"\r\nOK"),
    "a-negative-chunk": saying(OK + b"Transfer-Encoding: chunked\r\n\r\n-ffff\r\nOK\r\n0\r\n\r\n"),
    "a-chunk-of-no-number": saying(OK + b"Transfer-Encoding: chunked\r\n\r\n" + EVIL + b"\r\nOK"),
    "chunks-without-end": flooding(
        lambda: (b"1\r\nx\r\n" * 10_000 for _ in _FOREVER), greeting=OK + b"Transfer-Encoding: chunked\r\n\r\n"
    ),
    "a-chunk-without-end": flooding(
        lambda: (bytes(65_536) for _ in _FOREVER), greeting=OK + b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n"
    ),
    "trailers-without-end": flooding(
        lambda: (b"a: b\r\n" * 10_000 for _ in _FOREVER), greeting=OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"
    ),
    "a-body-without-end": flooding(lambda: (b"x" * 65_536 for _ in _FOREVER), greeting=OK + b"\r\n"),
    "headers-without-end": flooding(lambda: (b"a: b\r\n" * 10_000 for _ in _FOREVER), greeting=OK),
    "a-header-without-end": flooding(lambda: (b"a" * 65_536 for _ in _FOREVER), greeting=OK + b"x: "),
    "a-status-line-of-a-megabyte": saying(b"HTTP/1.1 200 " + b"x" * (1 << 20) + b"\r\n\r\n"),
    "a-status-line-without-end": flooding(lambda: (b"x" * 65_536 for _ in _FOREVER), greeting=b"HTTP/1.1 200 "),
    "continues-without-end": flooding(lambda: (b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000 for _ in _FOREVER)),
    "a-status-of-twenty-digits": saying(b"HTTP/1.1 " + DIGITS + b" OK\r\n\r\n"),
    "a-negative-status": saying(b"HTTP/1.1 -200 OK\r\n\r\n"),
    "a-version-from-the-future": saying(b"HTTP/9.9 200 OK\r\n\r\nOK"),
    "a-header-without-a-colon": saying(OK + b"nothing here\r\n" + EVIL + b"\r\n\r\nOK"),
    "escapes-in-all": saying(
        b"HTTP/1.1 500 " + EVIL + b"\r\n" + EVIL + b": " + EVIL + b"\r\n\r\n" + EVIL + b" " + SECRET.encode()
    ),
    "escapes-in-the-version": saying(OK + b'\r\nmilvus_build_info{version="' + EVIL + b'"} 1\n'),
    "http-0-9": saying(b"OK\n" + EVIL),
    "only-bytes": saying(bytes(range(256)) * 16),
    "nothing": saying(b""),
    "a-drip-of-a-status": dripping(OK),
    "a-drip-of-headers": dripping(b"a: b\r\n"),
    "a-drip-of-a-body": a_drip_of_a_body,
    "ends-in-a-header": saying(OK + b"Content-Le"),
    "ends-in-the-body": saying(OK + b"Content-Length: 99\r\n\r\nOK"),
    "two-megabytes-of-metrics": saying(OK + b"\r\n" + b'milvus_build_info{version="' * 77_000),
}


@pytest.fixture(scope="module")
def http_outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    ports = Stand(tmp_path_factory.mktemp("stand"))
    with contextlib.ExitStack() as stack:
        open_ = stack.enter_context
        milvus = open_(scripted_server(milvus_answer))
        for alias, talk in ANSWERS.items():
            # One profile is asked on both sides: its HTTP API, and its management port.
            port = open_(faults.listener(faults.either(milvus.port, talk))).port
            ports.add(alias, port, f"management_port = {open_(faults.listener(talk)).port}", scheme="http")
        return ports.meet()


@pytest.mark.parametrize("which", ANSWERS)
def test_a_hostile_http_answer_never_fails_the_test_of_a_good_server(
    http_outcomes: dict[str, Outcome], which: str
) -> None:
    outcome = http_outcomes[which]
    # A second for the HTTP API, and one for each of two questions to the management port.
    assert_harmless(outcome, seconds=3.0)
    assert (outcome.threads["error"], outcome.report["exit_code"]) == (None, 0)
    for one in ("rest", "management"):
        assert outcome.stage(one)["status"] in ("ok", "warning", "skipped")
        assert "examination itself" not in outcome.stage(one)["detail"]
    assert outcome.stage("auth")["status"] == "warning"  # the server takes any token


def test_an_odd_length_takes_nothing_from_a_good_answer(http_outcomes: dict[str, Outcome]) -> None:
    said = {which: http_outcomes[which].stage("management")["detail"] for which in ANSWERS}
    for which in ("a-good-one", "twenty-digits-of-length", "a-negative-length", "ends-in-the-body", "a-negative-chunk"):
        assert said[which] == "healthy", which
    assert "speaks no HTTP/1.1" in said["http-0-9"]
    assert "speaks no HTTP/1.1" in said["headers-without-end"]
    assert "closed the connection" in said["nothing"]
    assert "no answer in time" in said["a-drip-of-a-status"]
    assert r"/healthz says \x1b[2J" in said["escapes-in-all"]
    assert r"version \x1b[2J" in said["escapes-in-the-version"]
