"""How much of an answer is taken while nobody has asked for anything large: in connecting, and in testing.

gRPC itself keeps the limits, as options of a channel; here is what they are, and how its words for an answer beyond
them are told from a server's.

Source: grpcio 1.66 to 1.85, measured.  From 1.82 the length that an answer announces is looked at before the answer is
read; before, the answer is read to its end and then refused.
"""

from __future__ import annotations

import re
from typing import Final

from .grpc_import import grpc
from .wire import CONNECT, GET_VERSION, LIST_DATABASES, SHOW_COLLECTIONS

__all__ = ["LARGEST_ANSWER", "LIMITS", "OVERSIZED", "is_compressed", "is_oversized", "oversized"]

LARGEST_ANSWER: Final = 4 << 20
"""Bytes of an answer that connecting and testing take at most; a Milvus's answers to them are a few hundred."""

_LARGEST_LIST: Final = 16 << 20

LIMITS: Final = {
    CONNECT.name: LARGEST_ANSWER,
    GET_VERSION.name: LARGEST_ANSWER,
    LIST_DATABASES.name: LARGEST_ANSWER,
    SHOW_COLLECTIONS.name: _LARGEST_LIST,
}
"""The same by method, for a channel that programs go on to use.

gRPC has no limit of a single call, so a method has one for programs too: what they may never need more of.  Of the
collections a Milvus has 65,536 at most, for each of which 16 MiB leave 256 bytes.  Connecting does not look at more
than :data:`LARGEST_ANSWER` of these either.
"""

OVERSIZED: Final = "message larger than max"
"""What gRPC says of an answer that it did not take for its size, whatever it says around it."""

_COMPRESSED = re.compile(r"Compression algorithm '?\w+'? is disabled")


def is_oversized(code: grpc.StatusCode, details: str) -> bool:
    """Whether a call failed because its answer is larger than what is taken."""
    return code is grpc.StatusCode.RESOURCE_EXHAUSTED and OVERSIZED in details


def is_compressed(details: str) -> bool:
    """Whether a call failed because its answer is compressed, which is not taken."""
    return _COMPRESSED.search(details) is not None


def oversized(method: str) -> str:
    """The words for an answer that is too large."""
    return f"its answer to {method} is larger than {LARGEST_ANSWER >> 20} MiB"
