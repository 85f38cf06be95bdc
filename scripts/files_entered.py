"""How many files of the package a ``connect`` enters: a rough measure of how far a reader has to walk.

    python scripts/files_entered.py            # one line with the number
    python scripts/files_entered.py --names    # and which files

Counted are the files of ``milvus_profiles`` of which a function runs, in the thread that calls ``mp.connect("p",
profiles=profiles)`` and in those that the call starts.  The profiles are loaded before; the server is a scripted one,
over TCP and without TLS or a secret.  It is the second connect of the process, on a channel that has to be opened anew,
so that nothing is imported; what a module runs at its top would not count either.
"""

from __future__ import annotations

import sys
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


if __name__ == "__main__":
    with scripted_server(milvus_answer) as server:
        profiles = mp.load(env={"MILVUS_PROFILES__P__URI": f"http://127.0.0.1:{server.port}"}, cwd="/")
        mp.connect("p", profiles=profiles)
        mp.disconnect_all()
        found = entered(lambda: mp.connect("p", profiles=profiles))
        mp.disconnect_all()
    inside = sum(name.startswith("live/") for name in found)
    print(f"connect, profiles loaded: enters functions of {len(found)} files, {inside} of them in live/")
    if "--names" in sys.argv:
        print("\n".join(f"  {name}" for name in sorted(found)))
