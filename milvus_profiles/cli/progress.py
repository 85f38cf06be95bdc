"""How a test looks while it runs: lines that come one by one, with a spinner or a live table where there is a terminal.

Everything that a server, a certificate or a file said is escaped here.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..background import has_threads
from ..diagnosis.report import STAGES, Report, Stage, mark, stage_lines, verdict
from ..display import rich_text
from ..text import printable
from .output import console_of, grid, print_text, see
from .session import current

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

__all__ = ["View", "live", "view_of"]

_FRAMES = "|/-\\"  # every terminal has these, whatever its encoding


class View:
    """What is shown while tests run; this one shows nothing."""

    def begin(self, alias: str) -> None:
        """A test begins."""

    def stage(self, alias: str, stage: Stage) -> None:
        """A stage has ended; called from the thread of the test."""

    def end(self, report: Report) -> None:
        """A test has ended."""

    def close(self, finished: bool) -> None:
        """All tests have ended, or the run is interrupted."""


@contextmanager
def view_of(aliases: list[str]) -> Iterator[View]:
    """The view that fits this run, of the tests of these profiles."""
    moves = sys.stdout.isatty() and current().env.get("TERM") != "dumb"  # whether what is shown can be changed again
    if current().json:
        view = View()
    elif len(aliases) == 1:
        view = _Steps(moves)
    else:
        view = _LiveTable(aliases) if moves else _Blocks()
    finished = False
    try:
        yield view
        finished = True
    finally:
        view.close(finished)


class _Steps(View):
    """One test: a line for each stage, and a spinner for the one that runs."""

    def __init__(self, moves: bool) -> None:
        self._moves = moves
        self._console = console_of(sys.stdout.isatty())
        self._spinner: Live | None = None
        self._failed = False

    def begin(self, alias: str) -> None:
        print_text(self._console, _heading(alias))
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
        print_text(self._console, _verdict(report))

    def close(self, finished: bool) -> None:  # noqa: ARG002
        self._spin(None)

    def _spin(self, name: str | None) -> None:
        if self._spinner is not None:
            self._spinner.stop()
            self._spinner = None
        # Not while the secret is found: a keyring or a program may ask on the terminal, where this would draw over it.
        if name not in (None, "secret") and self._moves:
            self._spinner = live(self._console, lambda: _spinning(name), transient=True)
            self._spinner.start()


class _Blocks(View):
    """Several tests side by side: each is shown when it has ended."""

    def __init__(self) -> None:
        self._console = console_of(sys.stdout.isatty())
        self._printing = threading.Lock()

    def end(self, report: Report) -> None:
        with self._printing:
            _print_stages(self._console, report.alias, report.stages)
            print_text(self._console, _verdict(report))


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
                mark = _mark("ok" if report.ok else "failed")
                rows.append([mark, _text(printable(alias)), _verdict(report, short=True)])
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


def _spinning(name: str) -> Text:
    return _text(f"  {_frame()}        {name} ...")


def _mark(status: str) -> Text:
    return _text(*mark(status))


def _heading(alias: str) -> Text:
    return _text(printable(alias), "bold")


def _print_stages(console: Console, alias: str, stages: Iterable[Stage]) -> None:
    print_text(console, _heading(alias))
    for stage in stages:
        for line in _lines_of(stage):
            print_text(console, line)


def _lines_of(stage: Stage) -> list[Text]:
    """The lines of a stage; skipped ones, and what is for experts, only with ``--verbose``."""
    lines = stage_lines(stage, verbose=bool(current().verbose), see=see(stage.code))
    return [rich_text(line) for line in lines]


def _verdict(report: Report, *, short: bool = False) -> Text:
    return rich_text(verdict(report, short=short))
