"""Looks at a server, one layer after the other, up to TLS: is the certificate trusted, why not, are client ones wanted.

Verification here has to say what gRPC would say, so it trusts what that would (:mod:`tls_stream`), and judges the name
by gRPC's rules.  gRPC itself tells only that it failed.  Whatever a server sends, a probe ends in an outcome and by its
deadline; what the outcome means is for ``explain`` to say.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from ..background import Deadline
from ..connectable import TLSSettings
from ..errors import MilvusProfilesError
from ..text import printable
from .certificate import Certificate, MalformedCertificate, certificate_of_file, objection, read_certificate
from .sockets import (
    FRAME_HEADER,
    HTTP2_HELLO,
    PlaintextOutcome,
    Resolution,
    Route,
    SocketAddress,
    TCPOutcome,
    connect_first,
    is_http2,
    open_socket,
    probe_plaintext,
    resolve,
)
from .tls_stream import TLSStream, pinning_context, reason_of, trusting_all, verifying_context, words_of

Distrust = Literal["expired", "not yet valid", "wrong host", "self-signed", "unknown issuer", "other"]
"""Why a certificate is not trusted."""

ClientCertificate = Literal["not required", "accepted", "required", "refused", "unknown"]
"""What the server does about a client certificate: ``"not required"`` and ``"required"`` if it was given none,
``"accepted"`` (which does not say that it asked) and ``"refused"`` if it was given one, ``"unknown"`` if it said
nothing in time."""

_DISTRUST: Mapping[int, Distrust] = {  # the numbers are OpenSSL's X509_V_ERR_*
    **dict.fromkeys((2, 19, 20, 21), "unknown issuer"),
    9: "not yet valid",
    10: "expired",
    18: "self-signed",
    **dict.fromkeys((62, 64), "wrong host"),
}
_FIRST_WORD = 1.0
"""Seconds at most for the server's first word after the handshake, which only tells about client certificates."""
NO_PROTOCOL = "ALERT_NO_APPLICATION_PROTOCOL"
"""Of the alert of a server that speaks none of the protocols it was offered; nginx without HTTP/2 sends it."""
_LONGEST_CHAIN = 10
"""Certificates of a chain that are read: real ones have two to four."""


@dataclass(frozen=True, slots=True)
class TLSOutcome:
    """What a port showed to a TLS client.

    Attributes:
        status: ``"trusted"``; ``"untrusted"``, with ``distrust`` saying why; ``"refused"``, the server broke off with
            an alert; ``"plaintext"``, it speaks no TLS; ``"closed"`` and ``"silent"``, it said nothing that could be
            understood; ``"unreachable"``, there was no connection; ``"unexamined"``, the probe itself came to no
            verdict: its certificate cannot be read (then ``protocol`` is there), or the look failed.
        protocol: ``"TLSv1.3"``; None without a handshake, as the next two.
        cipher: the cipher suite's name; there also where the handshake came as far as that, and then broke off.
        alpn: ``"h2"``, which gRPC insists on; None if the server agreed to nothing.
        chain: what it showed, its own first, ten at most; only its own where Python cannot tell more.
        chain_length: how many it showed.
        client: the profile's own certificate; None where it has none, or none that can be read.
        plaintext: what the port speaks instead, where that was looked at.
        detail: the reason in words; empty where all went well.
    """

    status: Literal["trusted", "untrusted", "refused", "plaintext", "closed", "silent", "unreachable", "unexamined"]
    distrust: Distrust | None = None
    protocol: str | None = None
    cipher: str | None = None
    alpn: str | None = None
    certificate: Certificate | None = None
    chain: tuple[Certificate, ...] = ()
    chain_length: int = 0
    client_certificate: ClientCertificate = "unknown"
    answers_http2: bool = False
    client: Certificate | None = None
    plaintext: PlaintextOutcome | None = None
    detail: str = ""
    seconds: float = 0.0

    @property
    def speaks_tls(self) -> bool:
        """Whether the port speaks TLS at all."""
        return self.status in ("trusted", "untrusted", "refused") or self.protocol is not None


# --- the probes ------------------------------------------------------------------------------------------------------


