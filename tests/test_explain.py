"""What gRPC's words mean by themselves, where no probe could look, and what each remedy says."""

from __future__ import annotations

import datetime as dt
import socket
import time
from dataclasses import replace
from typing import Any

import grpc
import pytest

from milvus_profiles.errors import (
    ConnectTimeoutError,
    MilvusProfilesError,
    NotMilvusError,
    ServerNotReadyError,
    TLSError,
    UnreachableError,
)
from milvus_profiles.masked import SecretText, listed, server_text
from milvus_profiles.probe.causes import ResolversDifferError, client_certificate, distrusted
from milvus_profiles.probe.certificate import Certificate
from milvus_profiles.probe.context import ANONYMOUS, ConnectContext
from milvus_profiles.probe.explain import classify, needs_probes
from milvus_profiles.probe.sockets import PlaintextOutcome, Resolution, SocketAddress, TCPOutcome
from milvus_profiles.probe.tls import ProbeResults, TLSOutcome
from milvus_profiles.profile import SSL, Profile
from milvus_profiles.text import printable
from tests.support.certificates import Certificates

TRIED = "failed to connect to all addresses; last error: "
TLS = "UNKNOWN: ipv4:127.0.0.1:1: Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:1:SSL routines:"
ADDRESS = SocketAddress(socket.AF_INET, "127.0.0.1", 19530)


def attempt(uri: str = "https://db.example:19530", alias: str = "prod", **fields: Any) -> ConnectContext:
    token = fields.pop("token", None)
    profile = Profile(alias=alias, uri=uri, **fields)
    return ConnectContext(profile, profile.tls, token and SecretText(token))


def said(details: str, *, results: ProbeResults | None = None, **settings: Any) -> MilvusProfilesError:
    return classify(grpc.StatusCode.UNAVAILABLE, details, attempt(**settings), results=results)


@pytest.mark.parametrize(
    ("details", "expected", "words"),
    [
        (f"{TRIED}UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to remote host: Connection refused",
         UnreachableError, "refuses connections"),
        ("errors resolving db.example:1: [field:hostname lookup error:address lookup failed]",
         UnreachableError, "cannot be resolved"),
        ("DNS resolution failed for db.example:1: C-ares status is not ARES_SUCCESS", UnreachableError, "resolved"),
        (f"{TRIED}FAILED_PRECONDITION: unix:/x: connect failed: addr: unix:/x error: No such file or directory",
         UnreachableError, "cannot be reached"),
        (f"{TRIED}UNKNOWN: ipv4:10.0.0.1:1: Network is unreachable", UnreachableError, "cannot be reached"),
        (f"{TRIED}UNAVAILABLE: HTTP proxy returned response code 403", UnreachableError, "proxy"),
        (f"{TRIED}UNAVAILABLE: ipv4:127.0.0.1:1: Socket closed", UnreachableError, "unavailable"),
        (f"{TRIED}{TLS}OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate: OK",
         TLSError, "issuer"),
        (f"{TRIED}{TLS}OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: self signed certificate: OK",
         TLSError, "self-signed"),
        (f"{TRIED}{TLS}OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: self signed certificate in certificate chain: OK",
         TLSError, "issuer"),
        (f"{TRIED}{TLS}OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: certificate has expired: OK", TLSError, "ended"),
        (f"{TRIED}{TLS}OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: certificate is not yet valid: OK",
         TLSError, "only in the future"),
        (f"{TRIED}{TLS}OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: invalid CA certificate: OK",
         TLSError, "cannot be verified"),
        (f"{TRIED}UNKNOWN: Custom verification check failed with error: Hostname Verification Check failed.",
         TLSError, "is not for db.example"),
        (f"{TRIED}{TLS}OPENSSL_internal:WRONG_VERSION_NUMBER: Invalid certificate verification context: OK",
         TLSError, "plaintext"),
        (f"{TRIED}{TLS}OPENSSL_internal:TLSV1_ALERT_PROTOCOL_VERSION: OK", TLSError, "handshake"),
        (f"{TRIED}UNAVAILABLE: ipv4:127.0.0.1:1: Unwrap failed (TSI_DATA_CORRUPTED)", TLSError, "client certificate"),
        (f"{TRIED}UNKNOWN: ipv4:127.0.0.1:1: Failed to create security handshaker.", TLSError, "files"),
        (f"{TRIED}UNKNOWN: ipv4:127.0.0.1:1: Cannot check peer: missing selected ALPN property.",
         NotMilvusError, "HTTP/2"),
        (f"{TRIED}{TLS}OPENSSL_internal:TLSV1_ALERT_NO_APPLICATION_PROTOCOL: OK", NotMilvusError, "TLS but not HTTP/2"),
        (f"{TRIED}INTERNAL: (Trying to connect an http1.x server (HTTP status 400))", NotMilvusError, "status 400"),
        # The greeting of an SSH server, taken for a frame.
        (f"{TRIED}UNAVAILABLE: ipv4:127.0.0.1:1: Failed parsing HTTP/2 (Expected SETTINGS frame as the first frame)",
         NotMilvusError, "not a Milvus"),
        ("Received http2 header with status: 404", NotMilvusError, "not a Milvus"),
        ("Received http2 header with status: 503", ServerNotReadyError, "gateway"),
        ("Received http2 header with status: 429", ServerNotReadyError, "a gateway at https://db.example:19530"),
        ("Stream removed (Socket closed (GOAWAY received; Error code: 11; Debug Text: ))", NotMilvusError,
         "limit of the headers' length"),
        ("GOAWAY received; Error code: 11; Debug Text: too_many_pings", UnreachableError, "unavailable"),
        ("No status received", NotMilvusError, "not a Milvus"),
        ("internal: Milvus Proxy is not ready yet. please wait", ServerNotReadyError, "not ready"),
    ],
)  # fmt: skip
def test_words_that_grpc_uses(details: str, expected: type[MilvusProfilesError], words: str) -> None:
    error = said(details)
    assert type(error) is expected
    assert words in error.message
    assert error.hint


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (grpc.StatusCode.UNKNOWN, "Received http2 header with status: 200"),
        (grpc.StatusCode.UNKNOWN, "invalid value 'Content-Type': text/html"),
        (grpc.StatusCode.UNIMPLEMENTED, "unknown service"),
    ],
)
def test_answers_that_are_not_milvus(code: grpc.StatusCode, details: str) -> None:
    assert type(classify(code, details, attempt(), method="GetVersion")) is NotMilvusError


