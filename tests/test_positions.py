"""Places in a TOML text: every value that the parser finds has a span that holds that value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from milvus_profiles.tomltext.lines import exact_spans
from milvus_profiles.tomltext.parser import TOMLDecodeError, loads
from milvus_profiles.tomltext.positions import KeyPath, Positions, Within, scan

# --- texts ---------------------------------------------------------------------------------------------------------

_BARE = st.text("abcXYZ019_-", min_size=1, max_size=6)
_LETTERS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
_BASIC = _LETTERS.map(partial(json.dumps, ensure_ascii=False))
_KEYS = st.one_of(
    _BARE,
    _BASIC,
    st.text('abc #=.[]{}"', max_size=6).map(lambda s: f"'{s}'"),
    st.sampled_from(['"a.b"', '"a\\u0062c"', '"\\t"', '""', "''", '"#"', '"="', "'a]b'", '"x\\"y"', "1", "true", "-"]),
)
_DOTTED = st.builds(str.join, st.sampled_from([".", " . ", ".\t"]), st.lists(_KEYS, min_size=1, max_size=3))

_SCALARS = st.one_of(
    st.integers(-(10**18), 10**18).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda f: repr(f) if "." in repr(f) else "1.5"),
    st.sampled_from(
        [
            "true", "false", "inf", "-inf", "+1_000", "0xff", "0o7", "0b1", "1e3", "-0.0",
            "1979-05-27T07:32:00Z", "1979-05-27 07:32:00", "1979-05-27 07:32:00.5-07:00", "1979-05-27", "07:32:00",
        ]
    ),
    _BASIC,
    st.text("ab #=,.[]{}\"\\", max_size=8).map(lambda s: f"'{s}'"),
    st.sampled_from(
        [
            '""', "''", '""""""', "''''''", '"""a"""', '"""\na\n"""', '"""a""b"""', '"""a\\"""b"""', '""""a""""',
            '"""""a"""""', '"""a # b = c\n[x]\n"""', '"""a\\\n   b"""', "'''\n\\'''", "''''a'''''", "'''a\n#''b\n'''",
            '"\\\\"', '"\\""', "'\\'", '"a # b"', '"[x]"', '"é例\U0001f600"', '"""\\\\"""',
        ]
    ),
)  # fmt: skip
_GAPS = st.sampled_from(["", " ", "\t", "  "])
_LINES = st.sampled_from(["", " ", "\n", "\n\n", " # note\n", '\n# [x] = "\n\t'])


def _array(values: list[str], gaps: list[str], comma: bool) -> str:
    text = "[" + gaps[0]
    for index, value in enumerate(values):
        last = index == len(values) - 1
        text += value + gaps[index + 1] + ("" if last and not comma else ",") + gaps[index + 2]
    return text + "]"


def _inline(pairs: list[tuple[str, str]], gap: str) -> str:
    return "{" + gap + f"{gap},{gap}".join(f"{key}{gap}={gap}{value}" for key, value in pairs) + gap + "}"


_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.builds(_array, st.lists(inner, max_size=4), st.lists(_LINES, min_size=6, max_size=6), st.booleans()),
        st.builds(_inline, st.lists(st.tuples(_DOTTED, inner), max_size=3), _GAPS),
    ),
    max_leaves=6,
)


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Texts, most of them valid, with everything that moves a place: what the parser refuses is passed over."""
    lines: list[str] = []
    for _ in range(draw(st.integers(0, 8))):
        match draw(st.sampled_from(["entry"] * 5 + ["table", "array", "comment", "blank"])):
            case "entry":
                lines.append(
                    f"{draw(_GAPS)}{draw(_DOTTED)}{draw(_GAPS)}={draw(_GAPS)}{draw(_VALUES)}"
                    f"{draw(st.sampled_from(['', ' ', '# c', ' # x = 1']))}"
                )
            case "table":
                lines.append(f"{draw(_GAPS)}[{draw(_GAPS)}{draw(_DOTTED)}{draw(_GAPS)}]{draw(_GAPS)}")
            case "array":
                lines.append(f"[[{draw(_GAPS)}{draw(_DOTTED)}{draw(_GAPS)}]] # c")
            case "comment":
                lines.append(draw(st.sampled_from(["#", "# a = 1", '# """', "#[x]"])))
            case _:
                lines.append(draw(_GAPS))
        # What is refused is dropped line by line, so that long texts are valid too.
        try:
            loads("\n".join(lines))
        except TOMLDecodeError:
            lines.pop()
    text = "\n".join(lines) + draw(st.sampled_from(["", "\n"]))
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text


