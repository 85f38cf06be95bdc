"""pymilvus's ORM on our connections: the documents that this project started from, and what they lead to next."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import milvus_profiles as mp
from milvus_profiles import connections, errors
from milvus_profiles.channel.pymilvus_import import import_with_pymilvus
from tests.support import faults, layers
from tests.support.environment import coverage_variables, run_python
from tests.support.milvus import MilvusServer
from tests.support.ports import documented_port
from tests.support.scripted_grpc import scripted_server
from tests.support.sockets import connections_to
from tests.support.users import administrator
from tests.test_connections_face import IMPORT, INTERACTIVE, WITH_A_TOKEN, WITH_A_USER, WITH_TABS
from tests.test_pymilvus_channel import a_schema, answer

PROJECT = Path(__file__).parents[1]
DISCONNECT = 'connections.disconnect("default")'

NEXT = """\
# Create a collection
from pymilvus import CollectionSchema, FieldSchema, DataType
book_id = FieldSchema(
  name="book_id",
  dtype=DataType.INT64,
  is_primary=True,
)
word_count = FieldSchema(
  name="word_count",
  dtype=DataType.INT64,
)
book_intro = FieldSchema(
  name="book_intro",
  dtype=DataType.FLOAT_VECTOR,
  dim=2
)
schema = CollectionSchema(
  fields=[book_id, word_count, book_intro],
  description="Test book search"
)
collection_name = "book"
from pymilvus import Collection
collection = Collection(
    name=collection_name,
    schema=schema,
    using='default',
    shards_num=2,
    consistency_level="Strong"
    )
