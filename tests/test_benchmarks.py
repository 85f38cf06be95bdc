"""The programs of the benchmarks run, in a tiny form, and what they write is complete; the speed itself is no test.

Two versions side by side: the right one of each turn is measured, and nothing is left behind however it ends.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.__main__ import FIGURES as LISTED
from benchmarks.calibration import Look, Speed, look, machine
from benchmarks.delay import round_trip
from benchmarks.measure import Floor, Goal, Row, Spread, at_least, at_most, compared, orders, own, turns
from benchmarks.record import HISTORY, Record, judged, known, read, usual_here
from benchmarks.report import markdown
from tests.support import binaries
from tests.support.milvus import need_milvus
from tests.support.requirements import need, unavailable
from tests.support.waiting import until

ROOT = Path(__file__).parents[1]
FIGURES = {path.stem for path in (ROOT / "benchmarks/figures").glob("[a-z]*.py")}
NEED_A_MILVUS = {"client", "connect", "recovery", "start"}
# These start servers and interpreters again and again, in their tiny form too.
LONG = {"client", "recovery", "start", "streams"}
ROWS = (
    compared("fast", "peer", "s", [1e-6, 2e-6], [4e-6, 4e-6], at_most(0.5), "why", Floor("a lock", 5e-8)),
    replace(own("start", "s", [0.5], 0.4), speed=0.5),
)
SLOW, FAST = Speed(0.008, 0.008), Speed(0.004, 0.005)
RECORD = Record(
    "2026-11-27T04:00:00+00:00", "0123456789abcdef", True, "full", 60.0, 0.5, machine(), {"CPython": "3.11.7"},
    FAST, FAST, {"pool": 1.0, "the end": 0.5}, ROWS,
)  # fmt: skip


def run(*words: str | Path, module: str = "benchmarks") -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", module, *words], cwd=ROOT, capture_output=True, text=True)


def test_each_figure_of_the_issue_has_its_program() -> None:
    assert set(LISTED) == FIGURES


@pytest.mark.parametrize(
    "figure", [pytest.param(name, marks=[pytest.mark.campaign] * (name in LONG)) for name in sorted(FIGURES)]
)
def test_a_figure_measures_itself_and_its_peer(figure: str) -> None:
    if figure in NEED_A_MILVUS:
        need_milvus(binaries.CURRENT)
    done = run("--effort", "tiny", module=f"benchmarks.figures.{figure}")
    assert done.returncode == 0, done.stderr
    rows = [Row.from_json(row) for row in json.loads(done.stdout)]
    assert rows
    assert any(row.goal is not None for row in rows)
    for row in rows:
        assert row.ours.low <= row.ours.median <= row.ours.high
        assert (row.pairs > 0) == (row.ratio is not None)
        assert (row.peer == "") == (row.theirs is None) == (row.ratio is None)


def test_the_campaign_holds_connections_to_servers_that_know_each(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    done = run("--count", "40", "--output", page, module="benchmarks.campaign")
    assert done.returncode == 0, done.stderr
    table = page.read_text()
    assert table.startswith("# 40 live connections in one process")
    assert "| memory of each, KiB |" in table


def test_the_results_are_a_table_and_a_picture(tmp_path: Path) -> None:
    done = run("--effort", "tiny", "--only", "load", "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "history").exists()  # only a full run is kept
    table = (tmp_path / "RESULTS.md").read_text()
    assert "| load 1,000 profiles and take one |" in table
    picture = ET.parse(tmp_path / "results.svg").getroot()
    text = "".join(picture.itertext())
    assert "load 1,000 profiles and take one" in text
    assert "goal" in text


def test_contestants_take_turns_and_each_begins() -> None:
    order: list[str] = []

    def contestant(name: str) -> float:
        order.append(name)
        return 1.0

    found = turns({name: lambda name=name: contestant(name) for name in "ab"}, 2)  # type: ignore[misc]
    assert order == ["a", "b", "b", "a"]
    assert found == {"a": [1.0, 1.0], "b": [1.0, 1.0]}


@pytest.mark.parametrize("names", ["ab", "abc", "abcde"])
def test_of_any_two_contestants_each_comes_first_equally_often(names: str) -> None:
    for rounds in (2, 7, 16):
        taken = list(orders(names, rounds))
        assert len(taken) == rounds + rounds % 2
        for one in names:
            for other in names.replace(one, ""):
                assert sum(order.index(one) < order.index(other) for order in taken) * 2 == len(taken)


def test_the_ratio_is_that_within_each_turn() -> None:
    row = compared("f", "p", "s", [1.0, 10.0, 100.0], [2.0, 20.0, 200.0], at_most(0.5))
    assert row.ratio == Spread(0.5, 0.5, 0.5)
    assert row.is_met
    assert row.pairs == 3
    assert Row.from_json(json.loads(json.dumps(row, default=vars))) == row


@pytest.mark.parametrize(
    ("goal", "value", "met"),
    [(at_most(0.5), 0.51, False), (at_least(3.5), 3.5, True), (at_least(3.5), 3.4, False), (Goal(1), 1, True)],
)
def test_a_goal_is_reached_from_its_side(goal: Goal, value: float, met: bool) -> None:
    assert goal.is_met(value) is met


def test_the_table_says_what_was_reached_and_what_was_not() -> None:
    rows = [
        compared("fast", "peer", "s", [1e-6], [4e-6], at_most(0.5), floor=Floor("a lock", 5e-7)),
        compared("slow", "peer", "calls/s", [1.0], [2.0], at_least(0.97), note="why"),
        own("size", "B", [2048.0], 1024),
    ]
    table = markdown(of_rows(rows))
    assert "| fast | 1 µs | peer | 4 µs | **0.25x** [0.25, 0.25] | 1 | 500 ns: a lock | ≤ 0.5x | reached |" in table
    assert "| slow (1) | 1 calls/s | peer | 2 calls/s | **0.50x** [0.50, 0.50] | 1 |  | ≥ 0.97x | **missed** |" in table
    assert "1. why" in table
    assert "| size | 2 KiB |  |  |  |  |  | ≤ 1 KiB | **missed** |" in table
    assert "1 of 3 goals reached." in table


def test_a_time_by_itself_is_judged_where_the_machine_runs_at_its_usual_speed() -> None:
    slow, usual, ratio, size = (
        replace(row, speed=speed)
        for row, speed in (
            (own("slow", "s", [2.0], 1), 0.62),
            (own("usual", "s", [2.0], 1), 0.97),
            (compared("ratio", "peer", "s", [1.0], [2.0], at_most(0.4)), 0.62),
            (own("size", "B", [2048.0], 1024), 0.62),
        )
    )
    table = markdown(of_rows([slow, usual, ratio, size]))
    assert "| slow | 2 s |  |  |  |  |  | ≤ 1 s | not judged: machine at 0.6 of its speed |" in table
    assert slow.is_met is None
    assert [row.is_met for row in (usual, ratio, size)] == [False, False, False]
    assert "0 of 4 goals reached, 1 not judged." in table


def test_the_speed_of_a_machine_is_that_of_what_suffers_more() -> None:
    usual = Speed(0.004, 0.004)
    assert Speed(0.005, 0.008).beside(usual) == 0.5
    seen = look()
    assert 0 < seen.fastest.python <= seen.now.python
    assert 0 < seen.fastest.loopback <= seen.now.loopback


def test_a_distant_server_is_a_round_trip_away_and_one_more_to_connect() -> None:
    first, following = round_trip(0.05, 3)
    assert first >= 0.1
    assert following >= 0.05


def of_rows(rows: Sequence[Row]) -> Record:
    return replace(RECORD, rows=tuple(rows))


def test_the_picture_has_what_the_table_judges_by_a_ratio() -> None:
    table = (ROOT / "benchmarks/RESULTS.md").read_text()
    assert "Written by `make bench` in " in table
    cells = [[cell.strip() for cell in line.split("|")[1:]] for line in table.splitlines() if line.startswith("| ")][1:]
    picture = "".join("".join(ET.parse(ROOT / "benchmarks/results.svg").getroot().itertext()).split())
    judged = [row[0] for row in cells if row[4] and row[7]]
    assert judged
    for row in judged:
        assert "".join(row.split(" (")[0].split()) in picture, row  # a long name takes two lines
    assert "](pictures/results.svg)" in (ROOT / "docs/speed.md").read_text()


@pytest.mark.skipif(not known(), reason="no full run was kept yet: make bench")
def test_the_results_are_those_of_the_newest_record_with_every_figure_in_it() -> None:
    newest = read(known()[-1])
    assert (ROOT / "benchmarks/RESULTS.md").read_text() == markdown(newest)
    assert newest.speeds.keys() >= FIGURES
    assert all(row.pairs >= 5 for row in newest.rows if row.goal is not None and row.ratio is not None)


def test_where_nothing_can_be_written_nothing_is_measured(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("--effort", "tiny", "--output", tmp_path / "file")
    assert done.returncode == 2
    assert f"{tmp_path}/file cannot be written to" in done.stderr
    assert done.stdout == ""


def test_the_table_is_made_from_a_record(tmp_path: Path) -> None:
    path = RECORD.write(tmp_path / "history")
    assert path.name == "2026-11-27T040000Z-01234567.json"
    assert read(path) == RECORD
    done = run("--from", path, "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "RESULTS.md").read_text() == markdown(RECORD)
    assert (tmp_path / "results.svg").exists()
    assert "not judged: machine at 0.5 of its speed" in (tmp_path / "RESULTS.md").read_text()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "rows": []}', '{"format": 99}'])
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    done = run("--from", path, "--output", tmp_path)
    assert done.returncode == 2
    assert str(path) in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "RESULTS.md").exists()


def test_usual_is_what_this_machine_did_before(tmp_path: Path) -> None:
    looks = [Look(now=SLOW, fastest=SLOW)]
    assert usual_here(looks, tmp_path) == SLOW  # nothing else is known yet
    RECORD.write(tmp_path)
    replace(RECORD, date="2026-11-28T04:00:00+00:00", machine="another", fastest=Speed(1, 1)).write(tmp_path)
    usual = usual_here(looks, tmp_path)
    assert usual == FAST
    (row,) = judged(ROWS[1:], Look(FAST, FAST), Look(SLOW, SLOW), usual)
    assert row.speed == 0.5
    assert row.is_met is None


@pytest.mark.skipif(not known(HISTORY), reason="no full run was kept yet: make bench")
def test_every_record_that_is_kept_can_be_shown() -> None:
    for path in known(HISTORY):
        kept = read(path)
        assert kept.effort == "full"
        assert f"| {kept.rows[0].figure} |" in markdown(kept) or kept.rows[0].note
        assert json.loads(path.read_text())["format"] == 1


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


def comparing(clone: Path, *words: str) -> subprocess.Popen[str]:
    scratch = clone.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.compare", *words], cwd=clone, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": str(scratch)},
    )  # fmt: skip


def compare(clone: Path, *words: str) -> tuple[int, str, str]:
    """The status, and what was printed on both."""
    process = comparing(clone, *words)
    printed, errors = process.communicate(timeout=120)
    return process.returncode, printed, errors


def trees(clone: Path) -> list[str]:
    return [line for line in git(clone, "worktree", "list", "--porcelain").splitlines() if line.startswith("worktree")]


def assert_nothing_is_left(clone: Path) -> None:
    until(lambda: not list((clone.parent / "scratch").glob("bench-compare-*")))
    git(clone, "worktree", "prune")
    assert len(trees(clone)) == 1


def test_each_version_is_measured_in_its_turns(clone: Path) -> None:
    status, printed, errors = compare(clone, "HEAD", "--only", "calls", "--pairs", "3")
    assert status == 0, errors
    # An odd number of pairs is made even: each version comes first equally often.
    assert "here: old 2 s, new 1 s, ratio 0.500 [0.500, 0.500], 4 pairs\n" in printed
    assert "elsewhere: old 2 s, new 1 s, ratio 0.500 [0.500, 0.500], 4 pairs\n" in printed
    assert_nothing_is_left(clone)


@pytest.mark.parametrize("base", ["no-such-branch", "-x", "HEAD:benchmarks", "", "HEAD; true"])
def test_a_base_that_is_no_commit_is_said_so(clone: Path, base: str) -> None:
    status, printed, errors = compare(clone, "--only", "calls", "--", base)
    assert (status, printed) == (2, "")
    assert f"BASE={base!r} is no commit here" in errors
    assert "Traceback" not in errors
    assert len(trees(clone)) == 1


def test_a_figure_that_fails_is_told_and_leaves_nothing(clone: Path) -> None:
    (clone / "benchmarks/figures/calls.py").write_text("raise SystemExit('no such thing here')")
    status, _, errors = compare(clone, "HEAD", "--only", "calls")
    assert status == 1
    assert "the figure calls cannot measure" in errors
    assert "no such thing here" in errors
    assert_nothing_is_left(clone)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_an_end_from_outside_leaves_nothing(clone: Path, how: signal.Signals) -> None:
    pid = clone.parent / "pid"
    (clone / "benchmarks/figures/calls.py").write_text(LASTING.format(path=str(pid)))
    process = comparing(clone, "HEAD", "--only", "calls")
    until(lambda: pid.exists() and pid.read_text() != "", 60)
    process.send_signal(how)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert_nothing_is_left(clone)
    until(lambda: not Path(f"/proc/{pid.read_text()}").exists())


def test_without_a_repository_there_is_nothing_to_compare_with(clone: Path) -> None:
    shutil.rmtree(clone / ".git")
    status, _, errors = compare(clone, "HEAD")
    assert status == 2
    assert "is no git repository" in errors
