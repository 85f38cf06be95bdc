"""Connections and forks: prefork servers, multiprocessing, calls in flight."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.environment import run_python
from tests.support.milvus import MilvusServer

pytestmark = pytest.mark.programs

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
    ran = run_python(_PREFORK, milvus_plain.uri, threads, cwd=tmp_path)
    assert ran.stdout == "[0, 0, 0, 0, 0, 0] [] True\nparent True\n", ran.stderr
    assert "fork() handlers" not in ran.stderr  # gRPC found nobody inside, and prepared itself


# A parent that uses asyncio's gRPC, and closes it but for what some of its objects keep; then it forks.
_AFTER_ASYNCIO = """
import asyncio, gc, multiprocessing, os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import grpc
import milvus_profiles as mp

gc.disable()  # what a cycle holds is there when the child collects
profiles = mp.load(env={"MILVUS_PROFILES__P__URI": sys.argv[1]}, cwd="/")
METHOD = "/milvus.proto.milvus.MilvusService/"
kept = []

class Cycle:
    def __init__(self, held):
        self.held, self.me = held, self

async def use(keep):
    async with mp.aio.connect("p", profiles=profiles, dedicated=True) as conn:
        stub = conn.channel.unary_unary(METHOD + "GetVersion")
        call = stub(b"")
        await call
        try:
            await conn.channel.unary_unary(METHOD + "Nothing")(b"")
        except grpc.RpcError as error:
            if keep == "an error":
                kept.append(error)
    if keep == "a cycle":
        Cycle([conn, stub, call])
    kept.extend({"a handle": [conn], "a stub": [stub], "a call": [call]}.get(keep, []))

def child():
    kept.clear()
    gc.collect()
    assert mp.connect("p", profiles=profiles).ping() > 0
    try:
        asyncio.run(use("nothing"))
    except mp.ForkError:
        print("the child works", flush=True)

def forked():
    pid = os.fork()
    if pid == 0:
        child()
        sys.exit(0)  # to its very end, as few do
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def started():
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    return process.exitcode

for keep in sys.argv[2:]:
    asyncio.run(use(keep))
    print("after", keep, forked(), flush=True)
    kept.clear()
    gc.collect()
print("by multiprocessing", started())
"""


def test_a_child_works_whatever_is_left_of_asyncio_in_its_parent(milvus_plain: MilvusServer) -> None:
    kinds = ["nothing", "a cycle", "a handle", "a stub", "a call", "an error"]
    process = subprocess.Popen(
        [sys.executable, "-c", _AFTER_ASYNCIO, milvus_plain.uri, *kinds],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        said, errors = process.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the children too, which may spin
        process.wait()
    rounds = [f"the child works\nafter {kind} 0\n" for kind in kinds]
    assert said == "".join(rounds) + "the child works\nby multiprocessing 0\n", errors
