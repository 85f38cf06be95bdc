"""Looks at a server's TLS: protocol, certificate, whether it would be trusted and why not, and client certificates.

Verification here has to say what gRPC would say, so it takes gRPC's own bundled roots where a profile names no CA
(never the system's), and trusts a single pinned certificate as gRPC does.  gRPC itself tells only that it failed.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..profile import SSL
from .deadline import Deadline
from .options import ROOTS_VARIABLE, check_tls_files
from .probes import HTTP2_HELLO, Address, PlaintextOutcome, is_http2, open_socket, probe_plaintext, set_timeout
from .x509 import Certificate, MalformedCertificate, read_certificate

__all__ = [
    "ClientCertificate",
    "Distrust",
    "TLSOutcome",
    "default_roots",
    "probe_pinned",
    "probe_tls",
    "probe_unverified",
    "verifying_context",
]

Distrust = Literal["expired", "not yet valid", "wrong host", "self-signed", "unknown issuer", "other"]
"""Why a certificate is not trusted."""

ClientCertificate = Literal["not required", "accepted", "required", "refused", "unknown"]
"""What the server does about a client certificate: ``"not required"`` and ``"required"`` if it was given none,
``"accepted"`` (which does not say that it asked) and ``"refused"`` if it was given one, ``"unknown"`` if it said
nothing in time."""

_DISTRUST: Mapping[int, Distrust] = {  # the numbers are OpenSSL's X509_V_ERR_*
    2: "unknown issuer",
    9: "not yet valid",
    10: "expired",
    18: "self-signed",
    19: "unknown issuer",
    20: "unknown issuer",
    21: "unknown issuer",
    62: "wrong host",
    64: "wrong host",
}
_PATIENCE = 1.0
"""Seconds at most for the server's first word after the handshake, which only tells about client certificates."""


@dataclass(frozen=True, slots=True)
class TLSOutcome:
    """What a port showed to a TLS client.

    Attributes:
        status: ``"trusted"``; ``"untrusted"``, with ``distrust`` saying why; ``"refused"``, the server broke off with
            an alert; ``"plaintext"``, it speaks no TLS; ``"closed"`` and ``"silent"``, it said nothing that could be
            understood; ``"unreachable"``, there was no connection.
        distrust: why the certificate is not trusted; None where it is, or was not seen.
        protocol: ``"TLSv1.3"``; None without a handshake, as the next three.
        cipher: the cipher suite's name.
        alpn: ``"h2"``, which gRPC insists on; None if the server agreed to nothing.
        certificate: the server's own.
        chain: all that it showed, its own first; only its own where Python cannot tell more.
        client_certificate: what the server does about a client certificate.
        answers_http2: whether the server greeted as an HTTP/2 server inside TLS.
        plaintext: what the port speaks instead, where that was looked at.
        detail: the words of OpenSSL or the system; empty where all went well.
        seconds: how long it took.
    """

    status: Literal["trusted", "untrusted", "refused", "plaintext", "closed", "silent", "unreachable"]
    distrust: Distrust | None = None
    protocol: str | None = None
    cipher: str | None = None
    alpn: str | None = None
    certificate: Certificate | None = None
    chain: tuple[Certificate, ...] = ()
    client_certificate: ClientCertificate = "unknown"
    answers_http2: bool = False
    plaintext: PlaintextOutcome | None = None
    detail: str = ""
    seconds: float = 0.0

    @property
    def speaks_tls(self) -> bool:
        """Whether the port speaks TLS at all."""
        return self.status in ("trusted", "untrusted", "refused")


def default_roots(env: Mapping[str, str] = os.environ) -> str:
    """The file of the certificates that gRPC trusts where it is told none.

    Args:
        env: where gRPC's own ``GRPC_DEFAULT_SSL_ROOTS_FILE_PATH`` is looked up.
    """
    from importlib.util import find_spec

    if named := env.get(ROOTS_VARIABLE):
        return named
    # Found, not imported: a probe can do without gRPC itself.
    package = find_spec("grpc")
    assert package is not None
    assert package.origin is not None
    return os.path.join(os.path.dirname(package.origin), "_cython", "_credentials", "roots.pem")


