"""Every odd certificate: what gRPC makes of it, `mp.connect` and `mp.diagnose` say alike, and nothing is only claimed.

The certificates are shown by real TLS servers in front of a real gRPC server.  What is expected of each is what grpcio
does; where a grpcio of another time decides otherwise, connect and diagnose still have to agree.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import milvus_profiles as mp
from tests.support.forged import (
    BMP,
    CLIENT_AUTH,
    DNS,
    EMAIL,
    GENERALIZED_TIME,
    IP,
    SERVER_AUTH,
    URI,
    UTC_TIME,
    UTF8,
    Forged,
    alternative_names,
    constraints,
    der,
    dns,
    extension,
    forge,
    ip,
    key_usage,
    name,
    name_constraints,
    now,
    usage,
    utc,
)
from tests.support.hostile_tls import in_front_of
from tests.support.scripted_grpc import milvus_answer, scripted_server

pytestmark = pytest.mark.security

DAY = dt.timedelta(days=1)


@cache
def authority() -> Forged:
    return forge(name(("CN", "the CA")), constraints(ca=True))


@cache
def weak_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)


def leaf(*extensions: bytes, cn: str | None = "leaf", **more: object) -> Forged:
    subject = name(("CN", cn)) if cn is not None else name()
    return forge(subject, *extensions, **{"issuer": authority(), **more})  # type: ignore[arg-type]


def names(*more: bytes) -> bytes:
    """The alternative names of a good certificate."""
    return alternative_names([*dns("localhost"), *ip("127.0.0.1"), *more])


def below(*extensions: bytes, **more: object) -> tuple[Forged, Forged]:
    """A good certificate below an intermediate one with these extensions."""
    between = forge(name(("CN", "between")), *extensions, issuer=authority(), **more)  # type: ignore[arg-type]
    return leaf(names(), issuer=between), between


@dataclass(frozen=True)
class Case:
    """A certificate, and what gRPC makes of it.

    Attributes:
        made: makes it, with those above it.
        good: whether gRPC takes it.
        said: words of the detail of the stage ``tls``.
        host: what the profile is connected to.
        server_name: the profile's; None for none.
        pinned: the profile trusts the certificate itself, not its CA.
    """

    made: Callable[[], Forged | tuple[Forged, ...]]
    good: bool
    said: str = ""
    host: str = "127.0.0.1"
    server_name: str | None = None
    pinned: bool = False


def named(*dns_names: str, host: str, good: bool, said: str = "", cn: str = "leaf") -> Case:
    return Case(lambda: leaf(alternative_names(dns(*dns_names)), cn=cn), good, said, server_name=host)


def dated(ends: bytes) -> Case:
    return Case(lambda: leaf(names(), ends=ends), False, "cannot be")


GOOD = "subject CN=leaf"
NAMELESS = "names no host"
CANNOT = "cannot be verified"

CASES = {
    # --- the name
    "good-by-address": Case(lambda: leaf(names()), True, "names localhost 127.0.0.1"),
    "good-by-name": Case(lambda: leaf(names()), True, GOOD, host="localhost"),
    "common-name-only": Case(lambda: leaf(cn="localhost"), True, "names none", host="localhost"),
    "common-name-beside-an-address": Case(
        lambda: leaf(alternative_names(ip("127.0.0.1")), cn="localhost"), False, "is for 127.0.0.1, not for localhost",
        host="localhost",
    ),
    "common-name-beside-an-e-mail-address": Case(
        lambda: leaf(alternative_names([der(EMAIL, b"a@b.example")]), cn="localhost"), False, NAMELESS,
        host="localhost",
    ),
    "common-name-beside-another-name": Case(
        lambda: leaf(alternative_names(dns("other.example")), cn="localhost"), False, "is for other.example, not",
        host="localhost",
    ),
    "common-name-beside-a-directory-name": Case(
        lambda: leaf(alternative_names([der(0xA4, name(("CN", "x")))]), cn="localhost"), False, NAMELESS,
        host="localhost",
    ),
    "address-as-common-name": Case(lambda: leaf(cn="127.0.0.1"), False, NAMELESS),
    "address-as-common-name-beside-a-name": Case(
        lambda: leaf(alternative_names(dns("a.example")), cn="127.0.0.1"), False, "is for a.example, not",
    ),
    "address-as-host-name": Case(lambda: leaf(alternative_names(dns("127.0.0.1"))), True, GOOD),
    "name-as-uri": Case(
        lambda: leaf(alternative_names([der(URI, b"localhost")])), False, NAMELESS, host="localhost",
    ),
    "empty-alternative-names": Case(
        lambda: leaf(alternative_names([]), cn="localhost"), True, "names none", host="localhost",
    ),
    "empty-alternative-names-by-address": Case(lambda: leaf(alternative_names([])), False, NAMELESS),
    "no-name-at-all": Case(lambda: leaf(cn=None), False, NAMELESS),
    "two-common-names": Case(
        lambda: forge(name(("CN", "other"), ("CN", "localhost")), issuer=authority()), False, NAMELESS,
        host="localhost",
    ),
    "wildcard": named("*.b.example", host="a.b.example", good=True, said="names *.b.example"),
    "wildcard-of-a-top-level-domain": named("*.example", host="a.example", good=True, said="not for a.example"),
    "wildcard-of-all": named("*", host="a.example", good=False, said="is for *, not"),
    "wildcard-too-deep": named("*.c.example", host="a.b.c.example", good=False, said="is for *.c.example, not"),
    "wildcard-as-part-of-a-label": named("f*.b.example", host="foo.b.example", good=False, said="is for f*.b.example"),
    "wildcard-in-the-middle": named("a.*.c.example", host="a.b.c.example", good=False, said="not for a.b.c.example"),
    "wildcard-as-common-name": Case(
        lambda: leaf(cn="*.b.example"), True, "names none", server_name="a.b.example",
    ),
    "trailing-dot": named("a.b.example.", host="a.b.example", good=True, said=GOOD),
    "capitals": named("A.B.Example", host="a.b.example", good=True, said=GOOD),
    "underscore": named("a_b.example", host="a_b.example", good=True, said=GOOD),
    "wildcard-for-an-underscore": named("*.b.example", host="a_b.b.example", good=True, said=GOOD),
    "punycode": named("xn--bcher-kva.example", host="bücher.example", good=True, said=GOOD),
    "international-name-not-encoded": named("bücher.example", host="bücher.example", good=False, said="not for xn--"),
    "escapes-in-a-name": named("\x1b[2J;touch x", host="a.example", good=False, said=r"is for \x1b[2J;touch x, not"),
    "ten-thousand-names": Case(
        lambda: leaf(alternative_names([*dns(*(f"h{n}" for n in range(9_000))), *ip("127.0.0.1")])), True, "more",
    ),
    # --- the dates
    "expired": Case(lambda: leaf(names(), begins=utc(now() - 9 * DAY), ends=utc(now() - DAY)), False, "ended on"),
    "not-yet-valid": Case(lambda: leaf(names(), begins=utc(now() + DAY)), False, "begins only on"),
    "until-the-end-of-time": Case(lambda: leaf(names(), ends=der(GENERALIZED_TIME, b"99991231235959Z")), True, GOOD),
    "fraction-of-a-second": dated(der(GENERALIZED_TIME, b"20401231235959.5Z")),
    "another-time-zone": dated(der(UTC_TIME, b"401231235959+0100")),
    "no-seconds": dated(der(UTC_TIME, b"4012312359Z")),
    "no-date": dated(der(UTC_TIME, b"99zz31235959Z")),
    # --- what stands above
    "intermediate": Case(lambda: below(constraints(ca=True)), True, GOOD),
    "intermediate-not-sent": Case(lambda: below(constraints(ca=True))[0], False, "the issuer (CN=between)"),
    "intermediate-expired": Case(
        lambda: below(constraints(ca=True), begins=utc(now() - 9 * DAY), ends=utc(now() - DAY)), False, "ended on",
    ),
    "intermediate-no-ca": Case(lambda: below(constraints(ca=False)), False, CANNOT),
    "intermediate-without-constraints": Case(below, False, CANNOT),
    "intermediate-of-version-1": Case(lambda: below(version=0), False, CANNOT),
    "intermediate-that-may-not-sign": Case(lambda: below(constraints(ca=True), key_usage(0x80, 7)), False, CANNOT),
    "names-permitted-elsewhere": Case(
        lambda: below(constraints(ca=True), name_constraints(permitted=dns("a.example"))), False, CANNOT,
    ),
    "name-excluded": Case(
        lambda: below(constraints(ca=True), name_constraints(excluded=dns("localhost"))), False, CANNOT,
    ),
    "weak-key-above": Case(lambda: below(constraints(ca=True), key=weak_key()), True, GOOD),
    # --- what it may be used for
    "for-clients-only": Case(lambda: leaf(names(), usage(CLIENT_AUTH)), False, CANNOT),
    "for-both": Case(lambda: leaf(names(), usage(SERVER_AUTH, CLIENT_AUTH)), True, GOOD),
    "for-anything": Case(lambda: leaf(names(), usage("2.5.29.37.0")), False, CANNOT),
    "key-that-may-only-encrypt": Case(lambda: leaf(names(), key_usage(0x20, 5)), False, "no digitalSignature"),
    "key-that-may-sign": Case(lambda: leaf(names(), key_usage(0x80, 7)), True, GOOD),
    "critical-and-unknown": Case(lambda: leaf(names(), extension("1.2.3.4", b"\5\0", critical=True)), False, CANNOT),
    "unknown-and-not-critical": Case(lambda: leaf(names(), extension("1.2.3.4", b"\5\0")), True, GOOD),
    # --- how it is made
    "version-1": Case(lambda: leaf(version=0, cn="localhost"), True, "names none", host="localhost"),
    "version-1-with-extensions": Case(lambda: leaf(names(), version=0), False, "of version 1"),
    "version-2": Case(lambda: leaf(names(), version=1), False, "cannot be"),
    "version-10": Case(lambda: leaf(names(), version=9), False, "cannot be"),
    "sha-1": Case(lambda: leaf(names(), digest=hashes.SHA1()), True, GOOD),
    "rsa-1024": Case(lambda: leaf(names(), key=weak_key()), True, GOOD),
    "curve-p521": Case(lambda: leaf(names(), key=ec.generate_private_key(ec.SECP521R1())), False, "secp521r1"),
    "curve-p192": Case(lambda: leaf(names(), key=ec.generate_private_key(ec.SECP192R1())), False, "breaks off"),
    "negative-serial": Case(lambda: leaf(names(), serial=-5), True, GOOD),
    "huge-serial": Case(lambda: leaf(names(), serial=1 << 400), True, GOOD),
    "odd-address": Case(lambda: leaf(names(der(IP, b"\x7f\0\0"))), False, "cannot be"),
    "address-with-a-mask": Case(lambda: leaf(names(der(IP, b"\x7f\0\0\1" * 2))), False, "cannot be"),
    "wide-subject": Case(
        lambda: forge(name(("CN", BMP, "東京\x1b".encode("utf-16-be"))), names(), issuer=authority()), True,
        r"subject CN=東京\x1b,",
    ),
    "endless-subject": Case(
        lambda: forge(name(("CN", UTF8, b"a" * 90_000)), names(), issuer=authority()), True, "a…,",
    ),
    "nul-in-the-subject": Case(
        lambda: forge(name(("CN", UTF8, b"a\0b")), names(), issuer=authority()), True, r"CN=a\x00b",
    ),
    "nul-in-the-name": Case(
        lambda: leaf(alternative_names([der(DNS, b"a.b.example\0.evil.example")])), True, "others would not",
        server_name="a.b.example",
    ),
    # --- trusted itself
    "pinned": Case(lambda: leaf(names(), constraints(ca=False)), True, GOOD, pinned=True),
    "pinned-and-self-signed": Case(lambda: forge(name(("CN", "leaf")), names()), True, GOOD, pinned=True),
    "pinned-and-of-version-1": Case(
        lambda: forge(name(("CN", "localhost")), version=0), True, "names none", host="localhost", pinned=True,
    ),
    "pinned-and-expired": Case(
        lambda: forge(name(("CN", "leaf")), names(), ends=utc(now() - DAY), begins=utc(now() - 9 * DAY)), False,
        "ended on", pinned=True,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def milvus() -> Iterator[int]:
    with scripted_server(milvus_answer) as server:
        yield server.port


@pytest.mark.parametrize("which", CASES)
def test_connect_and_diagnose_agree_with_grpc_on_a_certificate(milvus: int, tmp_path: Path, which: str) -> None:
    case = CASES[which]
    made = case.made()
    own, *above = made if isinstance(made, tuple) else (made,)
    identity = own.write(tmp_path, "server", *above)
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(own.pem if case.pinned else authority().pem)
    with in_front_of(milvus, identity) as server:
        env = {
            "MILVUS_PROFILES__PROD__URI": f"https://{case.host}:{server.port}",
            "MILVUS_PROFILES__PROD__SSL__CA": str(trusted),
            "MILVUS_PROFILES__PROD__MANAGEMENT_PORT": "1",
        }
        if case.server_name is not None:
            env["MILVUS_PROFILES__PROD__SSL__SERVER_NAME"] = case.server_name
        profiles = mp.load(env=env, cwd=tmp_path)
        connected: mp.MilvusProfilesError | None = None
        try:
            mp.connect("prod", profiles=profiles, dedicated=True, timeout=5).close()
        except mp.MilvusProfilesError as error:
            connected = error
        report = mp.diagnose("prod", profiles=profiles, timeout=5)

    [tls] = [stage for stage in report.stages if stage.name == "tls"]
    status = 0 if connected is None else connected.exit_status
    assert report.exit_code == status, (report, connected)
    assert status == (0 if case.good else 7), (connected, tls)
    assert case.said in tls.detail, tls
    assert "verified" not in tls.detail.replace("cannot be verified", "")
    assert len(tls.detail) < 3_000
    assert all(len(note) < 2_000 for note in tls.notes)
    for text in (tls.detail, tls.hint or "", *tls.notes, str(connected or "")):
        assert all(c.isprintable() or c == "\n" for c in text), text
    if connected is not None:
        assert isinstance(connected, mp.TLSError)
        assert (report.failure, tls.status, tls.code) == (tls, "failed", "tls")
        assert ";touch" not in (tls.hint or "")
        assert ";touch" not in (connected.hint or "")
    else:
        assert tls.status == ("warning" if "others would not" in tls.detail else "ok")