def entries(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """What the parser found below a value, tables and arrays and what is in them."""
    inside: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, (dict, list)):
        inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in inside:
        yield (*path, key), inner
        yield from entries(inner, (*path, key))


def stands_in_one_piece(value: Any) -> bool:
    """Whether that is so in every spelling: a scalar, or an array of scalars."""
    return not any(isinstance(one, (dict, list)) for one in (value if isinstance(value, list) else [value]))


# --- properties ----------------------------------------------------------------------------------------------------


@given(documents())
@example('a = """x"""')
@example("a = 1979-05-27 07:32:00 # c\nb = [1979-05-27 07:32:00, 1979-05-27]\n")
@example("[[a]]\n[[a]]\nb.c = 1\n[[a.d]]\n[a.d.e]\nf = {g = [1, {h = 2}]}\n")
@example("[0]\n0 = 0\n00.0 = {0 = 0}\n")
@example("a.b.c = 1\na.b.d = 2\r\n[x]\r\ny = '''\r\n'''\r\n")
def test_every_entry_has_a_span_that_holds_it_and_nothing_else_has_one(text: str) -> None:
    found, spans = dict(entries(loads(text))), scan(text).spans
    for path, value in found.items():
        span = spans[path]
        if isinstance(path[-1], str):
            assert text[span.key] in "\"'" or text.startswith(path[-1], span.key)
        assert 0 <= span.key < len(text)
        assert span.value < span.end <= len(text)
        if stands_in_one_piece(value):
            assert repr(loads(f"x = {text[span.value : span.end]}")["x"]) == repr(value)
    assert spans.keys() <= found.keys()


@given(documents())
def test_comments_are_what_can_be_taken_out(text: str) -> None:
    positions = scan(text)
    assert positions.comments == sorted(positions.comments)
    bare = text
    for offset in reversed(positions.comments):
        assert text[offset] == "#"
        end = text.find("\n", offset)
        bare = bare[:offset] + (bare[end:] if end >= 0 else "")
    if "\r" not in text:
        assert repr(loads(bare)) == repr(loads(text))
        assert scan(bare).comments == []


@given(documents(), st.data())
def test_line_and_column_lead_back_to_the_offset(text: str, data: st.DataObject) -> None:
    positions = scan(text)
    offset = data.draw(st.integers(0, len(text)))
    line, column = positions.line_column(offset)
    assert line == text.count("\n", 0, offset) + 1
    start, end = positions.line_bounds(line)
    assert start + column - 1 == offset
    assert text[start:end] == text.split("\n")[line - 1].removesuffix("\r")


@given(documents(), st.integers(0, 300), st.text("=.\"'[]{}#\n ,\\a1", max_size=2), st.integers(0, 2))
def test_whatever_the_parser_takes_the_scanner_takes(text: str, at: int, inserted: str, removed: int) -> None:
    changed = text[:at] + inserted + text[at + removed :]
    try:
        data = loads(changed)
    except TOMLDecodeError:
        return
    assert {path for path, _ in entries(data)} <= scan(changed).spans.keys()


@given(documents(), st.sampled_from(["tables", "nothing"]))
def test_what_is_not_looked_into_ends_where_it_ends(text: str, within: Within) -> None:
    whole, outer = scan(text).spans, scan(text, within).spans
    assert outer == {path: whole[path] for path in outer}
    held = {path[:length] for path in whole for length in range(1, len(path) + 1) if path[:length] in outer}
    assert all(any(path[:length] in held for length in range(1, len(path) + 1)) for path in whole)


