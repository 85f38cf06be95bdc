"""A TOML document as a list of its lines, so that an edit touches one of them and leaves every other byte alone.

A "line" is a whole entry or header (an array may run over many lines of text), a comment, or a blank.  Joined they are
the document again.  The places come from the scanner of :mod:`positions`; this module knows nothing of profiles.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from .positions import KeyPath, Positions, Span, scan

__all__ = ["Line", "exact_spans", "key_end", "key_span", "lay_out", "lay_out_broken", "newline_of"]

_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


class Line(NamedTuple):
    """A piece of a document.

    Attributes:
        raw: its text with the newline that ends it; only the last one of a document may lack that.
        kind: what it is; of a document that is no valid TOML, every line that is not blank is "broken".
        path: of an entry or a header, its keys from the root (an array of tables counts its elements); else empty.
        table: of an entry, the table of the header above it; else empty.
    """

    raw: str
    kind: Literal["blank", "comment", "header", "entry", "broken"]
    path: KeyPath = ()
    table: KeyPath = ()

    def below(self, path: KeyPath) -> bool:
        """Whether it declares the path, or something in it."""
        return self.path[: len(path)] == path


def lay_out(text: str, table: KeyPath = ()) -> list[Line]:
    """Take a text apart that tomli has accepted: a document, or entries of one and the table that they stand in."""
    lines: list[Line] = []
    outer, at = table, 0
    for path, span in scan(text, "nothing").statements:
        start = text.rfind("\n", 0, span.key) + 1
        newline = text.find("\n", span.end)
        end = newline + 1 if newline >= 0 else len(text)
        if at < start:
            lines += _fillers(text[at:start])
        path = outer + path
        if span.value < span.key:
            table = path
            lines.append(Line(text[start:end], "header", path))
        else:
            lines.append(Line(text[start:end], "entry", path, table))
        at = end
    lines += _fillers(text[at:])
    return lines


def _fillers(text: str) -> Iterator[Line]:
    for match in _LINE.finditer(text):
        yield Line(match[0], "comment" if match[0].strip() else "blank")


def lay_out_broken(text: str) -> list[Line]:
    """The lines of a text that tomli does not accept."""
    return [Line(raw, "broken" if raw.strip() else "blank") for raw in _LINE.findall(text)]


def exact_spans(text: str, positions: Positions | None = None) -> dict[KeyPath, Span]:
    """The places of what has a value or a header of its own; tables that a dotted key only implies are left out."""
    longest: dict[int, tuple[KeyPath, Span]] = {}
    for path, span in (positions or scan(text)).spans.items():
        if span.value not in longest or len(path) > len(longest[span.value][0]):
            longest[span.value] = (path, span)
    return dict(longest.values())


def key_span(raw: str, index: int) -> tuple[int, int]:
    """Where one of the names, counted from 0, stands in the dotted key that an entry or a header begins with."""
    start = end = len(raw) - len(raw.lstrip(" \t["))
    for _ in range(index + 1):
        start = end + len(raw[end:]) - len(raw[end:].lstrip(" \t."))
        end = key_end(raw, start)
    return start, end


def key_end(raw: str, start: int) -> int:
    """Where the name that starts at an offset ends."""
    match = _KEY.match(raw, start)
    return match.end() if match else start


def newline_of(text: str) -> str:
    """The way in which most of the text's lines end."""
    return "\r\n" if text.count("\r\n") * 2 > text.count("\n") else "\n"
