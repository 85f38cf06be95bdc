"""Two versions side by side: the right one of each turn is measured, and nothing is left behind however it ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.requirements import need, unavailable
from tests.support.waiting import until

ROOT = Path(__file__).parents[1]
# A figure that measures the package where the figure itself, and where a program elsewhere, finds it.
FIGURE = """
import subprocess, sys
from benchmarks.measure import main, own
from milvus_profiles.speed import VALUE
def run(effort):
    program = "from milvus_profiles.speed import VALUE; print(VALUE)"
    elsewhere = subprocess.run([sys.executable, "-c", program], cwd="/", capture_output=True, text=True, check=True)
    return [own("here", "s", [VALUE], 1), own("elsewhere", "s", [float(elsewhere.stdout)], 1)]
main(run)
"""
LASTING = "import os, pathlib, time\npathlib.Path({path!r}).write_text(str(os.getpid()))\ntime.sleep(60)\n"


def git(directory: Path, *words: str) -> str:
    identity = ["-c", "safe.directory=*", "-c", "user.name=somebody", "-c", "user.email=somebody@example.com"]
    done = subprocess.run(["git", *identity, *words], cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository of its own with these files, where a commit says 2 and the files say 1."""
    need("git")
    if not (ROOT / ".git").exists():
        unavailable("needs a clone: these sources are no git repository")
    directory = tmp_path / "clone"
    directory.mkdir()
    for name in ("benchmarks", "milvus_profiles", "tests/support"):
        shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "tests/__init__.py", directory / "tests")
    (directory / "milvus_profiles/speed.py").write_text("VALUE = 2.0\n")
    git(directory, "init", "--quiet")
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--no-verify", "--message", "Say two")
    (directory / "milvus_profiles/speed.py").write_text("VALUE = 1.0\n")
    (directory / "benchmarks/figures/calls.py").write_text(FIGURE)
    return directory


def compare(clone: Path, *words: str) -> subprocess.Popen[str]:
    scratch = clone.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.compare", *words], cwd=clone, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": str(scratch)},
    )  # fmt: skip


def trees(clone: Path) -> list[str]:
    return [line for line in git(clone, "worktree", "list", "--porcelain").splitlines() if line.startswith("worktree")]


def assert_nothing_is_left(clone: Path) -> None:
    until(lambda: not list((clone.parent / "scratch").glob("bench-compare-*")))
    git(clone, "worktree", "prune")
    assert len(trees(clone)) == 1


def test_each_version_is_measured_in_its_turns(clone: Path) -> None:
    printed, errors = (process := compare(clone, "HEAD", "--only", "calls", "--pairs", "3")).communicate(timeout=120)
    assert process.returncode == 0, errors
    # An odd number of pairs is made even: each version comes first equally often.
    assert "here: old 2 s, new 1 s, ratio 0.500 [0.500, 0.500], 4 pairs\n" in printed
    assert "elsewhere: old 2 s, new 1 s, ratio 0.500 [0.500, 0.500], 4 pairs\n" in printed
    assert len(trees(clone)) == 1
    assert_nothing_is_left(clone)


@pytest.mark.parametrize("base", ["no-such-branch", "-x", "HEAD:benchmarks", "", "HEAD; true"])
def test_a_base_that_is_no_commit_is_said_so(clone: Path, base: str) -> None:
    printed, errors = (process := compare(clone, "--only", "calls", "--", base)).communicate(timeout=120)
    assert process.returncode == 2
    assert f"BASE={base!r} is no commit here" in errors
    assert "Traceback" not in errors
    assert printed == ""
    assert len(trees(clone)) == 1


def test_a_figure_that_fails_is_told_and_leaves_nothing(clone: Path) -> None:
    (clone / "benchmarks/figures/calls.py").write_text("raise SystemExit('no such thing here')")
    _, errors = (process := compare(clone, "HEAD", "--only", "calls")).communicate(timeout=120)
    assert process.returncode == 1
    assert "the figure calls cannot measure" in errors
    assert "no such thing here" in errors
    assert_nothing_is_left(clone)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_an_end_from_outside_leaves_nothing(clone: Path, how: signal.Signals) -> None:
    pid = clone.parent / "pid"
    (clone / "benchmarks/figures/calls.py").write_text(LASTING.format(path=str(pid)))
    process = compare(clone, "HEAD", "--only", "calls")
    until(lambda: pid.exists() and pid.read_text() != "", 60)
    process.send_signal(how)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert_nothing_is_left(clone)
    until(lambda: not Path(f"/proc/{pid.read_text()}").exists())


def test_without_a_repository_there_is_nothing_to_compare_with(clone: Path) -> None:
    shutil.rmtree(clone / ".git")
    _, errors = (process := compare(clone, "HEAD")).communicate(timeout=60)
    assert process.returncode == 2
    assert "is no git repository" in errors
