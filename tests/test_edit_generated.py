"""Edits of generated documents: what is not edited stays as it was, byte for byte."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pprint import pformat
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st

from milvus_profiles.config.edit import edit_file
from milvus_profiles.errors import MilvusProfilesError
from milvus_profiles.tomltext.parser import loads
from tests.support.edits import add, copy, put, put_root, remove, rename, unset

VALUES = [
    '"plain"', "'li\\teral'", '"ünï\\u00e9 😀 # no comment"', "0xFF", "1_000", "-inf", "1979-05-27 07:32:00Z", "true",
    "[]", '[ 1, "]", [2], ]', '[\n  "a", # in an array: [profiles.no]\n  # }\n  "b"\n]',
    '"""\n[profiles.no]\n# none\n\\""""', "'''\n\"\"\"\n= [profiles.no]'''", "{ }",
    '{ x = 1 , "y z" = [ { q = "}" } ] }', "{a.b = 1, a.c = {}}",
]  # fmt: skip
FIELDS = ["uri", "user", "timeout", "x-1", '"odd key"']


@dataclass(frozen=True)
class Piece:
    """Some lines of a document: whose they are, and their text, with @ for the alias as a key."""

    owner: str | None
    text: str

    def named(self, alias: str | None = None) -> str:
        alias = alias or self.owner or ""
        return self.text.replace("@", f'"{alias}"' if "." in alias else alias)


@dataclass(frozen=True)
class Document:
    pieces: tuple[Piece, ...]
    edited: str
    """The alias of the profile that is edited."""
    newline: str
    ends_with_newline: bool

    def text(self, rename: tuple[str, str] | None = None) -> str:
        named = (p.named(rename[1] if rename and p.owner == rename[0] else None) for p in self.pieces)
        text = self.native("".join(named))
        return text if self.ends_with_newline else text.removesuffix(self.newline)

    def native(self, text: str) -> str:
        return text.replace("\n", self.newline)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    marks = itertools.count()

    def comments(most: int = 2) -> str:
        return "".join(f"# c{next(marks)}. é = [x]\n" for _ in range(draw(st.integers(0, most))))

    def fields(prefix: str = "", least: int = 0) -> str:
        chosen = draw(st.lists(st.sampled_from(FIELDS), unique=True, min_size=least, max_size=3))
        return "".join(
            f"{prefix}{key} = {draw(st.sampled_from(VALUES))}{draw(st.sampled_from(['', f'  # e{next(marks)}.']))}\n"
            for key in chosen
        )

    def inline() -> str:
        flat = [value for value in VALUES if "\n" not in value]
        chosen = draw(st.lists(st.sampled_from(FIELDS), unique=True, max_size=3))
        return "{ " + ", ".join(f"{key} = {draw(st.sampled_from(flat))}" for key in chosen) + " }"

    aliases = draw(st.lists(st.sampled_from(["a", "b", "c", "d.d", "e", "f-f"]), unique=True, min_size=1, max_size=5))
    root: list[Piece] = []
    under: list[Piece] = []
    blocks: list[Piece] = []
    for alias in aliases:
        form = draw(st.sampled_from(["block", "block", "block", "split", "dotted", "inline", "under", "under dotted"]))
        if form == "block":
            blocks.append(Piece(alias, f"{comments()}[profiles.@]\n{fields()}"))
        elif form == "split":
            blocks.append(Piece(alias, f"{comments()}[ profiles . @ . pool ]\n{fields()}"))
            if draw(st.booleans()):
                blocks.append(Piece(alias, f"{comments()}[profiles.@] # h{next(marks)}.\n{fields()}"))
            if draw(st.booleans()):
                blocks.append(Piece(alias, f"{comments()}[profiles.@.pool.deep]\n{fields()}"))
        elif form == "dotted":
            root.append(Piece(alias, comments() + fields("profiles.@.", 1)))
        elif form == "inline":
            root.append(Piece(alias, f"{comments()}profiles.@ = {inline()}\n"))
        elif form == "under":
            under.append(Piece(alias, f"{comments()}@ = {inline()}\n"))
        else:
            under.append(Piece(alias, comments() + fields("@ . ", 1)))
    if under and root:
        # TOML allows no [profiles] beside profiles.x = …
        root, under = [], [*(Piece(p.owner, p.text.replace("profiles.@", "@")) for p in root), *under]
    blocks = draw(st.permutations(blocks))
    if under:
        group = Piece(None, f"{comments()}[profiles]\n"), *under
        blocks[draw(st.integers(0, len(blocks))) :] = [*group, Piece(None, "\n"), *blocks]
        blocks = list({id(p): p for p in blocks}.values())  # each once
    pieces = [Piece(None, draw(st.sampled_from(["", f"# head c{next(marks)}.\n\n", "max_connections = 5\n"])))]
    if draw(st.booleans()):
        pieces.append(Piece(None, f'keyring_backends = [ "x" ] # e{next(marks)}.\n'))
    pieces += root
    for piece in blocks:
        if pieces[-1].text and draw(st.booleans()):
            pieces.append(Piece(None, "\n"))
        if draw(st.integers(0, 5)) == 0:
            pieces.append(Piece(None, f"\n# free c{next(marks)}.\n\n"))
        pieces.append(piece)
    return Document(
        tuple(pieces), draw(st.sampled_from(aliases)), draw(st.sampled_from(["\n", "\r\n"])), draw(st.booleans())
    )


