"""Changes inside of one entry: a value, or a key of an inline table.

Each function takes the text of one entry and gives it back changed, with every character outside of the change as it
was.  Paths count from the entry's own first key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..errors import EditConflictError
from .layout import exact_spans, key_end
from .positions import PLAIN_LINE, KeyPath, Span, scan
from .render import key_text, value_text

__all__ = ["nested", "rename_key", "set_value", "set_values", "unset_value"]

_COMMA = re.compile(r"\s*,[ \t]*")
_BLANK = re.compile(r"[ \t]*")
_CUTS = 100  # each reads the whole entry

Path = tuple[str, ...]


def nested(keys: Path, value: Any) -> Any:
    """The value within one table for each key."""
    for key in reversed(keys):
        value = {key: value}
    return value


def set_value(raw: str, path: Path, value: Any) -> str:
    """Give a key of an entry another plain value, or add the key.

    The path is the entry's own, or that of a key in its inline table; no scalar stands on the way.
    """
    plain = PLAIN_LINE.fullmatch(raw, len(raw) - len(raw.lstrip(" \t")))
    if plain is not None and plain[1].count(".") + 1 == len(path):  # nearly always
        return _replace(raw, plain.start(2), plain.end(2), value_text(value))
    positions = scan(raw)
    exact = exact_spans(raw, positions)
    if path in exact:
        return _replace(raw, exact[path].value, exact[path].end, value_text(value))
    if path in positions.spans:  # a table that dotted keys imply
        raw = _cut_below(raw, path)
        positions = scan(raw)
        exact = exact_spans(raw, positions)
    around = _longest(path, exact)
    # Where dotted keys have begun a table, TOML allows only dotted keys to go on with it.
    known = _longest(path, positions.spans)
    key = key_text(*path[len(around) : len(known) + 1])
    return _insert(raw, exact, around, f"{key} = {value_text(nested(path[len(known) + 1 :], value))}")


def set_values(raw: str, paths: Sequence[Path], value: Any) -> str:
    """Give several keys of an entry, each of which has a value, another plain one."""
    if len(paths) == 1:
        return set_value(raw, paths[0], value)
    exact, text = exact_spans(raw), value_text(value)
    pieces, at = [], 0
    for span in sorted(exact[path] for path in paths):
        pieces += [raw[at : span.value], text]
        at = span.end
    return "".join([*pieces, raw[at:]])


def unset_value(raw: str, path: Path) -> str:
    """Take a key out of the inline table of an entry; the table itself stays, if need be as ``{}``."""
    exact, parent = exact_spans(raw), path[:-1]
    if path in exact and parent in exact:  # nearly always
        return _cut(raw, exact, path)
    raw = _cut_below(raw, path)
    return raw if parent in scan(raw).spans else set_value(raw, parent, {})


def rename_key(raw: str, path: Path, new: str) -> str:
    """Rename a key in the inline table of an entry; EditConflictError where dotted keys spell it more than once."""
    exact = exact_spans(raw)
    if path not in exact:
        raise EditConflictError(
            f"{path[-1]!r} is spelled with dotted keys inside of an inline table, which cannot be renamed safely",
            hint="write it as a table of its own",
        )
    start = exact[path].key
    return _replace(raw, start, key_end(raw, start), key_text(new))


def _replace(raw: str, start: int, end: int, text: str) -> str:
    return raw[:start] + text + raw[end:]


def _longest(path: Path, spans: dict[KeyPath, Span]) -> Path:
    return next(path[:length] for length in range(len(path) - 1, 0, -1) if path[:length] in spans)


def _insert(raw: str, exact: dict[KeyPath, Span], table: Path, text: str) -> str:
    ends = [span.end for path, span in exact.items() if path[: len(table)] == table and path != table]
    if ends:
        return _replace(raw, max(ends), max(ends), f", {text}")
    return _replace(raw, exact[table].value, exact[table].end, f"{{{text}}}")


def _cut_below(raw: str, path: Path) -> str:
    for _ in range(_CUTS):
        exact = exact_spans(raw)
        found = [other for other in exact if other[: len(path)] == path]
        if not found:
            return raw
        raw = _cut(raw, exact, min(found, key=len))
    raise EditConflictError(
        f"{path[-1]!r} is spelled with too many dotted keys inside of an inline table",
        hint="write it as a table of its own",
    )


def _cut(raw: str, exact: dict[KeyPath, Span], path: KeyPath) -> str:
    span = exact[path]
    table = next(path[:length] for length in range(len(path) - 1, 0, -1) if path[:length] in exact)
    before = [s.end for p, s in exact.items() if p[: len(table)] == table and s.end <= span.key]
    if before:
        return _replace(raw, max(before), span.end, "")
    start = exact[table].value + 1
    if (comma := _COMMA.match(raw, span.end)) is not None:
        blank = _BLANK.match(raw, start)
        return _replace(raw, blank.end() if blank else start, comma.end(), "")
    return _replace(raw, start, exact[table].end - 1, "")
