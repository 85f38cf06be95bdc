"""The few messages of Milvus's protocol that connecting and testing need, their methods, and how large they may be.

The descriptors are built here at run time, in a pool and a package of their own: names of packages are not on the
wire, while messages under Milvus's own package name would clash with pymilvus in one process, and generated code
would tie this package to one protobuf runtime.  Nothing here knows channels, metadata or errors.

Field numbers are those of Milvus's ``milvus.proto`` and ``common.proto``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from .grpc_process import grpc

SERVICE = "milvus.proto.milvus.MilvusService"
"""Full name of Milvus's gRPC service."""

_PACKAGE = "milvus_profiles.wire"

# name of the message -> name of the field -> (number, type); a star means repeated.
_MESSAGES: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "Status": {"error_code": (1, "int32"), "reason": (2, "string"), "code": (3, "int32"), "detail": (5, "string")},
    "ClientInfo": {
        "sdk_type": (1, "string"),
        "sdk_version": (2, "string"),
        "local_time": (3, "string"),
        "user": (4, "string"),
    },
    "ServerInfo": {
        "build_tags": (1, "string"),
        "build_time": (2, "string"),
        "git_commit": (3, "string"),
        "deploy_mode": (5, "string"),
    },
    "ConnectRequest": {"client_info": (2, "ClientInfo")},
    "ConnectResponse": {"status": (1, "Status"), "server_info": (2, "ServerInfo"), "identifier": (3, "int64")},
    "GetVersionRequest": {},
    "GetVersionResponse": {"status": (1, "Status"), "version": (2, "string")},
    "ShowCollectionsRequest": {"db_name": (2, "string")},
    "ShowCollectionsResponse": {"status": (1, "Status"), "collection_names": (2, "*string")},
    "ListDatabasesRequest": {},
    "ListDatabasesResponse": {"status": (1, "Status"), "db_names": (2, "*string")},
}


def _message_classes() -> dict[str, Any]:
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="milvus_profiles/wire.proto", package=_PACKAGE, syntax="proto3")
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            plain = kind.removeprefix("*")
            field = described.field.add(
                name=name, number=number, label=kinds.LABEL_OPTIONAL if plain == kind else kinds.LABEL_REPEATED
            )
            if plain in _MESSAGES:
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".{_PACKAGE}.{plain}"
            else:
                field.type = getattr(kinds, f"TYPE_{plain.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())  # type: ignore[no-untyped-call,unused-ignore]
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))  # type: ignore[no-untyped-call,unused-ignore]
        for name in _MESSAGES
    }


_CLASSES = _message_classes()


@dataclass(frozen=True, slots=True)
class Method:
    """A unary method of MilvusService, by its name in the protocol: ``"GetVersion"``."""

    name: str

    @property
    def path(self) -> str:
        """What gRPC calls: ``/milvus.proto.milvus.MilvusService/GetVersion``."""
        return f"/{SERVICE}/{self.name}"

    def serialize(self, request: Mapping[str, Any]) -> bytes:
        """The bytes of a request, given as the mapping of its fields (an inner message is a mapping too)."""
        encoded: bytes = _CLASSES[f"{self.name}Request"](**request).SerializeToString()
        return encoded

    def deserialize(self, response: bytes) -> Any:
        """The response message; DecodeError where the bytes are none."""
        return _CLASSES[f"{self.name}Response"].FromString(response)


CONNECT = Method("Connect")
GET_VERSION = Method("GetVersion")
SHOW_COLLECTIONS = Method("ShowCollections")
LIST_DATABASES = Method("ListDatabases")


def status_of(response: Any) -> tuple[int, str]:
    """What a response's body says about the call: (0, "") when it is good, else the code and the server's reason.

    Older servers fill only ``error_code``, newer ones say more in ``code``; the newer word wins where both speak.
    """
    status = response.status
    return status.code or status.error_code, status.reason or status.detail


READ_METHODS = (
    "DescribeCollection",
    "DescribeIndex",
    "GetLoadState",
    "GetVersion",
    "HasCollection",
    "HybridSearch",
    "Query",
    "Search",
    "ShowCollections",
)
"""The methods that are repeated while a server is away: those that only read and that programs call as they work.

Named one by one, lest a write slip in; Connect is not among them, since connecting has its own way of waiting.  There
are some fifty more that only read, nearly all of them for administrators.  They are left out because gRPC keeps
0.45 KiB for each name in every channel and reads them all twice while it opens one: with all of them a connection took
1.8 times the memory of a raw one, and a tenth of a millisecond more to open (measured).
"""


# Source: grpcio 1.66 to 1.85, measured.  From 1.82 the length that an answer announces is looked at before the answer
# is read; before, the answer is read to its end and then refused.
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
