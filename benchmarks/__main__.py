"""Runs every figure in a process of its own and writes RESULTS.md and results.svg.

python -m benchmarks [--effort full|quick|tiny] [--only FIGURE …] [--output DIRECTORY]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measure import Row
from benchmarks.processes import PYTHON, ROOT
from benchmarks.report import draw, markdown
from tests.support.environment import shield

FIGURES = ("pool", "streams", "calls", "client", "connect", "start", "load", "recovery", "memory", "diagnosis")


def measured(figure: str, effort: str) -> list[Row]:
    """Run the program of a figure."""
    done = subprocess.run(
        [PYTHON, "-m", f"benchmarks.figures.{figure}", "--effort", effort], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    if done.returncode != 0:
        sys.exit(f"the figure {figure} ended with {done.returncode}")
    return [Row.from_json(row) for row in json.loads(done.stdout)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--effort", choices=("full", "quick", "tiny"), default="full")
    parser.add_argument("--only", nargs="+", choices=FIGURES, default=FIGURES, metavar="FIGURE")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks")
    chosen = parser.parse_args()
    try:
        chosen.output.mkdir(parents=True, exist_ok=True)  # before ten minutes of measuring
    except OSError as error:
        parser.error(f"{chosen.output} cannot be written to: {error.strerror}")
    began, load = time.monotonic(), os.getloadavg()[0]
    rows: list[Row] = []
    for figure in chosen.only:
        started = time.monotonic()
        rows += (found := measured(figure, chosen.effort))
        missed = [row.figure for row in found if row.is_met is False]
        print(f"{figure}: {time.monotonic() - started:.0f} s", f"(missed: {'; '.join(missed)})" if missed else "")
    seconds = time.monotonic() - began
    text = markdown(rows, effort=chosen.effort, seconds=seconds, load=load)
    (chosen.output / "RESULTS.md").write_text(text)
    draw(rows, chosen.output / "results.svg")
    print(f"{seconds:.0f} s, written: {chosen.output}/RESULTS.md and results.svg")


if __name__ == "__main__":
    # No variable, proxy or configuration of whoever runs this decides a figure: those run in this environment.
    home = shield()
    try:
        main()
    finally:
        shutil.rmtree(home, ignore_errors=True)