def apply(scratch: Path, document: Document, change: Any) -> str | None:
    """The new text; None where the edit was refused, and then the file is as it was."""
    path = scratch / "milvus.toml"
    path.write_bytes(document.text().encode())
    try:
        result = edit_file(path, change)
    except MilvusProfilesError as error:
        assert path.read_bytes() == document.text().encode()
        event(f"refused: {error.message}")
        return None
    assert path.read_bytes() == result.after
    assert result.changed == bool(result.diff)
    return path.read_bytes().decode()


def assert_kept(document: Document, text: str, of: Callable[[Piece], bool]) -> None:
    """The chosen pieces stand in the text in their order, byte for byte."""
    at = 0
    for piece in document.pieces:
        if of(piece) and piece.text.strip():
            own = document.native(piece.named().strip("\n"))
            found = text.find(own, at)
            assert found >= 0, f"{own!r} is not in {text[at:]!r}"
            at = found + len(own)


def marks(text: str) -> list[str]:
    """The marks of all comments."""
    return [word for word in text.split() if word[0] in "ceh" and word[1:-1].isdigit() and word[-1] == "."]


def applied(scratch: Path, document: Document, change: Any, expected: dict[str, Any]) -> str:
    """The new text, which says what is expected, and all that is not of the edited profile as it was."""
    text = apply(scratch, document, change)
    assert text is not None
    assert pformat({"profiles": {}, **loads(text)}) == pformat(expected)
    assert_kept(document, text, lambda piece: piece.owner != document.edited)
    return text


@given(documents())
def test_removing(scratch: Path, document: Document) -> None:
    expected = loads(document.text())
    del expected["profiles"][document.edited]
    text = applied(scratch, document, remove(document.edited), expected)
    gone = marks("".join(p.text for p in document.pieces if p.owner == document.edited))
    assert not set(gone) & set(marks(text))


@given(documents(), st.sampled_from(["z", "z.z"]))
def test_renaming(scratch: Path, document: Document, new: str) -> None:
    names = document.edited, new
    assert apply(scratch, document, rename(*names)) == document.text(rename=names)


@given(documents(), st.booleans())
def test_adding(scratch: Path, document: Document, empty: bool) -> None:
    text = apply(scratch, document, add("new", {} if empty else {"uri": "é", "token": {"keyring": True}}))
    assert text is not None
    assert text.startswith(document.text())
    block = "[profiles.new]" if empty else '[profiles.new]\nuri = "é"\ntoken = {keyring = true}'
    assert text.removeprefix(document.text()).strip() == document.native(block)


@given(documents())
def test_copying(scratch: Path, document: Document) -> None:
    text = apply(scratch, document, copy(document.edited, "new"))
    assert text is not None
    profiles = loads(text)["profiles"]
    assert pformat(profiles["new"]) == pformat(profiles[document.edited])
    assert text.startswith(document.text())


@given(
    documents(),
    st.sampled_from(["uri", "user", "odd key", "pool", "new"]),
    st.sampled_from(["é", 1, True, {"keyring": True}, [1, {"a": 2}]]),
)
def test_setting_a_field(scratch: Path, document: Document, field: str, value: Any) -> None:
    expected = loads(document.text())
    expected["profiles"][document.edited][field] = value
    applied(scratch, document, put(document.edited, (field,), value), expected)


@given(documents(), st.sampled_from(["uri", "pool", "new"]))
def test_setting_a_key_of_a_table(scratch: Path, document: Document, field: str) -> None:
    change = put(document.edited, (field, "key"), "v")
    expected = loads(document.text())
    table = expected["profiles"][document.edited].setdefault(field, {})
    if not isinstance(table, dict):
        assert apply(scratch, document, change) is None
        return
    table["key"] = "v"
    text = applied(scratch, document, change, expected)
    assert set(marks(document.text())) <= set(marks(text))


@given(documents(), st.data())
def test_unsetting_a_field(scratch: Path, document: Document, choice: st.DataObject) -> None:
    expected = loads(document.text())
    fields = expected["profiles"][document.edited]
    field = choice.draw(st.sampled_from(list(fields) or ["none"]))
    fields.pop(field, None)
    applied(scratch, document, unset(document.edited, (field,)), expected)


@given(documents())
def test_setting_the_default(scratch: Path, document: Document) -> None:
    text = apply(scratch, document, put_root("default_profile", "é"))
    assert text is not None
    assert loads(text)["default_profile"] == "é"
    assert_kept(document, text, lambda piece: True)
    assert marks(text) == marks(document.text())


@given(documents())
def test_replacing(scratch: Path, document: Document) -> None:
    fields = {"uri": "http://é", "timeout": 3, "ssl": {"ca": "x"}}
    expected = loads(document.text())
    expected["profiles"][document.edited] = fields
    applied(scratch, document, add(document.edited, fields, replace=True), expected)
