"""Connects and tests in a process of its own; says what came of it, in which time, and how much memory it took."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import milvus_profiles as mp

KIB_PER_MIB = 1024


def outcome(attempt: Callable[[], Any]) -> dict[str, Any]:
    before, began = peak(), time.monotonic()
    try:
        said, kind = attempt(), None
    except Exception as error:
        said, kind = str(error), type(error).__name__
        if not isinstance(error, mp.MilvusProfilesError):
            raise
    seconds = time.monotonic() - began
    return {"error": kind, "said": said, "seconds": seconds, "more_mib": peak() - before}


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MIB


def threads() -> Any:
    with mp.connect("p") as connection:
        return connection.server_version


def aio() -> Any:
    async def connect() -> Any:
        async with await mp.aio.connect("p") as connection:
            return connection.server_version

    return asyncio.run(connect())


def diagnosis() -> Any:
    return mp.diagnose("p").as_json(verbose=True)


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
    print(json.dumps({name: outcome(globals()[name]) for name in sys.argv[1:]}))
