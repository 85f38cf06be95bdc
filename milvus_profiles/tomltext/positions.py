"""Where in the text of a TOML file each key and each value stands.

tomli gives values without places, so this scanner walks the text once more when an error, ``list`` or ``show`` asks
for one.  It reads only text that tomli has accepted, and therefore checks nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Literal, NamedTuple

from ..masked import even_half_made

KeyPath = tuple["str | int", ...]
"""Keys from the root to a value; an array's elements are counted from 0."""

_BLANK = re.compile(r"[ \t]*")
_NOTHING = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_BETWEEN = frozenset(" \t\r\n#")
_COMMENT = re.compile(r"#[^\n]*")
_KEY = re.compile(r"""[ \t]*([A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')[ \t]*(\.?)""")
_STRING = re.compile(
    r'''"""(?:[^\\]|\\.)*?"{3,5}(?!")|"(?:[^"\\\n]|\\.)*"'''  # basic
    r"""|'''.*?'{3,5}(?!')|'[^'\n]*'""",  # literal
    re.DOTALL,
)
_SCALAR = re.compile(r"\d{4}-\d\d-\d\d[ ]\d\d:[^\s,\]}#]+|[^\s,\]}#]+")
# What long arrays and inline tables are full of, up to the next one or the end, at a third of the time.
_NEXT = r"[ \t\r\n]*(?:,[ \t\r\n]*(?![#\s])|(?=[\]}]))"
_TOKEN = re.compile(rf"{_STRING.pattern}|#[^\n]*|(?P<begin>[\[{{]+)|(?P<end>[\]}}]+)", re.DOTALL)
_ELEMENTS = 1000  # of an array that have a place of their own; of more, those in a row share one
_PLAIN_ELEMENT = re.compile(rf"""([^\s,\[\]{{}}"'#]+){_NEXT}""")
_PLAIN_VALUE = r"""("[^"\\\n]*"|'[^'\n]*'|[^\s,\[\]{}"'#]+)"""
_PLAIN_ENTRY = re.compile(rf"([A-Za-z0-9_-]+)[ \t]*=[ \t]*{_PLAIN_VALUE}{_NEXT}")
_PLAIN_TABLE = re.compile(r"([A-Za-z0-9_-]+)[ \t]*=[ \t]*(?=\{)")
PLAIN_LINE = re.compile(rf"([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)[ \t]*=[ \t]*{_PLAIN_VALUE}[ \t\r]*(?:\n|\Z)")
"""Lines that are nearly all there are, at half of the time: their key and their value."""
_PLAIN_HEADER = re.compile(r"\[([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\]")


class Span(NamedTuple):
    """Where its last key starts (for an array's element, its value), where its value starts (for a table with a header,
    its bracket), and just behind it: offsets in characters."""

    key: int
    value: int
    end: int


Statement = tuple[KeyPath, Span]


