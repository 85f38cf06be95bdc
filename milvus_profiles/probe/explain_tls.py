"""Says what a failed TLS handshake means, and what to do about it.

It reads the probe's outcome where there is one, and gRPC's words where there is none; it waits for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import MilvusProfilesError, NotMilvusError, TLSError
from ..text import command, printable
from .certificate import Certificate
from .context import ConnectContext
from .tls import NO_PROTOCOL, Distrust, TLSOutcome

__all__ = [
    "GATEWAY_WITHOUT_HTTP2",
    "client_certificate",
    "distrust_in",
    "distrusted",
    "explain_tls",
    "no_http2",
    "speaks_plaintext",
    "speaks_tls",
]

GATEWAY_WITHOUT_HTTP2 = (
    "a gateway in front of a Milvus has to speak HTTP/2 (nginx: `listen … http2`, haproxy: `alpn h2`)"
)
"""What to know where HTTP/1 is spoken."""

# What BoringSSL and gRPC's own check of the name say.
_DISTRUST: dict[str, Distrust] = {
    "certificate has expired": "expired",
    "certificate is not yet valid": "not yet valid",
    "self.signed certificate in certificate chain": "unknown issuer",
    "self.signed certificate": "self-signed",
    "unable to get local issuer certificate|unable to verify the first certificate": "unknown issuer",
    "Hostname Verification Check failed|[Hh]ostname mismatch|is not in peer certificate": "wrong host",
    "call host does not match SSL server name": "wrong host",
    "CERTIFICATE_VERIFY_FAILED|Peer extraction failed|KEY_USAGE_BIT_INCORRECT": "other",
}


def explain_tls(seen: TLSOutcome, context: ConnectContext) -> MilvusProfilesError | None:
    """What a probe of TLS says about a failed connect with TLS; None where it saw nothing wrong."""
    if seen.status == "plaintext":
        web = seen.plaintext is not None and seen.plaintext.speaks == "http1"
        return speaks_plaintext(context, web_server=web)
    if seen.status == "untrusted" and seen.distrust is not None:
        return distrusted(seen.distrust, context, seen.certificate, seen.detail, chain=seen.chain)
    if seen.client_certificate in ("required", "refused"):
        return client_certificate(context, seen.client)
    if seen.status == "refused" and NO_PROTOCOL in seen.detail:
        return no_http2(context)
    if seen.status == "refused":
        alert = re.sub(r"^(TLSV\d+|SSLV3)_(ALERT_)?", "", seen.detail).replace("_", " ").lower()
        return TLSError(
            f"the server at {context.endpoint} breaks off the TLS handshake: {alert}",
            hint="see what its own log says; it may want another server name (ssl.server_name) or a client certificate",
        )
    if seen.status == "closed" and seen.cipher is not None:
        why = printable(seen.detail) or "no reason is given"
        return TLSError(
            f"the TLS handshake with {context.endpoint} breaks off in its middle: {why}",
            hint="see what the server's own log says, and whether its chain of certificates is a sane one",
        )
    if seen.status == "trusted" and seen.alpn != "h2":
        return no_http2(context)
    return None


def distrust_in(details: str) -> Distrust | None:
    """Why a certificate is not trusted, as gRPC's words have it; None where they are about something else."""
    return next((distrust for words, distrust in _DISTRUST.items() if re.search(words, details)), None)


