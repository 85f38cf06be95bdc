"""Looks at a server from below gRPC: name resolution, TCP, and what a plaintext port answers to HTTP/2.

gRPC reports most troubles of these layers in the same words; a probe goes one layer at a time and says what it saw, as
a frozen outcome with its time.  Used when a connect fails and by the staged diagnosis alike; TLS is in ``tls``.  No
probe sends a secret, and none outlives its deadline.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..background import Deadline, Pending
from ..endpoint import Endpoint, is_numeric, parse_address
from ..text import printable

PIECE = 16_384
"""Bytes that are read at once, at most."""


class Stream:
    """A connection, which remains the caller's to close; whoever is at the other end may drip, or never stop.

    Every method raises OSError where the connection breaks or the time is over (TimeoutError).
    """

    def __init__(self, opened: socket.socket, deadline: Deadline) -> None:
        self.deadline = deadline
        self._opened = opened

    def _in_time(self) -> socket.socket:
        if not (remaining := self.deadline.remaining):
            raise TimeoutError
        self._opened.settimeout(remaining)
        return self._opened

    def connect(self, address: tuple[str, int] | str) -> None:
        self._in_time().connect(address)

    def send(self, data: bytes) -> None:
        self._in_time().sendall(data)

    def receive(self, longest: int = PIECE) -> bytes:
        """What has come, at least a byte; empty at the end of the connection."""
        return self._in_time().recv(min(longest, PIECE))

    def receive_at_least(self, enough: int) -> bytes:
        """So many bytes and little more; less where the connection ends before."""
        said = b""
        while len(said) < enough and (data := self.receive()):
            said += data
        return said


PROXY_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
"""What gRPC would take a proxy from, in its order; a channel of ours takes only the profile's."""

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HTTP2_EMPTY_SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
HTTP2_HELLO = HTTP2_PREFACE + _HTTP2_EMPTY_SETTINGS
"""What every HTTP/2 client says first; a server answers with its own SETTINGS."""
FRAME_HEADER = 9
_SETTINGS, _GOAWAY = 0x04, 0x07
_TLS_RECORDS = (0x15, 0x16)
_LONGEST_PROXY_ANSWER = 16_384
_MOST_ADDRESSES = 16


@dataclass(frozen=True, slots=True)
class Route:
    """Where sockets lead: to the server itself (by ``path`` to a Unix socket), or to a proxy that leads there.

    Attributes:
        host: what the name resolution is asked; empty for a Unix socket.
        tunnel: ``host:port`` that the HTTP proxy at ``host`` is asked for; None without a proxy.
    """

    host: str
    port: int
    path: str = ""
    tunnel: str | None = None


@dataclass(frozen=True, slots=True)
class SocketAddress:
    """One address of a route: numeric, or the path of a Unix socket, whose port is 0."""

    family: int
    host: str
    port: int = 0
    tunnel: str | None = None

    def __str__(self) -> str:
        if not self.port:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Resolution:
    """What the name resolution said of a host: its addresses, or why it failed."""

    host: str
    addresses: tuple[SocketAddress, ...] = ()
    failure: str | None = None


_Status = Literal["connected", "refused", "timeout", "unreachable", "proxy"]


@dataclass(frozen=True, slots=True)
class TCPOutcome:
    """What became of one attempt to open a connection, with the system's or the proxy's words.

    ``"unreachable"`` is any error of the network but refusal and silence; ``"proxy"`` means that the proxy answered and
    did not connect on.
    """

    address: SocketAddress
    status: _Status
    detail: str
    seconds: float

    @property
    def is_connected(self) -> bool:
        return self.status == "connected"

    @property
    def words(self) -> str:
        return "answered" if self.is_connected else self.detail or self.status


Speaks = Literal["http2", "http1", "tls", "silent", "closed", "other", "unreachable"]
"""What a port answers to an HTTP/2 client that speaks plaintext: ``"http1"`` is a web server, ``"tls"`` a TLS record,
``"silent"`` nothing in time, ``"closed"`` the end of the connection, as TLS servers do that take the preface for
garbage, and ``"unreachable"`` says that there was no connection."""


