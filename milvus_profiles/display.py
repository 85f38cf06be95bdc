"""How objects look to people: lines with styles and tables, for a terminal, a notebook and rich.

Their texts come from files and servers; each is escaped here, for a terminal by :func:`.text.printable` and for a page
by what HTML wants besides.  rich is imported when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from .masked import even_half_made
from .text import printable

if TYPE_CHECKING:
    from rich.table import Table as RichTable
    from rich.text import Text

Line = Sequence[tuple[str, str]]
"""Parts of a line, each with a style: ``"bold"``, ``"dim"``, ``"green"``, ``"red"``, ``"yellow"``, or none."""

_CSS = {"bold": "font-weight:bold", "dim": "opacity:0.6", "green": "color:green", "red": "color:#c00"}
_CSS["yellow"] = "color:#a60"


def plain(line: Line) -> str:
    """A line without its styles."""
    return "".join(printable(text) for text, _ in line).rstrip()


def rich_text(line: Line) -> Text:
    """A line as rich has it, in which nothing is markup."""
    from rich.text import Text

    made = Text()
    for text, style in line:
        made.append(printable(text), style or None)
    made.rstrip()
    return made


def _in_html(text: str) -> str:
    from html import escape  # for notebooks alone: its table of entities takes as long as all of this module

    return escape(printable(text))


@even_half_made
class Lined:
    """What looks like some lines, one below the other; a class of it says which."""

    __slots__ = ()

    def _lines(self) -> Iterable[Line]:
        return ()

    def __str__(self) -> str:
        return "\n".join(map(plain, self._lines()))

    def __rich__(self) -> Text:
        from rich.text import Text

        return Text("\n").join(map(rich_text, self._lines()))

    def _repr_html_(self) -> str:
        parts = [
            "".join(
                f'<span style="{_CSS[style]}">{_in_html(text)}</span>' if style else _in_html(text)
                for text, style in line
            )
            for line in self._lines()
        ]
        return "<pre>" + "\n".join(parts) + "</pre>"


class Table(NamedTuple):
    """Rows of texts under headings.

    Attributes:
        headings: one for each column.
        rows: the texts.
        more: how many rows were left out.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    more: int = 0


class Tabular:
    """What looks like a table."""

    __slots__ = ()

    def _table(self) -> Table:
        raise NotImplementedError

    def __rich__(self) -> RichTable:
        from rich.table import Table as RichTable
        from rich.text import Text

        table = self._table()
        made = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
        for heading in table.headings:
            made.add_column(Text(heading), overflow="fold")
        for row in table.rows:
            made.add_row(*(Text(printable(cell)) for cell in row))
        if table.more:
            made.caption = Text(f"and {table.more} more")
        return made

    def _repr_html_(self) -> str:
        table = self._table()
        head = "".join(f"<th>{_in_html(heading)}</th>" for heading in table.headings)
        rows = "".join(f"<tr>{''.join(f'<td>{_in_html(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
        more = f"<caption>and {table.more} more</caption>" if table.more else ""
        return f"<table>{more}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
