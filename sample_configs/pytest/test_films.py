"""Tests of a project that searches films."""

import pytest


def test_a_film_is_found(films):
    films.insert("films", [{"id": 1, "vector": [0.1, 0.2, 0.3, 0.4]}])
    [[hit]] = films.search("films", data=[[0.1, 0.2, 0.3, 0.4]], limit=1)
    assert hit["id"] == 1


@pytest.mark.milvus_server("staging")
def test_staging_has_films(milvus_profile):
    """On the profile `staging` of whoever runs the tests; skipped for those who have none."""
    with milvus_profile.connect() as conn:
        assert conn.client().has_collection("films")
