"""What was measured, as a Markdown table and as a picture."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.measure import USUAL, Goal, Row
from benchmarks.record import Record

__all__ = ["draw", "markdown", "number"]

_REACHED, _MISSED = "#2a9d8f", "#e76f51"


def markdown(record: Record) -> str:
    """The table, with what it was measured on."""
    rows = record.rows
    goals = [row for row in rows if row.goal is not None]
    unjudged = sum(not row.is_judged for row in goals)
    by = f"`make bench{'-quick' if record.effort == 'quick' else ''}` in {record.seconds:.0f} s"
    of = f"{record.revision[:12]}{' with changes' if record.changed else ''}"
    lines = [
        "# Side by side with the peers",
        "",
        f"Written by {by}, on {record.date[:10]} at the revision {of}.",
        "",
        "Contestants take turns; each turn gives a pair with one ratio, and a figure is the median of these with its",
        "quartiles in brackets. Ratios count; absolute values are those of this machine, and a goal for one is judged",
        f"only where the machine ran at {USUAL:g} of its usual speed or faster. A floor is what no program could do",
        "better, measured in the same run.",
        "",
        f"{record.machine}, load before it began {record.load:.1f}, "
        + ", ".join(f"{name} {told}" for name, told in record.versions.items())
        + ".",
        "",
        "The machine's speed, as a part of its usual one, before each figure and at the end: "
        + ", ".join(f"{name} {speed:.2f}" for name, speed in record.speeds.items())
        + ".",
        "",
        f"{sum(row.is_met is True for row in goals)} of {len(goals)} goals reached"
        + (f", {unjudged} not judged." if unjudged else "."),
        "",
        "| figure | ours | peer | its value | ratio | pairs | floor | goal | |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_line(row) for row in rows]
    notes = list(dict.fromkeys(row.note for row in rows if row.note))
    if notes:
        lines += ["", "Notes:", "", *(f"{place}. {note}" for place, note in enumerate(notes, start=1))]
        numbers = {note: place for place, note in enumerate(notes, start=1)}
        lines = [_numbered(line, rows, numbers) for line in lines]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    ratio = "" if row.ratio is None else f"**{row.ratio.median:.2f}x** [{row.ratio.low:.2f}, {row.ratio.high:.2f}]"
    theirs = "" if row.theirs is None else number(row.theirs.median, row.unit)
    floor = "" if row.floor is None else f"{number(row.floor.value, row.unit)}: {row.floor.what}"
    cells = [
        row.figure, number(row.ours.median, row.unit), row.peer, theirs, ratio, str(row.pairs or ""), floor,
        _goal(row.goal, row.unit), _mark(row),
    ]  # fmt: skip
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _mark(row: Row) -> str:
    if row.goal is not None and not row.is_judged:
        return f"not judged: machine at {row.speed:.1f} of its speed"
    return {None: "", True: "reached", False: "**missed**"}[row.is_met]


def _numbered(line: str, rows: Iterable[Row], numbers: dict[str, int]) -> str:
    for row in rows:
        if row.note and line == _line(row):
            return line.replace(f"| {row.figure} |", f"| {row.figure} ({numbers[row.note]}) |", 1)
    return line


def _goal(goal: Goal | None, unit: str) -> str:
    if goal is None:
        return ""
    sign = "≤" if goal.at_most else "≥"
    return f"{sign} {goal.limit:g}x" if goal.of == "ratio" else f"{sign} {number(goal.limit, unit)}"


def number(value: float, unit: str) -> str:
    """A value for people."""
    if unit == "s":
        for factor, name in ((1.0, "s"), (1e3, "ms"), (1e6, "µs"), (1e9, "ns")):
            if value * factor >= 1:
                return f"{value * factor:.3g} {name}"
        return f"{value * 1e9:.3g} ns" if value else "0 s"
    if unit == "B":
        return f"{value / 2**20:.3g} MiB" if value >= 2**20 else f"{value / 2**10:.3g} KiB"
    return f"{value:,.0f} {unit}"


def draw(rows: Sequence[Row], path: Path) -> None:
    """The ratios as bars, on a logarithmic scale: from 1, which is the peer, with the goal as a line across.

    Args:
        rows: those without a peer or without a goal are left out.
        path: the SVG file.
    """
    import matplotlib as mpl

    mpl.use("svg")
    # The same numbers make the same file, and text stays text.
    mpl.rcParams.update({"svg.hashsalt": "milvus-profiles", "svg.fonttype": "none", "font.family": "sans-serif"})
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch
    from matplotlib.ticker import FuncFormatter

    shown = [row for row in rows if row.ratio is not None and row.goal is not None][::-1]
    figure = Figure(figsize=(11, 0.34 * len(shown) + 1.2), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    for place, row in enumerate(shown):
        ratio = row.ratio
        assert ratio is not None
        axes.barh(place, ratio.median - 1, left=1, height=0.62, color=_REACHED if row.is_met else _MISSED)
        axes.plot([ratio.low, ratio.high], [place, place], color="#222222", linewidth=1)
        if row.goal is not None and row.goal.of == "ratio":
            axes.plot([row.goal.limit] * 2, [place - 0.42, place + 0.42], color="#222222", linewidth=2)
        goal = f"  (goal {_goal(row.goal, row.unit)})" if row.goal is not None else ""
        axes.annotate(
            f"{ratio.median:.2f}x{goal}", (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=8
        )
    labels = ["\n".join(textwrap.wrap(f"{row.figure}  /  {row.peer}", 74)) for row in shown]
    axes.set_yticks(range(len(shown)), labels, fontsize=7)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))
    axes.legend(
        handles=[Patch(color=_REACHED, label="goal reached"), Patch(color=_MISSED, label="goal missed")],
        loc="lower left", fontsize=8, frameon=False,
    )  # fmt: skip
    axes.axvline(1, color="#222222", linewidth=0.8)
    axes.set_ylim(-0.6, len(shown) - 0.4)
    figure.supxlabel(
        "ours / peer on a logarithmic scale; the thick line across is the goal, the thin one along shows the quartiles",
        fontsize=8,
    )
    figure.suptitle("milvus-profiles beside its peers, measured in the same run", fontsize=10)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
