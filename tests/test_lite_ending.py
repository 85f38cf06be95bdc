"""A program with Milvus Lite in it ends, whatever its threads do, and its data are there the next time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import wait
from pathlib import Path

import pytest

from milvus_profiles.channel.lite import Workers
from tests.support.faults import recorder

pytestmark = pytest.mark.programs

PROJECT = Path(__file__).parents[1]

BEGIN = """\
import contextlib, logging, sys, threading, time
import milvus_profiles as mp

logging.disable(logging.CRITICAL)  # pymilvus tells at length of each call that fails
connection = mp.connect(uri=sys.argv[1])
client = connection.client()
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
COUNT = """
client.load_collection("c")
print(client.query("c", output_fields=["count(*)"])[0]["count(*)"])
"""


def run(code: str, *arguments: object) -> tuple[str, float]:
    """What a program prints, and the seconds that it takes to end after its last line."""
    env = {**os.environ, "PYTHONPATH": str(PROJECT), "OPENAI_API_KEY": "own", "PYTHONFAULTHANDLER": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN + code, *map(str, arguments)],
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
    written, seconds = run(HAMMERING, tmp_path / "x.db")
    assert seconds < 20
    # What was answered is there, and nobody has the lock.
    counted, _ = run(COUNT, tmp_path / "x.db")
    assert int(counted) >= int(written)


def test_a_call_that_never_ends_is_left_behind(tmp_path: Path) -> None:
    with recorder(greets=False) as silent:  # takes the text, and never answers
        said, seconds = run(STUCK, tmp_path / "x.db", f"http://127.0.0.1:{silent.port}")
    assert said == "stuck"
    assert seconds < 30
    run("print(client.list_collections())", tmp_path / "x.db")


# --- the threads -----------------------------------------------------------------------------------------------------


def test_workers_give_results_and_errors_and_end() -> None:
    workers = Workers(2, "test")
    assert workers.submit(divmod, 7, 2).result(5) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        workers.submit(divmod, 7, 0).result(5)
    assert workers.end(5.0)
    with pytest.raises(RuntimeError, match="ended"):
        workers.submit(divmod, 7, 2)


def test_workers_are_waited_for_no_longer_than_asked() -> None:
    hold = threading.Event()
    workers = Workers(1, "test")
    held = workers.submit(hold.wait)
    cancelled = workers.submit(divmod, 7, 2)
    cancelled.cancel()
    assert not workers.end(0.05)
    hold.set()
    wait([held], 5)
    assert workers.end(5.0)
