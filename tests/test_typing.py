"""What mypy knows of what the package returns; `tests/sdks` has the same for pyright, and so for editors."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

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


def test_a_client_is_a_milvus_client_to_mypy(tmp_path: Path) -> None:
    (tmp_path / "mypy.ini").write_text(MYPY)
    said = check(sys.executable, "-m", "mypy", "--cache-dir", tmp_path, directory=tmp_path)
    assert [name.rpartition(".")[2] for name in re.findall(r'type is "(.+)"', said)] == WANTED