def probe_tls(
    address: Address, host: str, tls: SSL, deadline: Deadline, *, env: Mapping[str, str] = os.environ
) -> TLSOutcome:
    """Shake hands as gRPC would, and look again without verification where the certificate is not trusted.

    Args:
        address: one that connects.
        host: the host of the endpoint, whose name the certificate must have where ``tls`` names no other.
        tls: CA, client certificate and name, as the profile gives them.
        deadline: when to give up.
        env: as for :func:`default_roots`.

    Raises:
        ConfigError: a TLS file cannot be read.
        TLSError: a TLS file is not what it should be.
    """
    context = verifying_context(tls, env=env)
    began = deadline.clock()
    outcome = _shake(address, context, tls.server_name or host, tls.cert is not None, deadline)
    if outcome.status == "untrusted":
        seen = _shake(address, _trusting(_context(tls)), tls.server_name or host, tls.cert is not None, deadline)
        if seen.status == "trusted":
            outcome = replace(seen, status="untrusted", distrust=outcome.distrust, detail=outcome.detail)
    return replace(_explained(outcome, address, deadline), seconds=deadline.clock() - began)


def probe_unverified(address: Address, host: str, deadline: Deadline) -> TLSOutcome:
    """Shake hands whatever the certificate says, only to see what there is; ``"trusted"`` means nothing here.

    Args:
        address: one that connects.
        host: the name to send.
        deadline: when to give up.
    """
    began = deadline.clock()
    outcome = _shake(address, _trusting(_context(SSL())), host, False, deadline)
    return replace(_explained(outcome, address, deadline), seconds=deadline.clock() - began)


def probe_pinned(address: Address, host: str, pinned: Certificate, deadline: Deadline) -> TLSOutcome:
    """Shake hands trusting one certificate only, to see what would still be wrong if it were pinned.

    Args:
        address: one that connects.
        host: the name that the certificate must have.
        pinned: the certificate.
        deadline: when to give up.
    """
    context = _context(SSL())
    context.load_verify_locations(cadata=pinned.pem)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return _shake(address, context, host, False, deadline)


def verifying_context(tls: SSL, *, protocol: str = "h2", env: Mapping[str, str] = os.environ) -> ssl.SSLContext:
    """A context that trusts what gRPC would trust, and has the profile's client certificate.

    Args:
        tls: CA and client certificate, as the profile gives them.
        protocol: what to agree on by ALPN.
        env: as for :func:`default_roots`.

    Raises:
        ConfigError: a TLS file cannot be read.
        TLSError: a TLS file is not what it should be.
    """
    check_tls_files(tls, env)
    context = _context(tls, protocol)
    context.load_verify_locations(tls.ca or default_roots(env))
    # A pinned certificate need not be a CA's.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _context(tls: SSL, protocol: str = "h2") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([protocol])
    # How long a key must be is the system's taste; gRPC's is its own.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    if tls.cert is not None:
        context.load_cert_chain(tls.cert, tls.key)
    return context


def _trusting(context: ssl.SSLContext) -> ssl.SSLContext:
    # Nothing but the greeting of HTTP/2 is ever sent over such a connection.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _shake(address: Address, context: ssl.SSLContext, host: str, gives: bool, deadline: Deadline) -> TLSOutcome:
    """One connection, one handshake; ``gives`` says whether the context has a client certificate."""
    opened, reached = open_socket(address, deadline)
    if opened is None:
        return TLSOutcome("unreachable", detail=reached.detail)
    begun: list[ssl.SSLSocket] = []

    class Secured(ssl.SSLSocket):
        def __new__(cls, *arguments: Any, **named: Any) -> Any:
            begun.append(super().__new__(cls, *arguments, **named))
            return begun[-1]

    context.sslsocket_class = Secured
    with opened:
        try:
            secured = context.wrap_socket(opened, server_hostname=host, do_handshake_on_connect=False)
        except OSError as error:  # it was reset already
            for half_made in begun:  # Python has moved the socket there, and leaves it open
                half_made.close()
            return TLSOutcome("closed", detail=error.strerror or "")
    with secured:
        try:
            set_timeout(secured, deadline)
            secured.do_handshake()
        except TimeoutError:
            return TLSOutcome("silent")
        except ssl.SSLCertVerificationError as error:
            return TLSOutcome("untrusted", _DISTRUST.get(error.verify_code, "other"), detail=error.verify_message)
        except OSError as error:
            return _broken_off(error, secured, gives)
        cipher = secured.cipher()
        # Before anything is read: after an alert OpenSSL forgets that there was a handshake.
        outcome = TLSOutcome(
            "trusted",
            protocol=secured.version(),
            cipher=cipher and cipher[0],
            alpn=secured.selected_alpn_protocol(),
            certificate=_certificate(secured),
            chain=_chain(secured),
        )
        client_certificate, answers_http2, detail = _first_word(secured, gives, deadline)
    return replace(outcome, client_certificate=client_certificate, answers_http2=answers_http2, detail=detail)