def probe_tls(
    address: SocketAddress, host: str, tls: TLSSettings, deadline: Deadline, *, env: Mapping[str, str] = os.environ
) -> TLSOutcome:
    """Shake hands as gRPC would, and look again without verification where the certificate is not trusted.

    It must have the name of ``host`` where ``tls`` names no other; what is raised is :func:`verifying_context`'s.
    """
    name, has_cert = tls.server_name or host, tls.cert is not None

    def look(protocol: str) -> TLSOutcome:
        verifying = partial(verifying_context, tls, env=env)
        outcome = _handshake(address, verifying, name, has_cert, deadline, protocol)
        if outcome.status != "untrusted" or outcome.certificate is not None:
            return outcome
        seen = _handshake(address, partial(trusting_all, tls=tls), name, has_cert, deadline, protocol)
        if seen.protocol is None:
            return outcome
        return replace(seen, status="untrusted", distrust=outcome.distrust, detail=outcome.detail)

    outcome = _outcome_of(look, address, deadline)
    return outcome if tls.cert is None else replace(outcome, client=certificate_of_file(tls.cert))


def probe_unverified(address: SocketAddress, host: str, deadline: Deadline) -> TLSOutcome:
    """Shake hands whatever the certificate says, only to see what there is; ``"trusted"`` means nothing here."""

    return _outcome_of(partial(_handshake, address, trusting_all, host, False, deadline), address, deadline)


def probe_pinned(address: SocketAddress, host: str, pinned: Certificate, deadline: Deadline) -> TLSOutcome:
    """Shake hands trusting one certificate only, to see what would still be wrong if it were pinned."""

    trusting = partial(pinning_context, pinned.pem)
    return _outcome_of(partial(_handshake, address, trusting, host, False, deadline), address, deadline)


def _outcome_of(look: Callable[[str], TLSOutcome], address: SocketAddress, deadline: Deadline) -> TLSOutcome:
    """What a look came to, whatever it raises: what the server sends must not decide how this program ends.

    The look is told which protocol to offer; where a server has no HTTP/2 and says so by an alert, another one shows
    its certificate.
    """
    began = deadline.clock()
    try:
        outcome = look("h2")
        if outcome.status == "refused" and NO_PROTOCOL in outcome.detail:
            again = look("http/1.1")
            outcome = again if again.speaks_tls else outcome
        if outcome.status == "closed" and outcome.cipher is None:
            # There was no TLS: does it speak plaintext?  OpenSSL's words for that differ by its version.
            plaintext = probe_plaintext(address, deadline)
            is_plain = plaintext.speaks in ("http2", "http1")
            outcome = replace(outcome, status="plaintext" if is_plain else "closed", plaintext=plaintext)
    except MilvusProfilesError:
        raise
    except Exception as error:
        outcome = TLSOutcome("unexamined", detail=f"the look at it failed ({type(error).__name__})")
    return replace(outcome, seconds=deadline.clock() - began)


def _handshake(
    address: SocketAddress,
    make_context: Callable[[str], ssl.SSLContext],
    host: str,
    has_cert: bool,
    deadline: Deadline,
    protocol: str,
) -> TLSOutcome:
    """One connection, one handshake; ``has_cert`` says whether the context has a client certificate."""
    context = make_context(protocol)
    opened, reached = open_socket(address, deadline)
    if opened is None:
        return TLSOutcome("unreachable", detail=reached.detail)
    # The name is for gRPC's rules to judge, below.
    context.check_hostname = False
    with opened:
        stream = TLSStream(opened, deadline, context, host)
        try:
            stream.handshake()
        except TimeoutError:
            return TLSOutcome("silent")
        except ssl.SSLCertVerificationError as error:
            distrust = _DISTRUST.get(error.verify_code, "other")
            return TLSOutcome("untrusted", distrust, detail=printable(error.verify_message))
        except OSError as error:
            return _broken_off(error, stream.session, has_cert)
        # Before anything is read: after an alert OpenSSL forgets that there was a handshake.
        outcome = _examined(stream.session, host)
        client_certificate, answers_http2, detail = _first_word(stream, has_cert)
    return replace(
        outcome, client_certificate=client_certificate, answers_http2=answers_http2, detail=outcome.detail or detail
    )


def _examined(session: ssl.SSLObject, host: str) -> TLSOutcome:
    """What a handshake that came about showed."""
    outcome = TLSOutcome(
        "trusted", protocol=session.version(), cipher=_cipher(session), alpn=session.selected_alpn_protocol()
    )
    der = session.getpeercert(binary_form=True)
    try:
        if der is None:
            raise MalformedCertificate("none was shown")
        certificate = read_certificate(der)
        complaint = None if session.context.verify_mode is ssl.CERT_NONE else objection(der, host)
    except MalformedCertificate as error:
        return replace(outcome, status="unexamined", detail=str(error))
    chain, length = _shown_chain(session, der)
    outcome = replace(outcome, certificate=certificate, chain=chain, chain_length=length)
    if complaint is None:
        return outcome
    return replace(outcome, status="untrusted", distrust=complaint[0], detail=complaint[1])


