"""Cells of a table made to fit the width of a terminal: what is too long loses its middle."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

__all__ = ["fit", "middle_out"]

_GAP = 2  # between two columns


def fit(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    giving: Sequence[tuple[Sequence[int], int]],
    width: int,
    encoding: str = "utf-8",
) -> list[list[str]]:
    """The rows, with the cells of some columns shortened so that none is wider than a terminal.

    Args:
        headings: of the columns, which stay whole.
        rows: their cells.
        giving: the columns that give way, in groups, each with how narrow they become before the next one has to.
        width: cells of the terminal.
        encoding: of the terminal; what it has not is spelled out.
    """
    cells = [[cell.encode(encoding, "backslashreplace").decode(encoding) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(headings, *cells, strict=True)]
    dots = "\u2026" if encoding.startswith("utf") else "..."
    for group, least in giving:
        columns = [column for column in group if column < len(widths)]
        for column in columns:
            widths[column] = min(widths[column], width)
        surplus = sum(widths) + _GAP * (len(widths) - 1) - width
        # The widest gives first, down to the next one; headings stay whole.
        while surplus > 0 and (wider := [one for one in columns if widths[one] > max(cell_len(headings[one]), least)]):
            widest = max(wider, key=lambda column: widths[column])
            widths[widest] -= 1
            surplus -= 1
    return [[middle_out(cell, most, dots) for cell, most in zip(row, widths, strict=True)] for row in cells]


def middle_out(text: str, most: int, dots: str = "\u2026") -> str:
    """A text without its middle, where it is wider.

    Args:
        text: one line.
        most: cells that it may take; characters of East Asia take two.
        dots: what stands for the middle.
    """
    if cell_len(text) <= most:
        return text
    room = max(most - cell_len(dots), 0)
    head = _start(text, room - room // 2)
    return head + dots + _start(text[::-1], room - cell_len(head))[::-1]


def _start(text: str, most: int) -> str:
    # Of what takes no room itself, such as accents, there may be any number.
    end = next((end for end in range(4 * most + 1) if cell_len(text[: end + 1]) > most), 4 * most)
    return text[:end]