@given(documents())
def test_entries_and_headers_come_in_their_order(text: str) -> None:
    outermost, end = [], 0
    for path, span in sorted(exact_spans(text).items(), key=lambda item: item[1].value):
        if span.value >= end:
            end = span.end
            outermost.append((path, span))
    assert [*scan(text, "nothing").statements] == outermost


# --- places --------------------------------------------------------------------------------------------------------


def places(text: str, *path: str | int) -> tuple[tuple[int, int], tuple[int, int]]:
    positions = scan(text)
    span = positions.spans[path]
    return positions.line_column(span.key), positions.line_column(span.value)


def test_places_of_keys_and_values() -> None:
    text = (
        '# c\n[profiles.prod]\n  uri  = "x"\nssl = { ca = "c", key = "k" }\na.b = [1,\n  2]\n[[t]]\nx=1\n[[t]]\nx=2\n'
    )
    assert places(text, "profiles", "prod") == ((2, 11), (2, 1))
    assert places(text, "profiles") == ((2, 2), (2, 1))
    assert places(text, "profiles", "prod", "uri") == ((3, 3), (3, 10))
    assert places(text, "profiles", "prod", "ssl") == ((4, 1), (4, 7))
    assert places(text, "profiles", "prod", "ssl", "key") == ((4, 19), (4, 25))
    assert places(text, "profiles", "prod", "a") == ((5, 1), (5, 7))
    assert places(text, "profiles", "prod", "a", "b") == ((5, 3), (5, 7))
    assert places(text, "profiles", "prod", "a", "b", 1) == ((6, 3), (6, 3))
    assert places(text, "t", 1, "x") == ((10, 1), (10, 3))
    assert places(text, "t", 1) == ((9, 3), (9, 1))


def test_the_nearest_entry_is_found_for_what_has_no_place() -> None:
    positions = scan("[profiles.prod]\nuri = 'x'\n")
    assert positions.find(("profiles", "prod", "token", "env")) == positions.spans["profiles", "prod"]
    assert positions.find(("profiles", "dev")) == positions.spans[("profiles",)]
    assert positions.find(("other",)) is None
    assert positions.find(()) is None


def test_columns_count_characters_and_carriage_returns_belong_to_no_line() -> None:
    positions = scan("\ta = '例é'\r\nb = 2\r\n")
    assert positions.line_column(positions.spans[("a",)].value) == (1, 6)
    assert positions.line_bounds(1) == (0, 9)
    assert positions.line_column(positions.spans[("b",)].key) == (2, 1)
    assert positions.line_bounds(3) == (18, 18)


def test_the_places_of_a_text_do_not_show_it() -> None:
    positions = scan("token = 's3cr3t'\n")
    assert repr(positions) == "<Positions of 1 entries>"
    assert isinstance(positions, Positions)


def test_text_that_is_not_toml_is_refused_not_guessed() -> None:
    with pytest.raises(ValueError, match="tomli"):
        scan("= 1")


def test_large_texts_are_scanned_to_their_end() -> None:
    text = (
        "".join(f'[profiles.p-{n}]\nuri = "http://h{n}"\n' for n in range(20_000))
        + 'a = """' + "x\n" * 200_000 + '"""\nb = "' + "\\n" * 200_000 + "\"\nc = '''" + "''x" * 100_000 + "'''\n"
        + "#\n" * 200_000 + "d = [" + "1," * 20_000 + "]\n" + " " * 200_000 + "e = 1\n"
    )  # fmt: skip
    positions = scan(text)
    last = "p-19999"
    span = positions.spans["profiles", last, "e"]
    assert positions.line_column(span.key) == (text.count("\n"), 200_001)
    assert len(positions.spans) == 1 + 2 * 20_000 + 5 + 1_001
    rest = positions.spans["profiles", last, "d", 1_000]  # the elements after a thousand share a place
    assert rest.end - rest.value == len("1," * 19_000) - 1
