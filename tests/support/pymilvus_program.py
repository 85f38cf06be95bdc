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


def fill(client: Any, name: str) -> Any:
    """A collection that is neither indexed nor loaded, which takes a real server seconds."""
    from pymilvus import DataType

    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
    client.create_collection(name, schema=schema)
    return client.insert(name, [{"id": 1, "vector": [0.6, 0.8]}])["insert_count"]


def refusal(call: Any) -> str:
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return ""


def registered() -> list[str]:
    """What pymilvus's registries keep of clients, which are keyed by alias, or by address and token."""
    from pymilvus import connections

    found = [alias for alias, handler in connections.list_connections() if handler is not None]
    if managers := sys.modules.get("pymilvus.client.connection_manager"):
        manager = managers.ConnectionManager.get_instance()
        found += [*manager._registry, *map(str, manager._dedicated)]
    return found


def use(alias: str) -> dict[str, object]:
    seen: dict[str, object] = {}
    name = f"of_{alias}"
    with mp.connect(alias) as conn:
        port = int(mp.connection_args(alias)["uri"].rpartition(":")[2])  # of Milvus Lite too
        alone = connections_to(port)
        first, second = conn.client(), conn.client(db_name="default")
        seen["same"] = conn.client() is first is not second
        seen["inserted"] = fill(first, name)
        seen["in default"] = second.has_collection(name)
        seen["connections"] = connections_to(port) - alone
        first.close()
        second.has_collection(name)
        second.close()
        asyncio.run(use_async(alias, name, port, seen))
        last = conn.client()
        seen["there"] = last.has_collection(name)
        last.drop_collection(name)
    seen["closed"] = [refusal(last.list_collections), refusal(first.list_collections)]
    seen["registered"] = registered()
    mp.disconnect(alias)
    return seen


async def use_async(alias: str, name: str, port: int, seen: dict[str, object]) -> None:
    conn = await mp.aio.connect(alias)
    alone = connections_to(port)
    first, second = conn.client(), conn.client()
    seen["same"] = seen["same"] and first is second
    row = {"id": 2, "vector": [0.6, 0.8]}
    seen["async"] = [(await client.insert(name, [row]))["insert_count"] for client in (first, second)]
    seen["async connections"] = connections_to(port) - alone
    await first.close()
    await conn.client().insert(name, [{"id": 3, "vector": [0.6, 0.8]}])
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
