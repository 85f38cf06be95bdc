"""What an edit changes, as a unified diff that may be shown to anybody: no secret and no control character in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from ..masked import without_pairs
from ..text import printable
from ..tomltext.lines import Line, exact_spans, newline_of
from ..tomltext.positions import PLAIN_LINE, scan
from .disclosure import announces_secret, broken_name, hide, shown_comment, shown_raw

_CONTEXT = 3
_WIDTH = 1000  # characters of a row that are shown: one can be as long as the file
_MASKED = 100_000  # characters of a line that is looked through for secrets; of a longer one nothing is shown
_COMPARED = 400  # rows between two that stayed that are compared with each other
_TEXT = re.compile(r"[^\r\n]+")
_PLAIN_HEADER = re.compile(r"[ \t]*\[{1,2}[A-Za-z0-9_.-]+\]{1,2}\s*")  # nearly all of them
_ROW = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of text: as it is, to be compared, and as it may be shown."""

    raw: str
    shown: str


def show_difference(before: Sequence[Line] | None, after: Sequence[Line], path: str) -> str:
    """Compare two documents, of which the old one is None where there was no file; empty where nothing differs.

    Every literal secret is ``********`` (also where only the secret differs), and every character that is not printable
    escaped.
    """
    old = before or []
    top = _common(old, after)
    if top == len(old) == len(after):
        return ""
    bottom = _common(old[top:][::-1], after[top:][::-1])
    start, rest = max(0, top - _CONTEXT), max(0, bottom - _CONTEXT)
    # How lines end is worth showing only where it changes.
    ends = "\r\n" if before is None or _newline(old) == _newline(after) else "\n"
    hidden = {*_hidden_comments(old), *_hidden_comments(after)}
    # By the line's identity: the rows of a line that is in both documents are the same objects.
    known: dict[int, list[_Row]] = {}

    def rows(lines: Sequence[Line]) -> list[_Row]:
        for line in lines:
            if id(line) not in known:
                known[id(line)] = _rows_of(line, ends, hidden=id(line) in hidden)
        return [row for line in lines for row in known[id(line)]]

    lead, tail = rows(after[start:top]), rows(after[len(after) - bottom : len(after) - rest])
    one, other = (rows(lines[top : len(lines) - bottom]) for lines in (old, after))
    offset = sum(line.raw.count("\n") for line in after[:start])
    name = printable(path)
    head = [f"--- {name if before is not None else '/dev/null'}", f"+++ {name}"]
    return "\n".join([*head, *_hunks([*lead, *one, *tail], [*lead, *other, *tail], offset), ""])


def _common(one: Sequence[Line], other: Sequence[Line]) -> int:
    count = 0
    for left, right in zip(one, other, strict=False):
        if left.raw != right.raw:
            break
        count += 1
    return count


def _newline(lines: Sequence[Line]) -> str:
    return newline_of("".join(line.raw for line in lines))


def _rows_of(line: Line, ends: str, *, hidden: bool) -> list[_Row]:
    """The rows of a line, without these characters at their ends."""
    if len(line.raw) > _MASKED:
        shown = _TEXT.sub("…", line.raw)
    elif hidden:
        shown = hide(line.raw)
    else:
        shown = _masked(line)
    rows = []
    for raw, row in zip(_ROW.findall(line.raw), _ROW.findall(shown), strict=True):
        told = printable(row.removesuffix("\n").rstrip(ends))
        rows.append(_Row(raw, told if len(told) <= _WIDTH else f"{told[:_WIDTH]}…"))
    return rows


