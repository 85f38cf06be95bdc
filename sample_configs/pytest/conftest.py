"""Fixtures of a project that searches films: its tests run on an embedded Milvus Lite, each on an empty one."""

import pytest


@pytest.fixture
def films(milvus_profile):
    """A client with an empty collection of films; `milvus_profile` comes with milvus-profiles."""
    with milvus_profile.connect() as conn:
        client = conn.client()
        client.create_collection("films", dimension=4)
        yield client
