"""Unary gRPC calls over a connection of the probes, without gRPC: for what has to cost less than to import that.

Of HTTP/2 it speaks what a good answer takes.  It reads no headers, so a refusal and a port that speaks something else
look alike here: whoever gets no answer asks again by gRPC, which can tell.

Sources: RFC 9113 (frames), RFC 7541 (headers), gRPC's PROTOCOL-HTTP2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .sockets import FRAME_HEADER, HTTP2_PREFACE, Stream

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PUSH_PROMISE, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 5, 6, 7, 8
_END_STREAM = _ACK = 0x1
_END_HEADERS, _PADDED = 0x4, 0x8
_LARGEST_FRAME = 16_384
_WINDOW = 1 << 20
"""Bytes that an answer may have."""
_MOST_FRAMES = 1000
# No table of headers, since none are read; no pushes; the window.
_OUR_SETTINGS = b"".join(
    number.to_bytes(2, "big") + value.to_bytes(4, "big") for number, value in ((1, 0), (2, 0), (4, _WINDOW))
)


class NoAnswer(Exception):
    """The server did not answer with a message."""


class UnaryCalls:
    """Calls on one connection, one after the other.

    Every method raises :class:`NoAnswer`, or OSError where the connection breaks or the time is over.
    """

    def __init__(self, stream: Stream, *, tls: bool, authority: str) -> None:
        self._stream = stream
        self._received = b""
        self._number = -1
        self._fixed = (
            # :method POST, and :scheme https or http, of the static table.
            (b"\x83\x87" if tls else b"\x83\x86") + b"\x01" + _text(authority.encode("ascii")),
            _literal("content-type", "application/grpc") + _literal("te", "trailers"),
        )
        update = _frame(_WINDOW_UPDATE, 0, 0, _WINDOW.to_bytes(4, "big"))
        stream.send(HTTP2_PREFACE + _frame(_SETTINGS, 0, 0, _OUR_SETTINGS) + update)

    def call(self, path: str, request: bytes, metadata: Iterable[tuple[str, str | bytes]]) -> bytes:
        """Call a method by its path; the bytes of its answer."""
        self._number += 2
        first, last = self._fixed
        # Never indexed, for a proxy would keep it.
        block = first + b"\x04" + _text(path.encode("ascii")) + last + b"".join(_literal(*pair) for pair in metadata)
        if len(block) > _LARGEST_FRAME:
            raise NoAnswer
        message = b"\x00" + len(request).to_bytes(4, "big") + request
        headers = _frame(_HEADERS, _END_HEADERS, self._number, block)
        del block
        self._stream.send(headers + _frame(_DATA, _END_STREAM, self._number, message))
        del headers
        answer = self._answer()
        if answer[:1] != b"\x00" or int.from_bytes(answer[1:5], "big") != len(answer) - 5:
            raise NoAnswer  # compressed, cut off, or none
        return answer[5:]

    def _answer(self) -> bytes:
        answer = b""
        for kind, flags, number, payload in self._frames():
            if kind in (_SETTINGS, _PING) and not flags & _ACK:
                self._stream.send(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
            elif kind in (_GOAWAY, _PUSH_PROMISE):
                break
            elif number == self._number and kind == _DATA:
                padding = payload[0] if flags & _PADDED and payload else None
                answer += payload if padding is None else payload[1 : len(payload) - padding]
                if len(answer) > _WINDOW or flags & _END_STREAM:
                    break  # a call ends with headers
            elif number == self._number and kind == _HEADERS and flags & _END_STREAM:
                if not flags & _END_HEADERS:
                    break  # there is more of them than a good answer has
                return answer
            elif number == self._number and kind == _RST_STREAM:
                break
        raise NoAnswer

    def _frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        for _ in range(_MOST_FRAMES):
            header = self._exactly(FRAME_HEADER)
            length = int.from_bytes(header[:3], "big")
            if length > _LARGEST_FRAME:
                return
            yield header[3], header[4], int.from_bytes(header[5:], "big") & 0x7FFFFFFF, self._exactly(length)

    def _exactly(self, length: int) -> bytes:
        if (missing := length - len(self._received)) > 0:
            self._received += self._stream.receive_at_least(missing)
        if len(self._received) < length:
            raise NoAnswer
        data, self._received = self._received[:length], self._received[length:]
        return data


def _frame(kind: int, flags: int, number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + number.to_bytes(4, "big") + payload


def _literal(name: str, value: str | bytes) -> bytes:
    """A header that nobody is to keep in a table."""
    data = value if isinstance(value, bytes) else value.encode("ascii")
    return b"\x10" + _text(name.encode("ascii")) + _text(data)


def _text(data: bytes) -> bytes:
    length, prefix = len(data), 0x7F
    return (bytes((length,)) if length < prefix else b"\x7f" + _varint(length - prefix)) + data


# --- messages of Protocol Buffers -------------------------------------------------------------------------------------


def field_of(number: int, value: bytes | str) -> bytes:
    data = value.encode("utf-8") if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*found, value))


def fields_in(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The numbers and values of a message's fields; :class:`NoAnswer` where it is none."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _read_varint(message, at)
            yield key >> 3, value
            continue
        if kind == 2:
            length, at = _read_varint(message, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise NoAnswer
        if at + length > len(message):
            raise NoAnswer
        yield key >> 3, message[at : at + length]
        at += length


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    raise NoAnswer
