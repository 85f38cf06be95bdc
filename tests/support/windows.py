"""Runs a test as if on Windows: in a process of its own in which paths, the names of variables and ``sys.platform`` are
those of Windows.  On Windows itself the test runs as it is.

Files are the one thing that stays Linux's: there ``C:\\work\\x`` is a name like any other, in the current directory, so
what opens files works on them too, each directory being a name beside the others.  What only Windows' kernel does (who
may replace an open file, how a process is found and started) is not shown by this.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

__all__ = ["NATIVE", "directory", "on_windows"]

NATIVE = hasattr(sys, "getwindowsversion")
"""Whether this is Windows."""


def on_windows(test: Callable[[], None]) -> Callable[..., None]:
    """The test, which takes no fixtures, as pytest is to run it: in an empty current directory, on Windows."""
    if sys.platform == "win32":  # also in the process that only says so

        def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
            monkeypatch.chdir(tmp_path)
            test()

        return _named(here if NATIVE else test, test)

    def elsewhere(tmp_path: Path) -> None:
        program = [sys.executable, "-m", __name__, test.__module__, test.__name__]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr

    return _named(elsewhere, test)


def _named(function: Callable[..., None], test: Callable[[], None]) -> Callable[..., None]:
    function.__name__, function.__doc__, function.__module__ = test.__name__, test.__doc__, test.__module__
    return function


def directory(name: str) -> str:
    """A new directory of that name on drive C, or what stands for it."""
    path = os.path.join(os.getcwd(), name) if NATIVE else f"C:\\{name}"
    os.mkdir(path)
    return path


def _pretend() -> None:
    """Have this process take itself for one on Windows."""
    import asyncio
    import fcntl
    import ntpath
    import signal
    import types

    # All that is not ours has chosen its ways by the time that the platform changes.
    import grpc
    import keyring
    import pydantic
    import pydantic_settings
    import typer.testing

    del asyncio, grpc, keyring, pydantic, pydantic_settings, typer
    locks: dict[str, Any] = {"LK_NBLCK": 2, "LK_UNLCK": 0}

    def locking(descriptor: int, mode: int, _: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_UN if mode == 0 else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PermissionError(13, "Permission denied") from error

    msvcrt = types.ModuleType("msvcrt")
    vars(msvcrt).update(locks, locking=locking)
    sys.modules["msvcrt"] = msvcrt
    sys.modules["os.path"] = ntpath
    for name, value in {
        "name": "nt",
        "path": ntpath,
        "sep": "\\",
        "altsep": "/",
        "pathsep": ";",
        "devnull": "nul",
    }.items():
        setattr(os, name, value)
    for name in ("geteuid", "getuid", "fchown", "fchmod", "register_at_fork", "killpg", "fork"):
        delattr(os, name)
    vars(signal)["SIGBREAK"] = signal.SIGUSR1
    # Windows opens no directories.
    os.supports_dir_fd.clear()
    os.supports_fd.clear()
    sys.platform = "win32"


if __name__ == "__main__":
    import importlib

    _pretend()
    getattr(importlib.import_module(sys.argv[1]), sys.argv[2])()
