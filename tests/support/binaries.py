"""Milvus server binaries, carried by the wheels of the PyPI package `milvus`, unpacked once.

The wheels are installed with `pip install --target --no-deps` into one directory for each version, outside any venv:
nothing imports them, two versions cannot share a venv, and every venv can share them. Standard library only:
`scripts/bootstrap.py` unpacks them before anything is installed.
"""

from __future__ import annotations

import fcntl
import lzma
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CURRENT = "2.3.5"
# Has no Connect RPC, and answers /healthz before it is ready.
OLD = "2.2.8"
VERSIONS = (CURRENT, OLD)


def servers_directory() -> Path:
    default = Path(__file__).parents[2] / ".servers"
    return Path(os.environ.get("TEST_SERVERS") or default).absolute()


def carrier(version: str) -> Path:
    """Where the wheel of this version is installed."""
    return servers_directory() / f"milvus-{version}"


def is_carried(version: str) -> bool:
    return (carrier(version) / "milvus/data/bin/milvus.lzma").exists()


def template(version: str) -> Path:
    return carrier(version) / "milvus/data/config.yaml.template"


def _unpacked(version: str) -> Path:
    return carrier(version) / "unpacked"


def is_unpacked(version: str) -> bool:
    return _unpacked(version).exists()


def binaries(version: str) -> Path:
    """The directory of the server's executable and its libraries, unpacked if it is not yet."""
    unpacked = _unpacked(version)
    with open(carrier(version) / "unpacked.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not unpacked.exists():
            _unpack(carrier(version) / "milvus/data/bin", unpacked)
    return unpacked


def _unpack(packed: Path, unpacked: Path) -> None:
    unfinished = unpacked.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()

    def unpack(source: Path) -> None:
        target = unfinished / source.stem
        with lzma.open(source) as compressed, open(target, "wb") as plain:
            shutil.copyfileobj(compressed, plain, 1 << 20)
        target.chmod(0o755)

    # lzma works without the GIL; the largest file first, since it alone takes half of the time.
    files = sorted(packed.glob("*.lzma"), key=lambda path: -path.stat().st_size)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(unpack, files))
    unfinished.rename(unpacked)
