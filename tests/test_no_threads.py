"""Where the system gives no more threads, everything that needs one says so; gRPC by itself would end the process.

Each test is a process of a user of whom nothing else runs, with a limit of threads (RLIMIT_NPROC).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support import scripted_grpc
from tests.support.environment import run_python
from tests.support.requirements import unavailable

pytestmark = pytest.mark.security

_PROGRAM = """
import asyncio, os, resource, sys, time
import concurrent.futures.thread, encodings.idna, grpc.aio
import milvus_profiles as mp
import milvus_profiles.live.opening, milvus_profiles.live.aio_connecting, milvus_profiles.diagnosis.api
import milvus_profiles.pool.connector, milvus_profiles.pool.aio_connector, milvus_profiles.diagnosis.aio_api
from milvus_profiles.cli.entry import main

what, uri, spare, home = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
if uri.endswith(".db"):
    import milvus_profiles.channel.lite as lite
    lite.import_lite()
if what == "profile test":  # all of it, while the user may read it
    import importlib, pkgutil
    import milvus_profiles.cli, milvus_profiles.diagnosis, milvus_profiles.probe
    for room in (milvus_profiles.cli, milvus_profiles.diagnosis, milvus_profiles.probe):
        for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            importlib.import_module(module.name)
env = {"HOME": home, **{f"MILVUS_PROFILES__P{n}__URI": uri for n in range(3)}}
profiles = mp.load(env=env, cwd="/")
os.environ.clear()
os.environ.update(env, PATH="/usr/bin:/bin")
os.chdir("/")
# The limit is one of the user's, and none of root's.
os.chown(home, 1_000_000 + os.getpid(), 54321)
os.setgid(54321)
os.setuid(1_000_000 + os.getpid())

def limit():
    most = len(os.listdir("/proc/self/task")) + spare
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))

def told(error):
    print(type(error).__name__, error.code, error.hint.split()[0], flush=True)
    os._exit(0)  # asyncio.run itself needs a thread to end

def use(conn):
    with conn:
        print("good" if conn.ping() > 0 else "bad", flush=True)

def diagnosed(report):
    [stage, *_] = [stage for stage in report.stages if stage.status == "failed"]
    print(stage.name, stage.code, (stage.hint or "").split()[0], flush=True)

async def in_loop():
    try:
        if what == "aio diagnose":
            print(await mp.aio.diagnose("p0", profiles=profiles))
        elif what == "aio pool":
            pool = mp.aio.ConnectionPool(profiles=profiles)
            await (await pool.get_client("p0")).ping()
        else:
            await (await mp.aio.connect("p0", profiles=profiles)).ping()
        print("good", flush=True)
    except mp.MilvusProfilesError as error:
        told(error)

before = len(os.listdir("/proc/self/task"))
closed = mp.connect("p0", profiles=profiles, dedicated=True) if what == "connect again" else None
if closed is not None:
    closed.close()  # and gRPC's threads end, though there still is a channel
    until = time.monotonic() + 30
    while len(os.listdir("/proc/self/task")) > before and time.monotonic() < until:
        time.sleep(0.01)
kept = mp.connect("p0", profiles=profiles) if what == "a name" else None
limit()
try:
    if what.startswith("aio"):
        asyncio.run(in_loop())
    elif what == "diagnose":
        diagnosed(mp.diagnose("p0", profiles=profiles))
    elif what == "a name":
        elsewhere = mp.load(env={"MILVUS_PROFILES__P__URI": uri.replace("127.0.0.1", "localhost")}, cwd="/")
        diagnosed(mp.diagnose("p", profiles=elsewhere))
    elif what == "pool":
        with mp.ConnectionPool(profiles=profiles) as pool:
            use(pool.get_client("p0", timeout=20))
    elif what == "profile test":
        main(["profile", "test", "--all", "--json"])
        sys.stdout.flush()
    else:
        use(mp.connect("p0", profiles=profiles))
        mp.disconnect_all()
except mp.MilvusProfilesError as error:
    told(error)
os._exit(0)
"""


def run(home: Path, what: str, spare: int, uri: str | None = None) -> str:
    if not hasattr(os, "getuid") or os.getuid() != 0 or not os.path.isdir("/proc/self/task"):
        unavailable("needs root, to become a user of whom nothing else runs")
    for directory in (home, *home.parents[:-2]):  # up to /tmp, which is not ours
        directory.chmod(0o755)
    with scripted_grpc.scripted_server(scripted_grpc.milvus_answer) as server:
        done = run_python(_PROGRAM, what, uri or f"http://127.0.0.1:{server.port}", spare, home)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert "pthread_create failed" not in done.stderr
    return done.stdout.strip()


NONE = "ThreadStartError limit end"
SAID = {
    **dict.fromkeys(["connect", "connect again", "aio connect"], ([0, 1, 3, 5], NONE)),
    **dict.fromkeys(["aio pool", "aio diagnose"], ([0], NONE)),
    "diagnose": ([0, 3], "grpc limit end"),
    "a name": ([0], "dns limit end"),
}


@pytest.mark.parametrize(("what", "spare"), [(what, spare) for what, (spares, _) in SAID.items() for spare in spares])
def test_what_needs_a_thread_says_that_there_is_none(what: str, spare: int, tmp_path: Path) -> None:
    assert run(tmp_path, what, spare) == SAID[what][1]


@pytest.mark.parametrize("spare", [0, 1, 2, 5])
def test_a_pool_says_so_whichever_thread_is_lacking(spare: int, tmp_path: Path) -> None:
    assert run(tmp_path, "pool", spare) in (NONE, "ConnectFailedError pool end")


def test_the_command_has_it_as_a_finding_of_each_profile(tmp_path: Path) -> None:
    assert run(tmp_path, "profile test", 0).count('"hint": "end some processes or threads') == 3


@pytest.mark.parametrize("spare", [0, 12, 24])
def test_milvus_lite_is_not_started(spare: int, tmp_path: Path) -> None:
    pytest.importorskip("milvus_lite")
    home = tmp_path / "home"
    home.mkdir()
    assert run(home, "connect", spare, str(home / "milvus.db")) == NONE


@pytest.mark.parametrize("more", [-1, 0, 1, 2])
@pytest.mark.parametrize("what", ["connect", "aio connect", "aio pool"])
def test_where_there_are_just_enough_it_works_or_is_refused(what: str, more: int, tmp_path: Path) -> None:
    # The threads that were started to see whether there are some must be gone when gRPC starts its own.
    enough = max(2, min(16, os.cpu_count() or 1)) + 8
    assert run(tmp_path, what, enough + more) in ("good", NONE, "ConnectFailedError pool end")


@pytest.mark.parametrize("what", ["connect", "pool", "aio connect", "aio pool"])
def test_with_some_threads_to_spare_it_works(what: str, tmp_path: Path) -> None:
    assert run(tmp_path, what, 60) == "good"
