"""Surgery on the text of a document: where a table's fields, sub-tables and comments are, and what becomes of them.

It is not asked to check: whoever edits a document compares the outcome with the same edit on plain data.  Comments go
with what they stand above.  A block of comment lines that touches a header belongs to it, also where it touches the
table before as well; one that touches the last field of a table, and no header, belongs to that table; one that stands
alone between blank lines belongs to nobody and always stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import EditConflictError
from .lines import (
    Line,
    entry_text,
    header_text,
    key_span,
    key_text,
    lay_out,
    nested,
    newline_of,
    rename_key,
    set_value,
    set_values,
    unset_value,
)

Path = tuple[str, ...]

_EFFORT = 2  # how often all of a document may be rewritten in one go,
_SMALL = 1 << 18  # and how many characters more, for small ones: each takes a microsecond


class TextDocument:
    """A document, of a text that tomli has accepted, that is being edited.

    Attributes:
        before: the lines that it began with.
        lines: its lines now.
        below: the table that comes below all other keys of the root, where an entry of the root spells it.
    """

    def __init__(self, text: str, below: str) -> None:
        self.below = below
        self.before = lay_out(text)
        self.lines = list(self.before)
        self._newline = newline_of(text)
        self._entries: dict[tuple[str | int, ...], int] | None = None
        self._effort = _EFFORT * len(text) + _SMALL

    @property
    def text(self) -> str:
        return "".join(line.raw for line in self.lines)

    def line_number(self, path: Path) -> int:
        """Where a table or an entry that is there first appears, counted from 1."""
        number = 1
        for line in self.lines:
            if line.below(path) or (line.kind == "entry" and line.path == path[: len(line.path)]):
                break
            number += line.raw.count("\n")
        return number

    def comment(self, *lines: str) -> None:
        """Append lines of comment, each with its ``#``."""
        self._append([line + self._newline for line in lines])

    def put(self, path: Path, value: Any) -> None:
        """Give a key a plain value; a new one goes after the last field of its own table.  No scalar is on its way."""
        holder = self._holder(path)
        if holder is not None:
            line = self.lines[holder]
            self._rewrite(holder, set_value(line.raw, path[len(line.table) :], value))
            return
        if any(line.below(path) for line in self.lines):
            self.remove(path, comments=False)
        if len(path) == 1:
            self._add_to_root(path[0], value)
        else:
            self._add(path, value)

    def put_each(self, paths: Iterable[Path], value: Any) -> None:
        """Give keys that have a value the same plain one, however many of them stand in one line."""
        held: dict[int | None, list[Path]] = {}
        for path in paths:
            held.setdefault(self._holder(path), []).append(path)
        for path in held.pop(None, []):
            self.put(path, value)
        for index, inside in held.items():
            assert index is not None
            line = self.lines[index]
            self._rewrite(index, set_values(line.raw, [path[len(line.table) :] for path in inside], value))

    def unset(self, path: Path) -> None:
        """Take a key away.  Its table stays, if need be as ``{}``: an empty ``ssl`` table still turns TLS on."""
        parent = path[:-1]
        if self._around(path) is None and parent:
            declared = [line for line in self.lines if line.below(parent)]
            if all(line.below(path) for line in declared):
                self._empty(parent)
        self.remove(path, comments=False)

    def add_table(self, path: Path, fields: dict[str, Any]) -> None:
        """Append a table with a header of its own, or, where it stands in an inline table, a key of that."""
        if self._holder(path) is not None:
            self.put(path, fields)
            return
        entries = [entry_text(key_text(key), value, self._newline) for key, value in fields.items()]
        self._append([header_text(path, self._newline), *entries])

    def copy_table(self, source: Path, target: Path) -> bool:
        """Append a copy of a table, word for word, without the comments around it.

        False where it cannot be done: for a table without headers, or with fields elsewhere.
        """
        mine = [index for index, line in enumerate(self.lines) if line.below(source)]
        if not mine or any(self.lines[i].table[: len(source)] != source for i in mine if self._is_entry(i)):
            return False
        copied: list[list[str]] = []
        for index in mine:
            line = self.lines[index]
            if line.kind == "header":
                block = [_renamed(line.raw, len(source) - 1, target[-1])]
                block += [other.raw for other in self.lines[index + 1 : self._last_entry(index) + 1]]
                if not block[-1].endswith("\n"):
                    block[-1] += self._newline
                copied.append(block)
        for block in copied:
            self._append(block)
        return True

    def rename_table(self, path: Path, new: str) -> None:
        """Give a table another name, in every header and dotted key that spells it; some spellings refuse it."""
        renamed = (*path[:-1], new)
        self._entries = None
        for index, line in enumerate(self.lines):
            if line.below(path):
                spelled = len(line.table) < len(path)
                raw = _renamed(line.raw, len(path) - len(line.table) - 1, new) if spelled else line.raw
                table = line.table if spelled else renamed + line.table[len(path) :]
                self.lines[index] = Line(raw, line.kind, renamed + line.path[len(path) :], table)
            elif line.kind == "entry" and line.path == path[: len(line.path)]:
                self._rewrite(index, rename_key(line.raw, path[len(line.table) :], new))

    def remove(self, path: Path, *, comments: bool = True) -> None:
        """Remove a table, an entry or a key of an inline table; headers take along what belongs to them.

        With ``comments`` entries outside of its headers take along the comments above them, too.
        """
        around = self._around(path)
        if around is not None:
            line = self.lines[around]
            self._rewrite(around, unset_value(line.raw, path[len(line.table) :]))
            return
        doomed: set[int] = set()
        for index, line in enumerate(self.lines):
            if not line.below(path) or index in doomed:
                continue
            start = self._lead(index) if comments or line.kind == "header" else index
            doomed.update(range(start, self._end(index) if line.kind == "header" else index + 1))
        self._drop(doomed)

    def _is_entry(self, index: int) -> bool:
        return self.lines[index].kind == "entry"

    def _holder(self, path: Path) -> int | None:
        """The entry that is the path, or whose inline table holds it."""
        if self._entries is None:  # kept while lines change in their places only, as when children follow a new name
            self._entries = {line.path: index for index, line in enumerate(self.lines) if line.kind == "entry"}
        found = (self._entries.get(path[:length]) for length in range(1, len(path) + 1))
        return next((index for index in found if index is not None), None)

    def _around(self, path: Path) -> int | None:
        """The entry whose inline table holds the path."""
        holder = self._holder(path)
        return holder if holder is not None and len(self.lines[holder].path) < len(path) else None

    def _lead(self, index: int) -> int:
        """Where the comments that touch a line from above begin."""
        while index > 0 and self.lines[index - 1].kind == "comment":
            index -= 1
        return index

    def _last_entry(self, header: int) -> int:
        """The last field under a header; the header itself where it has none."""
        last = header
        for index in range(header + 1, len(self.lines)):
            if self.lines[index].kind == "header":
                break
            if self._is_entry(index):
                last = index
        return last

    def _end(self, header: int) -> int:
        """Behind what belongs to a header."""
        end = tail = self._last_entry(header) + 1
        while tail < len(self.lines) and self.lines[tail].kind == "comment":
            tail += 1
        return end if tail < len(self.lines) and self.lines[tail].kind == "header" else tail

    def _rewrite(self, index: int, raw: str) -> None:
        """Change the value of an entry; its own key stays."""
        self._effort -= len(raw)
        if self._effort < 0:  # hundreds of changes in one line that is most of the file
            raise EditConflictError(
                "too many places of one inline table would change",
                hint="write it as tables with headers",
            )
        self.lines[index] = self.lines[index]._replace(raw=raw)

    def _insert(self, index: int, text: str, table: tuple[str | int, ...] = ()) -> None:
        if index > 0 and not (before := self.lines[index - 1]).raw.endswith("\n"):
            # The last line of a file without a newline at its end.
            self.lines[index - 1] = before._replace(raw=before.raw + self._newline)
        self.lines[index:index] = lay_out(text, table)
        self._entries = None

    def _append(self, block: list[str]) -> None:
        if self.lines and self.lines[-1].kind != "blank":
            block = [self._newline, *block]
        self._insert(len(self.lines), "".join(block))

    def _drop(self, doomed: set[int]) -> None:
        """Remove lines; of the blank ones on both sides of a gap only those above it stay."""
        kept: list[Line] = []
        index, size = 0, len(self.lines)
        while index < size:
            if index not in doomed:
                kept.append(self.lines[index])
                index += 1
                continue
            while index in doomed:
                index += 1
            if not kept or kept[-1].kind == "blank":
                while index < size and self.lines[index].kind == "blank":
                    index += 1
            while index == size and kept and kept[-1].kind == "blank":
                kept.pop()
        self.lines = kept
        self._entries = None

    def _add(self, path: Path, value: Any) -> None:
        """Add a key to the deepest table on its way that the document declares."""
        for depth in range(len(path) - 1, 0, -1):
            table, key, inner = path[:depth], key_text(path[depth]), nested(path[depth + 1 :], value)
            for index, line in enumerate(self.lines):
                if line.kind == "header" and line.path == table:
                    return self._add_under(index, key, inner)
            dotted = [i for i, line in enumerate(self.lines) if line.below(table) and len(line.table) < depth]
            entries = [i for i in dotted if self._is_entry(i)]
            if entries:
                line = self.lines[entries[-1]]
                entry = entry_text(f"{_stem(line, table)}.{key}", inner, self._newline)
                return self._insert(entries[-1] + 1, entry, line.table)
            if dotted:  # headers of its sub-tables
                new = header_text(table, self._newline) + entry_text(key, inner, self._newline) + self._newline
                return self._insert(self._lead(dotted[0]), new)
        return self.add_table(path[:-1], {path[-1]: value})

    def _add_under(self, header: int, key: str, value: Any) -> None:
        last = self._last_entry(header)
        raw = self.lines[last].raw
        indent = raw[: len(raw) - len(raw.lstrip(" \t"))]
        self._insert(last + 1, entry_text(indent + key, value, self._newline), self.lines[header].path)

    def _add_to_root(self, key: str, value: Any) -> None:
        entry = entry_text(key_text(key), value, self._newline)
        first = next((i for i, line in enumerate(self.lines) if line.kind == "header"), len(self.lines))
        root = [index for index in range(first) if self._is_entry(index)]
        settings = [index for index in root if self.lines[index].path[0] != self.below]
        if settings:
            self._insert(settings[-1] + 1, entry)
        elif root:
            self._insert(self._lead(root[0]), entry)
        elif first < len(self.lines):
            self._insert(self._lead(first), entry + self._newline)
        else:
            self._append([entry])

    def _empty(self, table: Path) -> None:
        """Declare a table without fields, in the place of the first line that implies it."""
        self._entries = None
        index = next(index for index, line in enumerate(self.lines) if line.below(table))
        line = self.lines[index]
        if line.kind == "header":
            self.lines[index] = lay_out(header_text(table, self._newline))[0]
        else:
            self.lines[index] = lay_out(entry_text(_stem(line, table), {}, self._newline), line.table)[0]


def _stem(line: Line, table: Path) -> str:
    """The dotted key of an entry as far as it spells a table around it, with its indentation."""
    return line.raw[: key_span(line.raw, len(table) - len(line.table) - 1)[1]]


def _renamed(raw: str, index: int, new: str) -> str:
    start, end = key_span(raw, index)
    return raw[:start] + key_text(new) + raw[end:]
