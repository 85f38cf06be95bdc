"""What mypy knows of what the package returns; `tests/sdks` has the same for pyright, and so for editors."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """\
from typing_extensions import reveal_type

import milvus_profiles as mp

with mp.connect("prod") as conn:
    reveal_type(conn.client())  # MilvusClient
    conn.client(db_name="films").search("films", data=[[0.1]], limit=3)

with mp.ConnectionPool() as pool, pool.lease("prod") as lease:
    reveal_type(lease.client())  # MilvusClient

reveal_type(mp.orm("prod").client())  # MilvusClient


async def main() -> None:
    async with mp.aio.connect("prod") as conn:
        reveal_type(conn.client())  # AsyncMilvusClient
        await conn.client().insert("films", [])
    async with mp.aio.ConnectionPool() as pool, pool.lease("prod") as lease:
        reveal_type(lease.client())  # AsyncMilvusClient
"""
WANTED = re.findall(r"reveal_type\(.*\)  # (\w+)$", PROGRAM, re.MULTILINE)

REFUSED = """\
import milvus_profiles as mp

mp.connect("prod", db_name="films", port="19530", ssl={"ca": "ca.pem"}, retry=mp.Retry(attempts=2), timeout=3)
mp.connect(uri="http://h", ssl=mp.SSL(ca="ca.pem"), keepalive=mp.Keepalive(time=30), token={"env": "TOKEN"})
mp.connect(mp.Profile(alias="a", uri="http://h")).close()
mp.connect("prod", databse="films")  # wrong
mp.connect("prod", database="films")  # wrong
mp.connect("prod", db_name=3)  # wrong
mp.connect("prod", ssl="yes")  # wrong
mp.connect("prod", timeout="3")  # wrong
mp.connect(3)  # wrong
mp.aio.connect("prod", databse="films")  # wrong
mp.aio.connect("prod", user=3)  # wrong
mp.Profile(alias="a", ur="http://h")  # wrong
mp.PoolSettings(max_totl=3)  # wrong
mp.PoolSettings(mode="shard")  # wrong
mp.Retry(attempts="two")  # wrong
mp.ConnectionPool(mp.PoolSettings(max_channels=3))
mp.ConnectionPool(max_channels=3)  # wrong
mp.aio.ConnectionPool(max_total=3)  # wrong
mp.Profile("a")  # wrong
mp.PoolSettings(3)  # wrong
"""
WRONG = [number for number, line in enumerate(REFUSED.splitlines(), 1) if line.endswith("# wrong")]

# pymilvus has no marker of its types (PEP 561), without which mypy takes everything of it for Any.
MYPY = """\
[mypy]
strict = true
[mypy-pymilvus,pymilvus.milvus_client.*]
follow_untyped_imports = true
"""


def check(*command: str | Path, directory: Path) -> str:
    """What a type checker says of the program, in which it finds no error."""
    (directory / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [*command, "program.py"], cwd=directory, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def refused(*command: str | Path, directory: Path) -> list[int]:
    """The lines of the program in which a type checker finds something wrong."""
    (directory / "program.py").write_text(REFUSED)
    done = subprocess.run(
        [*command, "program.py"], cwd=directory, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return sorted({int(line) for line in re.findall(r"program\.py:(\d+):.*error", done.stdout)})


@pytest.fixture(scope="module")
def mypy(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """With one cache for both programs: to look at gRPC takes most of the time."""
    directory = tmp_path_factory.mktemp("mypy")
    (directory / "mypy.ini").write_text(MYPY)
    words = ["-m", "mypy", "--config-file", str(directory / "mypy.ini"), "--cache-dir", str(directory)]
    return [sys.executable, *words]


def test_what_is_wrong_is_refused_by_mypy(tmp_path: Path, mypy: list[str]) -> None:
    assert refused(*mypy, directory=tmp_path) == WRONG


def test_a_client_is_a_milvus_client_to_mypy(tmp_path: Path, mypy: list[str]) -> None:
    said = check(*mypy, directory=tmp_path)
    assert [name.rpartition(".")[2] for name in re.findall(r'type is "(.+)"', said)] == WANTED
