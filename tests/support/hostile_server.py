"""A server that speaks HTTP/2 and gRPC to do harm: what a client must survive, over real sockets.

`h2` keeps the state of a connection and answers what has to be answered; what is hostile is sent past it, frame by
frame. A behaviour is a function of one connection; `hostile_server` gives every connection to it in a thread of its
own, with TLS where an identity is given.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Iterator

import grpc
import h2.config
import h2.connection
import h2.events
import h2.exceptions
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from .certificates import Identity
from .faults import Listener, listener
from .scripted_grpc import SERVICE, Call, Refusal, message, milvus_answer, number

ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202emoc.live\u2066\r\n\nerror: forged line\x00\x85\u2028end"
"""What moves a terminal's cursor, sets its title, reverses its text, or begins a line of its own."""

Pairs = list[tuple[str, str]]
Behaviour = Callable[["Peer"], None]
Attack = Callable[["Peer", int], None]

_OK: Pairs = [(":status", "200"), ("content-type", "application/grpc")]
_KIB, _MIB = 1 << 10, 1 << 20


class Gone(OSError):
    """The client has closed the connection, or the stream that is written to."""


class Peer:
    """One connection: `h2` for what is in order, `raw` for what is not."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=False,
                header_encoding="utf-8",
                validate_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._asked: list[tuple[int, str]] = []
        self._paths: dict[int, str] = {}
        self._reset: set[int] = set()
        self.h2.initiate_connection()
        self.flush()

    # --- what comes in ---------------------------------------------------------------------------------------------

    def receive(self, timeout: float | None = None) -> None:
        """Take what the client has sent; waits for it, or not longer than the timeout."""
        pending = isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()
        if timeout is not None and not pending and not select.select([self.socket], [], [], timeout)[0]:
            return
        data = self.socket.recv(65536)
        if not data:
            raise Gone
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived) and event.stream_id is not None:
                self._paths[event.stream_id] = dict(event.headers).get(":path", "")
            elif isinstance(event, h2.events.DataReceived) and event.stream_id is not None:
                self.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded) and event.stream_id is not None:
                self._asked.append((event.stream_id, self._paths[event.stream_id].removeprefix(SERVICE)))
            elif isinstance(event, h2.events.StreamReset) and event.stream_id is not None:
                self._reset.add(event.stream_id)
        self.flush()

    def calls(self) -> Iterator[tuple[int, str]]:
        """The stream and the method of each call, as it is complete."""
        while True:
            while self._asked:
                yield self._asked.pop(0)
            self.receive()

    # --- what goes out ---------------------------------------------------------------------------------------------

    def flush(self) -> None:
        if data := self.h2.data_to_send():
            self.socket.sendall(data)

    def raw(self, *frames: Frame) -> None:
        """Send frames past the state machine; h2 knows nothing of them."""
        self.socket.sendall(b"".join(frame.serialize() for frame in frames))

    def headers(self, stream: int, pairs: Iterable[tuple[str, str]], *, end: bool = False) -> None:
        self.h2.send_headers(stream, list(pairs), end_stream=end)
        self.flush()

    def data(self, stream: int, content: bytes, *, end: bool = False) -> None:
        """Send as much as the client's windows let through, and wait for more."""
        while content or end:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if stream in self._reset:
                raise Gone
            if content and room <= 0:
                self.receive()
                continue
            part, content = content[:room], content[room:]
            self.h2.send_data(stream, part, end_stream=end and not content)
            self.flush()
            if end and not content:
                return
            self.receive(0)

    def answer(self, stream: int, response: bytes, *, headers: Pairs = _OK, trailers: Pairs | None = None) -> None:
        """A whole answer as gRPC frames it."""
        self.headers(stream, headers)
        self.data(stream, framed(response))
        self.headers(stream, [("grpc-status", "0")] if trailers is None else trailers, end=True)

    def refuse(self, stream: int, status: str, text: str) -> None:
        """A status without an answer."""
        self.headers(stream, [*_OK, ("grpc-status", status), ("grpc-message", text)], end=True)

    def honest(self, stream: int, method: str) -> None:
        """What a healthy, empty Milvus answers."""
        try:
            response = milvus_answer(Call(SERVICE + method, {}, b""))
        except Refusal as refusal:
            self.refuse(stream, str(grpc.StatusCode(refusal.code).value[0]), str(refusal))
        else:
            self.answer(stream, response)


def framed(content: bytes, *, compressed: bool = False, length: int | None = None) -> bytes:
    """A message with gRPC's five bytes before it; `length` is what they claim, if it is not the truth."""
    return struct.pack(">BI", compressed, len(content) if length is None else length) + content


@contextlib.contextmanager
def hostile_server(behaviour: Behaviour, *, identity: Identity | None = None) -> Iterator[Listener]:
    context = None
    if identity is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity.cert, identity.key)
        context.set_alpn_protocols(["h2"])

    def talk(connection: socket.socket) -> None:
        with contextlib.suppress(h2.exceptions.H2Error, OSError, ValueError):
            if context is None:
                behaviour(Peer(connection))
            else:
                with context.wrap_socket(connection.dup(), server_side=True) as secured:
                    behaviour(Peer(secured))

    with listener(talk) as opened:
        yield opened


# --- the frame of a behaviour ----------------------------------------------------------------------------------------


def honest(peer: Peer) -> None:
    """The well-behaved server that the others are measured against."""
    for stream, method in peer.calls():
        peer.honest(stream, method)


def at(attack: Attack, *methods: str) -> Behaviour:
    """Attack in answer to some methods, or to every call where none is named; be honest else."""

    def behave(peer: Peer) -> None:
        for stream, method in peer.calls():
            if not methods or method in methods:
                attack(peer, stream)
            else:
                peer.honest(stream, method)

    return behave


# --- sizes -----------------------------------------------------------------------------------------------------------


def compressed_zeros(size: int, coding: str) -> bytes:
    """That many zeros as gzip or deflate: a thousandth of it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31 if coding == "gzip" else 15)
    parts = [packer.compress(bytes(_MIB)) for _ in range(size // _MIB)]
    return b"".join([*parts, packer.flush()])


def bomb(size: int, coding: str = "gzip") -> Attack:
    """A small message that is a large one."""
    packed = framed(compressed_zeros(size, coding), compressed=True)

    def attack(peer: Peer, stream: int) -> None:
        peer.headers(stream, [*_OK, ("grpc-encoding", coding)])
        peer.data(stream, packed)
        peer.headers(stream, [("grpc-status", "0")], end=True)

    return attack


def large(size: int, *, declared: int | None = None) -> Attack:
    """A message that is as large as it looks."""
    # A field of a number that no message of ours has, so that protobuf would read over it.
    head = framed(b"", length=size if declared is None else declared)

    def attack(peer: Peer, stream: int) -> None:
        peer.headers(stream, _OK)
        peer.data(stream, head)
        block = bytes(_MIB)
        for _ in range(size // _MIB):
            peer.data(stream, block)
        peer.headers(stream, [("grpc-status", "0")], end=True)

    return attack


# --- ends of the connection ------------------------------------------------------------------------------------------


def goaway(text: str = ESCAPES, *, code: int = 0, last: int = 0, after: Attack | None = None) -> Attack:
    """A GOAWAY whose debug data is a text of the server's."""

    def attack(peer: Peer, stream: int) -> None:
        if after is not None:
            after(peer, stream)
        peer.raw(GoAwayFrame(0, last_stream_id=last, error_code=code, additional_data=text.encode()))
        raise Gone

    return attack
