"""Two versions in turns: what a change did to the figures, on a machine that does other work too.

python -m benchmarks.compare BASE [--only FIGURE …] [--effort full|quick|tiny] [--pairs N]

BASE is checked out into a directory of its own, which is gone afterwards however this ends.  One ruler measures both:
the benchmarks and the helpers of the tests that stand here.  The versions take turns, A B B A and so on, and each pair
gives one ratio of new to old.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.__main__ import FIGURES
from benchmarks.measure import Effort, Row, Spread, orders
from benchmarks.processes import PYTHON, ROOT
from benchmarks.record import git
from benchmarks.report import number
from tests.support.environment import shield
from tests.support.reaper import Reaper

Named = tuple[str, str]
"""What was measured, and in which unit."""
_RULER = ("benchmarks", "tests")


class Failed(Exception):
    """A figure could not be measured."""


def commit_of(base: str) -> str:
    """The commit that somebody names.

    Raises:
        ValueError: there is none of that name, or no repository.
    """
    try:
        git("rev-parse", "--git-dir")
    except (OSError, subprocess.CalledProcessError):
        raise ValueError(f"{ROOT} is no git repository, so there is no other version to compare with") from None
    try:
        return git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}").strip()
    except subprocess.CalledProcessError:
        raise ValueError(
            f"BASE={base!r} is no commit here: give a branch, a tag or a hash, such as BASE=main or BASE=HEAD~1"
        ) from None


@contextlib.contextmanager
def checked_out(commit: str, reaper: Reaper) -> Iterator[Path]:
    """A commit in a worktree of its own, with the ruler of this checkout; nothing of it stays."""
    directory = Path(tempfile.mkdtemp(prefix="bench-compare-"))
    tree = directory / "base"
    try:
        reaper.watch_path(directory)
        git("worktree", "prune")  # what such an end left in the repository itself
        git("worktree", "add", "--quiet", "--detach", str(tree), commit)
        for name in _RULER:
            shutil.rmtree(tree / name, ignore_errors=True)
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "history"))
        for each in (tree, ROOT):  # neither compiles its modules while it is measured
            compileall.compile_dir(each / "milvus_profiles", quiet=1)
        yield tree
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            git("worktree", "prune")


def measured(tree: Path, figure: str, effort: Effort, reaper: Reaper) -> list[Row]:
    """The rows of a figure in one of the two trees.

    Raises:
        Failed: the program of the figure failed.
    """
    # Before what is installed: programs that a figure starts elsewhere, the console script among them, take this one.
    env = {**os.environ, "PYTHONPATH": str(tree)}
    process = subprocess.Popen(
        [PYTHON, "-m", f"benchmarks.figures.{figure}", "--effort", effort],
        cwd=tree, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    reaper.watch_process(process.pid)
    try:
        printed, errors = process.communicate()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
        reaper.forget_process(process.pid)
    if process.returncode != 0:
        raise Failed(f"the figure {figure} cannot measure {tree}, it ended with {process.returncode}:\n{errors}")
    return [Row.from_json(row) for row in json.loads(printed)]


def compared(
    base: Path, figure: str, effort: Effort, pairs: int, reaper: Reaper
) -> dict[Named, tuple[list[float], list[float]]]:
    """The medians of both versions, old and new, of each pair."""
    found: dict[Named, tuple[list[float], list[float]]] = {}
    for order in orders((base, ROOT), pairs):
        for tree in order:
            # A value that stands beside several peers is in several rows.
            values = {(row.figure, row.unit): row.ours.median for row in measured(tree, figure, effort, reaper)}
            for named, value in values.items():
                found.setdefault(named, ([], []))[tree is ROOT].append(value)
    return {named: both for named, both in found.items() if len(both[0]) == len(both[1])}


def lines(found: dict[Named, tuple[list[float], list[float]]]) -> Iterator[str]:
    """A line for each value: old, new, and the ratio with its quartiles."""
    for (name, unit), (old, new) in found.items():
        ratio = Spread.of([b / a if a else 1.0 for a, b in zip(old, new, strict=True)])
        was, now = (number(Spread.of(values).median, unit) for values in (old, new))
        yield (
            f"{name}: old {was}, new {now}, ratio {ratio.median:.3f} "
            f"[{ratio.low:.3f}, {ratio.high:.3f}], {len(old)} pairs"
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare")
    parser.add_argument("base", metavar="BASE", help="the old version: a branch, a tag or a commit")
    parser.add_argument("--effort", choices=("full", "quick", "tiny"), default="quick", help="of each turn")
    parser.add_argument("--only", nargs="+", choices=FIGURES, default=FIGURES, metavar="FIGURE")
    parser.add_argument("--pairs", type=int, default=6, help="turns of each version; an odd number becomes even")
    chosen = parser.parse_args()
    if chosen.pairs < 1:
        parser.error("--pairs is 1 at least")
    try:
        commit = commit_of(chosen.base)
    except ValueError as error:
        parser.error(str(error))
    # The copy of BASE has none of its own.
    os.environ.setdefault("TEST_SERVERS", str(ROOT / ".servers"))
    os.environ.setdefault("TEST_SDKS", str(ROOT / ".sdks"))
    signal.signal(signal.SIGTERM, _ended)
    signal.signal(signal.SIGHUP, _ended)
    # It does the cleaning after an end that leaves no time for it: SIGKILL.
    with contextlib.closing(Reaper()) as reaper, checked_out(commit, reaper) as base:
        print(f"old: {chosen.base} ({commit[:12]}), new: the files of {ROOT}; a ratio below 1 is less")
        try:
            for figure in dict.fromkeys(chosen.only):
                for line in lines(compared(base, figure, chosen.effort, chosen.pairs, reaper)):
                    print(line, flush=True)
        except Failed as error:
            print(error, file=sys.stderr)
            return 1
    return 0


def _ended(number: int, _: object) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    home = shield()
    try:
        status = main()
    finally:
        shutil.rmtree(home, ignore_errors=True)
    sys.exit(status)
