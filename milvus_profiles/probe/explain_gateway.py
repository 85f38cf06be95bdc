"""Says what it means that a gateway, or any web server, answers a call by itself, before a Milvus was asked.

gRPC gives most HTTP statuses the status that Milvus has for another cause: 401 looks like a wrong password, 403 like a
missing privilege, 404 like a method that is unknown.  Its words tell them apart.

Source: nginx 1.22, haproxy 2.6 and grpcio 1.66 to 1.85, measured.
"""

from __future__ import annotations

import re

from ..errors import (
    AuthenticationError,
    MilvusProfilesError,
    NotMilvusError,
    PermissionDeniedError,
    ServerNotReadyError,
)
from .context import ConnectContext

__all__ = ["answered_by_gateway", "gateway_refusal", "http_status_of", "no_path_prefix"]

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


def _by_status(status: int, context: ConnectContext) -> MilvusProfilesError:
    said = f"answers with HTTP status {status}"
    gateway = f"a gateway or web server, not a Milvus, answers at {context.endpoint} with HTTP status {status}"
    unasked = "Milvus was not asked"
    if status == 401:
        return AuthenticationError(
            f"{gateway}: it does not let this client in",
            hint=f"{unasked}: see which credentials the gateway itself wants",
        )
    if status == 403:
        return PermissionDeniedError(
            f"{gateway}: it forbids the call",
            hint=f"{unasked}: see the gateway's own rules for addresses, paths and client certificates",
        )
    if status == 404:
        prefix = no_path_prefix(context)
        return NotMilvusError(
            f"{gateway}: it knows nothing at gRPC's path" + (f"; {prefix}" if prefix else ""),
            hint=f"have it pass {_SERVICE} on to Milvus"
            + (
                f", and name a host or port of its own for each Milvus: {context.remedy('uri=https://HOST:PORT')}"
                if prefix
                else "; or check the port, Milvus takes gRPC on 19530 by default"
            ),
        )
    if status in (414, 431):
        return _headers_too_long(context, said)
    if status == 429:
        return ServerNotReadyError(
            f"a gateway at {context.endpoint} {said}: it takes no more calls for now",
            hint="try again later, or raise the gateway's limit of calls",
        )
    if status >= 500:
        return ServerNotReadyError(
            f"a gateway answers at {context.endpoint}, but it reaches no Milvus, or takes no more calls for now "
            f"(HTTP status {status})",
            hint="see whether the Milvus behind it runs, and what the gateway's own log says",
        )
    return NotMilvusError(
        f"{gateway}: {_REASONS.get(status, 'it does not take the call')}", hint=_hint(status, context)
    )


_REASONS = {
    301: "it sends its clients elsewhere",
    302: "it sends its clients elsewhere",
    307: "it sends its clients elsewhere",
    308: "it sends its clients elsewhere",
    413: "it finds the call too large",
}


def _hint(status: int, context: ConnectContext) -> str:
    if status in (301, 302, 307, 308):
        return f"gRPC follows no redirects: name where it leads, {context.remedy('uri=https://HOST:PORT')}"
    if status == 413:
        return "raise the gateway's limit of a call's size (client_max_body_size of nginx)"
    if status == 400 and context.tls is not None:
        # nginx looks at a client certificate in the handshake, and says what it thinks of it to the first call.
        wants = (
            "wants a client certificate (mutual TLS)" if context.tls.cert is None else "refuses the client certificate"
        )
        mutual = context.remedy("ssl.cert=PATH", "ssl.key=PATH")
        return f"if it {wants}, name one that it takes: {mutual}; else see what its own log says"
    return "see what the gateway's own log says, and check the port"


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