def _cipher(session: ssl.SSLObject) -> str | None:
    cipher = session.cipher()
    return cipher and cipher[0]


def _broken_off(error: OSError, session: ssl.SSLObject, has_cert: bool) -> TLSOutcome:
    alert = _alert(error)
    if alert is None:
        return TLSOutcome("closed", cipher=_cipher(session), detail=words_of(error))
    # Up to TLS 1.2 a client certificate is looked at inside the handshake, and OpenSSL servers then say no more than
    # "handshake failure"; but if a cipher was agreed on, nothing else is left to fail.
    if _is_about_certificate(alert) or ("HANDSHAKE_FAILURE" in alert and session.cipher() is not None):
        return TLSOutcome("refused", client_certificate="refused" if has_cert else "required", detail=alert)
    return TLSOutcome("refused", detail=alert)


def _first_word(stream: TLSStream, has_cert: bool) -> tuple[ClientCertificate, bool, str]:
    # In TLS 1.3 the handshake is over, for us, before the server has looked at our certificate: what it thinks of that
    # comes with the first read.
    stream.deadline = stream.deadline.sooner(_FIRST_WORD)
    try:
        stream.send(HTTP2_HELLO)
        said = stream.receive_at_least(FRAME_HEADER)
    except TimeoutError:
        return "unknown", False, ""
    except OSError as error:
        alert = _alert(error)
        if alert is not None and _is_about_certificate(alert):
            return "refused" if has_cert else "required", False, alert
        return "unknown", False, alert or words_of(error)
    if not said:
        return "unknown", False, "the server closed the connection after the handshake"
    return "accepted" if has_cert else "not required", is_http2(said), ""


def _alert(error: OSError) -> str | None:
    """OpenSSL's name of the alert that the server sent; None if it sent none."""
    reason = reason_of(error)
    return reason if reason and reason.startswith(("TLSV1", "SSLV3_ALERT")) else None


def _is_about_certificate(alert: str) -> bool:
    return any(word in alert for word in ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "DECRYPT_ERROR"))


def _shown_chain(session: ssl.SSLObject, own: bytes) -> tuple[tuple[Certificate, ...], int]:
    """The certificates that were shown, up to the first that cannot be read, and how many there were."""
    # Public from Python 3.13 on; before that the same method stands one level deeper, and gives objects of its own.
    inner = session if hasattr(session, "get_unverified_chain") else getattr(session, "_sslobj", None)
    shown = getattr(inner, "get_unverified_chain", list)() or [own]
    read: list[Certificate] = []
    with contextlib.suppress(ValueError):
        for one in shown[:_LONGEST_CHAIN]:
            der = one if isinstance(one, bytes) else ssl.PEM_cert_to_DER_cert(one.public_bytes())
            read.append(read_certificate(der))
    return tuple(read), len(shown)


# --- all layers -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProbeResults:
    """What was seen, from the name up; what was not looked at is None.

    Attributes:
        tls: what the port showed to a TLS client: always looked at where the profile has TLS, and without verification
            where it has none but the port speaks no HTTP/2 in plaintext.
        plaintext: what the port answered to plaintext, where the profile has no TLS.
    """

    resolution: Resolution
    attempts: tuple[TCPOutcome, ...] = ()
    tls: TLSOutcome | None = None
    plaintext: PlaintextOutcome | None = None

    @property
    def address(self) -> SocketAddress | None:
        return self.attempts[-1].address if self.attempts and self.attempts[-1].is_connected else None


def reach(route: Route, deadline: Deadline) -> ProbeResults:
    """Resolve a route, and see which of its addresses connects."""
    resolution = resolve(route, deadline)
    return ProbeResults(resolution, connect_first(resolution.addresses, deadline))


def gather_results(route: Route, host: str, tls: TLSSettings | None, deadline: Deadline) -> ProbeResults:
    """Look at a server, one layer after the other, as far as each lets us.

    With TLS its certificate should be for ``host``; what is wrong with the profile's own TLS files is raised.
    """
    results = reach(route, deadline)
    if (address := results.address) is None:
        return results
    if tls is not None:
        return replace(results, tls=probe_tls(address, host, tls, deadline))
    plaintext = probe_plaintext(address, deadline)
    # "http1": nginx answers plaintext on a port of TLS as a web server does.
    is_tls_possible = plaintext.speaks in ("closed", "tls", "other", "http1")
    seen = probe_unverified(address, host, deadline) if is_tls_possible else None
    return replace(results, tls=seen, plaintext=plaintext)
