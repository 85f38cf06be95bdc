"""The messages say on the wire what Milvus's own messages say, and live beside pymilvus in one process."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from milvus_profiles.channel import wire
from milvus_profiles.channel.wire import GET_VERSION
from tests.support.environment import run_python
from tests.support.scripted_grpc import message, number

PROJECT = Path(__file__).parents[1]

OURS_FIRST = "from milvus_profiles.channel import wire; from pymilvus.grpc_gen import milvus_pb2, common_pb2"
PYMILVUS_FIRST = "from pymilvus.grpc_gen import milvus_pb2, common_pb2; from milvus_profiles.channel import wire"


def beside_pymilvus(code: str, imports: str = OURS_FIRST) -> str:
    """What a process prints that has pymilvus and our messages in it."""
    import os

    done = run_python(f"import json\n{imports}\n{code}", cwd=PROJECT, env={**os.environ, "PYTHON_DOTENV_DISABLED": "1"})
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("imports", [OURS_FIRST, PYMILVUS_FIRST], ids=["before", "after"])
def test_messages_are_understood_by_pymilvus_imported_before_or_after(imports: str) -> None:
    printed = beside_pymilvus(
        """
sent = wire.CONNECT.serialize({"client_info": {"sdk_type": "milvus-profiles", "user": "alice"}})
theirs = milvus_pb2.ConnectRequest.FromString(sent)
answer = milvus_pb2.ConnectResponse(identifier=7, status=common_pb2.Status(code=800, reason="no"))
ours = wire.CONNECT.deserialize(answer.SerializeToString())
print(json.dumps([theirs.client_info.sdk_type, theirs.client_info.user, ours.identifier, *wire.status_of(ours)]))
""",
        imports,
    )
    assert json.loads(printed) == ["milvus-profiles", "alice", 7, 800, "no"]


def test_every_field_has_the_number_and_kind_that_milvus_gives_it() -> None:
    printed = beside_pymilvus(
        """
for name, ours in wire._CLASSES.items():
    theirs = getattr(milvus_pb2, name, None) or getattr(common_pb2, name)
    for field in ours.DESCRIPTOR.fields:
        other = theirs.DESCRIPTOR.fields_by_name[field.name]
        # An enum travels as an int32 does.
        kinds = {other.type, 5 if other.type == 14 else other.type}
        assert field.number == other.number and field.type in kinds, (name, field.name)
print("same")
"""
    )
    assert printed.strip() == "same"


def test_the_methods_that_are_repeated_exist_and_only_read() -> None:
    printed = beside_pymilvus(
        "print(json.dumps([m.name for m in milvus_pb2.DESCRIPTOR.services_by_name['MilvusService'].methods]))"
    )
    theirs = set(json.loads(printed))
    assert set(wire.READ_METHODS) <= theirs
    assert len(set(wire.READ_METHODS)) == len(wire.READ_METHODS)
    reading = re.compile(
        "(Batch)?(Describe|Get|Has|List|Show|Select|Check|Compute|Query|Search|HybridSearch|RunAnalyzer)"
    )
    assert [name for name in wire.READ_METHODS if not reading.match(name)] == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (b"", (0, "")),
        (number(1, 1) + message(2, b"old server"), (1, "old server")),
        (number(3, 800) + message(2, b"new server"), (800, "new server")),
        (number(1, 1) + number(3, 800) + message(2, b"both"), (800, "both")),
        (number(3, 1) + message(5, b"only a detail"), (1, "only a detail")),
    ],
)
def test_the_status_is_read_from_whichever_field_the_server_fills(status: bytes, expected: tuple[int, str]) -> None:
    assert wire.status_of(GET_VERSION.deserialize(message(1, status))) == expected


def test_fields_of_servers_to_come_are_passed_over() -> None:
    answer = GET_VERSION.deserialize(message(1, b"") + message(2, b"v9.9.9") + message(99, b"what is this"))
    assert answer.version == "v9.9.9"
