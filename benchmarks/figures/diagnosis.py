"""``profile test --all`` with black holes among the profiles, with the machine to itself and beside others' work."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.figures.start import CONSOLE_SCRIPT
from benchmarks.measure import Effort, Floor, Row, at_most, choose, compared, main, turns
from benchmarks.processes import PYTHON
from benchmarks.sleeper import sleeper
from tests.support.faults import black_hole

EXIT_UNREACHABLE = 6
BUSY = 2


@contextlib.contextmanager
def _busy(count: int) -> Iterator[None]:
    """So many processes that take all the processor they can get."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            process = stack.enter_context(subprocess.Popen([PYTHON, "-c", "while True: pass"]))
            stack.callback(process.kill)
        yield


def _tested(directory: str, deadline: float, beside: int) -> Callable[[], float]:
    command = [str(CONSOLE_SCRIPT), "profile", "test", "--all", "--timeout", str(deadline)]

    def measure() -> float:
        with _busy(beside):
            began = time.perf_counter()
            done = subprocess.run(command, cwd=directory, capture_output=True, text=True, stdin=subprocess.DEVNULL)
            took = time.perf_counter() - began
        if done.returncode != EXIT_UNREACHABLE:
            raise RuntimeError(f"profile test ended with {done.returncode}: {done.stderr}")
        return took

    return measure


def run(effort: Effort) -> list[Row]:
    deadline, rounds, good, holes = choose(effort, (3.0, 8, 45, 5), (3.0, 2, 45, 5), (1.0, 1, 2, 1))
    with sleeper() as port, tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        ports = [port] * good + [stack.enter_context(black_hole()) for _ in range(holes)]
        (Path(directory) / ".git").mkdir()
        (Path(directory) / "milvus.toml").write_text(
            "".join(f'[profiles.p{n}]\nuri = "http://127.0.0.1:{port}"\n' for n, port in enumerate(ports))
        )
        found = turns({name: _tested(directory, deadline, beside) for name, beside in _SURROUNDINGS.items()}, rounds)
    figure = f"profile test --all, {good + holes} profiles, {holes} of them black holes"
    peer = f"the deadline of each, {deadline:g} s"
    floor = Floor("the deadline", deadline)
    return [
        compared(figure + more, peer, "s", took, [deadline] * len(took), at_most(1.15), floor=floor)
        for more, took in found.items()
    ]


_SURROUNDINGS = {"": 0, f", beside {BUSY} busy processes": BUSY}


if __name__ == "__main__":
    main(run)
