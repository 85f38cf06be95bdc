"""A program ends as it should, whatever it leaves open: no word on stderr, its own status, its data in the database.

Python differs here from release to release: from 3.12 on no thread can be started once the main program is through.
`make test-pythons` runs this on every Python that is on the machine.  Each program imports pymilvus and Milvus Lite,
which takes more than a second.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.environment import run_python

pytestmark = pytest.mark.programs

BEGIN = """\
import asyncio, os, signal, sys, threading, time
import milvus_profiles as mp

os.environ["MILVUS_PROFILES__LOCAL__URI"] = sys.argv[1]
ROWS = [{"id": 1, "vector": [1.0, 0.0, 0.0, 0.0]}]

def fill(client):
    client.create_collection("c", dimension=4)
    client.insert("c", ROWS)

"""
PROGRAMS = {
    # The first two programs of the README.
    "the shared connection": """
with mp.connect("local") as conn:
    client = conn.client()
    fill(client)
    stub_channel = conn.channel
""",
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
    print(client.query("c", filter="id >= 0", output_fields=["id"]))
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
    assert "'id': 1" in again.stdout, again.stderr
