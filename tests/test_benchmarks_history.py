"""What a run of the benchmarks leaves: a record, of which the table and the picture can be made again."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.calibration import Look, Speed, machine
from benchmarks.measure import Floor, at_most, compared, own
from benchmarks.record import HISTORY, Record, judged, known, read, usual_here
from benchmarks.report import markdown

ROOT = Path(__file__).parents[1]
ROWS = (
    compared("fast", "peer", "s", [1e-6, 2e-6], [4e-6, 4e-6], at_most(0.5), "why", Floor("a lock", 5e-8)),
    replace(own("start", "s", [0.5], 0.4), speed=0.5),
)
SLOW, FAST = Speed(0.008, 0.008), Speed(0.004, 0.005)
RECORD = Record(
    "2026-11-27T04:00:00+00:00", "0123456789abcdef", True, "full", 60.0, 0.5, machine(), {"CPython": "3.11.7"},
    FAST, FAST, {"pool": 1.0, "the end": 0.5}, ROWS,
)  # fmt: skip


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "benchmarks", *words], cwd=ROOT, capture_output=True, text=True)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = RECORD.write(tmp_path / "history")
    assert path.name == "2026-11-27T040000Z-01234567.json"
    assert read(path) == RECORD


def test_the_table_is_made_from_a_record(tmp_path: Path) -> None:
    path = RECORD.write(tmp_path / "history")
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


def test_only_a_full_run_is_kept(tmp_path: Path) -> None:
    done = run("--effort", "tiny", "--only", "load", "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "history").exists()


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
