"""How tests look while they run: lines that come one by one, with a spinner or a live table where there is a terminal;
run again and again, a table that stays, or a line of JSON for each round.

Everything that a server, a certificate or a file said is escaped here.
"""

from __future__ import annotations

import datetime as dt
import gc
import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ..diagnosis.report import STAGES, Report, Stage, mark, stage_lines, verdict
from ..display import rich_text
from ..text import counted, printable
from ..thread_limits import has_threads
from .output import console_of, grid, print_text, see
from .session import current

if TYPE_CHECKING:
    from rich.console import Console, OverflowMethod, RenderableType
    from rich.live import Live
    from rich.text import Text


_FRAMES = "|/-\\"  # every terminal has these, whatever its encoding


class View:
    """What is shown while tests run; this one shows nothing."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, *_: object) -> None:
        self.close(kind is None)

    def begin(self, alias: str) -> None:
        """A test begins; called from a thread of its own where several profiles are tested."""

    def stage(self, alias: str, stage: Stage) -> None:
        """A stage has ended, passed or not; called from the thread of the test."""

    def end(self, report: Report) -> None:
        """A test has ended, with all its stages told; called from its thread, in the order in which tests end."""

    def close(self, finished: bool) -> None:
        """All tests have ended, or the run is interrupted."""


def view_of(aliases: list[str]) -> View:
    """The view that fits this run, of the tests of these profiles."""
    if current().json:
        return View()
    if len(aliases) == 1:
        return _Steps(_moves())
    return _LiveTable(aliases) if _moves() else _Blocks()


def _moves() -> bool:
    return sys.stdout.isatty() and current().env.get("TERM") != "dumb"


class _Steps(View):
    """One test: a line for each stage, and a spinner for the one that runs."""

    def __init__(self, moves: bool) -> None:
        self._moves = moves
        self._console = console_of(sys.stdout.isatty())
        self._spinner: Live | None = None
        self._failed = False

    def begin(self, alias: str) -> None:
        print_text(self._console, _text(printable(alias), "bold"))
        self._spin(STAGES[0])

    def stage(self, alias: str, stage: Stage) -> None:  # noqa: ARG002  # there is one
        lines, following = _lines_of(stage), STAGES.index(stage.name) + 1
        self._failed |= stage.status == "failed"
        if lines or self._failed:
            self._spin(None)
        for line in lines:
            print_text(self._console, line)
        if not self._failed and following < len(STAGES):
            self._spin(STAGES[following])

    def end(self, report: Report) -> None:
        self._spin(None)
        print_text(self._console, rich_text(verdict(report)))

    def close(self, finished: bool) -> None:  # noqa: ARG002
        self._spin(None)

    def _spin(self, name: str | None) -> None:
        if self._spinner is not None:
            self._spinner.stop()
            self._spinner = None
        # Not while the secret is found: a keyring or a program may ask on the terminal, where this would draw over it.
        if name not in (None, "secret") and self._moves:
            self._spinner = live(self._console, lambda: _text(f"  {_frame()}        {name} ..."), transient=True)
            self._spinner.start()


class _Blocks(View):
    """Several tests side by side: each is shown when it has ended."""

    def __init__(self) -> None:
        self._console = console_of(sys.stdout.isatty())
        self._printing = threading.Lock()

    def end(self, report: Report) -> None:
        with self._printing:
            _print_stages(self._console, report.alias, report.stages)
            print_text(self._console, rich_text(verdict(report)))


class _LiveTable(View):
    """Several tests on a terminal: a line for each, which changes until it ends; then what is wrong, in full."""

    def __init__(self, aliases: list[str]) -> None:
        self._aliases = aliases
        self._console = console_of(True)
        self._guard = threading.Lock()
        self._at: dict[str, str] = {}
        self._reports: dict[str, Report] = {}
        self._live = live(self._console, self._table, transient=False)
        self._live.start()

    def begin(self, alias: str) -> None:
        with self._guard:
            self._at[alias] = STAGES[0]

    def stage(self, alias: str, stage: Stage) -> None:
        following = STAGES.index(stage.name) + 1
        with self._guard:
            self._at[alias] = STAGES[min(following, len(STAGES) - 1)]

    def end(self, report: Report) -> None:
        with self._guard:
            self._reports[report.alias] = report

    def close(self, finished: bool) -> None:
        self._live.stop()
        for alias in self._aliases if finished else []:
            stages = self._reports[alias].stages
            shown = [stage for stage in stages if stage.status in ("failed", "warning") or current().verbose]
            if shown:
                _print_stages(self._console, alias, shown)

    def _table(self) -> RenderableType:
        rows = []
        with self._guard:
            at, reports = dict(self._at), dict(self._reports)
        for alias in self._aliases:
            report, running = reports.get(alias), at.get(alias)
            if report is not None:
                rows.append(
                    [
                        _text(*mark("ok" if report.ok else "failed")),
                        _text(printable(alias)),
                        rich_text(verdict(report, short=True)),
                    ]
                )
            elif running is not None:
                rows.append([_text(_frame()), _text(printable(alias)), _text(f"{running} ...")])
            else:
                rows.append([_text(""), _text(printable(alias), "dim"), _text("waiting", "dim")])
        return grid([("", None)] * 3, rows, headed=False)


def live(console: Console, renderable: Callable[[], RenderableType], *, transient: bool) -> Live:
    from rich.live import Live

    return Live(
        get_renderable=renderable,
        console=console,
        transient=transient,
        refresh_per_second=8,
        auto_refresh=has_threads(1),  # rich draws in one
    )


def _text(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(text, style=style)


def _frame() -> str:
    return _FRAMES[int(time.monotonic() * 8) % len(_FRAMES)]


def _print_stages(console: Console, alias: str, stages: Iterable[Stage]) -> None:
    print_text(console, _text(printable(alias), "bold"))
    for stage in stages:
        for line in _lines_of(stage):
            print_text(console, line)


def _lines_of(stage: Stage) -> list[Text]:
    """The lines of a stage; skipped ones, and what is for experts, only with ``--verbose``."""
    lines = stage_lines(stage, verbose=bool(current().verbose), see=see(stage.code))
    return [rich_text(line) for line in lines]


_KEPT, _KEPT_NARROW, _NARROW = 24, 14, 100
"""Round trips that are shown of each profile, also on a terminal of fewer columns than that."""
_BARS, _ASCII_BARS = "▁▂▃▄▅▆▇█", "_.-=+*%#"
_FAILED = "x"
_OF_LONG_RUNS = 700, 10, 10
"""When Python looks for garbage by itself; a command that ends soon does so less often."""


def _round_trip(report: Report) -> float | None:
    """Milliseconds of one call over the connection that is open already; None where the test failed."""
    stage = next((one for one in report.stages if one.name == "database"), None)
    return None if stage is None or not report.ok else stage.ms


def sparkline(values: Sequence[float | None], bars: str = _BARS) -> str:
    """A character for each value, the highest for the largest; None is a failure."""
    known = [value for value in values if value is not None]
    if not known:
        return _FAILED * len(values)
    low, high = min(known), max(known)
    # What differs by a tenth only is flat: otherwise noise would look like mountains.
    span = max(high - low, high / 10) or 1.0
    last = len(bars) - 1
    return "".join(_FAILED if value is None else bars[round((value - low) / span * last)] for value in values)


class Rounds(View):
    """The rounds of a watch; this one prints each as a line of JSON."""

    def __init__(self) -> None:
        self.rounds = 0
        """Rounds that have ended."""

    def end_round(self, reports: Sequence[Report]) -> None:
        self.rounds += 1
        verbose, trips = current().verbose > 0, map(_round_trip, reports)
        record = {
            "round": self.rounds,
            "at": dt.datetime.now(dt.timezone.utc).isoformat(timespec="milliseconds"),
            "reports": [
                {**one.as_json(verbose=verbose), "round_trip_ms": None if trip is None else round(trip, 3)}
                for one, trip in zip(reports, trips, strict=True)
            ],
        }
        sys.stdout.write(json.dumps(record) + "\n")
        sys.stdout.flush()


def watching(aliases: list[str], every: float) -> Rounds:
    gc.set_threshold(*_OF_LONG_RUNS)
    return _Table(aliases, every) if _moves() and not current().json else Rounds()


class _Table(Rounds):
    """A line for each profile, which stays and changes."""

    def __init__(self, aliases: list[str], every: float) -> None:
        super().__init__()
        self._aliases, self._every = aliases, every
        self._console = console_of(True)
        self._is_unicode = self._console.encoding.startswith("utf")
        self._kept = _KEPT if self._console.width >= _NARROW else _KEPT_NARROW
        self._guard = threading.Lock()
        self._trips: dict[str, deque[float | None]] = {alias: deque(maxlen=self._kept) for alias in aliases}
        self._last: dict[str, Report] = {}
        self._failures: dict[str, str] = {}
        self._live = live(self._console, self._table, transient=False)
        self._live.start()

    def end(self, report: Report) -> None:
        with self._guard:
            self._last[report.alias] = report
            self._trips[report.alias].append(_round_trip(report))
            if (failed := report.failure) is not None:
                at = dt.datetime.now().astimezone()
                self._failures[report.alias] = f"{at:%H:%M:%S} {failed.name}: {failed.detail}"

    def end_round(self, reports: Sequence[Report]) -> None:  # noqa: ARG002
        self.rounds += 1
        self._live.refresh()  # where there is no thread for it, nobody else does

    def close(self, finished: bool) -> None:  # noqa: ARG002
        self._live.stop()

    def _table(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table

        made = Table.grid(padding=(0, 2, 0, 0))
        overflow: OverflowMethod = "ellipsis" if self._is_unicode else "crop"
        for ratio in (None, None, None, None, 1):
            made.add_column(no_wrap=True, overflow=overflow, ratio=ratio)
        made.expand = True
        with self._guard:
            good = sum(report.ok for report in self._last.values())
            for alias in self._aliases:
                made.add_row(*self._row(alias))
            seen = len(self._last)
        bold = f"{good} of {seen} good" if seen else "the first round"
        rest = f", {counted(self.rounds, 'round')}, every {self._every:g} s; Ctrl+C ends it"
        head = _text(bold, "bold").append(rest, "not bold dim")
        return Group(head, made)

    def _row(self, alias: str) -> list[Text]:
        report, trips = self._last.get(alias), self._trips[alias]
        failed = report is not None and not report.ok
        latest = f"{trips[-1]:.1f} ms" if trips and trips[-1] is not None else "-"
        return [
            _text("...", "dim") if report is None else _text("FAILED", "red") if failed else _text("ok", "green"),
            _text(printable(alias)),
            _text(f"{sparkline(trips, _BARS if self._is_unicode else _ASCII_BARS):{self._kept}}", "cyan"),
            _text(f"{latest:>9}"),
            _text(printable(self._failures.get(alias, "")), "red" if failed else "dim"),
        ]