@dataclass(frozen=True, slots=True)
class PlaintextOutcome:
    """What a port spoke, with the first line of what a web server said, or the system's words."""

    speaks: Speaks
    detail: str = ""


# --- the way -----------------------------------------------------------------------------------------------------


def route_to(
    endpoint: Endpoint,
    *,
    lite_port: int | None = None,
    proxy: str | None = None,
    env: Mapping[str, str] = os.environ,
) -> Route:
    """The way to an endpoint, as gRPC takes it: Milvus Lite's is its port, others may have the profile's proxy."""
    if endpoint.kind == "unix":
        return Route("", 0, path=endpoint.path)
    if endpoint.kind == "lite":
        return Route("127.0.0.1", lite_port or 0)
    if proxy is not None and proxy_in_force(endpoint.host, env):
        way = parse_address(proxy)
        return Route(way.host, way.port, tunnel=endpoint.authority)
    return Route(endpoint.host, endpoint.port)


def proxy_in_force(host: str, env: Mapping[str, str] = os.environ) -> bool:
    """Whether gRPC takes the proxy to this host: not where ``no_grpc_proxy``, else ``no_proxy`` (lower case) names it.

    An entry is the end of a host name, or a network in CIDR notation; ``*`` has no meaning (gRPC's own rules).
    """
    exceptions = env.get("no_grpc_proxy", env.get("no_proxy", ""))
    return not any(_covers(entry.strip().lower(), host) for entry in exceptions.split(",") if entry.strip())


def _covers(entry: str, host: str) -> bool:
    if "/" in entry:
        try:
            return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    return host.endswith(entry)


# --- name resolution -----------------------------------------------------------------------------------------------


def resolve(route: Route, deadline: Deadline) -> Resolution:
    """The addresses of a route; the system's resolver knows no time limit, and runs in a thread that is left behind."""
    if route.path:
        if sys.platform == "win32":
            return Resolution(route.host, failure="Python has no Unix sockets on Windows")
        return Resolution(route.host, (SocketAddress(socket.AF_UNIX, route.path),))
    if is_numeric(route.host):
        return look_up_numeric(route)
    pending: Pending[Resolution]
    pending = Pending(
        lambda: _look_up(route),
        lambda error: Resolution(route.host, failure=type(error).__name__),
        "milvus-profiles resolve",
    )
    try:
        return pending.wait(deadline.remaining)
    except TimeoutError:
        return Resolution(route.host, failure="no answer in time")


def look_up_numeric(route: Route) -> Resolution:
    """The address of a route whose host is one; nobody is asked."""
    return _look_up(route, ascii_only=True)


def _look_up(route: Route, *, ascii_only: bool = False) -> Resolution:
    try:
        # From text Python makes a name for the DNS, with the tables of Unicode that it has to load for that.
        host = route.host.encode("ascii") if ascii_only else route.host
        found = socket.getaddrinfo(host, route.port, type=socket.SOCK_STREAM)
    except OSError as error:
        return Resolution(route.host, failure=error.strerror or "unknown host")
    except UnicodeError:
        return Resolution(route.host, failure="not a host name")
    addresses = (SocketAddress(family, str(place[0]), route.port, route.tunnel) for family, _, _, _, place in found)
    return Resolution(route.host, tuple(dict.fromkeys(addresses))[:_MOST_ADDRESSES])


# --- TCP -------------------------------------------------------------------------------------------------------------


def connect_tcp(address: SocketAddress, deadline: Deadline) -> TCPOutcome:
    """Open a connection, through the proxy if there is one, and close it."""
    connection, outcome = open_socket(address, deadline)
    if connection is not None:
        connection.close()
    return outcome


def connect_first(addresses: tuple[SocketAddress, ...], deadline: Deadline) -> tuple[TCPOutcome, ...]:
    """Try the addresses in turn; each gets its share of the time, and only the last outcome can be a connection."""
    outcomes: list[TCPOutcome] = []
    for tried, address in enumerate(addresses):
        share = deadline.remaining / (len(addresses) - tried)
        outcomes.append(connect_tcp(address, deadline.sooner(share)))
        if outcomes[-1].is_connected:
            break
    return tuple(outcomes)


