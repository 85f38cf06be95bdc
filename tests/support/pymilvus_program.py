"""What a program does with pymilvus clients of profiles; run with the pymilvus of one layer, by its text (`python -c`).

Reads the profiles from its environment, does the same on each that its arguments name, and prints what it saw.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

before = dict(os.environ)

import milvus_profiles as mp  # noqa: E402
from tests.support.sockets import connections_to  # noqa: E402
from tests.support.waiting import until  # noqa: E402


def ports(conn: mp.Connection | mp.aio.AsyncConnection) -> int:
    """How many connections this process has to where a connection leads."""
    return connections_to(conn._live.reach.port)


def fill(client: Any, name: str) -> Any:
    """A collection that is neither indexed nor loaded, which takes a real server seconds."""
    from pymilvus import DataType

    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
    client.create_collection(name, schema=schema)
    return client.insert(name, [{"id": 1, "vector": [0.6, 0.8]}])["insert_count"]


def use(alias: str) -> dict[str, object]:
    seen: dict[str, object] = {}
    name = f"of_{alias}"
    with mp.connect(alias) as conn:
        alone = ports(conn)
        first, second = conn.client(), conn.client(db_name="default")
        seen["inserted"] = fill(first, name)
        seen["in default"] = second.has_collection(name)
        seen["connections"] = ports(conn) - alone
        first.close()
        second.has_collection(name)
        second.close()
        asyncio.run(use_async(alias, name, seen))
        last = conn.client()
        seen["there"] = last.has_collection(name)
        last.drop_collection(name)
        last.close()
        until(lambda: ports(conn) == alone)  # none is left open
    mp.disconnect(alias)
    return seen


async def use_async(alias: str, name: str, seen: dict[str, object]) -> None:
    conn = await mp.aio.connect(alias)
    alone = ports(conn)
    first, second = conn.client(), conn.client()
    seen["async"] = [(await c.insert(name, [{"id": 2, "vector": [0.6, 0.8]}]))["insert_count"] for c in (first, second)]
    seen["async connections"] = ports(conn) - alone
    await first.close()
    await second.insert(name, [{"id": 3, "vector": [0.6, 0.8]}])
    await second.close()
    await mp.aio.disconnect(alias)


def search() -> list[int]:
    """On Milvus Lite, where it takes no time."""
    client = mp.connect("lite").client()
    client.create_collection("searched", dimension=2)
    client.insert("searched", [{"id": 1, "vector": [0.6, 0.8]}])
    found = client.search("searched", data=[[0.6, 0.8]], limit=1)
    client.close()
    return [hit["id"] for hit in found[0]]


told: dict[str, object] = {alias: use(alias) for alias in sys.argv[1:]}
told["searched"] = search()
told["environment"] = sorted(set(os.environ.items()) ^ set(before.items()))
import pymilvus  # noqa: E402

told["version"] = pymilvus.__version__
print(json.dumps(told))
