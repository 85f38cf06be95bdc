"""Says what it means that TLS fails, that a gateway answers in the place of a Milvus, or that resolvers disagree.

It reads what the probes saw where they looked, and gRPC's words where they did not; it waits for nothing.

Source: nginx 1.22, haproxy 2.6 and grpcio 1.66 to 1.85, measured.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from urllib.parse import unquote

from ..endpoint import is_numeric
from ..errors import (
    AuthenticationError,
    ConnectTimeoutError,
    MilvusProfilesError,
    NotMilvusError,
    PermissionDeniedError,
    ServerNotReadyError,
    TLSError,
    UnreachableError,
)
from ..text import command, printable
from .certificate import Certificate
from .context import ConnectContext
from .tls import NO_PROTOCOL, Distrust, ProbeResults, TLSOutcome

GATEWAY_WITHOUT_HTTP2 = (
    "a gateway in front of a Milvus has to speak HTTP/2 (nginx: `listen … http2`, haproxy: `alpn h2`)"
)
"""What to know where HTTP/1 is spoken."""

# --- TLS --------------------------------------------------------------------------------------------------------------

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
    return TLSError(
        f"the server at {context.endpoint} speaks TLS, and the profile has none",
        hint=f"use {'ssl = true' if context.by_host else 'https://'}: {context.tls_remedy()}",
    )


def no_http2(context: ConnectContext) -> NotMilvusError:
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


# --- gateways ---------------------------------------------------------------------------------------------------------
#
# gRPC gives most HTTP statuses the status that Milvus has for another cause: 401 looks like a wrong password, 403 like
# a missing privilege, 404 like a method that is unknown.  Its words tell them apart.

_HTTP_STATUS = re.compile(r"Received http2 header with status: (\d{3})\b")
# ENHANCE_YOUR_CALM is what nginx says to a header that is too long; a gRPC server says so of pings, and names them.
_CALM = re.compile(r"GOAWAY received; Error code: 11\b(?!.*too_many_pings)", re.DOTALL)
_BROKEN_OFF = re.compile(r"RST_STREAM|GOAWAY received; Error code: [1-9]")
_SERVICE = "/milvus.proto.milvus.MilvusService/"
# A header of this length passes everywhere: nginx takes 8 KiB, its older versions 4 KiB, haproxy 8 KiB of them all.
_SHORT = 4000


def http_status_of(details: str) -> int | None:
    """The HTTP status of an answer that is none of gRPC's; None where the words are about something else."""
    found = _HTTP_STATUS.search(details)
    return None if found is None else int(found[1])


def answered_by_gateway(details: str) -> bool:
    """Whether a call ended at a gateway, which said so by HTTP's own means."""
    return http_status_of(details) is not None or _CALM.search(details) is not None


def gateway_refusal(details: str, context: ConnectContext) -> MilvusProfilesError | None:
    """The error for a call that a gateway answered by itself; None for every other end of a call."""
    if (status := http_status_of(details)) is not None:
        return _by_status(status, context)
    if _CALM.search(details):
        return _headers_too_long(context, "breaks off the call")
    # haproxy has no words for that.
    if _BROKEN_OFF.search(details) and _header_length(context) > _SHORT:
        return _headers_too_long(context, "breaks off the call", is_certain=False)
    return None


def no_path_prefix(context: ConnectContext) -> str | None:
    """What to know where the path of the uri was meant for a gateway; None for a uri without a path."""
    if context.uri_database is None:
        return None
    return f"gRPC has no path prefix: {context.uri_database!a} in the uri is read as the name of a database"


_ELSEWHERE = (NotMilvusError, "it sends its clients elsewhere", "gRPC follows no redirects: name where it leads, ")
_BY_STATUS: dict[int, tuple[type[MilvusProfilesError], str, str]] = {
    **dict.fromkeys((301, 302, 307, 308), _ELSEWHERE),
    401: (
        AuthenticationError,
        "it does not let this client in",
        "Milvus was not asked: see which credentials the gateway itself wants",
    ),
    403: (
        PermissionDeniedError,
        "it forbids the call",
        "Milvus was not asked: see the gateway's own rules for addresses, paths and client certificates",
    ),
    404: (NotMilvusError, "it knows nothing at gRPC's path", f"have it pass {_SERVICE} on to Milvus"),
    413: (
        NotMilvusError,
        "it finds the call too large",
        "raise the gateway's limit of a call's size (client_max_body_size of nginx)",
    ),
}
_NOT_TAKEN = (
    NotMilvusError, "it does not take the call", "see what the gateway's own log says, and check the port",
)  # fmt: skip


