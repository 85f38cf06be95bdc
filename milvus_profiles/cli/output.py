"""How results and errors look: plain text on pipes, tables on terminals, one JSON value with ``--json``.

Everything that came from a file or a server is escaped here, and nowhere else, before it is printed.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from ..config.documents import file_warnings
from ..errors import DeclinedError, MilvusProfilesError
from ..text import printable
from .session import NAME, current

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ..config.documents import Document
    from ..config.locations import UnreadFile
    from ..config.profiles import Profiles


def _lines(text: str) -> str:
    if "\n" not in text:
        return printable(text)
    return "\n".join(printable(line) for line in text.split("\n"))


def shorten(path: str) -> str:
    """A path with the home directory as ``~``, for reading, not for programs."""
    home = current().env.get("HOME", "").rstrip("/")
    return f"~{path[len(home) :]}" if home and path.startswith(home + "/") else path


_LONGEST = 1000
"""Characters of a text that are shown: more than any has that makes sense."""


def whole(text: str) -> str:
    """A text of a file as it is, unless it is so long that it can only be meant to fill the screen."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"


def emit_json(value: Any) -> None:
    """Print the one JSON value of the run."""
    sys.stdout.write(json.dumps(value, ensure_ascii=True, indent=2) + "\n")


def answer(record: Any, *lines: str, asked: bool = False) -> None:
    """Give the result of a command: with ``--json`` the one value of the run, else lines for people.

    With ``--quiet`` the exit status says what was done, unless the lines are what was asked for.
    """
    if current().json:
        emit_json(record)
        return
    if current().quiet and not asked:
        return
    for line in lines:
        say(line)


def say(text: str, *, bold: bool = False, color: str | None = None) -> None:
    """Print a line of the result; with ``--json`` results go through :func:`emit_json` instead."""
    _write(sys.stdout, printable(text), bold=bold, color=color)


def note(text: str, *, asked: bool = False) -> None:
    """Say something about what was done, on stderr; silent with ``--json``, and with ``--quiet`` unless it is asked."""
    if not current().json and (asked or not current().quiet):
        _write(sys.stderr, printable(text))


def print_version() -> None:
    """Print the version."""
    from ..version import __version__

    answer({"version": __version__}, f"{NAME} {__version__}", asked=True)


def warn(text: str) -> None:
    """Warn on stderr, also with ``--json``, as one JSON object a line."""
    if current().json:
        sys.stderr.write(json.dumps({"warning": text}) + "\n")
    else:
        _write(sys.stderr, f"warning: {printable(text)}", color="yellow")


def _write(stream: Any, text: str, *, label: str = "", bold: bool = False, color: str | None = None) -> None:
    """Write a line; bold and colour are those of its label, where it has one."""
    if (bold or color) and current().colors(stream):
        from typer import style  # only for a terminal: it takes longer than all else of a list on a pipe

        styled = style(label or text, fg=color, bold=bold or None)
        label, text = (styled, text) if label else ("", styled)
    text = f"{label} {text}" if label else text
    try:
        stream.write(text + "\n")
    except UnicodeEncodeError:
        # A terminal with a narrow encoding (LANG=C) gets the same characters spelled out.
        stream.write(text.encode("ascii", "backslashreplace").decode("ascii") + "\n")


def error_record(error: MilvusProfilesError) -> dict[str, Any]:
    return {
        "error": error.code,
        "message": error.message,
        "hint": error.hint,
        "location": str(error.location) if error.location else None,
    }


def see(code: str | None) -> str | None:
    """Which command explains an error; None where this run has said it, or is to say little."""
    if code is None or current().quiet or code in current().explained:
        return None
    current().explained.add(code)
    return f"{NAME} explain {code}"


def print_error(error: MilvusProfilesError, *, explained: bool = True) -> None:
    """Print an error on stderr: what, where, what to do, and (``explained``) what explains it."""
    if current().json:
        record = error_record(error) | getattr(error, "details", {})
        sys.stderr.write(json.dumps(record) + "\n")
        return
    stream = sys.stderr
    stream.flush()
    _write(stream, printable(error.message), label="error:", color="red", bold=True)
    if error.location:
        _write(stream, f"  at {printable(str(error.location))}")
        if caret := error.location.caret():
            for line in caret.split("\n"):
                _write(stream, f"     | {printable(line.replace(chr(9), ' '))}")
    if error.hint:
        _write(stream, printable(error.hint), label="hint:", color="cyan")
    # Whoever says no knows why.
    if explained and not isinstance(error, DeclinedError) and (page := see(error.code)) is not None:
        _write(stream, page, label="see:", color="cyan")


def console_of(terminal: bool) -> Console:
    """rich's view of standard output, a terminal or none: our colours, and nothing in what is printed interpreted."""
    from rich.console import Console

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as _write does, where rich writes
    return Console(
        file=sys.stdout,
        width=None if terminal else 10_000,
        # Not no_color, which keeps bold.
        color_system="auto" if current().colors(sys.stdout) else None,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
        _environ=dict(os.environ) if terminal else {},
    )