def _opcodes(one: list[_Row], other: list[_Row]) -> Iterator[tuple[str, int, int, int, int]]:
    """What became of the rows, in the form of difflib.

    The rows of lines that stayed are the same objects on both sides, in the same order.  They are matched as such, or a
    removed profile would be mistaken for another one with the same fields; difflib, which takes time that grows with
    the square, looks only at what is between them.
    """
    stayed = {id(row) for row in one} & {id(row) for row in other}
    i = k = 0
    while i < len(one) or k < len(other):
        j, m = i, k
        while j < len(one) and m < len(other) and one[j] is other[m]:
            j, m = j + 1, m + 1
        if j > i:
            yield "equal", i, j, k, m
            i, k = j, m
            continue
        while j < len(one) and id(one[j]) not in stayed:
            j += 1
        while m < len(other) and id(other[m]) not in stayed:
            m += 1
        if (j, m) == (i, k):
            j, m = len(one), len(other)  # lines that changed places, which no edit does
        if max(j - i, m - k) > _COMPARED:
            yield "replace", i, j, k, m
        else:
            old, new = [row.raw for row in one[i:j]], [row.raw for row in other[k:m]]
            for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
                yield tag, i + a, i + b, k + c, k + d
        i, k = j, m


def _hunks(one: list[_Row], other: list[_Row], offset: int) -> Iterator[str]:
    matcher: SequenceMatcher[str] = SequenceMatcher()
    # Only to have them grouped.
    matcher.opcodes = list(_opcodes(one, other)) or [("equal", 0, 0, 0, 0)]  # type: ignore[attr-defined]
    for group in matcher.get_grouped_opcodes(_CONTEXT):
        _, a, _, c, _ = group[0]
        _, _, b, _, d = group[-1]
        yield f"@@ -{_range(a, b, offset)} +{_range(c, d, offset)} @@"
        for tag, i, j, k, m in group:
            if tag == "equal":
                yield from _signed(" ", one[i:j])
            else:
                yield from _signed("-", one[i:j])
                yield from _signed("+", other[k:m])


def _range(start: int, stop: int, offset: int) -> str:
    count = stop - start
    first = offset + start + (1 if count else 0)
    return f"{first}" if count == 1 else f"{first},{count}"


def _signed(sign: str, rows: Sequence[_Row]) -> Iterator[str]:
    for row in rows:
        yield sign + row.shown
        if not row.raw.endswith("\n"):
            yield "\\ No newline at end of file"


def _masked(line: Line) -> str:
    """The text of a line as it may be shown, with as many newlines as it has."""
    raw = line.raw
    if line.kind == "broken":
        name = broken_name(raw)
        return raw[: name[1]] + hide(raw[name[1] :]) if name else hide(raw)
    if line.kind == "comment":
        return shown_comment(raw)
    if line.kind == "header" and _PLAIN_HEADER.fullmatch(raw):
        return without_pairs(raw)
    if line.kind == "entry" and (plain := PLAIN_LINE.fullmatch(raw)):
        shown = shown_raw((*line.table, *plain[1].split(".")), plain[2])
        return without_pairs(raw[: plain.start(2)] + shown + raw[plain.end(2) :])
    positions = scan(raw)
    cuts = []
    for start in positions.comments:
        end = raw.find("\n", start)
        end = len(raw) if end < 0 else end
        cuts.append((start, end, shown_comment(raw[start:end])))
    if line.kind == "entry":
        cuts += [
            (span.value, span.end, shown_raw(line.table + path, raw[span.value : span.end]))
            for path, span in exact_spans(raw, positions).items()
            if raw[span.value] not in "[{"
        ]
    pieces, at = [], 0
    for start, end, shown in sorted(cuts):
        pieces += [raw[at:start], shown]
        at = end
    return without_pairs("".join([*pieces, raw[at:]]))


def _hidden_comments(lines: Iterable[Line]) -> Iterator[int]:
    """The identities of comments that are lines of a private key, or that the comment above announces a secret in."""
    inside = announced = False
    for line in lines:
        if line.kind != "comment":
            # A key may begin behind an entry or a header, and be interrupted by an empty line.
            inside = "----BEGIN" in line.raw or (inside and not line.raw.strip())
            announced = False
            continue
        begun = "----BEGIN" in line.raw
        if inside or begun or announced:
            yield id(line)
        inside = (inside or begun) and line.raw.rfind("----BEGIN") >= line.raw.rfind("----END")
        announced = announces_secret(line.raw)