def distrusted(
    distrust: Distrust,
    context: ConnectContext,
    certificate: Certificate | None = None,
    detail: str = "",
    chain: Sequence[Certificate] = (),
) -> TLSError:
    """The server's certificate, if it was looked at, is not trusted; ``detail`` has OpenSSL's words.

    ``chain`` are the certificates that it showed, its own first.
    """
    where, ca = context.endpoint, context.tls.ca if context.tls else None
    pin = context.pinning()
    if distrust == "wrong host":
        if certificate is not None and not certificate.names:
            return TLSError(
                f"the certificate of {where} names no host, at least not as gRPC asks for {context.host}",
                hint="the server needs a certificate with its name among the subject alternative names (SAN)",
            )
        # What a server says goes into a command only if it is a host and nothing else.
        plain = (certificate.plain_name if certificate else None) or "NAME"
        which = f"is for {certificate.listed_names()}, not" if certificate else "is not"
        return TLSError(
            f"the certificate of {where} {which} for {context.host}",
            hint=f"use a host that it names, or set the name it has: {context.remedy(f'ssl.server_name={plain}')}",
        )
    if distrust == "expired":
        when = f" on {certificate.not_after:%Y-%m-%d}" if certificate else ""
        return TLSError(f"the certificate of {where} ended{when}", hint="the server needs a new certificate")
    if distrust == "not yet valid":
        when = f" only on {certificate.not_before:%Y-%m-%d}" if certificate else " only in the future"
        return TLSError(f"the certificate of {where} begins{when}", hint="check the clocks of both machines")
    if distrust == "self-signed":
        return TLSError(
            f"the certificate of {where} is self-signed and not the one that is trusted",
            hint=f"if it is the right one, trust it: {context.remedy('ssl.ca=PATH')}; {pin}",
        )
    if distrust == "unknown issuer":
        last = chain[-1] if chain else certificate
        issuer = f" ({last.issuer})" if last else ""
        trusted = f"in {ca}" if ca else "among the public ones that gRPC knows (it does not use the system's)"
        name_it = f"name the CA's file: {context.remedy('ssl.ca=PATH')}; {pin}"
        # Whether that issuer is a root, which need not be shown, or stands below one, cannot be seen from here.
        if last is None or last.is_self_issued:
            return TLSError(f"the issuer{issuer} of the certificate of {where} is not {trusted}", hint=name_it)
        return TLSError(
            f"the issuer{issuer} of the certificate of {where} is not {trusted}, and the server does not show its "
            "certificate: if that is an intermediate one, the chain is incomplete",
            hint=f"have the server send the whole chain, the intermediate certificates behind its own; or {name_it}",
        )
    return TLSError(
        f"the certificate of {where} cannot be verified: {printable(detail) or 'no reason given'}",
        hint=f"look at it: {command('openssl', 's_client', '-connect', context.endpoint.authority)}",
    )


def speaks_plaintext(context: ConnectContext, *, web_server: bool = False) -> MilvusProfilesError:
    """The profile has TLS and the server has none."""
    if web_server:
        return NotMilvusError(
            f"a web server without TLS answers at {context.endpoint}, not a Milvus",
            hint=f"check the port; {GATEWAY_WITHOUT_HTTP2}",
        )
    return TLSError(
        f"the server at {context.endpoint} speaks plaintext, and the profile has TLS",
        hint=f"use http:// and no ssl settings: {context.tls_remedy()}",
    )


def speaks_tls(context: ConnectContext) -> TLSError:
    """The server has TLS and the profile has none."""
    return TLSError(
        f"the server at {context.endpoint} speaks TLS, and the profile has none",
        hint=f"use {'ssl = true' if context.by_host else 'https://'}: {context.tls_remedy()}",
    )


def no_http2(context: ConnectContext) -> NotMilvusError:
    """The server has TLS, but agrees to no HTTP/2."""
    return NotMilvusError(
        f"the server at {context.endpoint} speaks TLS but not HTTP/2, which gRPC needs",
        hint="check the port: this looks like an ordinary web server, or a load balancer that is not set up for gRPC; "
        + GATEWAY_WITHOUT_HTTP2,
    )


def client_certificate(context: ConnectContext, own: Certificate | None = None) -> TLSError:
    """The server wants a client certificate and has got none, or one that it does not like."""
    if context.tls is not None and context.tls.cert is not None:
        dates = "" if own is None else f" (valid from {own.not_before:%Y-%m-%d} to {own.not_after:%Y-%m-%d})"
        return TLSError(
            f"the server at {context.endpoint} refuses the client certificate {context.tls.cert}{dates}",
            hint="it must come from a CA that the server trusts, have intermediate certificates behind it in the file, "
            "and be valid today: "
            f"{context.remedy('ssl.cert=PATH', 'ssl.key=PATH')} names another one",
        )
    return TLSError(
        f"the server at {context.endpoint} wants a client certificate (mutual TLS), and the profile has none",
        hint=f"name the certificate and its key: {context.remedy('ssl.cert=PATH', 'ssl.key=PATH')}",
    )
