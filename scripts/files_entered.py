"""How many files of the package a call of ``connect`` enters: a rough measure of how far a reader has to walk.

    python scripts/files_entered.py            # on Milvus Lite, and over TCP on a scripted server
    python scripts/files_entered.py --names    # and which

Counted is the second connect of the process, so that nothing of what is imported or compiled counts.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import milvus_profiles as mp

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.scripted_grpc import milvus_answer, scripted_server

PACKAGE = str(Path(mp.__file__).parent)


def entered(call: Callable[[], object]) -> set[str]:
    """The files whose functions run in a call, in all threads that it starts."""
    found: set[str] = set()

    def look(frame: FrameType, event: str, _: Any) -> None:
        name = frame.f_code.co_filename
        if event == "call" and name.startswith(PACKAGE) and frame.f_code.co_name != "<module>":
            found.add(name.removeprefix(PACKAGE + "/"))

    threading.setprofile(look)
    sys.setprofile(look)
    try:
        call()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    return found


def connect(uri: str) -> None:
    mp.connect("p", profiles=mp.load(env={"MILVUS_PROFILES__P__URI": uri}, cwd="/"))


async def connect_async(uri: str) -> None:
    await mp.aio.connect("p", profiles=mp.load(env={"MILVUS_PROFILES__P__URI": uri}, cwd="/"))


def measured(what: str, uri: str) -> None:
    def threads() -> None:
        connect(uri)

    def loop() -> None:
        asyncio.run(connect_async(uri))

    for name, call in (("threads", threads), ("asyncio", loop)):
        call()
        mp.disconnect_all()
        found = entered(call)
        mp.disconnect_all()
        print(f"{what}, {name}: {len(found)} files, {sum(each.startswith('live') for each in found)} of them in live/")
        if "--names" in sys.argv:
            print("  " + "\n  ".join(sorted(found)))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        measured("Milvus Lite", f"{directory}/lite.db")
    with scripted_server(milvus_answer) as server:
        measured("TCP", f"http://127.0.0.1:{server.port}")
