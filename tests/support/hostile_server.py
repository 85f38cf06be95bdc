"""A server that speaks HTTP/2 and gRPC to do harm: what a client must survive, over real sockets.

`h2` keeps the state of a connection and answers what has to be answered; what is hostile is sent past it, frame by
frame. A behaviour is a function of one connection; `hostile_server` gives every connection to it in a thread of its
own, with TLS where an identity is given.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import select
import socket
import ssl
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote

import grpc
import h2.config
import h2.connection
import h2.events
import h2.exceptions
from hpack import Encoder
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
from .hostile_tls import inside_tls
from .scripted_grpc import SERVICE, Call, Refusal, message, milvus_answer, number

ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202emoc.live\u2066\r\n\nerror: forged line\x00\x85\u2028end"
"""What moves a terminal's cursor, sets its title, reverses its text, or begins a line of its own."""

Pairs = list[tuple[str, str]]
Behaviour = Callable[["Peer"], None]
Attack = Callable[["Peer", int], None]

_OK: Pairs = [(":status", "200"), ("content-type", "application/grpc")]
_KIB, _MIB = 1 << 10, 1 << 20


class Gone(OSError):
    """The client has closed the connection."""


class Refused(Exception):
    """The client has reset the stream that is written to."""


class Peer:
    """One connection: `h2` for what is in order, `raw` for what is not."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=False,
                header_encoding=None,
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
                self._paths[event.stream_id] = dict(event.headers).get(b":path", b"").decode("ascii", "replace")
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
                raise Refused
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


def hostile_server(
    behaviour: Behaviour, *, identity: Identity | None = None
) -> contextlib.AbstractContextManager[Listener]:
    def talk(connection: socket.socket) -> None:
        with contextlib.suppress(h2.exceptions.H2Error, OSError, ValueError):
            behaviour(Peer(connection))

    return listener(talk) if identity is None else inside_tls(identity, talk)


# --- the frame of a behaviour ----------------------------------------------------------------------------------------


def honest(peer: Peer) -> None:
    """The well-behaved server that the others are measured against."""
    for stream, method in peer.calls():
        peer.honest(stream, method)


def at(attack: Attack, *methods: str) -> Behaviour:
    """Attack in answer to some methods, or to every call where none is named; be honest else."""

    return _choosing(lambda method: attack if not methods or method in methods else None)


def one_of(**attacks: Attack) -> Behaviour:
    """A different attack for each method; honest in the rest."""
    return _choosing(attacks.get)


def _choosing(attack_of: Callable[[str], Attack | None]) -> Behaviour:
    def behave(peer: Peer) -> None:
        for stream, method in peer.calls():
            attack = attack_of(method)
            with contextlib.suppress(Refused, h2.exceptions.StreamClosedError):
                if attack is None:
                    peer.honest(stream, method)
                else:
                    attack(peer, stream)

    return behave


# --- sizes -----------------------------------------------------------------------------------------------------------


@functools.cache
def _compressed_zeros(size: int, coding: str) -> bytes:
    """That many zeros as gzip or deflate: a thousandth of it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    # After a full flush nothing depends on what was before, so one block stands for all of them.
    block = packer.compress(bytes(_MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = block * (size // _MIB) + packer.flush()
    if coding == "deflate":
        return b"\x78\xda" + packed + struct.pack(">HH", size % 65521, 1)
    sum_of_all = functools.reduce(
        lambda so_far, part: zlib.crc32(part, so_far), itertools.repeat(bytes(_MIB), size // _MIB), 0
    )
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff" + packed + struct.pack("<II", sum_of_all, size % (1 << 32))


def bomb(size: int, coding: str = "gzip") -> Attack:
    """A small message that is a large one."""
    packed = framed(_compressed_zeros(size, coding), compressed=True)

    def attack(peer: Peer, stream: int) -> None:
        peer.headers(stream, [*_OK, ("grpc-encoding", coding)])
        peer.data(stream, packed)
        peer.headers(stream, [("grpc-status", "0")], end=True)

    return attack


def large(size: int, *, declared: int | None = None) -> Attack:
    """A message that is as large as it looks, or claims to be larger still."""
    head = framed(b"", length=size if declared is None else declared)

    def attack(peer: Peer, stream: int) -> None:
        peer.headers(stream, _OK)
        peer.data(stream, head)
        block = bytes(_MIB)
        for _ in range(size // _MIB):
            peer.data(stream, block)
        peer.headers(stream, [("grpc-status", "0")], end=True)

    return attack


def many_messages(number_of_them: int) -> Attack:
    """Where one answer belongs, many."""

    def attack(peer: Peer, stream: int) -> None:
        peer.headers(stream, _OK)
        for _ in range(number_of_them // 1000):
            peer.data(stream, framed(b"") * 1000)
        peer.headers(stream, [("grpc-status", "0")], end=True)

    return attack


def drip(head: bytes) -> Attack:
    """A beginning, and then a byte now and then."""

    def attack(peer: Peer, stream: int) -> None:
        peer.headers(stream, _OK)
        peer.data(stream, head)
        while True:
            peer.data(stream, b"\x00")
            peer.receive(0.2)

    return attack


# --- header blocks ---------------------------------------------------------------------------------------------------


def _block(pairs: Iterable[tuple[str, str]]) -> bytes:
    # Nothing is put into the table that h2's own encoder shares with the client.
    fields = [(name.encode(), value.encode(), True) for name, value in pairs]
    # hpack's Huffman code takes minutes for a megabyte.
    return Encoder().encode(fields, huffman=False)


def header_block(block: bytes, *, end: bool = False) -> Attack:
    """Any header block, cut into as many frames as it takes."""

    def attack(peer: Peer, stream: int) -> None:
        parts = [block[at : at + 16 * _KIB] for at in range(0, len(block), 16 * _KIB)] or [b""]
        for place, part in enumerate(parts):
            frame: Frame = ContinuationFrame(stream, part) if place else HeadersFrame(stream, part)
            if end and not place:
                frame.flags.add("END_STREAM")
            if place == len(parts) - 1:
                frame.flags.add("END_HEADERS")
            peer.raw(frame)

    return attack


def raw_headers(pairs: Iterable[tuple[str, str]], *, end: bool = False) -> Attack:
    """Headers as they are, whether HTTP/2 allows them or not."""
    return header_block(_block(pairs), end=end)


def hpack_bomb(peer: Peer, stream: int) -> None:
    """One field of four thousand characters put into the table, and then named by one byte each, thousands of times."""
    literal = b"\x40" + b"\x01x" + b"\x7f" + _integer(4000 - 127) + b"v" * 4000
    header_block(_block(_OK) + literal + b"\xbe" * 60_000)(peer, stream)


def _integer(rest: int) -> bytes:
    encoded = bytearray()
    while rest >= 0x80:
        encoded.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*encoded, rest])


def endless_headers(peer: Peer, stream: int) -> None:
    """A header block that goes on and on."""
    peer.raw(HeadersFrame(stream, _block(_OK)))
    part = _block([("x-field", "v" * 1000)] * 15)
    while True:
        peer.raw(*(ContinuationFrame(stream, part) for _ in range(16)))


def empty_continuations(peer: Peer, stream: int) -> None:
    """Continuations without anything in them."""
    peer.raw(HeadersFrame(stream, _block(_OK)))
    frames = ContinuationFrame(stream, b"").serialize() * 1000
    while True:
        peer.socket.sendall(frames)


def informational_storm(peer: Peer, stream: int) -> None:
    """103 Early Hints, again and again."""
    block = _block([(":status", "103"), ("link", "</x>; rel=preload")])
    frames = HeadersFrame(stream, block, flags=["END_HEADERS"]).serialize() * 100
    while True:
        peer.socket.sendall(frames)


def trailer_drip(peer: Peer, stream: int) -> None:
    """A whole answer, and trailers of which a byte comes now and then."""
    peer.headers(stream, _OK)
    peer.data(stream, framed(milvus_answer(Call(SERVICE + "Connect", {}, b""))))
    peer.raw(HeadersFrame(stream, b"", flags=["END_STREAM"]))
    for byte in itertools.cycle(_block([("x-field", "v" * 50)])):
        peer.raw(ContinuationFrame(stream, bytes([byte])))
        peer.receive(0.2)


def no_trailers(peer: Peer, stream: int) -> None:
    """A whole answer, and no end."""
    peer.headers(stream, _OK)
    peer.data(stream, framed(milvus_answer(Call(SERVICE + "Connect", {}, b""))))


# --- floods ----------------------------------------------------------------------------------------------------------


def flood(*frames: Callable[[int], Frame]) -> Attack:
    """Frames, as many as go through; each is made with the stream."""

    def attack(peer: Peer, stream: int) -> None:
        block = b"".join(frame(stream).serialize() for frame in frames) * 500
        while True:
            peer.socket.sendall(block)
            # What the client says to them is thrown away, lest its own buffer be what stops the flood.
            while select.select([peer.socket], [], [], 0)[0]:
                if not peer.socket.recv(1 << 20):
                    raise Gone

    return attack


def ping(stream: int) -> Frame:
    return PingFrame(0, b"12345678")


def settings(stream: int) -> Frame:
    return SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 65_535, SettingsFrame.MAX_FRAME_SIZE: 16_384})


def window_update(stream: int) -> Frame:
    return WindowUpdateFrame(0, window_increment=1)


def rst_stream(stream: int) -> Frame:
    return RstStreamFrame(stream + 1000, error_code=8)


def priority(stream: int) -> Frame:
    return PriorityFrame(stream, depends_on=0, stream_weight=1)


def empty_data(stream: int) -> Frame:
    return DataFrame(stream, b"")


# --- ends of the connection ------------------------------------------------------------------------------------------


def goaway(text: str = ESCAPES, *, code: int = 0, last: int = 0, after: Attack | None = None) -> Attack:
    """A GOAWAY whose debug data is a text of the server's; then the connection is closed."""

    def attack(peer: Peer, stream: int) -> None:
        if after is not None:
            after(peer, stream)
        peer.raw(GoAwayFrame(0, last_stream_id=last, error_code=code, additional_data=text.encode()))
        with contextlib.suppress(TimeoutError):
            peer.receive(0.05)
        raise Gone

    return attack


def at_once(attack: Attack) -> Behaviour:
    """Attack before there is a call."""
    return lambda peer: attack(peer, 1)


def reset(code: int) -> Attack:
    """The stream is reset, however often it is tried."""

    def attack(peer: Peer, stream: int) -> None:
        peer.raw(RstStreamFrame(stream, error_code=code))

    return attack


def silence(peer: Peer, stream: int) -> None:
    """No answer to this call."""


def half_closed(peer: Peer, stream: int) -> None:
    """No more from here, and everything is listened to."""
    peer.flush()
    peer.socket.shutdown(socket.SHUT_WR)
    while True:
        peer.receive()


# --- answers ---------------------------------------------------------------------------------------------------------


def answering(response: bytes, *, headers: Pairs = _OK, trailers: Pairs | None = None) -> Attack:
    """A message of our own, whatever is in it."""
    return lambda peer, stream: peer.answer(stream, response, headers=headers, trailers=trailers)


def refusing(status: str, text: str) -> Attack:
    """A gRPC status with its words, percent-encoded as gRPC wants it."""
    return lambda peer, stream: peer.refuse(stream, status, quote(text, safe=" "))


def failed(code: int, reason: str) -> Attack:
    """Milvus's own way to say that a call failed."""
    return answering(message(1, message(2, reason.encode()) + number(3, code)))


def introduced(version: bytes, **more: bytes) -> Attack:
    """A good answer to Connect, with words of our own."""
    fields = {"build_time": 2, "git_commit": 3, "deploy_mode": 5}
    server = message(1, version) + b"".join(message(fields[name], text) for name, text in more.items())
    return answering(message(1, b"") + message(2, server) + number(3, 7))