@even_half_made
class Positions:
    """The places of all entries of one text.

    Args:
        spans: by key path; the root is not among them.
        comments: offsets at which comments start, ascending.
        statements: the entries and headers of the document itself, in their order; of a scan within nothing.

    Attributes:
        hidden: what must not be shown of the text, once someone found it out: ranges of offsets, ascending.
    """

    def __init__(
        self, text: str, spans: dict[KeyPath, Span], comments: list[int], statements: Sequence[Statement] = ()
    ) -> None:
        # In a closure, as in the document: a text may hold secrets, and vars() would show it.
        self._text: Callable[[], str] = lambda: text
        self.spans = spans
        self.comments = comments
        self.statements = statements
        self.hidden: list[tuple[int, int]] | None = None
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]

    def __repr__(self) -> str:
        return f"<Positions of {len(self.spans)} entries>"

    def find(self, path: KeyPath) -> Span | None:
        """The span of an entry, or of the nearest entry that contains it; None where nothing does."""
        while path:
            if (span := self.spans.get(path)) is not None:
                return span
            path = path[:-1]
        return None

    def line_column(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both counted from 1."""
        line = bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1] + 1

    def line_bounds(self, line: int) -> tuple[int, int]:
        """Offsets of the start and the end of a line, its newline left out."""
        text = self._text()
        start = self._lines[line - 1]
        end = self._lines[line] - 1 if line < len(self._lines) else len(text)
        return start, end - 1 if start < end and text[end - 1] == "\r" else end


Within = Literal["everything", "tables", "nothing"]


def scan(text: str, within: Within = "everything") -> Positions:
    """Find the place of every entry of a TOML document that tomli has accepted.

    ``within`` says what to look into for entries and comments: arrays and inline tables, inline tables alone, or
    neither.
    """
    scanner = _Scanner(text, within)
    scanner.document()
    return Positions(text, scanner.spans, scanner.comments, scanner.statements)


class _Scanner:
    def __init__(self, text: str, within: Within) -> None:
        self.text = text
        self.passed = {"everything": "", "tables": "[", "nothing": "[{"}[within]
        self.at = 0
        self.spans: dict[KeyPath, Span] = {}
        self.comments: list[int] = []
        self.statements: list[Statement] = []
        self._lengths: dict[KeyPath, int] = {}  # of the arrays of tables seen so far

    def document(self) -> None:
        text, size = self.text, len(self.text)
        prefix: KeyPath = ()
        self.skip()
        while self.at < size:
            if text[self.at] == "[":
                prefix = self.header()
                self.statement(prefix)
            elif (match := PLAIN_LINE.match(text, self.at)) is not None:
                self.line(prefix, match)
            else:
                self.statement(self.entry(prefix))
            self.skip()

    def statement(self, path: KeyPath) -> None:
        if "{" in self.passed:
            self.statements.append((path, self.spans[path]))

    def line(self, prefix: KeyPath, match: re.Match[str]) -> None:
        path: KeyPath
        if "." not in match[1]:
            path = (*prefix, match[1])
            self.spans[path] = Span(match.start(1), match.start(2), match.end(2))
        else:
            parts = match[1].split(".")
            starts = [*accumulate((len(part) + 1 for part in parts[:-1]), initial=match.start(1))]
            self.at = match.end(2)
            path = (*prefix, *parts)
            self.place(path, starts, match.start(2))
        self.at = match.end()
        self.statement(path)

    def skip(self) -> None:
        """Pass over white space, newlines and comments, and note where the comments start."""
        if self.text[self.at : self.at + 1] not in _BETWEEN:
            return
        match = _NOTHING.match(self.text, self.at)
        end = match.end() if match else self.at
        if "#" in self.text[self.at : end]:
            self.comments += [c.start() for c in _COMMENT.finditer(self.text, self.at, end)]
        self.at = end

    def blank(self) -> None:
        match = _BLANK.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def key(self) -> tuple[list[str], list[int]]:
        """Read a dotted key; its parts, and where each starts."""
        parts: list[str] = []
        starts: list[int] = []
        while True:
            match = _KEY.match(self.text, self.at)
            if match is None:
                raise ValueError("the scanner reads only what tomli has accepted")
            parts.append(unquote(match[1]))
            starts.append(match.start(1))
            self.at = match.end()
            if not match[2]:
                return parts, starts

    def header(self) -> KeyPath:
        start = self.at
        if not self._lengths and (match := _PLAIN_HEADER.match(self.text, start)) is not None:
            self.at = match.end()
            self.spans.setdefault((match[1],), Span(match.start(1), start, self.at))
            self.spans[match[1], match[2]] = Span(match.start(2), start, self.at)
            return match[1], match[2]
        array = self.text.startswith("[[", start)
        self.at += 2 if array else 1
        parts, keys = self.key()
        self.at += 2 if array else 1
        if array:
            path = (*self.resolved(parts[:-1]), parts[-1])
            index = self._lengths.get(path, 0)
            self._lengths[path] = index + 1
            path = (*path, index)
        else:
            path = self.resolved(parts)
        self.place(path, keys, start)
        return path

    def resolved(self, parts: list[str]) -> KeyPath:
        """A header's path, in which a name of an array of tables means its last element."""
        path: KeyPath = ()
        for part in parts:
            path = (*path, part)
            if path in self._lengths:
                path = (*path, self._lengths[path] - 1)
        return path

    def place(self, path: KeyPath, keys: list[int], value: int) -> None:
        """Note an entry that ends here, and the tables that its dotted name implies where they first appear."""
        if len(keys) == 1 and isinstance(path[-1], str):  # nearly all of them
            self.spans[path] = Span(keys[0], value, self.at)
            return
        left = list(keys)
        at = keys[-1]
        for length in range(len(path), 0, -1):
            if not left:
                break  # the rest of the path is that of the table around it
            if isinstance(path[length - 1], str):
                at = left.pop()
            span = Span(at, value, self.at)
            if length == len(path):
                self.spans[path] = span
            elif path[:length] in self.spans:
                break  # and so are all that it stands in
            else:
                self.spans[path[:length]] = span

    def entry(self, prefix: KeyPath) -> KeyPath:
        parts, keys = self.key()
        path = prefix + tuple(parts)
        self.at += 1  # the equals sign
        self.blank()
        start = self.at
        self.value(path)
        self.place(path, keys, start)
        return path

    def value(self, path: KeyPath) -> None:
        char = self.text[self.at]
        if char in self.passed:
            self.at = self._end_of_nested()
        elif char == "[":
            self.array(path)
        elif char == "{":
            self.inline_table(path)
        else:
            match = (_STRING if char in "\"'" else _SCALAR).match(self.text, self.at)
            self.at = match.end() if match else len(self.text)

    def array(self, path: KeyPath) -> None:
        self.at += 1
        index = 0
        self.skip()
        while self.text[self.at] != "]":
            start = self.at
            element: KeyPath = (*path, index)
            end = start
            while (match := _PLAIN_ELEMENT.match(self.text, self.at)) is not None:
                self.at, end = match.end(), match.end(1)
                if index < _ELEMENTS:
                    break
            if end > start:
                self.spans[element] = Span(start, start, end)
                index += 1
                continue
            self.value(element)
            self.spans[element] = Span(start, start, self.at)
            index += 1
            self.skip()
            if self.text[self.at] == ",":
                self.at += 1
                self.skip()
        self.at += 1

    def _end_of_nested(self) -> int:
        """Where the array or inline table ends that begins here."""
        depth = 0
        for token in _TOKEN.finditer(self.text, self.at):
            if token.lastgroup == "begin":
                depth += token.end() - token.start()
            elif token.lastgroup == "end":
                depth -= token.end() - token.start()
                if depth <= 0:
                    return token.end() + depth
        return len(self.text)

    def inline_table(self, path: KeyPath) -> None:
        self.at += 1
        self.skip()
        while self.text[self.at] != "}":
            if (match := _PLAIN_ENTRY.match(self.text, self.at)) is not None:
                named: KeyPath = (*path, match[1])
                self.spans[named] = Span(match.start(1), match.start(2), match.end(2))
                self.at = match.end()
                continue
            if (match := _PLAIN_TABLE.match(self.text, self.at)) is not None:
                named = (*path, match[1])
                self.at = match.end()
                self.inline_table(named)
                self.spans[named] = Span(match.start(1), match.end(), self.at)
            else:
                self.entry(path)
            self.skip()
            if self.text[self.at] == ",":
                self.at += 1
                self.skip()
        self.at += 1


def unquote(key: str) -> str:
    """The text of a key, or of a string of one line, as TOML spells it."""
    if key[0] not in "\"'":
        return key
    if key[0] == "'" or "\\" not in key:
        return key[1:-1]
    from .parser import loads

    return str(loads(f"key = {key}")["key"])
