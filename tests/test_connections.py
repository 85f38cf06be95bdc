"""`connect` and its kin on real servers."""

from __future__ import annotations

import pytest

import milvus_profiles as mp
from milvus_profiles import errors
from tests.support.milvus import MilvusServer


@pytest.fixture(autouse=True)
def nothing_stays_open() -> object:
    yield
    mp.disconnect_all(grace=0)
    assert mp.list_connections() == []


def profiles(**env: str) -> mp.Profiles:
    return mp.load(env=env, cwd="/")


def of(server: MilvusServer, **more: str) -> mp.Profiles:
    env = {"MILVUS_PROFILES__PROD__URI": server.uri}
    if server.token:
        env["MILVUS_PROFILES__PROD__TOKEN"] = server.token
    if server.certs and server.certs.ca:
        env["MILVUS_PROFILES__PROD__SSL__CA"] = str(server.certs.ca)
    return profiles(**env, **more)


def test_connect_and_ping(milvus_auth: MilvusServer) -> None:
    conn = mp.connect("prod", profiles=of(milvus_auth))
    assert conn.server_version is not None
    assert "2.3.5" in conn.server_version
    assert 0 < conn.ping() < 5
    assert conn.alias == "prod"
    assert str(conn.endpoint) == milvus_auth.uri
    assert not conn.is_closed
    [info] = mp.list_connections()
    assert (info.alias, str(info.endpoint), info.db_name, info.handles) == ("prod", milvus_auth.uri, None, 1)
