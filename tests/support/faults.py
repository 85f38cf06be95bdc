"""Ports that misbehave, over real sockets: what a healthy server cannot be made to show.

Everything here is below gRPC; servers that speak gRPC and say odd things are in `scripted_grpc`. Each is a context
manager, listens on 127.0.0.1, and closes all its sockets on the way out.
"""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from .certificates import Identity

HOST = "127.0.0.1"
_H2_EMPTY_SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


# --- ports on which nobody answers -----------------------------------------------------------------------------


@contextlib.contextmanager
def refused_port() -> Iterator[int]:
    """Connections are refused. The port stays bound, so nobody else can start listening on it."""
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        yield bound.getsockname()[1]


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """SYN packets are dropped: no connection, no refusal, as behind a firewall."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((HOST, 0))
        listener.listen(0)
        # The kernel drops SYNs once the queue of connections that nobody accepts is full.
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0.1)
            try:
                filler.connect(listener.getsockname())
            except TimeoutError:
                yield listener.getsockname()[1]
                return
        raise RuntimeError("the listen queue does not fill up on this machine")


@contextlib.contextmanager
def never_accepting() -> Iterator[int]:
    """TCP connects (the kernel does that), and no byte ever comes back."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen(512)
        yield listener.getsockname()[1]


# --- a listener with a thread for each connection ---------------------------------------------------------------


class Listener:
    """Accepts, counts, and gives every connection to `talk` in a thread of its own."""

    def __init__(self, talk: Callable[[socket.socket], object], port: int | None = None, host: str = HOST) -> None:
        self._talk = talk
        self._guard = threading.Condition()
        self._open: set[socket.socket] = set()
        self._total = 0
        self._socket = socket.create_server((host, port or 0), backlog=512)
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def connections(self) -> int:
        """How many were accepted so far."""
        return self._total

    def wait_for_connections(self, number: int, timeout: float = 5.0) -> bool:
        with self._guard:
            return self._guard.wait_for(lambda: self._total >= number, timeout)

    def wait_until_idle(self, timeout: float = 5.0) -> bool:
        """Wait until no connection is open; False if some still are."""
        with self._guard:
            return self._guard.wait_for(lambda: not self._open, timeout)

    def drop(self) -> None:
        """Reset every open connection."""
        with self._guard:
            dropped = list(self._open)
        for connection in dropped:
            with contextlib.suppress(OSError):
                reset_on_close(connection)
            _close(connection)

    def close(self) -> None:
        # close() alone would not wake the thread that sits in accept().
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.drop()
        self.wait_until_idle()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with self._guard:
                self._total += 1
                self._open.add(connection)
                self._guard.notify_all()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError):
                self._talk(connection)
        finally:
            _close(connection)
            with self._guard:
                self._open.discard(connection)
                self._guard.notify_all()


def _close(connection: socket.socket) -> None:
    # Wakes the thread that waits in recv(); closing alone would not.
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RD)
    with contextlib.suppress(OSError):
        connection.close()


def listener(
    talk: Callable[[socket.socket], object], port: int | None = None, host: str = HOST
) -> contextlib.AbstractContextManager[Listener]:
    return contextlib.closing(Listener(talk, port, host))


