"""Connections and forks: prefork servers, multiprocessing, calls in flight."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.milvus import MilvusServer

_PREFORK = """
import multiprocessing, os, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import milvus_profiles as mp

profiles = mp.load(env={"MILVUS_PROFILES__P__URI": sys.argv[1]}, cwd="/")
conn = mp.connect("p", profiles=profiles)
enough, counts, failures = threading.Event(), [], []

def call_on():
    count = 0
    while not enough.is_set():
        try:
            conn.ping()
        except Exception as error:
            failures.append(repr(error))
            return
        count += 1
    counts.append(count)

def worker(results):
    try:
        conn.ping()
    except mp.ForkError:
        assert mp.list_connections() == []
        # All threads of a worker at once, as a web server's first requests come.
        with __import__("concurrent.futures").futures.ThreadPoolExecutor(4) as threads:
            handles = list(threads.map(lambda _: mp.connect("p", profiles=profiles), range(4)))
        assert all(handle.ping() > 0 for handle in handles)
        assert [info.handles for info in mp.list_connections()] == [4]
        results.put("good")

context = multiprocessing.get_context("fork")
threads = [threading.Thread(target=call_on) for _ in range(int(sys.argv[2]))]
for thread in threads:
    thread.start()
results = context.Queue()
workers = []
for _ in range(6):
    process = context.Process(target=worker, args=(results,))
    process.start()
    workers.append(process)
    time.sleep(0.02)
for process in workers:
    process.join(40)
enough.set()
for thread in threads:
    thread.join()
print([process.exitcode for process in workers], failures, all(count > 0 for count in counts))
print("parent", conn.ping() > 0)
"""


@pytest.mark.parametrize("threads", [0, 4], ids=["idle parent", "parent with calls in flight"])
def test_prefork_workers_connect_anew_while_the_parent_goes_on(
    threads: int, milvus_plain: MilvusServer, tmp_path: Path
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _PREFORK, milvus_plain.uri, str(threads)],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran.stdout == "[0, 0, 0, 0, 0, 0] [] True\nparent True\n", ran.stderr
    assert "fork() handlers" not in ran.stderr  # gRPC found nobody inside, and prepared itself
