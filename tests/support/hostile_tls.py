"""TLS servers that an attacker would run: over real sockets, with the server side of OpenSSL or by hand."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
from collections.abc import Callable, Iterable

from . import faults
from .certificates import Identity
from .faults import Listener

Talk = Callable[[socket.socket], object]

ALERT, HANDSHAKE, CHANGE_CIPHER, DATA = 0x15, 0x16, 0x14, 0x17
_PIECE = 65_536


def server_context(identity: Identity, *, newest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED) -> ssl.SSLContext:
    """A server that offers HTTP/2 and takes every key, however weak."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = newest
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(identity.cert, identity.key)
    context.set_alpn_protocols(["h2"])
    return context


def in_front_of(target: int, identity: Identity) -> contextlib.AbstractContextManager[Listener]:
    """A port with TLS that leads to one without: any certificate that OpenSSL can load, before any server."""
    return inside_tls(identity, faults.leading_to(target))


def record(kind: int, content: bytes) -> bytes:
    return bytes([kind, 3, 3]) + len(content).to_bytes(2, "big") + content


# --- what is said in place of a handshake ---------------------------------------------------------------------------


def saying(said: bytes) -> Talk:
    """These bytes after the client's first word, and the end."""

    def talk(connection: socket.socket) -> None:
        connection.recv(_PIECE)
        connection.sendall(said)
        faults.hang_up(connection)

    return talk


def flooding(pieces: Callable[[], Iterable[bytes]], *, greeting: bytes = b"") -> Talk:
    """As much as the client takes."""

    def talk(connection: socket.socket) -> None:
        connection.recv(_PIECE)
        connection.sendall(greeting)
        for piece in pieces():
            connection.sendall(piece)

    return talk


def dripping(said: bytes, *, wait: float = 0.05) -> Talk:
    """A byte at a time, for ever: when all is said, it begins anew."""

    def talk(connection: socket.socket) -> None:
        connection.settimeout(wait)
        for byte in itertools.cycle(said):
            connection.sendall(bytes([byte]))
            with contextlib.suppress(TimeoutError):
                # Sleeping, but woken when the client has gone.
                if not connection.recv(_PIECE):
                    return

    return talk


def breaking_off(identity: Identity, after: int, *, newest: ssl.TLSVersion, drip: bool = False) -> Talk:
    """A proper handshake of which only so many bytes are sent; then the connection ends, or drips on."""

    def talk(connection: socket.socket) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = server_context(identity, newest=newest).wrap_bio(incoming, outgoing, server_side=True)
        left = after
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                session.do_handshake()
            said = outgoing.read()
            connection.sendall(said[:left])
            left -= len(said)
            if left <= 0:
                break
            if not (heard := connection.recv(_PIECE)):
                return
            incoming.write(heard)
        if drip:
            dripping(b"\0")(connection)
        else:
            faults.hang_up(connection)

    return talk


def inside_tls(identity: Identity, talk: Talk) -> contextlib.AbstractContextManager[Listener]:
    """A proper handshake, and then this."""
    context = server_context(identity)

    def secured(connection: socket.socket) -> None:
        with contextlib.suppress(ssl.SSLError), context.wrap_socket(connection.dup(), server_side=True) as stream:
            talk(stream)

    return faults.listener(secured)