def reset_on_close(connection: socket.socket) -> None:
    """End it with a reset in place of a goodbye."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def until_closed(connection: socket.socket) -> None:
    """Say nothing."""
    while connection.recv(65536):
        pass


def leading_to(target: int) -> Callable[[socket.socket], object]:
    """To another port here."""

    def talk(connection: socket.socket) -> None:
        with socket.create_connection((HOST, target)) as upstream:
            pump_both_ways(connection, upstream)

    return talk


def either(target: int, talk: Callable[[socket.socket], object]) -> Callable[[socket.socket], object]:
    """A port on which gRPC leads to another one, and HTTP/1.1 to this, as a gateway has it."""

    def switch(connection: socket.socket) -> None:
        of_grpc = connection.recv(3, socket.MSG_PEEK).startswith(b"PRI")
        (leading_to(target) if of_grpc else talk)(connection)

    return switch


# --- servers that are slow, or not what they should be ------------------------------------------------------------


@contextlib.contextmanager
def slow_server(seconds: float, forward_to: int | None = None) -> Iterator[Listener]:
    """Accepts at once, then says nothing for some seconds; then it passes on to a port, or closes."""

    over = threading.Event()

    def talk(connection: socket.socket) -> None:
        if not over.wait(seconds) and forward_to is not None:
            leading_to(forward_to)(connection)

    with listener(talk) as opened:
        try:
            yield opened
        finally:
            over.set()


def _speak_http1(connection: socket.socket) -> None:
    status = "200 OK" if connection.recv(65536).startswith(b"GET ") else "400 Bad Request"
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(status)}\r\nConnection: close"
    connection.sendall(f"{head}\r\n\r\n{status}".encode())


def hang_up(connection: socket.socket) -> None:
    """Close only when the other side has: closed with bytes unread, TCP resets, and the last words are lost."""
    connection.shutdown(socket.SHUT_WR)
    connection.settimeout(2)
    until_closed(connection)


def http1_server() -> contextlib.AbstractContextManager[Listener]:
    """A web server from before HTTP/2: 200 to a GET, 400 to everything else, gRPC's preface among it."""

    def talk(connection: socket.socket) -> None:
        _speak_http1(connection)
        hang_up(connection)

    return listener(talk)


def tls_without_h2(
    identity: Identity,
    *,
    client_ca: Path | None = None,
    newest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED,
) -> contextlib.AbstractContextManager[Listener]:
    """An ordinary HTTPS port: no HTTP/2 by ALPN; with `client_ca` it wants a certificate of the client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = newest
    context.load_cert_chain(identity.cert, identity.key)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)

    def talk(connection: socket.socket) -> None:
        with contextlib.suppress(ssl.SSLError), context.wrap_socket(connection.dup(), server_side=True) as secured:
            _speak_http1(secured)
        hang_up(connection)

    return listener(talk)


# --- the attacker --------------------------------------------------------------------------------------------------


class Recorder(Listener):
    """Keeps every byte that anybody sent it."""

    def __init__(self, *, greets: bool) -> None:
        self._received: list[bytes] = []
        self._greets = greets
        super().__init__(self._record)

    def _record(self, connection: socket.socket) -> None:
        if self._greets:
            connection.sendall(_H2_EMPTY_SETTINGS)
        while data := connection.recv(65536):
            self._received.append(data)

    @property
    def received(self) -> bytes:
        return b"".join(self._received)

    def saw(self, secret: str) -> bool:
        """Whether the secret came by: as it is, percent-encoded, or anywhere inside a base64 text."""
        received = self.received
        return any(form in received for form in (secret.encode(), quote(secret, safe="").encode(), *_in_base64(secret)))


def _in_base64(secret: str) -> Iterator[bytes]:
    # The encoding of a part depends on its distance from the beginning, modulo 3; the characters at both ends also
    # depend on the neighbours, so only the inner ones can be looked for.
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + secret.encode()).rstrip(b"=")
        inner = encoded[(0, 2, 3)[shift] : -1]
        if len(inner) >= 4:
            yield inner
            yield inner.translate(bytes.maketrans(b"+/", b"-_"))


def recorder(*, greets: bool = True) -> contextlib.AbstractContextManager[Recorder]:
    """An attacker's port. It greets as an HTTP/2 server would, or no gRPC client would go on to send its metadata."""
    return contextlib.closing(Recorder(greets=greets))


# --- a proxy in front of a real port --------------------------------------------------------------------------------


def tcp_proxy(target: int, port: int | None = None) -> contextlib.AbstractContextManager[Listener]:
    """Passes bytes on, until `drop`."""
    return listener(leading_to(target), port)


def pump_both_ways(left: socket.socket, right: socket.socket) -> None:
    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        # One side is done: so is the other. This wakes the other thread; it must send nothing, lest a reset by
        # `drop` begins with a polite goodbye.
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RD)

    back = threading.Thread(target=pump, args=(right, left), daemon=True)
    back.start()
    pump(left, right)
    back.join()