def test_no_answer_in_time_without_a_look() -> None:
    error = classify(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", attempt(timeout=3.0))
    assert type(error) is ConnectTimeoutError
    assert "within 3 seconds" in error.message


def test_a_look_is_worth_its_time_only_where_the_status_is_ambiguous() -> None:
    ambiguous = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
    assert {code for code in grpc.StatusCode if needs_probes(code)} == ambiguous


# --- what the probes saw ----------------------------------------------------------------------------------------------


def probed(*statuses: Any, **seen: Any) -> ProbeResults:
    tried = tuple(TCPOutcome(ADDRESS, status, f"it was {status}", 0.1) for status in statuses)
    return ProbeResults(Resolution("db.example", (ADDRESS,), None), tried, **seen)


@pytest.mark.parametrize(
    ("seen", "expected", "words"),
    [
        (ProbeResults(Resolution("db.example", (), "no \x1b[1msuch")), UnreachableError, "no \\x1b[1msuch"),
        (probed("refused", "refused"), UnreachableError, "refuses connections"),
        (probed("refused", "timeout"), ConnectTimeoutError, "no TCP connection in time"),
        (probed("unreachable"), UnreachableError, "it was unreachable"),
        (probed("proxy"), UnreachableError, "does not connect"),
        (probed("connected", tls=TLSOutcome("silent")), ConnectTimeoutError, "says nothing"),
        (probed("connected", tls=TLSOutcome("closed")), UnreachableError, "closes every connection"),
        (probed("connected", tls=TLSOutcome("refused", detail="TLSV1_ALERT_PROTOCOL_VERSION")),
         TLSError, "protocol version"),
        (probed("connected", tls=TLSOutcome("refused", detail="TLSV1_ALERT_NO_APPLICATION_PROTOCOL")),
         NotMilvusError, "TLS but not HTTP/2"),
        (probed("connected", tls=TLSOutcome("refused", detail="TLSV1_UNRECOGNIZED_NAME")),
         TLSError, "unrecognized name"),
        (probed("connected", tls=TLSOutcome("untrusted", distrust="other", detail="path length constraint exceeded")),
         TLSError, "path length"),
        (probed("connected", tls=TLSOutcome("trusted", alpn="h2", answers_http2=True)),
         ServerNotReadyError, "hung up"),
        (probed("connected", plaintext=PlaintextOutcome("http2")), ServerNotReadyError, "hung up"),
        (probed("connected", plaintext=PlaintextOutcome("other")), UnreachableError, "neither HTTP nor TLS"),
        (probed("connected", plaintext=PlaintextOutcome("http1")), NotMilvusError, "web server"),
        (probed("connected", plaintext=PlaintextOutcome("tls")), TLSError, "speaks TLS"),
        (probed("connected", plaintext=PlaintextOutcome("closed"), tls=TLSOutcome("trusted")),
         TLSError, "speaks TLS"),
        (probed("connected", plaintext=PlaintextOutcome("closed"), tls=TLSOutcome("closed")),
         UnreachableError, "closes every connection"),
    ],
)  # fmt: skip
def test_what_was_seen_decides(seen: ProbeResults, expected: type[MilvusProfilesError], words: str) -> None:
    error = said(f"{TRIED}Connection reset by peer", results=seen)
    assert type(error) is expected
    assert words in error.message
    assert error.hint


def test_a_port_that_closes_after_a_while_is_not_called_silent() -> None:
    seen = probed("connected", plaintext=PlaintextOutcome("silent"))
    error = said(f"{TRIED}UNAVAILABLE: ipv4:127.0.0.1:1: Socket closed", results=seen)
    assert "closes every connection" in error.message
    assert "a gateway" in str(error.hint)
    # Clear words need no look.
    assert type(said("internal: Milvus Proxy is not ready yet. please wait", results=seen)) is ServerNotReadyError


def test_where_all_looks_well_the_words_count_again() -> None:
    well = probed("connected", plaintext=PlaintextOutcome("http2"))
    assert "refuses" in said(f"{TRIED}Connection refused", results=well).message
    gone = probed("connected", plaintext=PlaintextOutcome("unreachable"))
    assert "refuses" in said(f"{TRIED}Connection refused", results=gone).message


@pytest.mark.parametrize(
    ("details", "found"),
    [
        (f"{TRIED}UNKNOWN: ipv4:10.0.0.9:1: Failed to connect to remote host: Connection refused", "only 10.0.0.9"),
        (f"{TRIED}ipv6:%5B::5%5D:1: connect failed: addr: ipv6:%5B::5%5D:1 error: Network is unreachable", "only ::5"),
        (
            f"{TRIED}UNKNOWN: ipv6:[2001:db8::5]:1: Failed to connect to remote host: No route to host",
            "only 2001:db8::5",
        ),
        ("errors resolving db.example:1: [field:hostname lookup error:address lookup failed]", "no address"),
    ],
)
def test_an_address_that_only_the_system_knows_is_named(details: str, found: str) -> None:
    error = said(details, results=probed("connected", tls=TLSOutcome("trusted", alpn="h2", answers_http2=True)))
    assert isinstance(error, ResolversDifferError)
    assert f"finds {found}" in error.message
    assert "127.0.0.1" in error.message
    assert error.addresses == ("127.0.0.1",)
    assert (error.code, error.exit_status) == ("unreachable", 6)


def test_a_dead_address_that_took_the_time_is_named() -> None:
    seen = probed("timeout", "connected", plaintext=PlaintextOutcome("http2"))
    error = classify(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", attempt(), results=seen)
    assert type(error) is ConnectTimeoutError
    assert "of its addresses 127.0.0.1 does not answer" in error.message
    alone = probed("connected", plaintext=PlaintextOutcome("http2"))
    slow = classify(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", attempt(), results=alone)
    assert type(slow) is ServerNotReadyError
    assert "does not answer calls" in slow.message


def test_an_address_that_answers_now_is_no_difference_of_resolvers() -> None:
    details = f"{TRIED}UNKNOWN: ipv4:127.0.0.1:19530: Failed to connect to remote host: Connection refused"
    well = probed("connected", plaintext=PlaintextOutcome("http2"))
    assert type(said(details, results=well)) is UnreachableError
    proxied = attempt(proxy="http://proxy.example:3128")
    other = details.replace("127.0.0.1", "10.0.0.9")
    assert type(classify(grpc.StatusCode.UNAVAILABLE, other, proxied, results=well)) is UnreachableError
    down = classify(grpc.StatusCode.UNAVAILABLE, "Connection refused", proxied, results=probed("refused"))
    assert "proxy.example:3128" in down.message
    by_number = attempt(uri="http://10.0.0.1:19530")
    assert type(classify(grpc.StatusCode.UNAVAILABLE, other, by_number, results=well)) is UnreachableError


def test_where_grpc_alone_knows_an_address_its_own_words_count() -> None:
    nowhere = ProbeResults(Resolution("db.example", (), "unknown host"))
    error = said(
        f"{TRIED}{TLS}OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: certificate has expired: OK", results=nowhere
    )
    assert "ended" in error.message
    nothing = ProbeResults(Resolution("db.example", (), None))
    assert "unreachable" in said("Network is unreachable", results=nothing).message


# --- certificates and remedies ---------------------------------------------------------------------------------------


def certificate(*names: str) -> Certificate:
    begins, ends = (dt.datetime(year, 1, 2, tzinfo=dt.timezone.utc) for year in (2025, 2027))
    return Certificate("CN=server", "CN=our CA", names, begins, ends, "00" * 32, "")


def test_the_facts_of_the_certificate_are_told() -> None:
    tried = attempt(ssl=True)
    assert "2027-01-02" in distrusted("expired", tried, certificate()).message
    assert "2025-01-02" in distrusted("not yet valid", tried, certificate()).message
    assert "CN=our CA" in distrusted("unknown issuer", tried, certificate()).message


def test_a_chain_without_its_intermediate_certificate_is_called_incomplete() -> None:
    alone = certificate()
    seen = probed("connected", tls=TLSOutcome("untrusted", "unknown issuer", certificate=alone, chain=(alone,)))
    error = said("CERTIFICATE_VERIFY_FAILED", results=seen)
    assert "(CN=our CA)" in error.message
    assert "the chain is incomplete" in error.message
    assert "send the whole chain" in str(error.hint)


def test_of_a_chain_that_was_shown_the_missing_issuer_is_named() -> None:
    own, between = certificate(), replace(certificate(), subject="CN=our CA", issuer="CN=root")
    assert "(CN=root)" in distrusted("unknown issuer", attempt(), own, chain=(own, between)).message
    whole = distrusted("unknown issuer", attempt(), own, chain=(own, replace(between, is_self_issued=True)))
    assert "incomplete" not in whole.message


def test_the_dates_of_a_client_certificate_that_is_refused_are_told(certificates: Certificates) -> None:
    pair = certificates.client
    message = client_certificate(attempt(ssl={"cert": str(pair.cert), "key": str(pair.key)}), certificate()).message
    assert f"{pair.cert} (valid from 2025-01-02 to 2027-01-02)" in message


def test_a_name_that_can_be_set_is_proposed() -> None:
    tried = attempt()
    assert "ssl.server_name=a.example" in str(distrusted("wrong host", tried, certificate("*.b", "a.example")).hint)
    assert "ssl.server_name=NAME" in str(distrusted("wrong host", tried, certificate("*.b")).hint)
    many = distrusted("wrong host", tried, certificate(*(f"{n}.example" for n in range(9)))).message
    assert "4.example and 4 more" in many


def test_without_an_alias_remedies_name_arguments() -> None:
    nameless = attempt(alias=ANONYMOUS)
    for code, details in (
        (grpc.StatusCode.UNAUTHENTICATED, "missing authorization in header"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, ""),
        (grpc.StatusCode.UNAVAILABLE, "WRONG_VERSION_NUMBER"),
    ):
        hint = str(classify(code, details, nameless).hint)
        assert "milvus-profiles" not in hint
        assert "connect with" in hint
    wrong = attempt(alias=ANONYMOUS, token="root:pw")
    assert "secret set" not in str(classify(grpc.StatusCode.UNAUTHENTICATED, "username and password", wrong).hint)


def test_an_attempt_knows_the_name_to_verify() -> None:
    assert attempt().host == "db.example"
    assert attempt(ssl={"server_name": "other.example"}).host == "other.example"
    assert attempt(uri="unix:/run/m.sock").host == "localhost"
    assert attempt(ssl=SSL(server_name="x.example")).host == "x.example"
    assert "canary" not in repr(attempt(token="root:canary"))


# --- text from the network -------------------------------------------------------------------------------------------


def test_text_from_the_network_is_made_fit_to_be_shown() -> None:
    assert printable("plain, Zürich, 東京") == "plain, Zürich, 東京"
    assert printable("a\nb\x00\u202e\ud800") == "a\\nb\\x00\\u202e\\ud800"
    assert len(server_text("x" * 1000)) == 300


def test_megabytes_from_the_network_are_cut_before_anything_else() -> None:
    began = time.process_time()
    assert server_text("\x1b" * 10_000_000) == "\\x1b" * 74 + "\\x1…"
    assert time.process_time() - began < 0.5


def test_where_a_text_is_cut_no_part_of_the_token_stays() -> None:
    token = "root:" + "canary" * 20
    # As stars the tokens are short, so that the end of what was looked at comes into what is shown.
    shown = server_text(token * 100, SecretText(token))
    assert "canary" not in shown
    assert "root" not in shown


def test_of_many_names_the_first_are_shown() -> None:
    assert listed(["a", "b"], 3) == "a, b"
    assert listed([f"n{place}" for place in range(3000)], 3) == "n0, n1, n2 and 2997 more"
    assert listed(["x" * 3_000_000, "\x1b"], 3, longest=5) == "xxxx…, \\x1b"


def test_a_secret_too_short_to_hide_anything_masks_nothing() -> None:
    assert server_text("a table", SecretText("a")) == "a table"
    assert server_text("user root:ab", SecretText("root:ab")) == "user ********"
