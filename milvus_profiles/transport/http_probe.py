"""One GET over a socket of the probes: what a server's HTTP side says, without redirects, cookies or other helpfulness.

It goes the way that gRPC takes (the profile's proxy, or none at all), and neither waits longer nor reads more than it
is told.  What may be sent is for the caller to decide.
"""

from __future__ import annotations

import http.client
import io
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from ..masked import SecretText
from .deadline import Deadline
from .probes import Address, open_socket, set_timeout
from .text import printable

__all__ = ["HTTPAnswer", "http_get"]

_LONGEST_ANSWER = 4 << 20


@dataclass(frozen=True, slots=True)
class HTTPAnswer:
    """What came of a GET.

    Attributes:
        status: the HTTP status; 0 where no HTTP came back.
        body: as much as came in time; it may hold anything.
        failure: why there is no status, in words; empty where there is one.
    """

    status: int
    body: bytes = b""
    failure: str = ""


def http_get(
    address: Address,
    path: str,
    deadline: Deadline,
    *,
    authority: str,
    tls: ssl.SSLContext | None = None,
    server_name: str = "",
    token: SecretText | None = None,
    headers: Mapping[str, str] | None = None,
    longest: int = _LONGEST_ANSWER,
) -> HTTPAnswer:
    """Ask for a path.

    Args:
        address: where to; a proxy that it names is gone through.
        path: what to ask for.
        deadline: when to give up.
        authority: ``host:port``, for the Host header.
        tls: verifies the server; None for plaintext.
        server_name: the name that its certificate must have.
        token: sent as ``Authorization: Bearer``; None sends none.
        headers: further headers.
        longest: bytes of an answer that are read at most.
    """
    opened, reached = open_socket(address, deadline)
    if opened is None:
        return HTTPAnswer(0, failure=reached.detail or reached.status)
    try:
        if tls is not None:
            # From here on `opened` belongs to the wrapper, also where the handshake fails.
            set_timeout(opened, deadline)
            opened = tls.wrap_socket(opened, server_hostname=server_name)
        set_timeout(opened, deadline)
        opened.sendall(_request(path, authority, token, headers or {}))
        said = b""
        try:
            while len(said) < longest:
                set_timeout(opened, deadline)
                if not (data := opened.recv(65_536)):
                    break
                said += data
        except OSError:
            if not said:
                raise
    except TimeoutError:
        return HTTPAnswer(0, failure="no answer in time")
    except OSError as error:
        return HTTPAnswer(0, failure=_words(error))
    finally:
        opened.close()
    return _parsed(said)


def _request(path: str, authority: str, token: SecretText | None, headers: Mapping[str, str]) -> bytes:
    lines = [f"GET {path} HTTP/1.1", f"Host: {authority}", "Accept: */*", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if token is not None:
        lines.append(f"Authorization: Bearer {token.reveal()}")
    try:
        return "\r\n".join([*lines, "", ""]).encode("utf-8")
    finally:
        del lines  # a traceback may show the locals of its frames


class _Received:
    """As much of a socket as http.client asks of one."""

    def __init__(self, said: bytes) -> None:
        self._said = said

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self._said)


def _parsed(said: bytes) -> HTTPAnswer:
    if not said:
        return HTTPAnswer(0, failure="the server closed the connection")
    response = http.client.HTTPResponse(_Received(said))  # type: ignore[arg-type]
    try:
        response.begin()
        body = response.read()
    except http.client.IncompleteRead as error:
        body = error.partial
    except (http.client.HTTPException, ValueError):
        return HTTPAnswer(0, failure="what answers speaks no HTTP/1.1")
    return HTTPAnswer(response.status, body)


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {printable(error.verify_message)}"
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    return printable(reason.replace("_", " ").lower() if reason else error.strerror or "no connection")
