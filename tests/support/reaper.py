"""Ends what a test session left behind when it died without its teardown (SIGKILL, a crash in native code).

`Reaper` is the session's side; run as a script this file is the other side, which waits on a pipe. The kernel closes
the pipe however the session ends; then every process still on the list is killed and every path removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO


def _birth(pid: int) -> str:
    """When the process started, so that a recycled pid is not taken for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return "unknown"


class Reaper:
    def __init__(self) -> None:
        # A session of its own: Ctrl+C in the terminal must not end it before it has done its work.
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-E", __file__], stdin=subprocess.PIPE, text=True, start_new_session=True
        )

    def _tell(self, *words: str) -> None:
        pipe: IO[str] | None = self._process.stdin
        if pipe is not None and not pipe.closed:
            with contextlib.suppress(BrokenPipeError):
                pipe.write("\t".join(words) + "\n")
                pipe.flush()

    def watch_process(self, pid: int) -> None:
        self._tell("process", str(pid), _birth(pid))

    def forget_process(self, pid: int) -> None:
        self._tell("ended", str(pid))

    def watch_path(self, path: Path) -> None:
        """A file or directory to be gone after the session, whether it exists by then or not."""
        self._tell("path", str(path))

    def close(self) -> None:
        """Tell it that the session is over; it ends whatever is left and returns."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=30)


def _main() -> None:
    processes: dict[int, str] = {}
    paths: list[str] = []
    for line in sys.stdin:
        kind, *words = line.rstrip("\n").split("\t")
        if kind == "process":
            processes[int(words[0])] = words[1]
        elif kind == "ended":
            processes.pop(int(words[0]), None)
        elif kind == "path":
            paths.append(words[0])
    for pid, birth in processes.items():
        if _birth(pid) == birth:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
    for path in paths:
        with contextlib.suppress(OSError):
            os.unlink(path)
        shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    _main()
