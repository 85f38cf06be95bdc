"""What an edit changes, as a unified diff that may be shown to anybody: no secret and no control character in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from ..errors import ConfigError
from ..masked import MASK
from .edit_layout import Line, exact_spans, newline_of
from .fields import field
from .positions import KeyPath, scan

__all__ = ["show_difference"]

_CONTEXT = 3
_ROOT_KEYS = frozenset({"default_profile", "max_connections", "keyring_backends"})
_USERINFO = re.compile(r"//[^\s\"']*@")
_ROW = re.compile(r"[^\n]*\n|[^\n]+")
# A comment may be a line that was switched off: `# token = "…"`.
_TELLING = re.compile(r"(?i)((?:token|passw|pwd|secret|key|auth)[^=:\n]*[=:][ \t]*)[^\s][^\r\n]*")
_KEY = re.compile(r"[ \t]*[A-Za-z0-9_.\"'-]+[ \t]*=[ \t]*")


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of text: as it is, to be compared, and as it may be shown."""

    raw: str
    shown: str


def show_difference(before: Sequence[Line] | None, after: Sequence[Line], path: str) -> str:
    """Compare two documents.

    Args:
        before: the old one; None where there was no file.
        after: the new one.
        path: the file's name, for the head of the diff.

    Returns:
        The diff, with every literal secret as ``********`` (also where only the secret differs) and every character
        that is not printable escaped; empty where nothing differs.
    """
    old = before or []
    top = _common(old, after)
    if top == len(old) == len(after):
        return ""
    bottom = _common(old[top:][::-1], after[top:][::-1])
    start, rest = max(0, top - _CONTEXT), max(0, bottom - _CONTEXT)
    # How lines end is worth showing only where it changes.
    ends = "\r\n" if before is None or _newline(old) == _newline(after) else "\n"
    lead, tail = ([*_rows(lines, ends)] for lines in (after[start:top], after[len(after) - bottom : len(after) - rest]))
    one, other = ([*_rows(lines[top : len(lines) - bottom], ends)] for lines in (old, after))
    offset = sum(line.raw.count("\n") for line in after[:start])
    name = _printable(path)
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


def _rows(lines: Sequence[Line], ends: str) -> Iterator[_Row]:
    for line in lines:
        for raw, shown in zip(_ROW.findall(line.raw), _ROW.findall(_masked(line)), strict=True):
            yield _Row(raw, _printable(shown.removesuffix("\n").rstrip(ends)))


def _hunks(one: list[_Row], other: list[_Row], offset: int) -> Iterator[str]:
    # The rows around the change are the same objects on both sides.  They are matched as such, or a removed profile
    # would be mistaken for another one with the same fields.
    shared = {id(row) for row in one} & {id(row) for row in other}
    old, new = ([id(row) if id(row) in shared else row.raw for row in rows] for rows in (one, other))
    matcher: SequenceMatcher[int | str] = SequenceMatcher(None, old, new)
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


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _masked(line: Line) -> str:
    """The text of a line as it may be shown, with as many newlines as it has."""
    raw = line.raw
    if line.kind == "broken":
        key = _KEY.match(raw)
        return _hidden(raw, key.end() if key else 0, len(raw))
    if line.kind == "comment":
        return _comment(raw)
    cuts = [(start, raw.find("\n", start)) for start in scan(raw).comments]
    for start, end in reversed(cuts):
        end = end if end >= 0 else len(raw)
        raw = raw[:start] + _comment(raw[start:end]) + raw[end:]
    if line.kind == "entry":
        raw = _masked_values(line, raw)
    return _USERINFO.sub(f"//{MASK}@", raw)


def _comment(text: str) -> str:
    return _USERINFO.sub(f"//{MASK}@", _TELLING.sub(lambda match: match[1] + MASK, text))


def _masked_values(line: Line, raw: str) -> str:
    for path, span in reversed(exact_spans(raw).items()):
        if raw[span.value] not in "[{" and not _is_shown(line.table + path):
            raw = _hidden(raw, span.value, span.end)
    return raw


def _hidden(raw: str, start: int, end: int) -> str:
    return raw[:start] + re.sub(r"[^\r\n]+", MASK, raw[start:end]) + raw[end:]


def _is_shown(path: KeyPath) -> bool:
    """Whether the value of a field is for everybody; what is unknown may be a misspelled secret."""
    if path[0] != "profiles":
        return path[0] in _ROOT_KEYS
    names = tuple(name for name in path[2:] if isinstance(name, str))
    if not names or "command" in names:
        return False
    try:
        return "secret" not in field(names).kinds
    except ConfigError:
        return False