def _broken_off(error: OSError, secured: ssl.SSLSocket, gives: bool) -> TLSOutcome:
    alert = _alert(error)
    if alert is None:
        return TLSOutcome("closed", detail=_words(error))
    # Up to TLS 1.2 a client certificate is looked at inside the handshake, and OpenSSL servers then say no more than
    # "handshake failure"; but if a cipher was agreed on, nothing else is left to fail.
    if _is_about_certificate(alert) or ("HANDSHAKE_FAILURE" in alert and secured.cipher() is not None):
        return TLSOutcome("refused", client_certificate="refused" if gives else "required", detail=alert)
    return TLSOutcome("refused", detail=alert)


def _first_word(secured: ssl.SSLSocket, gives: bool, deadline: Deadline) -> tuple[ClientCertificate, bool, str]:
    # In TLS 1.3 the handshake is over, for us, before the server has looked at our certificate: what it thinks of that
    # comes with the first read.
    patience = deadline.sooner(_PATIENCE)
    said = b""
    try:
        set_timeout(secured, patience)
        secured.sendall(HTTP2_HELLO)
        while not is_http2(said):
            set_timeout(secured, patience)
            if not (data := secured.recv(4096)):
                break
            said += data
    except TimeoutError:
        return "unknown", False, ""
    except OSError as error:
        alert = _alert(error)
        if alert is not None and _is_about_certificate(alert):
            return "refused" if gives else "required", False, alert
        return "unknown", False, alert or _words(error)
    if not said:
        return "unknown", False, "the server closed the connection after the handshake"
    return "accepted" if gives else "not required", is_http2(said), ""


def _alert(error: OSError) -> str | None:
    """OpenSSL's name of the alert that the server sent; None if it sent none."""
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    return reason if reason and reason.startswith(("TLSV1", "SSLV3_ALERT")) else None


def _words(error: OSError) -> str:
    # OpenSSL's strerror ends in a place in CPython's sources.
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    return reason.replace("_", " ").lower() if reason else error.strerror or ""


def _is_about_certificate(alert: str) -> bool:
    return any(word in alert for word in ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "DECRYPT_ERROR"))


def _certificate(secured: ssl.SSLSocket) -> Certificate | None:
    der = secured.getpeercert(binary_form=True)
    try:
        return None if der is None else read_certificate(der)
    except MalformedCertificate:
        return None


def _chain(secured: ssl.SSLSocket) -> tuple[Certificate, ...]:
    # Public from Python 3.13 on; before that the same method stands one level deeper, and gives objects of its own.
    inner = secured if hasattr(secured, "get_unverified_chain") else getattr(secured, "_sslobj", None)
    tell = getattr(inner, "get_unverified_chain", None)
    shown: list[Any] = (tell() or []) if tell is not None else [secured.getpeercert(binary_form=True)]
    try:
        return tuple(read_certificate(_der(one)) for one in shown)
    except (MalformedCertificate, ValueError):
        return ()


def _der(shown: Any) -> bytes:
    return shown if isinstance(shown, bytes) else ssl.PEM_cert_to_DER_cert(shown.public_bytes())


def _explained(outcome: TLSOutcome, address: Address, deadline: Deadline) -> TLSOutcome:
    """Where there was no TLS, see whether the port speaks plaintext: OpenSSL's words for that differ by its version."""
    if outcome.status != "closed":
        return outcome
    plaintext = probe_plaintext(address, deadline)
    if plaintext.speaks in ("http2", "http1"):
        return replace(outcome, status="plaintext", plaintext=plaintext)
    return replace(outcome, plaintext=plaintext)