def open_socket(address: SocketAddress, deadline: Deadline) -> tuple[socket.socket | None, TCPOutcome]:
    """Open a connection, through the proxy if there is one; the caller closes it."""
    began = deadline.clock()
    opened: socket.socket | None = None
    refusal: str | OSError | None
    try:
        # Which may fail too: a kernel without IPv6, too many open files.
        opened = socket.socket(address.family, socket.SOCK_STREAM)
        refusal = _connect(Stream(opened, deadline), address)
    except OSError as error:
        refusal = error.with_traceback(None)  # which would hold this frame, and that all of its callers
    except BaseException:
        if opened is not None:
            opened.close()
        raise
    outcome = outcome_of(address, refusal, deadline.clock() - began)
    if opened is not None and not outcome.is_connected:
        opened.close()
        opened = None
    return opened, outcome


def outcome_of(address: SocketAddress, refusal: str | OSError | None, seconds: float) -> TCPOutcome:
    """What became of an attempt, by the system's error or the proxy's words; None where it came about."""
    status: _Status
    if refusal is None:
        status, detail = "connected", ""
    elif isinstance(refusal, str):
        status, detail = "proxy", refusal
    elif isinstance(refusal, TimeoutError):  # ours, or the kernel's own, which can come sooner
        status, detail = "timeout", "no answer in time"
    elif isinstance(refusal, ConnectionRefusedError):
        status, detail = "refused", refusal.strerror or ""
    else:
        status, detail = "unreachable", refusal.strerror or str(refusal)
    return TCPOutcome(address, status, detail, seconds)


def _connect(stream: Stream, address: SocketAddress) -> str | None:
    """Connect; return why the proxy did not go on, if there is one and it did not."""
    stream.connect((address.host, address.port) if address.port else address.host)
    if address.tunnel is None:
        return None
    stream.send(f"CONNECT {address.tunnel} HTTP/1.1\r\nHost: {address.tunnel}\r\n\r\n".encode())
    answer = b""
    # Byte by byte: what follows the answer belongs to the server behind the proxy.
    while not answer.endswith(b"\r\n\r\n") and len(answer) < _LONGEST_PROXY_ANSWER:
        if not (byte := stream.receive(1)):
            return "the proxy closed the connection"
        answer += byte
    version, _, status = first_line(answer).partition(" ")
    if not version.startswith("HTTP/1."):
        return "what answered is not an HTTP proxy"
    return None if status.startswith("2") else status


def first_line(data: bytes) -> str:
    """The first line of what a server said, fit to be shown."""
    return printable(data.split(b"\r\n", 1)[0].decode("latin-1"))[:100]


# --- HTTP/2 without TLS ----------------------------------------------------------------------------------------------


def probe_plaintext(address: SocketAddress, deadline: Deadline) -> PlaintextOutcome:
    """Greet a port that connects as an HTTP/2 client without TLS would, and see what it speaks."""
    opened, reached = open_socket(address, deadline)
    if opened is None:
        return PlaintextOutcome("unreachable", reached.detail)
    with opened:
        stream = Stream(opened, deadline)
        try:
            stream.send(HTTP2_HELLO)
            said = stream.receive_at_least(FRAME_HEADER)
        except TimeoutError:
            return PlaintextOutcome("silent")
        except OSError as error:
            return PlaintextOutcome("closed", error.strerror or "")
    if not said:
        return PlaintextOutcome("closed")
    if said.startswith(b"HTTP/"):
        return PlaintextOutcome("http1", first_line(said))
    if is_http2(said):
        return PlaintextOutcome("http2")
    return PlaintextOutcome("tls" if said[0] in _TLS_RECORDS and said[1:2] == b"\x03" else "other")


def is_http2(said: bytes) -> bool:
    """Whether a server's first bytes are an HTTP/2 frame that a server may begin with."""
    # RFC 9113, 3.4 and 4.1: length (3), type, flags, stream (4, zero for these types).
    return len(said) >= FRAME_HEADER and said[3] in (_SETTINGS, _GOAWAY) and said[5:9] == bytes(4)
