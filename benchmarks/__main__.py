"""Runs every figure in a process of its own and writes RESULTS.md and results.svg; a full run is kept in history/.

python -m benchmarks [--effort full|quick|tiny] [--only FIGURE …] [--output DIRECTORY]
python -m benchmarks --from benchmarks/history/RECORD.json [--output DIRECTORY]
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.calibration import look
from benchmarks.floors import with_floors
from benchmarks.measure import Effort, Row
from benchmarks.processes import PYTHON, ROOT
from benchmarks.record import Record, judged, read, usual_here
from benchmarks.report import draw, markdown
from tests.support.environment import shield

FIGURES = (
    "pool", "streams", "calls", "client", "connect", "roundtrips", "start", "load", "recovery", "memory", "diagnosis",
)  # fmt: skip
_END = "the end"


def measured(figure: str, effort: Effort) -> list[Row]:
    """Run the program of a figure."""
    done = subprocess.run(
        [PYTHON, "-m", f"benchmarks.figures.{figure}", "--effort", effort], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    if done.returncode != 0:
        sys.exit(f"the figure {figure} ended with {done.returncode}")
    return with_floors([Row.from_json(row) for row in json.loads(done.stdout)], effort)


def run(figures: list[str], effort: Effort) -> Record:
    """Measure figures one after another, with a look at the machine before, between and after them."""
    began, load = dt.datetime.now(dt.timezone.utc), os.getloadavg()[0]
    found: dict[str, list[Row]] = {}
    looks = {figures[0]: look()}
    for figure, following in zip(figures, [*figures[1:], _END], strict=True):
        started = time.monotonic()
        found[figure] = measured(figure, effort)
        looks[following] = look()
        missed = [row.figure for row in found[figure] if row.goal is not None and row.is_met is False]
        print(f"{figure}: {time.monotonic() - started:.0f} s", f"(missed: {'; '.join(missed)})" if missed else "")
    usual, each = usual_here(list(looks.values())), list(looks.values())
    rows = [
        row for place, some in enumerate(found.values()) for row in judged(some, each[place], each[place + 1], usual)
    ]
    return Record.of(rows, looks, usual, began=began, effort=effort, load=load)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--effort", choices=("full", "quick", "tiny"), default="full")
    parser.add_argument("--only", nargs="+", choices=FIGURES, default=FIGURES, metavar="FIGURE")
    parser.add_argument("--from", type=Path, dest="record", metavar="RECORD", help="measure nothing: show this record")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks")
    chosen = parser.parse_args()
    try:
        chosen.output.mkdir(parents=True, exist_ok=True)  # before ten minutes of measuring
    except OSError as error:
        parser.error(f"{chosen.output} cannot be written to: {error.strerror}")
    if chosen.record is not None:
        try:
            record = read(chosen.record)
        except (OSError, ValueError) as error:
            parser.error(str(error))
    else:
        record = run(list(dict.fromkeys(chosen.only)), chosen.effort)
        if chosen.effort == "full":
            print(f"kept: {record.write(chosen.output / 'history')}")
    (chosen.output / "RESULTS.md").write_text(markdown(record))
    draw(record.rows, chosen.output / "results.svg")
    print(f"{record.seconds:.0f} s, written: {chosen.output}/RESULTS.md and results.svg")


if __name__ == "__main__":
    # No variable, proxy or configuration of whoever runs this decides a figure: those run in this environment.
    home = shield()
    try:
        main()
    finally:
        shutil.rmtree(home, ignore_errors=True)
