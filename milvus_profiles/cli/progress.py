"""How a test looks while it runs: lines that come one by one, with a spinner or a live table where there is a terminal.

Everything that a server, a certificate or a file said is escaped here.
"""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..background import has_threads
from ..diagnosis.report import STAGES, Report, Stage
from ..text import printable
from .output import console_of
from .session import current

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text
    from typing_extensions import Self

__all__ = ["Lines", "LiveTable", "Silence", "view_of"]

_MARKS = {
    "ok": ("ok", "green"),
    "failed": ("FAILED", "red"),
    "skipped": ("skipped", "dim"),
    "warning": ("warning", "yellow"),
}
_INDENT = " " * 11
_FRAMES = "|/-\\"  # every terminal has these, whatever its encoding


class Silence:
    """Shows nothing; what all views have in common."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def begin(self, alias: str) -> None:
        """A test begins."""

    def stage(self, alias: str, stage: Stage) -> None:
        """A stage has ended; called from the thread of the test."""

    def end(self, report: Report) -> None:
        """A test has ended."""


def view_of(aliases: list[str]) -> Silence:
    """The view that fits this run.

    Args:
        aliases: what is going to be tested.
    """
    if current().json:
        return Silence()
    if len(aliases) > 1 and _moves():
        return LiveTable(aliases)
    return Lines(whole=len(aliases) > 1)


def _moves() -> bool:
    """Whether what is shown can be changed again."""
    return sys.stdout.isatty() and current().env.get("TERM") != "dumb"


class Lines(Silence):
    """A line for each stage.

    Args:
        whole: show each test when it has ended, because several run side by side.
    """

    def __init__(self, *, whole: bool = False) -> None:
        self._whole = whole
        self._console = console_of(sys.stdout.isatty())
        self._spinner: Live | None = None
        self._printing = threading.Lock()
        self._failed = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._spin(None)

    def begin(self, alias: str) -> None:
        if not self._whole:
            _print(self._console, _heading(alias))
            self._spin(STAGES[0])

    def stage(self, alias: str, stage: Stage) -> None:  # noqa: ARG002  # there is one
        if self._whole:
            return
        lines, following = _lines_of(stage), STAGES.index(stage.name) + 1
        self._failed |= stage.status == "failed"
        if lines or self._failed:
            self._spin(None)
        for line in lines:
            _print(self._console, line)
        if not self._failed and following < len(STAGES):
            self._spin(STAGES[following])

    def end(self, report: Report) -> None:
        self._spin(None)
        with self._printing:
            if self._whole:
                _print(self._console, _heading(report.alias))
                for stage in report.stages:
                    for line in _lines_of(stage):
                        _print(self._console, line)
            _print(self._console, _verdict(report))

    def _spin(self, name: str | None) -> None:
        if self._spinner is not None:
            self._spinner.stop()
            self._spinner = None
        if name is not None and _moves():
            from rich.live import Live

            self._spinner = Live(
                get_renderable=lambda: _spinning(name),
                console=self._console,
                transient=True,
                refresh_per_second=8,
                auto_refresh=has_threads(1),  # rich draws in one
            )
            self._spinner.start()


class LiveTable(Silence):
    """A line for each test, which changes until the test ends; then what is wrong, in full.

    Args:
        aliases: what is going to be tested.
    """

    def __init__(self, aliases: list[str]) -> None:
        from rich.live import Live

        self._aliases = aliases
        self._console = console_of(True)
        self._guard = threading.Lock()
        self._at: dict[str, str] = {}
        self._reports: dict[str, Report] = {}
        self._live = Live(
            get_renderable=self._table,
            console=self._console,
            refresh_per_second=8,
            auto_refresh=has_threads(1),  # rich draws in one
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        for alias in self._aliases if kind is None else []:
            report = self._reports[alias]
            shown = [stage for stage in report.stages if stage.status in ("failed", "warning") or current().verbose]
            if shown:
                _print(self._console, _heading(alias))
            for stage in shown:
                for line in _lines_of(stage):
                    _print(self._console, line)

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

    def _table(self) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
        with self._guard:
            at, reports = dict(self._at), dict(self._reports)
        for alias in self._aliases:
            report, running = reports.get(alias), at.get(alias)
            if report is not None:
                grid.add_row(
                    _mark("ok" if report.ok else "failed"), Text(printable(alias)), _verdict(report, short=True)
                )
            elif running is not None:
                grid.add_row(Text(_frame()), Text(printable(alias)), Text(f"{running} ..."))
            else:
                grid.add_row(Text(""), Text(printable(alias), style="dim"), Text("waiting", style="dim"))
        return grid


def _frame() -> str:
    return _FRAMES[int(time.monotonic() * 8) % len(_FRAMES)]


def _spinning(name: str) -> Text:
    from rich.text import Text

    return Text(f"  {_frame()}        {name} ...")


def _mark(status: str) -> Text:
    from rich.text import Text

    mark, style = _MARKS[status]
    return Text(f"{mark:8}", style=style)


def _heading(alias: str) -> Text:
    from rich.text import Text

    return Text(printable(alias), style="bold")


def _lines_of(stage: Stage) -> list[Text]:
    """The lines of a stage; skipped ones, and what is for experts, only with ``--verbose``."""
    from rich.text import Text

    verbose = current().verbose
    if stage.status == "skipped" and not verbose:
        return []
    took = "" if stage.status == "skipped" else f"{stage.ms:8.1f} ms"
    first = Text.assemble("  ", _mark(stage.status), f" {stage.name:10}{took:>11}  {printable(stage.detail)}")
    first.rstrip()
    lines = [first]
    if stage.hint and stage.status in ("failed", "warning"):
        lines.append(Text(f"{_INDENT}hint: {printable(stage.hint)}"))
    if verbose:
        lines += [Text(f"{_INDENT}{printable(note)}", style="dim") for note in stage.notes]
    return lines


def _verdict(report: Report, *, short: bool = False) -> Text:
    from rich.text import Text

    failed = report.failure
    name = "" if short else f"{printable(report.alias)}: "
    if failed is not None:
        return Text(f"{name}failed at {failed.name} (exit status {report.exit_code})", style="red")
    number = len(report.warnings)
    warned = f", {number} warning{'' if number == 1 else 's'}" if number else ""
    return Text(f"{name}ok, {printable(report.server)}{warned}", style="yellow" if number else "green")


def _print(console: Console, line: Any) -> None:
    if console.is_terminal:
        # Folded by the terminal, so that what is copied has no line ends of ours in it.
        console.print(line, soft_wrap=True)
        return
    try:
        sys.stdout.write(f"{line.plain}\n")
    except UnicodeEncodeError:
        sys.stdout.write(line.plain.encode("ascii", "backslashreplace").decode("ascii") + "\n")
    sys.stdout.flush()
