"""One GET over a socket of the probes: what a server's HTTP side says, without redirects, cookies or other helpfulness.

It goes the way that gRPC takes (the profile's proxy, or none at all), and neither waits longer nor reads more than it
is told.  What may be sent is for the caller to decide; whatever comes back ends in an answer.
"""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass

from ..background import Deadline
from ..masked import SecretText
from ..text import printable
from .sockets import SocketAddress, open_socket
from .stream import BoundedFile, Stream
from .tls_stream import TLSStream, words_of

__all__ = ["HTTPAnswer", "http_get"]

_LONGEST_HEAD = 65_536
_LONGEST_BODY = 65_536


@dataclass(frozen=True, slots=True)
class HTTPAnswer:
    """What came of a GET: the beginning of a body, which may hold anything; or a status of 0, and why in words."""

    status: int
    body: bytes = b""
    failure: str = ""


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

    Args:
        authority: ``host:port``, for the Host header.
        tls: verifies the server, which must have ``server_name``; None for plaintext.
        token: sent as ``Authorization: Bearer``; None sends none.
        longest: bytes of a body that are read at most.
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
