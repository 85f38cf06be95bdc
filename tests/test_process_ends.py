"""A program ends as it should, whatever it leaves open: no word on stderr, its own status, its data in the database.

Python differs here from release to release: from 3.12 on no thread can be started once the main program is through.
`make test-pythons` runs this on every Python that is on the machine.  Each program imports pymilvus and Milvus Lite,
which takes more than a second.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import wait
from pathlib import Path

import pytest

from milvus_profiles.channel.lite import Workers
from tests.support.environment import run_python
from tests.support.faults import recorder

pytestmark = pytest.mark.programs

BEGIN = """\
import asyncio, contextlib, logging, os, signal, sys, threading, time
import milvus_profiles as mp

os.environ["MILVUS_PROFILES__LOCAL__URI"] = sys.argv[1]
ROWS = [{"id": 1, "vector": [1.0, 0.0, 0.0, 0.0]}]

def fill(client):
    client.create_collection("c", dimension=4)
    client.insert("c", ROWS)

"""
PROGRAMS = {
    "an event loop and a pool": """
async def main():
    async with mp.aio.connect("local") as conn:
        await conn.ping()

asyncio.run(main())
with mp.ConnectionPool(mp.PoolSettings(max_channels=2)) as pool:
    with pool.lease("local") as conn:
        fill(conn.client())
""",
    "everything left open": """
pool, conn, loop = mp.ConnectionPool(), mp.connect("local", dedicated=True), asyncio.new_event_loop()
pool.get_client("local")
left = loop.run_until_complete(mp.aio.connect("local"))
fill(conn.client())
future = conn.channel.unary_unary("/milvus.proto.milvus.MilvusService/GetVersion").future(b"")
""",
    "threads that go on": """
conn = mp.connect("local")
client = conn.client()
fill(client)

def go_on():
    for _ in range(10):
        conn.ping()
        client.list_collections()
        mp.connect("local").ping()
        time.sleep(0.02)

threading.Thread(target=go_on).start()

def never_end():
    while True:
        try:
            conn.ping()
        except mp.MilvusProfilesError:
            return

threading.Thread(target=never_end, daemon=True).start()
""",
    "sys.exit in a block": """
with mp.connect("local") as conn, mp.ConnectionPool() as pool, pool.lease("local") as lease:
    fill(conn.client())
    sys.exit(5)
""",
    "Ctrl-C in an event loop": """
async def main():
    async with mp.aio.connect("local") as conn, mp.aio.ConnectionPool() as pool, pool.lease("local") as lease:
        fill(mp.connect("local").client())
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)

try:
    asyncio.run(main())
except KeyboardInterrupt:
    sys.exit(6)
""",
}
STATUS = {"sys.exit in a block": 5, "Ctrl-C in an event loop": 6}
COUNT = """
with mp.connect("local") as conn:
    client = conn.client()
    client.load_collection("c")
    print(client.query("c", output_fields=["count(*)"])[0]["count(*)"])
"""


def run(program: str, database: Path) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(database.parent)}
    return run_python(
        BEGIN + program,
        database,
        env=env,
        cwd=database.parent,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


@pytest.mark.parametrize("what", PROGRAMS)
def test_a_program_ends_as_it_should(what: str, tmp_path: Path) -> None:
    database = tmp_path / "x.db"
    ended = run(PROGRAMS[what], database)
    assert (ended.returncode, ended.stdout, ended.stderr) == (STATUS.get(what, 0), "", "")
    # Closed, and not only left: what was written is in its file, and nothing waits to be read again.
    assert list(database.rglob("*.parquet"))
    assert not list(database.rglob("wal/*"))
    again = run(COUNT, database)
    assert (again.returncode, again.stdout, again.stderr) == (0, "1\n", "")


# --- Milvus Lite, whatever the threads of the program do -------------------------------------------------------------


CONNECTED = """
logging.disable(logging.CRITICAL)  # pymilvus tells at length of each call that fails
client = mp.connect("local").client()
"""
HAMMERING = """
client.create_collection("c", dimension=4)
written = [0]

def hammer(first):
    for number in range(first, 10**9, 4):
        try:
            client.insert("c", [{"id": number, "vector": [1.0, 0.0, 0.0, 0.0]}])
            written[0] += 1
            client.search("c", data=[[1.0, 0.0, 0.0, 0.0]], limit=2)
        except Exception:
            pass

for first in range(4):
    threading.Thread(target=hammer, args=(first,), daemon=True).start()
while written[0] < 20:
    time.sleep(0.01)
print(written[0], flush=True)
"""
STUCK = """
from pymilvus import DataType, Function, FunctionType

schema = client.create_schema(auto_id=False)
schema.add_field("id", DataType.INT64, is_primary=True)
schema.add_field("text", DataType.VARCHAR, max_length=100)
schema.add_field("vector", DataType.FLOAT_VECTOR, dim=4)
how = {"provider": "openai", "model_name": "text-embedding-3-small", "dimensions": 4, "base_url": sys.argv[2]}
schema.add_function(Function("f", FunctionType.TEXTEMBEDDING, ["text"], ["vector"], params=how))
client.create_collection("c", schema=schema)

def insert():
    with contextlib.suppress(Exception):  # it is cut off in the end
        client.insert("c", [{"id": 1, "text": "x"}])

threading.Thread(target=insert, daemon=True).start()
time.sleep(1.0)
print("stuck", flush=True)
"""


def ending(program: str, database: Path, *words: str) -> tuple[str, float]:
    """What a program prints, and the seconds that it takes to end after its last line."""
    env = {"PATH": os.environ["PATH"], "HOME": str(database.parent), "OPENAI_API_KEY": "own", "PYTHONFAULTHANDLER": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN + CONNECTED + program, database, *words],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        said = process.stdout.readline().strip()
        began = time.monotonic()
        _, errors = process.communicate(timeout=90)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, errors
    assert "Traceback" not in errors, errors
    return said, time.monotonic() - began


def test_daemon_threads_that_go_on_calling_do_not_keep_the_program_from_ending(tmp_path: Path) -> None:
    written, seconds = ending(HAMMERING, tmp_path / "x.db")
    assert seconds < 20
    # What was answered is there, and nobody has the lock.
    assert int(run(COUNT, tmp_path / "x.db").stdout) >= int(written)


def test_a_call_that_never_ends_is_left_behind(tmp_path: Path) -> None:
    with recorder(greets=False) as silent:  # takes the text, and never answers
        said, seconds = ending(STUCK, tmp_path / "x.db", f"http://127.0.0.1:{silent.port}")
    assert said == "stuck"
    assert seconds < 30
    ending("print(client.list_collections())", tmp_path / "x.db")


# --- the threads -----------------------------------------------------------------------------------------------------


def test_workers_end_in_the_time_that_they_have_and_take_nothing_more() -> None:
    workers = Workers(1, "test")
    assert workers.submit(divmod, 7, 2).result(5) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        workers.submit(divmod, 7, 0).result(5)
    hold = threading.Event()
    held = workers.submit(hold.wait)
    workers.submit(divmod, 7, 2).cancel()
    assert not workers.end(0.05)
    with pytest.raises(RuntimeError, match="ended"):
        workers.submit(divmod, 7, 2)
    hold.set()
    wait([held], 5)
    assert workers.end(5.0)
