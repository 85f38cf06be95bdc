"""``profile test --all`` with black holes among the profiles."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.figures.start import CONSOLE_SCRIPT
from benchmarks.measure import Effort, Goal, Row, Spread, choose, main
from benchmarks.sleeper import sleeper
from tests.support.faults import black_hole

EXIT_UNREACHABLE = 6


def run(effort: Effort) -> list[Row]:
    deadline, rounds, good, holes = choose(effort, (5.0, 3, 45, 5), (3.0, 1, 45, 5), (1.0, 1, 2, 1))
    with sleeper() as port, tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        ports = [port] * good + [stack.enter_context(black_hole()) for _ in range(holes)]
        (Path(directory) / ".git").mkdir()
        (Path(directory) / "milvus.toml").write_text(
            "".join(f'[profiles.p{n}]\nuri = "http://127.0.0.1:{port}"\n' for n, port in enumerate(ports))
        )
        took = []
        for _ in range(rounds):
            began = time.perf_counter()
            command = [str(CONSOLE_SCRIPT), "profile", "test", "--all", "--timeout", str(deadline)]
            done = subprocess.run(command, cwd=directory, capture_output=True, text=True, stdin=subprocess.DEVNULL)
            took.append(time.perf_counter() - began)
            if done.returncode != EXIT_UNREACHABLE:
                raise RuntimeError(f"profile test ended with {done.returncode}: {done.stderr}")
    ratio = Spread.of([seconds / deadline for seconds in took])
    return [
        Row(
            f"profile test --all, {good + holes} profiles, {holes} of them black holes", "the deadline of each", "s",
            Spread.of(took), Spread.of([deadline]), ratio, Goal(1.3),
        )
    ]  # fmt: skip


if __name__ == "__main__":
    main(run)
