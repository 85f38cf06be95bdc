"""A hostile server gets an error and no more: named, within the time limit, in little memory, and fit to be printed."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import hostile_server as hostile
from tests.support.hostile_server import Behaviour, at, one_of

pytestmark = pytest.mark.security

TIMEOUT = 1.5
MORE_SECONDS = 1.0
MORE_MIB = 64
LONGEST_OUTPUT = 20_000
WAYS = ("threads", "aio", "diagnosis")
PROGRAM = Path(hostile.__file__).with_name("hostile_program.py")
MIB = 1 << 20

NO_STATUS: hostile.Pairs = []
NOT_MILVUS, NOT_READY, UNREACHABLE = "NotMilvusError", "ServerNotReadyError", "UnreachableError"
NO_DATABASE, CLOSED = "DatabaseNotFoundError", "ConnectionClosedError"
GOOD = None


@dataclass(frozen=True)
class Scenario:
    """A behaviour, and the classes of error that may come of it; None is a connection."""

    behaviour: Behaviour
    errors: tuple[str | None, ...]
    database: str | None = None


def scenario(behaviour: Behaviour, *errors: str | None, database: str | None = None) -> Scenario:
    return Scenario(behaviour, errors, database)


missing = hostile.failed(800, "database not found[database=shop]")
unknown = hostile.refusing("12", "unknown method Connect")
plain = [(":status", "200"), ("content-type", "application/grpc")]


@functools.cache
def scenarios() -> dict[str, Scenario]:
    bombs = {
        "a gigabyte of gzip": hostile.bomb(1 << 30),
        "64 MiB of gzip": hostile.bomb(64 * MIB),
        "a gigabyte of deflate": hostile.bomb(1 << 30, "deflate"),
    }
    found = {f"{name} to Connect": scenario(at(bomb, "Connect"), NOT_MILVUS) for name, bomb in bombs.items()}
    gzip = bombs["a gigabyte of gzip"]
    found |= {
        # --- sizes
        "gzip to GetVersion": scenario(one_of(Connect=hostile.introduced(b"x"), GetVersion=gzip), NOT_MILVUS),
        "gzip to ShowCollections": scenario(at(gzip, "ShowCollections"), NOT_MILVUS, database="shop"),
        "gzip to ListDatabases": scenario(
            one_of(ShowCollections=missing, ListDatabases=gzip), NO_DATABASE, database="shop"
        ),
        "a coding that nobody knows": scenario(
            at(hostile.answering(b"x", headers=[*plain, ("grpc-encoding", "snappy")])), NOT_MILVUS, NOT_READY
        ),
        "300 MB to Connect": scenario(at(hostile.large(300 * MIB), "Connect"), NOT_MILVUS),
        "4 GiB announced": scenario(at(hostile.large(300 * MIB, declared=0xFFFF_FFFF), "Connect"), NOT_MILVUS),
        "4 GiB announced, in drips": scenario(
            at(hostile.drip(hostile.framed(b"", length=0xFFFF_FFFF)), "Connect"), NOT_MILVUS
        ),
        "drips": scenario(at(hostile.drip(hostile.framed(b"", length=1000)), "Connect"), NOT_READY, NOT_MILVUS),
        "300 MB to GetVersion": scenario(
            one_of(Connect=hostile.introduced(b"x"), GetVersion=hostile.large(300 * MIB)), NOT_MILVUS
        ),
        "300 MB to ShowCollections": scenario(at(hostile.large(300 * MIB), "ShowCollections"), GOOD, database="shop"),
        "15 MB to ShowCollections": scenario(at(hostile.large(15 * MIB), "ShowCollections"), GOOD, database="shop"),
        "300 MB to ListDatabases": scenario(
            one_of(ShowCollections=missing, ListDatabases=hostile.large(300 * MIB)), NO_DATABASE, database="shop"
        ),
        "a million messages": scenario(at(hostile.many_messages(1_000_000), "Connect"), NOT_MILVUS, NOT_READY),
    }
    return found