def print_text(console: Console, text: Text) -> None:
    """Print a line with styles; a terminal folds it, so that what is copied has no line ends of ours in it."""
    if console.is_terminal:
        console.print(text, soft_wrap=True)
    else:
        _write(sys.stdout, text.plain)
        sys.stdout.flush()


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    styles: Sequence[str | None] = (),
    shorten: Sequence[tuple[Sequence[int], int]] | None = None,
) -> None:
    """Print aligned columns of plain text; on a pipe lines stay whole.

    Where a terminal is too narrow, cells are folded, or (``shorten``, as for :func:`fit`) lose their middle.
    """
    if not sys.stdout.isatty():
        _write(sys.stdout, _aligned(headings, rows))
        return
    from rich.text import Text

    console = console_of(True)
    lines = [[_lines(cell) for cell in row] for row in rows]
    if shorten is not None:
        lines = fit(headings, lines, shorten, console.width, console.encoding)
    console.print(grid(zip_longest(headings, styles), [[Text(cell) for cell in row] for row in lines]))


def grid(columns: Iterable[tuple[str, str | None]], rows: Iterable[Sequence[Text]], *, headed: bool = True) -> Table:
    """The table of a terminal, of columns with a heading and a style each, and of cells that are escaped already."""
    from rich.table import Table

    made = Table(
        box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_edge=False, show_header=headed
    )
    for heading, style in columns:
        made.add_column(heading, style=style, overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def _width(text: str) -> int:
    """The cells of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _aligned(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The same columns as lines of text: what a pipe gets needs neither colours nor most of rich, which takes time."""
    lines: list[Sequence[str]] = [headings]
    for row in rows:
        if not "".join(row).isprintable():
            row = [*map(_lines, row)]
            if "\n" in "".join(row):
                lines += zip_longest(*(cell.split("\n") for cell in row), fillvalue="")
                continue
        lines.append(row)
    columns = [*zip(*lines, strict=True)]
    for place, column in enumerate(columns[:-1]):  # what stands last needs no filling up
        widths = [*map(_width, column)]
        widest = max(widths) + 2
        columns[place] = tuple([text + " " * (widest - width) for text, width in zip(column, widths, strict=True)])
    return "\n".join(["".join(line).rstrip() for line in zip(*columns, strict=True)])


_GAP = 2  # between two columns


def fit(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    giving: Sequence[tuple[Sequence[int], int]],
    width: int,
    encoding: str = "utf-8",
) -> list[list[str]]:
    """The rows, with cells shortened so that none is wider than a terminal; headings stay whole.

    Columns give way in groups (``giving``), each down to a width before the next one has to; what the encoding of the
    terminal has not is spelled out.
    """
    cells = [[cell.encode(encoding, "backslashreplace").decode(encoding) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(headings, *cells, strict=True)]
    dots = "\u2026" if encoding.startswith("utf") else "..."
    for group, least in giving:
        columns = [column for column in group if column < len(widths)]
        for column in columns:
            widths[column] = min(widths[column], width)
        surplus = sum(widths) + _GAP * (len(widths) - 1) - width
        # The widest gives first, down to the next one; headings stay whole.
        while surplus > 0 and (wider := [one for one in columns if widths[one] > max(_width(headings[one]), least)]):
            widest = max(wider, key=lambda column: widths[column])
            widths[widest] -= 1
            surplus -= 1
    return [[middle_out(cell, most, dots) for cell, most in zip(row, widths, strict=True)] for row in cells]


def middle_out(text: str, most: int, dots: str = "\u2026") -> str:
    """A line without its middle, where it takes more cells; characters of East Asia take two."""
    if _width(text) <= most:
        return text
    room = max(most - _width(dots), 0)
    head = _start(text, room - room // 2)
    return head + dots + _start(text[::-1], room - _width(head))[::-1]


def _start(text: str, most: int) -> str:
    # Of what takes no room itself, such as accents, there may be any number.
    end = next((end for end in range(4 * most + 1) if _width(text[: end + 1]) > most), 4 * most)
    return text[:end]


def warn_about_files(profiles: Profiles, documents: Iterable[Document]) -> None:
    """Warn of files that others may have read, changed or put there, and of trust that is not believed."""
    found = list(documents)
    warn_of_unread(profiles.unread)
    for line in file_warnings(found):
        warn(line)
    if (fault := profiles.trust.fault) is not None and any(document.role == "project" for document in found):
        warn(f"the list of trusted files {fault[0]}: {fault[1]}")


def warn_about_profiles(profiles: Profiles, aliases: Iterable[str]) -> None:
    """As :func:`warn_about_files`, for the files that declare some profiles."""
    declaring = [profiles.declaring(alias) for alias in aliases]
    warn_about_files(profiles, [document for document in profiles.documents if document in declaring])


def warn_of_unread(files: Iterable[UnreadFile]) -> None:
    """Warn of files that are there and are not read."""
    for file in files:
        warn(f"{file}: {file.hint}")


def warn_of_literals(documents: Iterable[Document]) -> None:
    """Warn of secrets in a project's file, and in any file that git tracks: others get them with it."""
    from ..config.git_index import is_tracked
    from ..config.layers import into_keyring

    for document in documents:
        if not document.literals:
            continue
        tracked = is_tracked(document.path)
        if tracked or document.role == "project":
            move = f"move the secret into the keyring with {into_keyring(document)}"
            warn(
                f"{document.path} holds a token or password and git tracks it: {move}, and change it, "
                "since its history keeps the old"
                if tracked
                else f"{document.path} holds a token or password, and goes where the project goes: {move}"
            )
