"""The line that an error points to, as it may be shown: cut to a terminal's width, and with a mask for each secret.

What that is says :mod:`disclosure`.  In text that is not TOML nobody knows where a secret ends, so there only a line
that looks like a known field is shown at all.  What a file holds is never trusted to be printable.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping

from ..errors import ConfigError, Location
from ..masked import MASK, without_pairs
from ..names import is_alias
from ..tomltext.parser import TOMLDecodeError, loads
from ..tomltext.positions import KeyPath, Positions, Span, scan
from .disclosure import broken_name, looks_secret, shown_raw
from .fields import SECRET_FIELDS

_WIDTH = 160
_Range = tuple[int, int]


def locate(path: str, text: str, positions: Positions, offset: int) -> Location:
    """The place of an offset in a valid document, with its line."""
    line, column = positions.line_column(offset)
    start, end = positions.line_bounds(line)
    comment = bisect_left(positions.comments, start)
    if comment < len(positions.comments):
        end = min(end, positions.comments[comment])
    if positions.hidden is None:
        # Of the whole text at once: a line may be all of it, and hold an error for each of its entries.
        positions.hidden = _merged(_hidden(text, positions.spans))
    return _location(path, line, column, text, (start, end), positions.hidden)


_MANY_DIGITS = 4000
_PLACE = r"\(at (?:line (\d+), column (\d+)|end of document)\)"
# What tomli quotes in its messages is text of the file; one character between quotes is not.
_QUOTED = r"""['"(].*['")]"""
_UNQUOTED_VALUE = r"""[^=]*=[ \t]*[^"'\[{0-9+tf#\s-]"""


def syntax_error(error: ValueError | RecursionError, path: str, text: str) -> ConfigError:
    """Why a text is no TOML, and where."""
    reason = "the file is not valid TOML: "
    if isinstance(error, RecursionError):
        return ConfigError(f"{reason}the values are nested too deeply", location=Location(path))
    if not isinstance(error, TOMLDecodeError):
        # int() has a limit of its own, which tomli passes on as it is.
        long = next((n for n in re.finditer("[0-9_]+", text) if len(n[0]) >= _MANY_DIGITS), None)
        line = None if long is None else text.count("\n", 0, long.start()) + 1
        return ConfigError(f"{reason}a number has too many digits", location=Location(path, line))
    message = str(error)
    place = re.search(_PLACE, message)
    told = message[: place.start()] if place else message
    told = re.sub(_QUOTED, lambda match: match[0] if len(match[0]) <= 3 else "…", told, flags=re.DOTALL)
    reason += f"{told[:1].lower()}{told[1:]}".strip()
    if place is None:
        return ConfigError(reason, location=Location(path))
    if place[1]:
        line, column = int(place[1]), int(place[2])
    else:
        line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
    content = text.split("\n", line)[line - 1]
    hint = None
    again = message.startswith("Cannot declare")
    if (again or message.startswith("Cannot overwrite")) and (first := _first_place(text, line)) is not None:
        name, where = first
        what = f"cannot declare [{name}] twice: it" if again else f"cannot overwrite a value: {name}"
        reason = f"the file is not valid TOML: {what} stands in line {where} already"
        hint = "keep one of them"
    elif re.match(_UNQUOTED_VALUE, content):
        hint = "a text value stands in quotes"
    elif "\\" in content:
        hint = "a backslash in a text is written \\\\, or the text in single quotes"
    return ConfigError(reason, hint=hint, location=_locate_broken(path, text, line, column))


def _locate_broken(path: str, text: str, line: int, column: int) -> Location:
    """The place of a syntax error, line and column counted from 1, with its line if that can be shown."""
    # A text of several lines may be a secret, and with one quote too few it ends anywhere.
    if '"""' not in text and "'''" not in text:
        content = text.split("\n", line)[line - 1].rstrip("\r")
        if (hidden := _hidden_of_broken(content)) is not None:
            return _location(path, line, column, content, (0, hidden[1]), _merged([hidden]))
    return Location(path, line, column)


def _first_place(text: str, line: int) -> tuple[str, int] | None:
    """What a line of a text, counted from 1, declares a second time, and the line where it stands first.

    None where that cannot be told: a value of several lines, or something wrong above.
    """
    lines = text.split("\n")
    before, again = "\n".join([*lines[: line - 1], ""]), lines[line - 1]
    try:
        loads(before)
        loads(again)
    except (ValueError, RecursionError):
        return None
    # A key of our own at the end of what is above shows the table that is open there.
    positions, own = scan(f"{before}'{_PROBE}' = 0\n"), scan(again).spans
    around = next(path for path in positions.spans if path[-1] == _PROBE)[:-1]
    statement = min((span.value for span in own.values()), default=0)
    path = max((path for path, span in own.items() if span.value == statement), key=len, default=())
    path = path[:-1] if path and isinstance(path[-1], int) else path
    path = path if again.lstrip().startswith("[") else around + path
    while path and path not in positions.spans:
        path = path[:-1]
    if not path:
        return None
    # A name that is none of ours, and none of a profile, may be anything that was meant for elsewhere.
    shown = (part if is_alias(part) else "…" for part in path if isinstance(part, str))
    return ".".join(shown), positions.line_column(positions.spans[path].key)[0]


_PROBE = "?"


def _location(path: str, line: int, column: int, text: str, bounds: _Range, hidden: list[_Range]) -> Location:
    """A line with a mask for each hidden range, cut to what a terminal can show, with the caret kept in its place.

    Only what will be shown is looked at: a line may be as long as the file.  ``bounds`` are those of the line in the
    text, ``hidden`` ranges of the text, ascending and apart.
    """
    start, end = bounds
    at = min(start + column - 1, end)
    index = bisect_right(hidden, (at, len(text)))
    if index and at < hidden[index - 1][1]:
        index -= 1
        at = max(start, hidden[index][0])  # the caret points to the mask
    left, more_left = _before(text, start, at, hidden[:index] if index < 32 else hidden[index - 32 : index])
    right, more_right = _behind(text, at, end, hidden[index : index + 32])
    shown = left + right if more_right else (left + right).rstrip()
    mark = len(left) if right else len(shown)
    if more_left or more_right or len(shown) > _WIDTH:
        cut = max(0, min(mark - _WIDTH // 2, len(shown) - _WIDTH))
        before, after = "…" if cut or more_left else "", "…" if more_right or cut + _WIDTH < len(shown) else ""
        shown = f"{before}{shown[cut : cut + _WIDTH]}{after}"
        mark += len(before) - cut
    if without_pairs(shown) != shown:
        return Location(path, line, column)  # a key, or what else nobody foresaw
    return Location(path, line, column, "".join(c if c.isprintable() or c == "\t" else "?" for c in shown), mark)


def _behind(text: str, at: int, end: int, hidden: list[_Range]) -> tuple[str, bool]:
    """What is shown of a line from an offset on, as much as there is room for; and whether there is more."""
    shown = ""
    for first, last in [*hidden, (end, end)]:
        shown += text[at : min(first, end, at + _WIDTH + 1)]
        if len(shown) > _WIDTH or first >= end:
            break
        shown += MASK
        at = last
    return shown[:_WIDTH], len(shown) > _WIDTH


def _before(text: str, start: int, at: int, hidden: list[_Range]) -> tuple[str, bool]:
    shown = ""
    for first, last in [*reversed(hidden), (start, start)]:
        shown = text[max(last, start, at - _WIDTH - 1) : at] + shown
        if len(shown) > _WIDTH or last <= start:
            break
        shown = MASK + shown
        at = max(first, start)
    return shown[-_WIDTH:], len(shown) > _WIDTH


def _merged(ranges: Iterable[_Range]) -> list[_Range]:
    merged: list[_Range] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        elif first < last:
            merged.append((first, last))
    return merged


def _hidden(text: str, spans: Mapping[KeyPath, Span]) -> Iterator[_Range]:
    """The ranges of a valid text that must not be shown."""
    tables = {path[:-1] for path in spans}
    for path, span in spans.items():
        if span.value < span.key:
            continue  # a header, whose bracket stands before its name
        if isinstance(path[-1], int) and not text.startswith(('"""', "'''"), span.value):
            continue  # judged with the array that it is in
        if text.startswith("{", span.value) or (path in tables and not text.startswith("[", span.value)):
            continue  # a table: what is in it is judged by itself
        raw = text[span.value : span.end]
        # The elements of an array may have no places of their own, and the lines of a text in it may be anything.
        if shown_raw(path, raw) != raw or (raw[0] == "[" and ('"""' in raw or "'''" in raw)):
            yield span.value, span.end


_HEADER = re.compile(
    r"""[ \t]*\[{1,2}[ \t]*profiles(?:[ \t]*\.[ \t]*(?:[A-Za-z0-9_-]+|(["'])[A-Za-z0-9_.-]*\1?))*[ \t]*\]{0,2}"""
)
# A text that is cut off, or one word: what follows may be a comment that lost its mark.
_VALUE = re.compile(r""""[^"={}\[\],#]*"?|'[^'={}\[\],#]*'?|[^"'={}\[\],#\s]*""")


def _hidden_of_broken(line: str) -> _Range | None:
    """What to hide of a line with a syntax error, up to where it may be shown; None if nothing of it may be."""
    if header := _HEADER.match(line):
        return _rest(line, header.end())
    if (name := broken_name(line)) is None:
        return None
    path, at = name
    value = line[at:]
    match = _VALUE.match(value)
    if not path or path[0] in SECRET_FIELDS or looks_secret(path, match[0].strip(" \t\"'") if match else ""):
        return at, len(line)
    return _rest(line, at + (match.end() if match else 0))


def _rest(line: str, at: int) -> _Range:
    """Hide what stands behind the part that is understood; a comment is not shown at all."""
    rest = line[at:].lstrip()
    return (at, at) if not rest or rest.startswith("#") else (len(line) - len(rest), len(line))
