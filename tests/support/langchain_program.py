"""What a program does with langchain-milvus and a profile; run with the layer of langchain, by its text (`python -c`).

Takes the aliases as arguments, and prints what it saw of each.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

before = dict(os.environ)

import milvus_profiles as mp  # noqa: E402


def use(alias: str) -> dict[str, object]:
    # Before langchain_milvus: the import of pymilvus is then ours.
    arguments = mp.connection_args(alias)
    conn = mp.connect(alias)

    from langchain_core.embeddings import Embeddings
    from langchain_milvus import Milvus

    class Letters(Embeddings):  # type: ignore[misc]  # Any here: only a layer has langchain
        """How often each letter stands in a text: near texts have near vectors, and nothing is random."""

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [self.embed_query(text) for text in texts]

        def embed_query(self, text: str) -> list[float]:
            return [float(text.lower().count(letter)) for letter in "abcdefghijklmnopqrstuvwxyz"]

    def store() -> Milvus:
        return Milvus(
            Letters(), connection_args=arguments, collection_name="films", consistency_level="Strong",
            index_params={"metric_type": "L2", "index_type": "FLAT"},
        )  # fmt: skip

    films = store()
    films.add_texts(["The Third Man", "Playtime", "Stalker"], ids=["1", "2", "3"])
    again = store()
    seen: dict[str, object]
    seen = {"found": [document.page_content for document in again.similarity_search("third man", k=1)]}

    async def asynchronously() -> list[str]:
        found = await store().asimilarity_search("stalker", k=1)
        return [document.page_content for document in found]

    seen["async"] = asyncio.run(asynchronously())
    # The same server, seen by a connection of the profile at the same time.
    client = conn.client()
    seen["ours"] = client.has_collection("films")
    seen["in default"] = conn.client(db_name="default").has_collection("films")
    client.drop_collection("films")
    client.close()
    seen["shown"] = "root:Milvus" in f"{arguments}{films!r}{vars(films)}"
    return seen


told: dict[str, object] = {alias: use(alias) for alias in sys.argv[1:]}
told["environment"] = sorted(set(os.environ.items()) ^ set(before.items()))
print(json.dumps(told))
