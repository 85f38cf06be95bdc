"""Users of a real server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import grpc
from pymilvus import MilvusException

import milvus_profiles as mp

from .milvus import MilvusServer
from .waiting import until


@contextlib.contextmanager
def administrator(server: MilvusServer, user: str, password: str) -> Iterator[Any]:
    """A user who may do everything, with root's client: a Milvus 2.3.5 enforces what is granted some time later."""

    def may_create() -> bool:
        with contextlib.suppress(MilvusException, grpc.RpcError):
            theirs.client().create_collection("probe", 2)
            return True
        return False

    nowhere_else = mp.load(env={})
    with mp.connect(uri=server.uri, token=server.token, profiles=nowhere_else) as conn:
        root: Any = conn.client()
        root.create_user(user, password)
        try:
            root.grant_role(user, "admin")
            with mp.connect(uri=server.uri, token=f"{user}:{password}", profiles=nowhere_else) as theirs:
                until(may_create)
            root.drop_collection("probe")
            yield root
        finally:
            root.drop_user(user)