from pymilvus import utility
utility.has_collection("book")
# Insert
import random
data = [
  [i for i in range(2000)],
  [i for i in range(10000, 12000)],
  [[random.random() for _ in range(2)] for _ in range(2000)],
]
collection = Collection("book")      # Get an existing collection.
mr = collection.insert(data)
collection.flush()
# Build an index
index_params = {
  "metric_type":"L2",
  "index_type":"IVF_FLAT",
  "params":{"nlist":1024}
}
collection.create_index(
  field_name="book_intro",
  index_params=index_params
)
utility.index_building_progress("book")
# Load and search
collection.load()
search_params = {"metric_type": "L2", "params": {"nprobe": 1024}}
results = collection.search(
  data=[[0.1, 0.2]],
  anns_field="book_intro",
  param=search_params,
  limit=10,
  expr=None,
  consistency_level="Strong"
)
# Hybrid search
search_param = {
  "data": [[0.1, 0.2]],
  "anns_field": "book_intro",
  "param": {"metric_type": "L2", "params": {"nprobe": 1024}},
  "limit": 2,
  "expr": "word_count <= 11000",
}
res = collection.search(**search_param)
collection.release()
utility.drop_collection("book")
"""
TOLD = """
import json
print(json.dumps([len(mr.primary_keys), len(results[0].ids), max(hit.id for hit in res[0]) <= 1000]))
"""


def run(program: str, directory: Path, python: str | Path = sys.executable) -> object:
    program = program.replace(IMPORT, "from milvus_profiles import connections").replace(">>> ", "")
    program = program.replace(DISCONNECT, NEXT + DISCONNECT) + TOLD
    env = {"PATH": os.environ["PATH"], "HOME": str(directory), "PYTHONPATH": str(PROJECT), **coverage_variables()}
    done = subprocess.run(
        [python, "-c", program], env=env, cwd=directory, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_documents_for_a_server_with_users_lead_on(milvus_auth: MilvusServer, tmp_path: Path) -> None:
    with (
        administrator(milvus_auth, "username", "password"),
        documented_port() as port,
        faults.tcp_proxy(milvus_auth.port, port) as proxy,
    ):
        for number, program in enumerate((WITH_A_USER, WITH_A_TOKEN), 1):
            assert run(program, tmp_path) == [2000, 10, True]
            assert proxy.connections == number


@pytest.mark.parametrize(
    "version", ["3.0", *(pytest.param(older, marks=pytest.mark.campaign) for older in ("2.5", "2.6"))]
)
def test_the_documents_for_a_server_without_users_lead_on(
    version: str, milvus_plain: MilvusServer, tmp_path: Path
) -> None:
    python = layers.need_layer(f"pymilvus-{version}")
    program = WITH_TABS if version == "2.6" else INTERACTIVE
    with documented_port() as port, faults.tcp_proxy(milvus_plain.port, port) as proxy:
        # Imported before we connect, or after.
        before = "import pymilvus\n" if version == "2.5" else ""
        assert run(before + program, tmp_path, python) == [2000, 10, True]
        assert proxy.connections == 1


# --- the life of an alias --------------------------------------------------------------------------------------------

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*ORM.*", "ignore:.*deprecated.*")


@pytest.fixture(autouse=True)
def _nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    yield
    for alias, _ in connections.list_connections():
        connections.remove_connection(alias)
    mp.disconnect_all(grace=0)


def test_utility_db_role_and_user_work_on_an_alias(milvus_auth: MilvusServer) -> None:
    pymilvus = import_with_pymilvus("pymilvus")
    conn = connections.connect("of-us", uri=milvus_auth.uri, token="root:Milvus")
    before = connections_to(milvus_auth.port)
    assert pymilvus.utility.list_collections(using="of-us") == []
    assert "v2.3" in pymilvus.utility.get_server_version(using="of-us")
    assert "root" in pymilvus.utility.list_usernames(using="of-us")
    assert pymilvus.Role("admin", using="of-us").is_exist()
    pymilvus.db.create_database("films", using="of-us")
    pymilvus.db.using_database("films", using="of-us")
    try:
        pymilvus.Collection("c", a_schema(), using="of-us")
        assert conn.client(db_name="films").list_collections() == ["c"]
        pymilvus.utility.drop_collection("c", using="of-us")
    finally:
        pymilvus.db.drop_database("films", using="of-us")
    assert connections_to(milvus_auth.port) == before


def test_an_alias_is_taken_away_again() -> None:
    pymilvus = import_with_pymilvus("pymilvus")

    def list_collections(alias: str) -> object:
        return pymilvus.utility.list_collections(using=alias)

    with scripted_server(answer) as server:
        there = {"uri": f"http://127.0.0.1:{server.port}"}
        for end in (connections.disconnect, connections.remove_connection):
            connections.connect("mine", **there)
            assert list_collections("mine") == []
            end("Mine")
            with pytest.raises(pymilvus.MilvusException, match="create connection first"):
                list_collections("mine")
        assert not pymilvus.connections.get_connection_addr("mine")
        # Whatever pymilvus has connected itself is its own.
        pymilvus.connections.connect("theirs", **there)
        connections.connect("mine", **there)
        mp.disconnect_all()
        assert list_collections("theirs") == []
        with pytest.raises(pymilvus.MilvusException, match="connection of 'mine' is closed"):
            list_collections("mine")
        pymilvus.connections.remove_connection("theirs")


def test_a_profile_is_made_known_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    pymilvus = import_with_pymilvus("pymilvus")
    with scripted_server(answer) as server:
        monkeypatch.setenv("MILVUS_PROFILES__PROD__URI", f"http://127.0.0.1:{server.port}")
        monkeypatch.setenv("MILVUS_PROFILES__PROD__DB_NAME", "films")
        with mp.orm("prod") as conn:
            assert conn.alias == "prod"
            assert pymilvus.utility.list_collections(using="prod") == []
            assert server.calls[-1].metadata["dbname"] == "films"
            assert mp.orm() is conn
    with pytest.raises(errors.UnknownProfileError):
        mp.orm("nobody")


def test_nothing_imports_pymilvus_and_its_absence_is_said_where_it_is_needed(tmp_path: Path) -> None:
    program = """
import sys
from milvus_profiles import connections
import milvus_profiles as mp
connections.connect(uri=sys.argv[1])
print("pymilvus" in sys.modules)
sys.modules["pymilvus"] = None
connections.disconnect("default")
try: mp.orm("default")
except mp.ConfigError as error: print(error)
"""
    with scripted_server(answer) as server:
        done = run_python(
            program,
            f"http://127.0.0.1:{server.port}",
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **coverage_variables()},
            cwd=tmp_path,
        )
    assert done.stdout.startswith("False\npymilvus is not installed"), done.stderr
