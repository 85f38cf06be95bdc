"""`connection_args` where it is meant to be used: frameworks, on Milvus Lite and on a real server.

Two documents are added, and one is found.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support import faults, layers
from tests.support.environment import coverage_variables, run_python
from tests.support.milvus import MilvusServer

pytestmark = pytest.mark.sdks

PROJECT = Path(__file__).parents[1]

BEGIN = """
import json, sys
import milvus_profiles as mp
from tests.support.sockets import connections_to

told = {}
for alias in ("lite", "prod"):
    for channel in (False, True):
        conn = mp.connect(alias)
        arguments = mp.connection_args(alias, channel=channel)
        port = int(mp.connection_args(alias)["uri"].rpartition(":")[2])  # of Milvus Lite too
        before = connections_to(port)
        name = f"{alias}_{'shared' if channel else 'own'}"
        # A vector of letters for a text: near texts have near vectors, and nothing is random.
        vector = lambda text: [float(text.lower().count(letter)) for letter in "abcdefghij"]
"""
END = """
        told[name] = [
            found, connections_to(port) - before, conn.client().has_collection(name),
            "root:Milvus" in repr(arguments),
        ]
        assert not channel or arguments.keys() == {"uri", "dedicated", "channel"}, arguments.keys()
        conn.client().drop_collection(name)
print(json.dumps(told))
"""
HAYSTACK = """
        from haystack import Document
        from milvus_haystack import MilvusDocumentStore
        from milvus_haystack.milvus_embedding_retriever import MilvusEmbeddingRetriever
        store = MilvusDocumentStore(
            connection_args=arguments, collection_name=name, consistency_level="Strong",
            index_params={"metric_type": "L2", "index_type": "FLAT", "params": {}},
            search_params={"metric_type": "L2", "params": {}},
        )
        texts = ("The Third Man", "Playtime")
        store.write_documents([Document(content=text, embedding=vector(text)) for text in texts])
        retriever = MilvusEmbeddingRetriever(document_store=store, top_k=1)
        found = [document.content for document in retriever.run(query_embedding=vector("third man"))["documents"]]
"""
LLAMA_INDEX = """
        from llama_index.core.schema import TextNode
        from llama_index.core.vector_stores.types import VectorStoreQuery
        from llama_index.vector_stores.milvus import MilvusVectorStore
        store = MilvusVectorStore(
            **arguments, collection_name=name, dim=10, consistency_level="Strong", similarity_metric="L2",
            use_async_client=False, index_config={"index_type": "FLAT"},
        )
        store.add([TextNode(text=text, embedding=vector(text)) for text in ("The Third Man", "Playtime")])
        query = VectorStoreQuery(query_embedding=vector("third man"), similarity_top_k=1)
        found = [node.get_content() for node in store.query(query).nodes]
"""
SQLALCHEMY = """
        from sqlalchemy import BigInteger, Column, MetaData, Table, create_engine, insert, select
        from milvusql_sqlalchemy.types import VECTOR
        engine = create_engine("milvusql://", connect_args=arguments)
        films = Table(
            name, MetaData(), Column("id", BigInteger, primary_key=True, autoincrement=False),
            Column("vector", VECTOR(10)), milvusql_consistency_level="Strong",
        )
        texts = ("The Third Man", "Playtime")
        with engine.connect() as db:
            films.metadata.create_all(db)
            client = conn.client()
            if not client.list_indexes(name):  # Milvus 2.3 loads nothing without one
                index = client.prepare_index_params("vector", index_type="FLAT", metric_type="L2")
                client.create_index(name, index)
            db.execute(insert(films), [{"id": id, "vector": vector(text)} for id, text in enumerate(texts)])
            nearest = select(films.c.id).order_by(films.c.vector.l2_distance(vector("third man"))).limit(1)
            found = [texts[id] for id in db.execute(nearest).scalars()]
"""
PROGRAMS = {"haystack": HAYSTACK, "llama-index": LLAMA_INDEX, "sqlalchemy": SQLALCHEMY}


@pytest.mark.parametrize(("layer", "program"), [each for each in PROGRAMS.items() if each[0] in layers.LAYERS])
def test_two_documents_are_added_and_one_is_found(
    layer: str, program: str, milvus_auth: MilvusServer, tmp_path: Path
) -> None:
    python = layers.need_layer(layer)
    (tmp_path / ".git").mkdir()
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(PROJECT), **coverage_variables()}
    with faults.tcp_proxy(milvus_auth.port) as proxy:
        (tmp_path / "milvus.toml").write_text(
            f'[profiles.lite]\nuri = "./films.db"\n'
            f'[profiles.prod]\nuri = "http://127.0.0.1:{proxy.port}"\ntoken = "root:Milvus"\n'
        )
        done = run_python(BEGIN + program + END, python=python, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    for name, (found, connections, is_there, is_shown) in told.items():
        assert (found, is_there, is_shown) == (["The Third Man"], True, False), name
        assert (connections == 0) == name.endswith("_shared"), name
