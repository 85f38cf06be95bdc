"""Says what a failed call means: one error class, one sentence and one remedy for each cause that can be told apart.

gRPC has one status for a dozen causes, so the words beside it are read, and where they are ambiguous what the probes
saw decides.  Nothing here waits, connects or raises.  What a server said is quoted escaped, cut, and without the token.

Source of the words: Milvus 2.2 and 2.3 and grpcio 1.66 to 1.85, measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ..channel.grpc_process import grpc
from ..channel.wire import is_compressed, is_oversized, oversized
from ..errors import (
    AuthenticationError,
    ConnectionClosedError,
    ConnectTimeoutError,
    DatabaseNotFoundError,
    MilvusProfilesError,
    NotMilvusError,
    PermissionDeniedError,
    ServerNotReadyError,
    TLSError,
    UnreachableError,
)
from ..masked import READ, as_given, listed, server_text
from ..names import suggest
from ..text import counted, printable
from .causes import (
    GATEWAY_WITHOUT_HTTP2,
    answered_by_gateway,
    client_certificate,
    dead_address,
    distrust_in,
    distrusted,
    explain_tls,
    gateway_refusal,
    no_http2,
    no_path_prefix,
    resolvers_differ,
    speaks_plaintext,
    speaks_tls,
)
from .context import ConnectContext
from .sockets import TCPOutcome
from .tls import ProbeResults

_DATABASE_NOT_FOUND = 800
_NOT_AUTHENTICATED, _NOT_PERMITTED = 1400, 1401
_DATABASE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_SHOWN_NAMES, _COMPARED_NAMES = 8, 1000
_NO_DATABASE = re.compile(r"database not found|database '.*' does not exist|database .* not exist", re.IGNORECASE)
# gRPC's own words, before it sends anything; the status beside them is the one of a refused token.
_WRONG_CALL_HOST = "call host does not match SSL server name"
_CHECK_PORT = "check the port: Milvus takes gRPC on 19530 by default (9091 is for its metrics)"
_NOT_READY = re.compile(r"not ready|not healthy|initializing|starting|standby|abnormal", re.IGNORECASE)


def needs_probes(code: grpc.StatusCode, details: str = "") -> bool:
    """Whether the probes can say more than the status: its words may be ambiguous, or lack names and dates."""
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return details == _WRONG_CALL_HOST
    if answered_by_gateway(details):
        return False
    return code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def refused_here(code: grpc.StatusCode, details: str, context: ConnectContext, method: str) -> NotMilvusError | None:
    """The error for an answer that this side does not take, whatever is in it; None for every other end of a call."""
    if is_oversized(code, details):
        return not_milvus(context, oversized(method))
    if is_compressed(details):
        return not_milvus(context, f"its answer to {method} is compressed, which nobody asked for")
    return None


def classify(
    code: grpc.StatusCode,
    details: str,
    context: ConnectContext,
    *,
    method: str = "Connect",
    results: ProbeResults | None = None,
    opening: bool = True,
) -> MilvusProfilesError:
    """The error for a call that ended with a gRPC status and the words beside it.

    ``results`` is what the probes saw afterwards, None where nobody looked; ``opening`` says whether the connection was
    being opened: else it was open, and in use.
    """
    said, details = server_text(details, context.token), details[:READ]
    if (refusal := refused_here(code, details, context, method)) is not None:
        return refusal
    if (by_gateway := gateway_refusal(details, context)) is not None:
        return by_gateway
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return _misnamed(details, context, results) or _unauthenticated(details, said, context)
    if code is grpc.StatusCode.PERMISSION_DENIED:
        return _denied(context, method, said)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return not_milvus(context, said)
    if code is grpc.StatusCode.CANCELLED:
        when = "while it was being opened" if opening else "before the call ended"
        return ConnectionClosedError(f"the connection was closed {when}", hint="connect again")
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return _unavailable(code, details, said, context, results)
    if _STRANGE_ANSWER.search(details):
        return not_milvus(context, said)
    return _failing(context, method, f"{code.name} {said}")


def classify_body(code: int, reason: str, context: ConnectContext, *, method: str) -> MilvusProfilesError:
    """The error for a call that gRPC carried and whose answer says that it failed, by a code that is not 0."""
    said, reason = server_text(reason, context.token), reason[:READ]
    if code == _DATABASE_NOT_FOUND or _NO_DATABASE.search(reason):
        return no_such_database(context, said=said)
    if code == _NOT_AUTHENTICATED:
        return _unauthenticated(reason, said, context)
    if code == _NOT_PERMITTED:
        return _denied(context, method, said)
    if _NOT_READY.search(reason):
        return _not_ready(context, said)
    return _failing(context, method, f"code {code}, {said}")


def _denied(context: ConnectContext, method: str, said: str) -> PermissionDeniedError:
    return PermissionDeniedError(
        f"the server at {context.endpoint} denies {method} to this user: {said}",
        hint="ask for the privilege, or connect as another user",
    )


def _failing(context: ConnectContext, method: str, words: str) -> ServerNotReadyError:
    return ServerNotReadyError(
        f"the server at {context.endpoint} fails at {method}: {words}", hint="see what its own log says"
    )


def no_such_database(context: ConnectContext, names: Sequence[str] = (), said: str = "") -> DatabaseNotFoundError:
    """The database that was named is not there, or the server finds none for a profile that names none.

    ``names`` are those that are there, as far as the server tells; ``said`` are its words, made fit to be shown.
    """
    if (wanted := context.profile.db_name) is None:
        return DatabaseNotFoundError(
            f"the server at {context.endpoint} finds no database, and the profile names none"
            + (f": {said}" if said else ""),
            hint=f"name one: {context.database_remedy('NAME')}",
        )
    spelled = suggest(wanted, names[:_COMPARED_NAMES])
    near = spelled or (names[0] if len(names) == 1 else None)
    # Where another spelling is likely, a database was meant.
    prefix = None if spelled else no_path_prefix(context)
    there = f"; it has {listed(names, _SHOWN_NAMES, token=context.token)}" if names else ""
    return DatabaseNotFoundError(
        f"the server at {context.endpoint} has no database {as_given(wanted)!r}{there}",
        # What a server says goes into a command only if it is as plain as Milvus's own rule for names asks.
        hint=(
            f"did you mean {near}? {context.database_remedy(near)}"
            if near is not None and _DATABASE_NAME.fullmatch(near) and server_text(near, context.token) == near
            else f"create it, or name another one: {context.database_remedy('NAME')}"
        )
        + (f"; {prefix}" if prefix else ""),
    )


def not_milvus(context: ConnectContext, said: str = "") -> NotMilvusError:
    """Something speaks gRPC, or HTTP/2 at least, and knows nothing of Milvus."""
    words = f" ({said})" if said else ""
    return NotMilvusError(
        f"what answers at {context.endpoint} is not a Milvus{words}",
        hint=_CHECK_PORT,
    )


def _misnamed(details: str, context: ConnectContext, results: ProbeResults | None) -> TLSError | None:
    """The certificate has the name as gRPC looks for it in the handshake, and not as it does for each call."""
    if context.tls is None or details != _WRONG_CALL_HOST:
        return None
    seen = None if results is None else results.tls
    if seen is not None and seen.status == "trusted":
        return None  # a server can say these words too
    return distrusted("wrong host", context, None if seen is None else seen.certificate)


def _unauthenticated(details: str, said: str, context: ConnectContext) -> AuthenticationError:
    where = context.endpoint
    if context.token is None or "missing authorization" in details:
        return AuthenticationError(
            f"the server at {where} wants a token or a password, and there is none",
            hint=context.first_secret(),
        )
    remedy = context.secret_remedy()
    if "api key" in details:
        return AuthenticationError(
            f"the server at {where} does not accept the token, which it takes for an API key since it has no colon",
            hint=f"{remedy}; a Milvus of one's own takes user:password",
        )
    if "username and password" in details:
        return AuthenticationError(f"the server at {where} does not accept the user and the password", hint=remedy)
    return AuthenticationError(f"the server at {where} does not accept the token: {said}", hint=remedy)


def _not_ready(context: ConnectContext, said: str) -> ServerNotReadyError:
    words = f": {said}" if said else ""
    return ServerNotReadyError(
        f"the Milvus at {context.endpoint} is not ready yet{words}",
        hint=f"wait until it has started{context.again()}",
    )


# --- UNAVAILABLE and DEADLINE_EXCEEDED: the words, and then what was seen ---------------------------------------------


def _refused(context: ConnectContext, _said: str) -> MilvusProfilesError:
    if context.route.tunnel is not None:
        return UnreachableError(
            f"the proxy {context.route.host}:{context.route.port} refuses connections",
            hint=f"is it running? {context.remedy('proxy=http://HOST:PORT')} names another one",
        )
    return UnreachableError(
        f"{context.endpoint} refuses connections",
        hint="is the server running, and is the port right? Milvus listens on 19530 by default",
    )


def _unresolved(context: ConnectContext, said: str) -> MilvusProfilesError:
    error = UnreachableError(
        f"the host name {context.route.host!r} cannot be resolved: {said}",
        hint="check its spelling, and the network's name server",
    )
    error.stage = "dns"
    return error


def _web_server(context: ConnectContext, said: str) -> MilvusProfilesError:
    status = re.search(r"(?:HTTP status |^HTTP/1\.\d )(\d{3})", said)
    return NotMilvusError(
        f"a web server answers at {context.endpoint}, not a Milvus{f' (HTTP status {status[1]})' if status else ''}",
        hint=f"{_CHECK_PORT}; {GATEWAY_WITHOUT_HTTP2}",
    )


def _bad_files(context: ConnectContext, _said: str) -> MilvusProfilesError:
    return TLSError(
        f"gRPC cannot use the TLS files that are given for {context.endpoint}",
        hint="see that ssl.ca, ssl.cert and ssl.key are PEM files and that the key is the certificate's",
    )


def _no_way(context: ConnectContext, said: str) -> MilvusProfilesError:
    return UnreachableError(f"{context.endpoint} cannot be reached: {said}", hint="check the address and the network")


def _proxy_refused(context: ConnectContext, said: str) -> MilvusProfilesError:
    proxy = f"{context.route.host}:{context.route.port}"
    return UnreachableError(
        f"the proxy {proxy} does not connect to {context.endpoint}: {said}",
        hint=f"see whether it lets CONNECT through, or name another one: {context.remedy('proxy=http://HOST:PORT')}",
    )


_STRANGE_ANSWER = re.compile(
    r"No status received|Data frame with END_STREAM flag|invalid value 'Content-Type'|content-type"
    r"|Error parsing '[\w:-]+' metadata"
    # Of HTTP/1 what was seen says more: it may be the answer of a port of TLS.
    r"|metadata size exceeds|Failed parsing HTTP/2(?!.*http1\.x server)|Illegal header key",
    re.IGNORECASE,
)

_Explain = Callable[[ConnectContext, str], MilvusProfilesError]

# Words that have one meaning only.  The first that is found counts.
_CLEAR: dict[str | re.Pattern[str], _Explain] = {
    "is not ready|not ready yet": _not_ready,
    _STRANGE_ANSWER: not_milvus,
    "Failed to create security handshaker": _bad_files,
    "HTTP proxy returned response code": _proxy_refused,
}
# Words that the probes can say better, or that have more than one meaning.
_LIKELY: dict[str | re.Pattern[str], _Explain] = {
    # Behind this may also be a port of TLS: nginx answers plaintext there as a web server does.
    "http1.x server": _web_server,
    "missing selected ALPN|ALERT_NO_APPLICATION_PROTOCOL": lambda context, _: no_http2(context),
    "WRONG_VERSION_NUMBER": lambda context, _: speaks_plaintext(context),
    "Unwrap failed": lambda context, _: client_certificate(context),
    "SSL_ERROR|Tls handshake failed": lambda context, said: TLSError(
        f"the TLS handshake with {context.endpoint} failed: {said}", hint="see what the server's own log says"
    ),
    "Connection refused": _refused,
    "errors resolving|DNS|name resolution|lookup failed": _unresolved,
    "No such file|unreachable|No route|timed out|connect failed": _no_way,
}


_IN_TLS = re.compile("Tls handshake|SSL_ERROR|Unwrap failed|Verification|Cannot check peer")


def _meaning(table: dict[str | re.Pattern[str], _Explain], details: str) -> _Explain | None:
    return next((explain for pattern, explain in table.items() if re.search(pattern, details)), None)


def _unavailable(
    code: grpc.StatusCode, details: str, said: str, context: ConnectContext, results: ProbeResults | None
) -> MilvusProfilesError:
    if (explain := _meaning(_CLEAR, details)) is not None:
        return explain(context, said)
    if results is not None and results.address is None and _IN_TLS.search(details):
        results = None  # gRPC's own resolver leads to a server, and only the system's to none
    if results is not None and (error := _seen(results, context, details)) is not None:
        return error
    if results is not None and (differing := resolvers_differ(details, context, results)) is not None:
        return differing
    if (distrust := distrust_in(details)) is not None:
        return distrusted(distrust, context, detail=said)
    seen = None if results is None else results.tls
    if seen is not None and seen.status == "unexamined" and seen.protocol is not None:
        # There was a handshake, with a certificate that cannot be read.
        return distrusted("other", context, detail=seen.detail)
    if (explain := _meaning(_LIKELY, details)) is not None:
        return explain(context, said)
    if results is not None:
        if code is grpc.StatusCode.DEADLINE_EXCEEDED and len(results.attempts) > 1:
            return dead_address(context, results)
        # HTTP/2 is spoken there, so what is missing is the Milvus behind it.
        words = "does not answer calls yet" if code is grpc.StatusCode.DEADLINE_EXCEEDED else f"hung up: {said}"
        return ServerNotReadyError(
            f"the server at {context.endpoint} accepts connections, but it {words}",
            hint="it may still be starting, or be overloaded: try again, or raise `timeout`",
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return ConnectTimeoutError(
            f"{context.endpoint} did not answer within {counted(context.profile.timeout, 'second')}",
            hint=f"check host, port and firewall, or give it more time: {context.remedy('timeout=30')}",
        )
    return UnreachableError(
        f"the server at {context.endpoint} is unavailable: {said}",
        hint="see whether it runs, and what its own log says",
    )


def _seen(results: ProbeResults, context: ConnectContext, details: str) -> MilvusProfilesError | None:
    """What the probes say by themselves; None where all that they looked at is in order."""
    if results.resolution.failure is not None:
        return _unresolved(context, printable(results.resolution.failure))
    if results.address is None:
        return _unconnected(results.attempts, context)
    if results.plaintext is not None:
        if results.plaintext.speaks == "tls" or (results.tls is not None and results.tls.speaks_tls):
            return speaks_tls(context)
        if results.plaintext.speaks == "http1":
            return _web_server(context, results.plaintext.detail)
        speaks: str = results.plaintext.speaks
    else:
        if results.tls is None:
            return None
        if (error := explain_tls(results.tls, context)) is not None:
            return error
        speaks = "http2" if results.tls.answers_http2 else results.tls.status
    # A gateway that reaches no server hangs up when it has tried for some seconds, which the look does not wait for.
    if speaks == "silent" and "Socket closed" not in details:
        return ConnectTimeoutError(
            f"{context.endpoint} accepts the connection and then says nothing",
            hint="the server hangs, or something else listens there: check the port, and the server",
        )
    if speaks in ("closed", "other", "silent"):
        words = "speaks neither HTTP nor TLS" if speaks == "other" else "closes every connection"
        return UnreachableError(
            f"{context.endpoint} {words}",
            hint="check the port, and the server's own log; a gateway does so whose server is down",
        )
    return None


def _unconnected(outcomes: tuple[TCPOutcome, ...], context: ConnectContext) -> MilvusProfilesError | None:
    statuses = {outcome.status for outcome in outcomes}
    if "proxy" in statuses:
        return _proxy_refused(context, next(outcome.detail for outcome in outcomes if outcome.status == "proxy"))
    if statuses == {"refused"}:
        return _refused(context, "")
    if "timeout" in statuses:
        return ConnectTimeoutError(
            f"{context.endpoint} does not answer: no TCP connection in time",
            hint="a firewall may drop the packets: check host and port",
        )
    return _no_way(context, outcomes[-1].detail) if outcomes else None
