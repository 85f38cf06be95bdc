"""Running short programs and timing them, each in a fresh process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

__all__ = ["PYTHON", "ROOT", "checked", "lasting", "serving", "spending", "until_printed"]

PYTHON = sys.executable
ROOT = Path(__file__).parents[1]


def checked(command: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run a program once and see that it ends well; what it prints."""
    done = subprocess.run(
        command, env={**os.environ, **(env or {})}, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr}")
    return done.stdout


@contextlib.contextmanager
def serving(module: str, *words: str) -> Iterator[int]:
    """A server in a process of its own, which prints its port and ends with its standard input.

    Args:
        module: run with ``-m``.
        words: its arguments.

    Yields:
        Its port on 127.0.0.1.
    """
    process = subprocess.Popen([PYTHON, "-m", module, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(10)


def lasting(
    command: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Callable[[], float]:
    """A contestant: the seconds that a program takes from its start to its end."""
    checked(command, env, cwd)  # it works, and its bytecode is compiled
    environment = {**os.environ, **(env or {})}

    def measure() -> float:
        began = time.perf_counter()
        subprocess.run(
            command, env=environment, cwd=cwd, check=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        return time.perf_counter() - began

    return measure


def spending(command: Sequence[str], env: Mapping[str, str] | None = None) -> Callable[[], float]:
    """A contestant: the seconds of CPU time that a program takes, of the user and the system."""
    checked(command, env)
    environment = {**os.environ, **(env or {})}

    def measure() -> float:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{command} ended with {process.returncode}")
        return used.ru_utime + used.ru_stime

    return measure


def until_printed(program: str, env: Mapping[str, str] | None = None) -> Callable[[], float]:
    """A contestant: the seconds from the start of a Python program to its ``print(now())``."""
    text = f"from time import monotonic as now\n{program}"

    def measure() -> float:
        began = time.monotonic()
        return float(checked([PYTHON, "-c", text], env)) - began

    measure()
    return measure
