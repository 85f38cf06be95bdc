"""Measures what commands cost: processor time and memory, each in a fresh fork of a process that has imported all.

A program that reads requests and writes answers, one JSON value a line; :class:`Meter` is its other end.
"""

from __future__ import annotations

import gc
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .environment import coverage_variables, nowhere

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Cost:
    seconds: float
    """Of the processor, user and system."""
    mebibytes: int
    """The most memory that it had."""
    status: int
    """Negative: ended by that signal; SIGXCPU where it took longer than the limit."""
    longest: int
    """Characters in the longest line that it wrote."""


class Meter:
    """The measuring process.

    Args:
        directory: an empty one, which becomes the project.
    """

    def __init__(self, directory: Path) -> None:
        self.project = directory
        (directory / ".git").mkdir()
        home = directory / "home"
        home.mkdir()
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            **dict.fromkeys(coverage_variables(), ""),  # tracing costs more than what is measured
            **nowhere(home),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.meter"],
            cwd=directory,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()  # that it is ready

    def __call__(self, words: Sequence[str], text: str, env: Mapping[str, str], limit: int) -> Cost:
        """Run one command line in a project with that text in its file."""
        (self.project / "milvus.toml").write_text(text)
        return Cost(**self._asked({"words": words, "env": env, "limit": limit}))

    def slowness(self) -> float:
        """How many times longer this machine takes at this moment than one of our day with a core to itself, 1 to 4.

        By work that has nothing to do with the package, so that nothing that becomes slower there looks like a slow
        machine; and no more than four times, so that the slowest machine judges too.
        """
        return float(self._asked({"slowness": True})["slowness"])

    def close(self) -> None:
        self._process.communicate(timeout=60)

    def _asked(self, request: dict[str, object]) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


# --- the program -----------------------------------------------------------------------------------------------------


def _serve() -> None:
    import tomlkit  # noqa: F401

    import milvus_profiles as mp
    from milvus_profiles.cli import app, entry
    from milvus_profiles.config import edit, loading  # noqa: F401
    from milvus_profiles.diagnosis import stages, test_run  # noqa: F401

    app.application([])
    gc.set_threshold(entry._MANY, 20, 50)  # as the program sets it

    def answer(value: object) -> None:
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()

    def run(words: list[str]) -> int:
        if words[0] != "load":
            return entry.main(words)
        try:
            mp.load()[words[1]]
        except mp.MilvusProfilesError as error:
            print(error)
            return error.exit_status
        return 0

    answer({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        if "slowness" in request:
            answer({"slowness": _slowness()})
            continue
        pid = os.fork()
        if pid == 0:
            status = 99
            try:
                resource.setrlimit(resource.RLIMIT_CPU, (request["limit"], request["limit"]))
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                output = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                os.dup2(output, 1)
                os.dup2(output, 2)
                os.environ.update(request["env"])  # which the C library takes the square of their number for
                before = resource.getrusage(resource.RUSAGE_SELF)
                with open("began", "w", encoding="utf-8") as file:
                    file.write(str(before.ru_utime + before.ru_stime))
                status = run(request["words"])
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(status)
        _, ended, used = os.wait4(pid, 0)
        with open("output", encoding="utf-8", errors="replace") as file:
            longest = max(map(len, file.read().split("\n")))
        with open("began", encoding="utf-8") as file:
            began = float(file.read())
        cost = Cost(
            used.ru_utime + used.ru_stime - began, used.ru_maxrss >> 10, os.waitstatus_to_exitcode(ended), longest
        )
        answer(cost.__dict__)


_ALONE = 0.3
"""Processor seconds of the work below, as here, with a core to itself."""
_LINE = re.compile(r"([a-z0-9]+) = '([a-z]*)'\n")


def _slowness() -> float:
    """As :meth:`Meter.slowness` has it: what readers of text do, a regular expression and a dictionary of places.

    As many of them as a megabyte has, since whoever shares the machine takes its caches too.
    """
    text = "".join(f"k{number} = 'value'\n" for number in range(300_000))
    began = time.process_time()
    places: dict[tuple[str, int], tuple[int, int, int]] = {}
    at = 0
    while (match := _LINE.match(text, at)) is not None:
        places[match[1], at] = match.start(1), match.start(2), match.end(2)
        at = match.end()
    return min(4.0, max(1.0, (time.process_time() - began) / _ALONE))


if __name__ == "__main__":
    _serve()
