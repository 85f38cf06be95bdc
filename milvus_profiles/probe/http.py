"""One GET over a socket of the probes, and the web consoles that are found by it.

It goes the way that gRPC takes (the profile's proxy, or none at all), and neither waits longer nor reads more than it
is told.  What may be sent is for the caller to decide; whatever comes back ends in an answer.

Consoles are Zilliz Cloud's own, Attu beside a server, and Milvus's WebUI.  They are known by the titles of their pages:
``Attu``, and ``Milvus WebUI`` or ``Milvus Management`` from Milvus 2.5 on (``internal/http/webui/index.html`` of its
sources), below ``/webui/`` of the management port.  Attu listens on 3000, which its documentation publishes as 8000.
"""

from __future__ import annotations

import http.client
import io
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ..background import Deadline
from ..endpoint import is_zilliz_cloud
from ..masked import SecretText
from ..text import printable
from .sockets import SocketAddress, Stream, open_socket, route_to
from .tls import reach
from .tls_stream import TLSStream, words_of

if TYPE_CHECKING:
    from ..profile import Profile

_LONGEST_HEAD = 65_536
_LONGEST_BODY = 65_536


@dataclass(frozen=True, slots=True)
class HTTPAnswer:
    """What came of a GET: the beginning of a body, which may hold anything; or a status of 0, and why in words."""

    status: int
    body: bytes = b""
    failure: str = ""


class BoundedFile(io.RawIOBase):
    """The reading side of a stream, as much of a socket as ``http.client`` asks of one.

    After so many bytes the connection looks as if it had ended.
    """

    def __init__(self, stream: Stream, longest: int) -> None:
        self._stream = stream
        self._left = longest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """As of a file; 0 at the end, or where the limit is reached."""
        room = memoryview(buffer)[: self._left]
        data = self._stream.receive(len(room)) if room else b""
        room[: len(data)] = data
        self._left -= len(data)
        return len(data)

    def makefile(self, *_: object) -> io.BufferedReader:
        return io.BufferedReader(self)


def http_get(
    address: SocketAddress,
    path: str,
    deadline: Deadline,
    *,
    authority: str,
    tls: ssl.SSLContext | None = None,
    server_name: str = "",
    token: SecretText | None = None,
    longest: int = _LONGEST_BODY,
) -> HTTPAnswer:
    """Ask for a path; a proxy that the address names is gone through.

    With TLS the server must have ``server_name``.  A token goes as ``Authorization: Bearer``, the authority
    (``host:port``) as ``Host``; of a body so many bytes are read.
    """
    opened, reached = open_socket(address, deadline)
    if opened is None:
        return HTTPAnswer(0, failure=reached.words)
    with opened:
        try:
            stream = Stream(opened, deadline)
            if tls is not None:
                stream = secured = TLSStream(opened, deadline, tls, server_name)
                secured.handshake()
            stream.send(_request(path, authority, token))
            return _answer(BoundedFile(stream, _LONGEST_HEAD + longest), longest)
        except Exception as error:
            return HTTPAnswer(0, failure=_words(error))


def _request(path: str, authority: str, token: SecretText | None) -> bytes:
    lines = [f"GET {path} HTTP/1.1", f"Host: {authority}", "Accept: */*", "Connection: close"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token.reveal()}")
    try:
        return "\r\n".join([*lines, "", ""]).encode("utf-8")
    finally:
        del lines  # a traceback may show the locals of its frames


def _answer(received: BoundedFile, longest: int) -> HTTPAnswer:
    response = http.client.HTTPResponse(received, method="GET")  # type: ignore[arg-type]
    with response:
        response.begin()
        try:
            return HTTPAnswer(response.status, response.read(longest))
        except http.client.IncompleteRead as error:
            return HTTPAnswer(response.status, error.partial[:longest])
        except Exception:
            # A length of twenty digits, a chunk without end, silence: the status counts all the same.
            return HTTPAnswer(response.status)


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.RemoteDisconnected):
        return "the server closed the connection"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {printable(error.verify_message)}"
    if isinstance(error, OSError):
        return printable(words_of(error) or "no connection")
    # Not in the error's own words, which quote the server.
    return "what answers speaks no HTTP/1.1"


# --- web consoles -----------------------------------------------------------------------------------------------------

ConsoleName = Literal["zilliz", "attu", "webui"]

NAMES: dict[ConsoleName, str] = {"zilliz": "Zilliz Cloud", "attu": "Attu", "webui": "Milvus WebUI"}
"""What each is called, for people."""

_ATTU_PORTS = (8000, 3000)
_TITLES: dict[ConsoleName, re.Pattern[bytes]] = {
    "attu": re.compile(rb"<title>\s{0,40}attu\b", re.IGNORECASE),
    "webui": re.compile(rb"<title>\s{0,40}milvus\b", re.IGNORECASE),
}
_SHARE = 1.0
"""Seconds at most for each of them."""

_CLOUD, _CLOUD_OF_CHINA = "https://cloud.zilliz.com/", "https://cloud.zilliz.com.cn/"


@dataclass(frozen=True, slots=True)
class Console:
    """A place where a console was looked for, and what was seen there, in words; the address holds no secret."""

    name: ConsoleName
    url: str
    found: bool
    detail: str


def zilliz_cloud(host: str) -> str | None:
    """The console of Zilliz Cloud for one of its clusters; None for any other host."""
    if not is_zilliz_cloud(host):
        return None
    return _CLOUD_OF_CHINA if host.endswith(".cn") else _CLOUD


def find_consoles(profile: Profile, env: Mapping[str, str]) -> tuple[Console, ...]:
    """Look for each console that the server of a profile may have, the one for people to use first.

    No secret is sent.  Each look has a second at most; Zilliz Cloud's console is known without one.
    """
    endpoint = profile.endpoint
    if endpoint.kind != "tcp":
        return ()
    if (cloud := zilliz_cloud(endpoint.host)) is not None:
        return (Console("zilliz", cloud, True, "the address is one of Zilliz Cloud"),)
    places: list[tuple[ConsoleName, int, str]] = [("attu", port, "/") for port in _ATTU_PORTS]
    places.append(("webui", profile.management_port, "/webui/"))
    return tuple(_look(profile, env, *place) for place in places)


def _look(profile: Profile, env: Mapping[str, str], name: ConsoleName, port: int, path: str) -> Console:
    endpoint = replace(profile.endpoint, port=port, tls=False)
    url, deadline = f"{endpoint.uri}{path}", Deadline.after(_SHARE)
    reached = reach(route_to(endpoint, proxy=profile.proxy, env=env), deadline)
    if reached.address is None:
        said = reached.attempts[-1].words if reached.attempts else "the host name cannot be resolved"
        return Console(name, url, False, said)
    answer = http_get(reached.address, path, deadline, authority=endpoint.authority)
    if answer.status == 200 and _TITLES[name].search(answer.body):
        return Console(name, url, True, "answers")
    if not answer.status:
        return Console(name, url, False, answer.failure)
    other = "a page of something else" if answer.status == 200 else f"HTTP status {answer.status}"
    return Console(name, url, False, f"{other}; Milvus has it from 2.5 on" if name == "webui" else other)
