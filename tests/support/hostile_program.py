"""Connects to each profile and tests it, in a process of its own, in the ways that its arguments name.

It says what came of it, in which time, and how much memory it took.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import milvus_profiles as mp

KIB_PER_MIB = 1024


def outcome(attempt: Callable[[str], Any], alias: str) -> dict[str, Any]:
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before, began = peak(), time.monotonic()
    kind, status = None, 0
    try:
        said = attempt(alias)
    except mp.MilvusProfilesError as error:
        said, kind, status = str(error), type(error).__name__, error.exit_status
    seconds = time.monotonic() - began
    return {"error": kind, "status": status, "said": said, "seconds": seconds, "more_mib": peak() - before}


def peak() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / KIB_PER_MIB for line in lines if line.startswith("VmHWM"))


def threads(alias: str) -> Any:
    with mp.connect(alias, dedicated=True) as connection:
        return connection.server_version


def aio(alias: str) -> Any:
    async def connect() -> Any:
        async with await mp.aio.connect(alias) as connection:
            return connection.server_version

    return asyncio.run(connect())


def diagnosis(alias: str) -> Any:
    return mp.diagnose(alias).as_json(verbose=True)


def warm_up() -> None:
    """Load what is loaded at the first use, which is not the server's doing."""
    nobody = "http://127.0.0.1:1"
    with contextlib.suppress(mp.UnreachableError):
        mp.connect(uri=nobody, timeout=0.2)
    with contextlib.suppress(mp.UnreachableError):
        asyncio.run(mp.aio.connect(uri=nobody, timeout=0.2))
    importlib.import_module("milvus_profiles.diagnosis.api")


if __name__ == "__main__":
    warm_up()
    ways = sys.argv[1:]
    print(json.dumps({alias: {way: outcome(globals()[way], alias) for way in ways} for alias in mp.load()}))