def _by_status(status: int, context: ConnectContext) -> MilvusProfilesError:
    if status in (414, 431):
        return _headers_too_long(context, f"answers with HTTP status {status}")
    if status == 429:
        return ServerNotReadyError(
            f"a gateway at {context.endpoint} answers with HTTP status 429: it takes no more calls for now",
            hint="try again later, or raise the gateway's limit of calls",
        )
    if status >= 500:
        return ServerNotReadyError(
            f"a gateway answers at {context.endpoint}, but it reaches no Milvus, or takes no more calls for now "
            f"(HTTP status {status})",
            hint="see whether the Milvus behind it runs, and what the gateway's own log says",
        )
    kind, words, hint = _BY_STATUS.get(status, _NOT_TAKEN)
    elsewhere = context.remedy("uri=https://HOST:PORT")
    if 300 < status < 400 and status in _BY_STATUS:
        hint += elsewhere
    elif status == 404 and (prefix := no_path_prefix(context)):
        words += f"; {prefix}"
        hint += f", and name a host or port of its own for each Milvus: {elsewhere}"
    elif status == 404:
        hint += "; or check the port, Milvus takes gRPC on 19530 by default"
    elif status == 400 and context.tls is not None:
        # nginx looks at a client certificate in the handshake, and says what it thinks of it to the first call.
        has_none = context.tls.cert is None
        wants = "wants a client certificate (mutual TLS)" if has_none else "refuses the client certificate"
        mutual = context.remedy("ssl.cert=PATH", "ssl.key=PATH")
        hint = f"if it {wants}, name one that it takes: {mutual}; else see what its own log says"
    return kind(
        f"a gateway or web server, not a Milvus, answers at {context.endpoint} with HTTP status {status}: {words}",
        hint=hint,
    )


def _headers_too_long(context: ConnectContext, said: str, *, is_certain: bool = True) -> NotMilvusError:
    length = _header_length(context)
    which = f", of which the token's has {length} characters" if length > _SHORT else ""
    return NotMilvusError(
        f"a gateway at {context.endpoint} {said}: its limit of the headers' length {'is' if is_certain else 'may be'} "
        f"exceeded{which}",
        hint="raise that limit (large_client_header_buffers of nginx, tune.bufsize of haproxy), or use a shorter token",
    )


def _header_length(context: ConnectContext) -> int:
    """Of the metadata that carries the token: base64 makes four characters of three bytes."""
    return 0 if context.token is None else -(-len(context.token.reveal().encode()) // 3) * 4


# --- names ------------------------------------------------------------------------------------------------------------
#
# gRPC reads /etc/hosts and asks name servers by itself (c-ares), and of a name with several lines it may take one where
# the system takes all.  Where the system knows an address that answers, a channel can be told that.

# Of a connection that did not come about: no address, or none that lets anybody in.
_UNRESOLVED = re.compile("errors resolving|DNS resolution failed|name resolution|lookup failed")
_UNCONNECTED = re.compile("Connection refused|connect failed|Failed to connect to remote host|unreachable|No route")
_TRIED = re.compile(r"\bipv[46]:(\[[0-9A-Fa-f:.]{1,45}\]|%5B[0-9A-Fa-f:.]{1,45}%5D|[0-9.]{1,15}):\d+")


class ResolversDifferError(UnreachableError):
    """gRPC's resolver leads to nothing, and the system's to an address that answers.

    Attributes:
        addresses: that one first, and then those of its family that were not found dead; numeric.
    """

    addresses: tuple[str, ...] = ()


def found_nothing(details: str) -> bool:
    """Whether gRPC's words say that it connected to nothing."""
    return (_UNRESOLVED.search(details) or _UNCONNECTED.search(details)) is not None


def resolvers_differ(details: str, context: ConnectContext, results: ProbeResults) -> ResolversDifferError | None:
    """The error for a call that found nothing, where the probes found an address that answers; None elsewhere."""
    reached, route = results.address, context.route
    if reached is None or route.path or route.tunnel is not None or is_numeric(route.host):
        return None
    tried = _TRIED.search(details) if _UNCONNECTED.search(details) else None
    if tried is None and not _UNRESOLVED.search(details):
        return None
    # One address for both is no difference: its server came up between the two.
    if tried is not None and _plain(tried[1]) == _plain(reached.host):
        return None
    at = f"only {_plain(tried[1])}, which does not answer" if tried is not None else "no address"
    error = ResolversDifferError(
        f"gRPC's own resolver finds {at} for {printable(route.host)}; the system's finds {reached.host}, which does",
        hint="give the name one line in /etc/hosts, or only addresses that answer; "
        "the variable GRPC_DNS_RESOLVER=native has gRPC ask the system",
    )
    dead = {outcome.address for outcome in results.attempts if not outcome.is_connected}
    more = (one for one in results.resolution.addresses if one.family == reached.family and one not in dead)
    error.addresses = tuple(dict.fromkeys((reached.host, *(one.host for one in more))))
    return error


def dead_address(context: ConnectContext, results: ProbeResults) -> UnreachableError:
    """The error for a call that got no answer in time, where the probes connected to no more than a later address."""
    dead, alive = results.attempts[0].address.host, results.attempts[-1].address.host
    return ConnectTimeoutError(
        f"{context.endpoint} does not answer gRPC in time: of its addresses {dead} does not answer, and {alive} does",
        hint=f"have the name lead to those that answer only, or give it more time: {context.remedy('timeout=30')}",
    )


def _plain(address: str) -> str:
    address = unquote(address).strip("[]")
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address
