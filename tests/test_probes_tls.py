"""The TLS probe says what gRPC would say, and why."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import socket
import ssl
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from milvus_profiles.channel.options import open_channel
from milvus_profiles.channel.wire import GET_VERSION
from milvus_profiles.errors import NotMilvusError, TLSError, UnreachableError
from milvus_profiles.probe.pinning import fetch_certificate
from milvus_profiles.probe.tls import TLSOutcome, probe_tls, probe_unverified
from milvus_profiles.probe.tls_stream import default_roots
from milvus_profiles.profile import SSL, Profile
from tests.support import faults
from tests.support.certificates import Certificates, Identity
from tests.support.forged import extension, forge, name, utc
from tests.support.hostile_tls import ALERT, inside_tls, record, saying, server_context
from tests.support.milvus import MilvusServer
from tests.support.scripted_grpc import milvus_answer, scripted_server
from tests.test_probes import at, soon

LATE = utc(dt.datetime(2040, 1, 1, tzinfo=dt.timezone.utc))
SERVERS = [
    ("chained_server", None),
    ("unchained_server", "unknown issuer"),
    ("server", None),
    ("ending_server", None),
    ("expired_server", "expired"),
    ("not_yet_valid_server", "not yet valid"),
    ("other_host_server", "wrong host"),
    ("self_signed_server", "self-signed"),
    ("foreign_server", "unknown issuer"),
]


def probe(port: int, tls: SSL, host: str = "127.0.0.1", **settings: Any) -> TLSOutcome:
    return probe_tls(at(port), host, tls, soon(settings.pop("seconds", 5.0)), **settings)


def trusting(certificates: Certificates, client: Identity | None = None) -> SSL:
    pair = {} if client is None else {"cert": str(client.cert), "key": str(client.key)}
    return SSL(ca=str(certificates.ca), **pair)


def fingerprint(path: Path) -> str:
    return x509.load_pem_x509_certificate(path.read_bytes()).fingerprint(hashes.SHA256()).hex()


def grpc_connects(port: int, tls: SSL, host: str = "127.0.0.1") -> bool:
    with open_channel(Profile(alias="p", uri=f"https://{host}:{port}", ssl=tls)) as channel:
        try:
            return bool(channel.unary_unary(GET_VERSION.path, None, None)(b"", timeout=5))
        except grpc.RpcError:
            return False


@pytest.mark.parametrize(("which", "distrust"), SERVERS)
def test_the_verdict_is_grpcs_and_the_reason_is_named(
    certificates: Certificates, which: str, distrust: str | None
) -> None:
    identity: Identity = getattr(certificates, which)
    tls = trusting(certificates)
    with scripted_server(milvus_answer, identity=identity) as server:
        seen = probe(server.port, tls)
        assert grpc_connects(server.port, tls) is (seen.status == "trusted")
    assert seen.distrust == distrust
    assert seen.status == ("untrusted" if distrust else "trusted")
    assert (seen.protocol, seen.alpn, seen.answers_http2) == ("TLSv1.3", "h2", True)
    assert seen.cipher
    assert seen.client_certificate == "not required"
    assert seen.certificate is not None
    assert seen.certificate.sha256 == fingerprint(identity.cert)
    assert bool(seen.detail) is bool(distrust)


def test_without_a_ca_grpcs_own_roots_decide(milvus_tls: MilvusServer, certificates: Certificates) -> None:
    assert probe(milvus_tls.port, SSL()).distrust == "unknown issuer"
    assert default_roots({}).startswith(os.path.dirname(grpc.__file__))
    assert os.path.getsize(default_roots({})) > 10_000
    env = {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(certificates.ca)}
    assert probe(milvus_tls.port, SSL(), env=env).status == "trusted"


def test_a_milvus_with_mutual_tls(milvus_mtls: MilvusServer, certificates: Certificates) -> None:
    without = probe(milvus_mtls.port, trusting(certificates))
    foreign = probe(milvus_mtls.port, trusting(certificates, certificates.foreign_client))
    good = probe(milvus_mtls.port, trusting(certificates, certificates.client))
    assert [seen.client_certificate for seen in (without, foreign, good)] == ["required", "refused", "accepted"]
    assert {seen.status for seen in (without, foreign, good)} == {"trusted"}
    assert [seen.answers_http2 for seen in (without, foreign, good)] == [False, False, True]


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_other_servers_with_mutual_tls(certificates: Certificates, newest: ssl.TLSVersion) -> None:
    with faults.tls_without_h2(certificates.server, client_ca=certificates.ca, newest=newest) as server:
        assert probe(server.port, trusting(certificates)).client_certificate == "required"
        foreign = trusting(certificates, certificates.foreign_client)
        assert probe(server.port, foreign).client_certificate == "refused"
        good = probe(server.port, trusting(certificates, certificates.client))
        assert good.client_certificate in ("accepted", "unknown")
        assert good.alpn is None
        assert good.protocol == {ssl.TLSVersion.TLSv1_2: "TLSv1.2"}.get(newest, "TLSv1.3")


# The second is what OpenSSL's servers say, nginx among them, that were offered h2 and speak HTTP/1 only.
# Before 3.14 Python has no name of its own for it.
@pytest.mark.parametrize(
    ("alert", "detail"), [(70, "TLSV1_ALERT_PROTOCOL_VERSION"), (120, "TLSV1_ALERT_NO_APPLICATION_PROTOCOL")]
)
def test_a_server_that_breaks_off_is_quoted(certificates: Certificates, alert: int, detail: str) -> None:
    with faults.listener(saying(record(ALERT, bytes([2, alert])))) as server:
        seen = probe(server.port, trusting(certificates))
    assert (seen.status, seen.speaks_tls, seen.detail) == ("refused", True, detail)


def test_ports_without_tls(milvus_plain: MilvusServer, certificates: Certificates) -> None:
    tls = trusting(certificates)
    seen = probe(milvus_plain.port, tls)
    assert (seen.status, seen.speaks_tls) == ("plaintext", False)
    assert seen.plaintext is not None
    assert seen.plaintext.speaks == "http2"
    assert "_ssl.c" not in seen.detail
    with faults.http1_server() as web:
        seen = probe(web.port, tls)
        assert seen.plaintext is not None
        assert (seen.status, seen.plaintext.speaks) == ("plaintext", "http1")
    with faults.listener(lambda connection: None) as server:
        assert probe(server.port, tls).status == "closed"
    with faults.never_accepting() as port:
        assert probe(port, tls, seconds=0.3).status == "silent"
    with faults.black_hole() as port:
        assert probe(port, tls, seconds=0.3).status == "unreachable"
    with faults.refused_port() as port:
        assert probe(port, tls).status == "unreachable"


def reset(stream: ssl.SSLSocket) -> None:
    stream.recv(1)
    faults.reset_on_close(stream)
    os.close(stream.detach())


def garbage(stream: ssl.SSLSocket) -> None:
    with socket.socket(fileno=os.dup(stream.fileno())) as plain:
        plain.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with contextlib.suppress(OSError):
        stream.recv(4096)


def greet(stream: ssl.SSLSocket) -> None:
    stream.sendall(b"220 mail.example ESMTP\r\n")
    stream.unwrap()


@pytest.mark.parametrize("talk", [ssl.SSLSocket.unwrap, reset, garbage, faults.until_closed, greet])
def test_what_a_server_does_after_the_handshake(certificates: Certificates, talk: Any) -> None:
    with inside_tls(certificates.server, talk) as server:
        seen = probe(server.port, trusting(certificates), seconds=0.5 if talk is faults.until_closed else 5.0)
    assert (seen.status, seen.answers_http2) == ("trusted", False)
    assert talk is greet or seen.client_certificate == "unknown"
    assert seen.detail or talk is not garbage


def test_a_server_that_resets_at_once(certificates: Certificates) -> None:
    with faults.listener(faults.reset_on_close) as server:
        # Where in the exchange the reset arrives is chance.
        seen = {probe(server.port, trusting(certificates)).status for _ in range(30)}
        assert seen <= {"closed", "unreachable"}


def test_a_server_that_answers_only_once_is_still_untrusted(certificates: Certificates) -> None:
    context = server_context(certificates.expired_server)
    answered: list[bool] = []

    def once(connection: socket.socket) -> None:
        if not answered:
            answered.append(True)
            with contextlib.suppress(OSError):
                context.wrap_socket(connection.dup(), server_side=True).close()

    with faults.listener(once) as server:
        seen = probe(server.port, trusting(certificates))
        assert (seen.status, seen.distrust, seen.certificate) == ("untrusted", "expired", None)


def odd_certificate(directory: Path, *, names: bytes) -> Identity:
    """A certificate that OpenSSL takes, with this for its alternative names."""
    return forge(name(("CN", "odd")), extension("2.5.29.17", names), ends=LATE).write(directory, "odd")


def test_an_address_of_a_strange_length_is_not_pinned_since_grpc_would_refuse_it(tmp_path: Path) -> None:
    odd = odd_certificate(tmp_path, names=b"\x30\x0c\x87\x05\x01\x02\x03\x04\x05\x82\x03a.b")
    with (
        inside_tls(odd, lambda stream: stream.recv(10)) as server,
        pytest.raises(TLSError, match="cannot be read"),
    ):
        fetch_certificate(profile(server.port))


def test_a_certificate_that_cannot_be_read_is_not_shown(tmp_path: Path, certificates: Certificates) -> None:
    odd = odd_certificate(tmp_path, names=b"\x30\x05\x82\x03a.b")
    der = ssl.PEM_cert_to_DER_cert(odd.cert.read_text()).replace(LATE, b"\x17\x0d4001010000ZZZ")
    odd.cert.write_text(ssl.DER_cert_to_PEM_cert(der))
    with inside_tls(odd, lambda stream: stream.recv(10)) as server:
        seen = probe(server.port, trusting(certificates))
        assert (seen.status, seen.certificate) == ("untrusted", None)
        with pytest.raises(TLSError, match="cannot be read"):
            fetch_certificate(profile(server.port))


def test_looking_without_verification_trusts_nothing_and_sends_nothing(certificates: Certificates) -> None:
    with scripted_server(milvus_answer, identity=certificates.expired_server) as server:
        seen = probe_unverified(at(server.port), "127.0.0.1", soon())
        assert seen.certificate is not None
        assert seen.certificate.names == ("localhost", "127.0.0.1", "::1")
        assert server.calls == []


# --- pinning ---------------------------------------------------------------------------------------------------------


def profile(port: int, **fields: Any) -> Profile:
    return Profile(alias="prod", uri=f"https://127.0.0.1:{port}", timeout=2.0, **fields)


@pytest.mark.parametrize(
    ("which", "problem", "needed"),
    [
        ("server", None, None),
        ("self_signed_server", None, None),
        ("foreign_server", None, None),
        ("expired_server", "expired", None),
        ("other_host_server", "wrong host", "other.example"),
    ],
)
def test_the_servers_certificate_is_fetched_with_what_is_still_wrong(
    certificates: Certificates, which: str, problem: str | None, needed: str | None
) -> None:
    identity: Identity = getattr(certificates, which)
    with scripted_server(milvus_answer, identity=identity) as server:
        fetched = fetch_certificate(profile(server.port))
        assert (fetched.problem, fetched.needed_name) == (problem, needed)
        assert fetched.sha256 == fingerprint(identity.cert)
        named = fetch_certificate(profile(server.port, ssl={"server_name": "other.example"}), soon())
        # As gRPC, which looks at the name of a certificate that is in order otherwise.
        wrong = {"other_host_server": None, "expired_server": "expired"}.get(which, "wrong host")
        assert named.problem == wrong
        assert server.calls == []


def test_what_was_fetched_connects_once_it_is_trusted(
    tmp_path: Path, certificates: Certificates, milvus_mtls: MilvusServer
) -> None:
    with scripted_server(milvus_answer, identity=certificates.other_host_server) as server:
        fetched = fetch_certificate(profile(server.port))
        (tmp_path / "pinned.pem").write_text(fetched.pem)
        assert grpc_connects(server.port, SSL(ca=str(tmp_path / "pinned.pem"), server_name=fetched.needed_name))
    assert fetch_certificate(profile(milvus_mtls.port)).problem is None


def test_where_there_is_no_certificate_the_reason_is_told(
    milvus_plain: MilvusServer, certificates: Certificates
) -> None:
    with pytest.raises(TLSError, match="plaintext"):
        fetch_certificate(profile(milvus_plain.port))
    with faults.http1_server() as web, pytest.raises(NotMilvusError):
        fetch_certificate(profile(web.port))
    with faults.refused_port() as port, pytest.raises(UnreachableError, match="refuses"):
        fetch_certificate(profile(port))
    with faults.never_accepting() as port, pytest.raises(UnreachableError, match="nothing"):
        fetch_certificate(profile(port), soon(0.3))
    with (
        faults.tls_without_h2(certificates.server, client_ca=certificates.ca, newest=ssl.TLSVersion.TLSv1_2) as server,
        pytest.raises(TLSError, match="client certificate"),
    ):
        fetch_certificate(profile(server.port))
