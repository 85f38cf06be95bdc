"""A TOML document as a list of its lines, new text for them, and changes inside of one.

A "line" is a whole entry or header (an array may run over many lines of text), a comment, or a blank.  Joined they are
the document again: an edit touches one of them and leaves every other byte alone.  Text that stands in a file already
is cut and moved, never written again; new text is written by tomlkit where it is not plain.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from ..errors import ConfigError, EditConflictError
from ..masked import SecretText
from .positions import PLAIN_LINE, KeyPath, Positions, Span, scan

_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


class Line(NamedTuple):
    """A piece of a document.

    Attributes:
        raw: its text with the newline that ends it; only the last one of a document may lack that.
        kind: of a document that is no valid TOML, every line that is not blank is "broken".
        path: of an entry or a header, its keys from the root (an array of tables counts its elements).
        table: of an entry, the table of the header above it.
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
    match = _KEY.match(raw, start)
    return match.end() if match else start


def newline_of(text: str) -> str:
    """The way in which most of the text's lines end."""
    return "\r\n" if text.count("\r\n") * 2 > text.count("\n") else "\n"


_BARE = re.compile("[A-Za-z0-9_-]+")
_PLAIN = re.compile(r"[ !#-\[\]-~]*")
_DATES = (datetime.datetime, datetime.date, datetime.time)


def plain(value: Any) -> Any:
    """A value as tomli would give it back; ConfigError, which does not repeat it, where TOML has no such value.

    Tuples, mappings and :class:`SecretText`, whose secret is meant to be written, are turned into what it has.
    """
    if isinstance(value, SecretText):
        return plain(value.reveal())
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise ConfigError("the text cannot be written as UTF-8", hint="remove its broken characters") from None
        return str.__str__(value)
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (bool, *_DATES)):
        return value
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise ConfigError("the number is too large for a TOML file", hint="TOML's integers have 64 bits")
        return int(value)
    hint = "a field without a value is unset instead" if value is None else None
    raise ConfigError(f"a TOML file cannot hold a value of the type {type(value).__name__}", hint=hint)


def key_text(*path: str) -> str:
    """A key, or several joined by dots, each quoted where it must be."""
    if all(map(_BARE.fullmatch, path)):  # nearly always
        return ".".join(path)
    import tomlkit

    first, *more = path
    return tomlkit.key(path if more else first).as_string()


def value_text(value: Any) -> str:
    """A plain value on one line; tables become inline tables."""
    if isinstance(value, str) and _PLAIN.fullmatch(value):  # nearly always
        return f'"{value}"'
    return str(_item(value).as_string())


def _item(value: Any) -> Any:
    import tomlkit

    # Left to itself tomlkit writes a dict as a table with a header, and a list of dicts as an array of tables.
    if isinstance(value, dict):
        table = tomlkit.inline_table()
        for key, item in value.items():
            table.append(tomlkit.key(key), _item(item))
        return table
    if isinstance(value, list):
        array = tomlkit.array()
        for item in value:
            array.append(_item(item))
        return array
    return tomlkit.item(value)


def entry_text(key: str, value: Any, newline: str) -> str:
    """One line of a table: the text of the key, quoted where it must be, a plain value, and what ends the line."""
    return f"{key} = {value_text(value)}{newline}"


def header_text(path: tuple[str, ...], newline: str) -> str:
    """The header of a table, such as ``[servers."a.b"]``."""
    return f"[{key_text(*path)}]{newline}"


_COMMA = re.compile(r"\s*,[ \t]*")
_BLANK = re.compile(r"[ \t]*")
_CUTS = 100  # each reads the whole entry

Path = tuple[str, ...]


def nested(keys: Path, value: Any) -> Any:
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
