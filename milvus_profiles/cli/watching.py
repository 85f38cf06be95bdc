"""How tests look that are run again and again: a table that stays, or a line of JSON for each round."""

from __future__ import annotations

import datetime as dt
import gc
import json
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..diagnosis.report import Report
from ..text import printable
from .output import console_of, counted
from .progress import View, live
from .session import current

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

__all__ = ["Rounds", "round_trip", "sparkline", "watching"]

_KEPT, _KEPT_NARROW, _NARROW = 24, 14, 100
"""Round trips that are shown of each profile, also on a terminal of fewer columns than that."""
_BARS, _ASCII_BARS = "▁▂▃▄▅▆▇█", "_.-=+*%#"
_FAILED = "x"
_OF_LONG_RUNS = 700, 10, 10
"""When Python looks for garbage by itself; a command that ends soon does so less often."""


def round_trip(report: Report) -> float | None:
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
        """They have ended."""
        self.rounds += 1
        verbose = current().verbose > 0
        record = {
            "round": self.rounds,
            "at": dt.datetime.now(dt.timezone.utc).isoformat(timespec="milliseconds"),
            "reports": [{**one.as_json(verbose=verbose), "round_trip_ms": _rounded(one)} for one in reports],
        }
        sys.stdout.write(json.dumps(record) + "\n")
        sys.stdout.flush()


def _rounded(report: Report) -> float | None:
    ms = round_trip(report)
    return None if ms is None else round(ms, 3)


@contextmanager
def watching(aliases: list[str], every: float) -> Iterator[Rounds]:
    """The view of a watch that fits this run."""
    gc.set_threshold(*_OF_LONG_RUNS)
    moves = sys.stdout.isatty() and current().env.get("TERM") != "dumb"
    rounds = _Table(aliases, every) if moves and not current().json else Rounds()
    finished = False
    try:
        yield rounds
        finished = True
    finally:
        rounds.close(finished)


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
            self._trips[report.alias].append(round_trip(report))
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
        from rich.text import Text

        made = Table.grid(padding=(0, 2, 0, 0))
        for number in range(5):
            made.add_column(
                no_wrap=True,
                overflow="ellipsis" if self._is_unicode else "crop",
                ratio=1 if number == 4 else None,
            )
        made.expand = True
        with self._guard:
            good = sum(report.ok for report in self._last.values())
            for alias in self._aliases:
                made.add_row(*self._row(alias))
            seen = len(self._last)
        bold = f"{good} of {seen} good" if seen else "the first round"
        rest = f", {counted(self.rounds, 'round')}, every {self._every:g} s; Ctrl+C ends it"
        head = Text(bold, "bold").append(rest, "not bold dim")
        return Group(head, made)

    def _row(self, alias: str) -> list[Text]:
        from rich.text import Text

        report, trips = self._last.get(alias), self._trips[alias]
        failed = report is not None and not report.ok
        latest = f"{trips[-1]:.1f} ms" if trips and trips[-1] is not None else "-"
        return [
            Text("...", "dim") if report is None else Text("FAILED", "red") if failed else Text("ok", "green"),
            Text(printable(alias)),
            Text(f"{sparkline(trips, _BARS if self._is_unicode else _ASCII_BARS):{self._kept}}", "cyan"),
            Text(f"{latest:>9}"),
            Text(printable(self._failures.get(alias, "")), "red" if failed else "dim"),
        ]
