"""Every way in which TOML can spell a table, and what an edit makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from milvus_profiles.config.edit import Change, edit_file
from milvus_profiles.errors import ConfigError, EditConflictError
from tests.support.edits import add, copy, in_turn, put, put_root, remove, rename, unset


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "milvus.toml"


def edited(path: Path, text: str, *changes: Change) -> str:
    path.write_bytes(text.encode())
    edit_file(path, in_turn(*changes))
    return path.read_bytes().decode()


DOTTED = 'profiles.dev.uri = "x"\nprofiles.dev.user = "r"\nprofiles.stage.uri = "y"\n'
INLINE = '[profiles]\ndev = { uri = "x", user = "r" }  # dev\nstage = {uri="y"}\n'
ONE_LINE = 'profiles = { dev = { uri = "x", user = "r" }, stage = { uri = "y" } }\n'
NESTED_DOTS = '[profiles]\ndev.uri = "x"\ndev.ssl.ca = "c"\nstage.uri = "y"\n'
SCATTERED = (
    '[profiles.dev.pool]\nmax_uses = 1\n\n[profiles.stage]\nuri = "y"\n\n[profiles.dev]\nuri = "x"\nuser = "r"\n'
)
SUB_TABLE_ONLY = "# pool\n[profiles.dev.pool]\nmax_uses = 1\n"


FORMS: dict[str, tuple[Change, list[tuple[str, str]]]] = {
    "adding beside": (
        add("new", {"uri": "z"}),
        [
            (DOTTED, DOTTED + '\n[profiles.new]\nuri = "z"\n'),
            (INLINE, INLINE + '\n[profiles.new]\nuri = "z"\n'),
            (ONE_LINE, ONE_LINE.replace(" } }", ' }, new = {uri = "z"} }')),
            (NESTED_DOTS, NESTED_DOTS + '\n[profiles.new]\nuri = "z"\n'),
            (SCATTERED, SCATTERED + '\n[profiles.new]\nuri = "z"\n'),
            ("profiles = {}\n", 'profiles = {new = {uri = "z"}}\n'),
            ("[profiles]\n", '[profiles]\n\n[profiles.new]\nuri = "z"\n'),
            ('default_profile = "x"', 'default_profile = "x"\n\n[profiles.new]\nuri = "z"\n'),
            ("\n\n", '\n\n[profiles.new]\nuri = "z"\n'),
        ],
    ),
    "a new field": (
        put("dev", ("timeout",), 5),
        [
            (DOTTED, DOTTED.replace('"r"\n', '"r"\nprofiles.dev.timeout = 5\n')),
            (INLINE, INLINE.replace('"r" }', '"r", timeout = 5 }')),
            (ONE_LINE, ONE_LINE.replace('"r" }', '"r", timeout = 5 }')),
            (NESTED_DOTS, NESTED_DOTS.replace('"c"\n', '"c"\ndev.timeout = 5\n')),
            (SCATTERED, SCATTERED + "timeout = 5\n"),
            (SUB_TABLE_ONLY, "[profiles.dev]\ntimeout = 5\n\n" + SUB_TABLE_ONLY),
            ("profiles.dev = {}  # x\n", "profiles.dev = {timeout = 5}  # x\n"),
            ("[profiles.dev]", "[profiles.dev]\ntimeout = 5\n"),
            ("\t[profiles.dev]\n\turi = 'x'\n", "\t[profiles.dev]\n\turi = 'x'\n\ttimeout = 5\n"),
            ("[ profiles . 'dev' ]\n", "[ profiles . 'dev' ]\ntimeout = 5\n"),
        ],
    ),
    "a key of a table": (
        put("dev", ("ssl", "ca"), "q"),
        [
            ("[profiles.dev]\n", "[profiles.dev]\nssl = {ca = 'q'}\n"),
            ("[profiles.dev]\nssl = { cert = 'c' } # s\n", "[profiles.dev]\nssl = { cert = 'c', ca = 'q' } # s\n"),
            ("[profiles.dev]\nssl = { ca = 'c' , }\n".replace(" , }", " }"), "[profiles.dev]\nssl = { ca = 'q' }\n"),
            (
                "[profiles.dev]\nssl.cert = 'c'\nuser = 'u'\n",
                "[profiles.dev]\nssl.cert = 'c'\nssl.ca = 'q'\nuser = 'u'\n",
            ),
            ("[profiles.dev]\n  ssl . 'cert' = 'c'\n", "[profiles.dev]\n  ssl . 'cert' = 'c'\n  ssl.ca = 'q'\n"),
            ("[profiles.dev.ssl]\n\n# after\n", "[profiles.dev.ssl]\nca = 'q'\n\n# after\n"),
            ("profiles.dev = {ssl.cert = 'c'}\n", "profiles.dev = {ssl.cert = 'c', ssl.ca = 'q'}\n"),
            ("profiles.dev = {ssl.ca = 'c'}\n", "profiles.dev = {ssl.ca = 'q'}\n"),
            ("profiles.dev = {}\n", "profiles.dev = {ssl = {ca = 'q'}}\n"),
            ("profiles = {dev.ssl.cert = 'c'}\n", "profiles = {dev.ssl.cert = 'c', dev.ssl.ca = 'q'}\n"),
            ("profiles.dev.uri = 'x'\n", "profiles.dev.uri = 'x'\nprofiles.dev.ssl = {ca = 'q'}\n"),
        ],
    ),
    "a scalar in the place of a table": (
        put("dev", ("ssl",), True),
        [
            ("[profiles.dev]\nssl = { ca = 'c' }  # s\n", "[profiles.dev]\nssl = true  # s\n"),
            ("[profiles.dev]\nssl.ca = 'c'\nssl.key = 'k'\nuri = 'x'\n", "[profiles.dev]\nuri = 'x'\nssl = true\n"),
            ("[profiles.dev]\nuri = 'x'\n\n[profiles.dev.ssl]\nca = 'c'\n", "[profiles.dev]\nuri = 'x'\nssl = true\n"),
            ("profiles.dev = {ssl.ca = 'c', ssl.key = 'k', uri = 'x'}\n", "profiles.dev = {uri = 'x', ssl = true}\n"),
            ("[profiles.dev.ssl]\nca = 'c'\n", "[profiles.dev]\nssl = true\n"),
            ("profiles.dev.ssl.ca = 'c'\n", "[profiles.dev]\nssl = true\n"),
            ("[profiles.dev]\nssl = [\n  1, # one\n  2,\n]\n", "[profiles.dev]\nssl = true\n"),
        ],
    ),
    "unsetting a key of a table": (
        unset("dev", ("ssl", "ca")),
        [
            ("[profiles.dev]\nssl = { ca = 'c', key = 'k' }\n", "[profiles.dev]\nssl = { key = 'k' }\n"),
            ("[profiles.dev]\nssl = {key = 'k' , ca = 'c' }\n", "[profiles.dev]\nssl = {key = 'k' }\n"),
            ("[profiles.dev]\nssl = {a = 1, ca = 'c', key = 'k'}\n", "[profiles.dev]\nssl = {a = 1, key = 'k'}\n"),
            ("profiles.dev = {ssl.ca = 'c', ssl.key = 'k'}\n", "profiles.dev = {ssl.key = 'k'}\n"),
            ("[profiles.dev.ssl]\nca = 'c'\nkey = 'k'\n", "[profiles.dev.ssl]\nkey = 'k'\n"),
            # An empty table still turns TLS on: it never disappears with its last key.
            ("[profiles.dev]\nssl = { ca = 'c' }\n", "[profiles.dev]\nssl = {}\n"),
            ("[profiles.dev]\nuser = 'u'\nssl.ca = 'c'  # x\n", "[profiles.dev]\nuser = 'u'\nssl = {}\n"),
            ("[profiles.dev.ssl]\nca = 'c'\n", "[profiles.dev.ssl]\n"),
            ("profiles.dev = {ssl.ca = 'c'}\n", "profiles.dev = {ssl = {}}\n"),
            ("profiles.dev = {uri = 'x', ssl = { ca = {x = 1}}}\n", "profiles.dev = {uri = 'x', ssl = {}}\n"),
            ("profiles.dev.ssl.ca = 'c'\n", "profiles.dev.ssl = {}\n"),
            ("[profiles.dev.ssl.ca]\nx = 1\n\n[profiles.dev.ssl.ca.y]\nz = 2\n", "[profiles.dev.ssl]\n"),
        ],
    ),
    "removing": (
        remove("dev"),
        [
            (DOTTED, 'profiles.stage.uri = "y"\n'),
            (INLINE, '[profiles]\nstage = {uri="y"}\n'),
            (ONE_LINE, 'profiles = { stage = { uri = "y" } }\n'),
            (NESTED_DOTS, '[profiles]\nstage.uri = "y"\n'),
            (SCATTERED, '[profiles.stage]\nuri = "y"\n'),
            ('[[profiles.dev]]\nuri = "x"\n[[profiles.dev]]\n[profiles.b]\n', "[profiles.b]\n"),
            ("profiles.dev = 3\n", ""),
            ("profiles = { dev = 3 }\n", "profiles = {}\n"),
            ("profiles = { dev.a = 3, b.c = 1, dev.d = 2 }\n", "profiles = { b.c = 1 }\n"),
        ],
    ),
    "renaming": (
        rename("dev", "box"),
        [
            (DOTTED, DOTTED.replace("dev", "box")),
            (INLINE, INLINE.replace("dev = ", "box = ")),
            (ONE_LINE, ONE_LINE.replace("dev", "box")),
            (NESTED_DOTS, NESTED_DOTS.replace("dev", "box")),
            (SCATTERED, SCATTERED.replace("dev", "box")),
            ('[profiles . "dev"  ] # x\n', "[profiles . box  ] # x\n"),
            (
                "[[profiles.dev]]\na = 1\n\n[[profiles.dev]]\na = 2\n",
                "[[profiles.box]]\na = 1\n\n[[profiles.box]]\na = 2\n",
            ),
        ],
    ),
    "copying": (
        copy("dev", "box"),
        [
            (DOTTED, DOTTED + '\n[profiles.box]\nuri = "x"\nuser = "r"\n'),
            (INLINE, INLINE + '\n[profiles.box]\nuri = "x"\nuser = "r"\n'),
            (ONE_LINE, ONE_LINE.replace(" } }", ' }, box = {uri = "x", user = "r"} }')),
            (
                SCATTERED,
                SCATTERED + '\n[profiles.box.pool]\nmax_uses = 1\n\n[profiles.box]\nuri = "x"\nuser = "r"\n',
            ),
            ("[profiles.dev]\na = 0x1F  # hex", "[profiles.dev]\na = 0x1F  # hex\n\n[profiles.box]\na = 0x1F  # hex\n"),
        ],
    ),
    "a root key": (
        put_root("default_profile", "a"),
        [
            ("[profiles.a]\n", 'default_profile = "a"\n\n[profiles.a]\n'),
            ("# head\n\n# a\n[profiles.a]\n", '# head\n\ndefault_profile = "a"\n\n# a\n[profiles.a]\n'),
            (
                "max_connections = 5\n# x\n\n[profiles.a]\n",
                'max_connections = 5\ndefault_profile = "a"\n# x\n\n[profiles.a]\n',
            ),
            ("# a\nprofiles.a.uri = 'x'\n", "default_profile = \"a\"\n# a\nprofiles.a.uri = 'x'\n"),
            ("profiles = {a = {}}\n", 'default_profile = "a"\nprofiles = {a = {}}\n'),
            ("# only a comment", '# only a comment\n\ndefault_profile = "a"\n'),
            ("default_profile = 'b' # x\n[profiles.a]\n", 'default_profile = "a" # x\n[profiles.a]\n'),
            ("[profiles.a]\n\n[default_profile]\nx = 1\n", 'default_profile = "a"\n\n[profiles.a]\n'),
        ],
    ),
}


@pytest.mark.parametrize(
    ("what", "text", "expected"), [(what, *row) for what, (_, rows) in FORMS.items() for row in rows]
)
def test_every_form_is_edited_in_its_place(path: Path, what: str, text: str, expected: str) -> None:
    assert edited(path, text, FORMS[what][0]) == expected.replace("'q'", '"q"')


def test_unsetting_a_root_key(path: Path) -> None:
    text = "max_connections = 3\ndefault_profile = 'a' # x\n\n[profiles.a]\n"
    assert edited(path, text, put_root("default_profile", None)) == "max_connections = 3\n\n[profiles.a]\n"
    assert edited(path, "[default_profil]\na = 1\n[profiles.a]\n", put_root("default_profil", None)) == "[profiles.a]\n"


@pytest.mark.parametrize("value", ["'''\n[profiles.no]\n'''", '"""a\n# no comment\n\\"""b"""', "[\n  '[x]', # c\n]"])
def test_what_looks_like_a_header_inside_of_a_value_is_none(path: Path, value: str) -> None:
    text = f"[profiles.a]\ndescription = {value}\n\n[profiles.b]\n"
    assert edited(path, text, remove("b")) == f"[profiles.a]\ndescription = {value}\n"
    assert edited(path, text, remove("a")) == "[profiles.b]\n"


def test_replacing_a_profile_that_is_no_table(path: Path) -> None:
    text = "[profiles]\ndev = 3\nb = {}\n"
    assert (
        edited(path, text, add("dev", {"uri": "x"}, replace=True))
        == '[profiles]\nb = {}\n\n[profiles.dev]\nuri = "x"\n'
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('a\x1b\x7f"\\\n\té', r'"a\u001b\u007f\"\\\n\té"'),
        (1e16, "1e+16"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        (True, "true"),
        (("op", "read"), '["op", "read"]'),
        ([{"a b": {"c": [1, {}]}}], '[{"a b" = {c = [1, {}]}}]'),
        ({}, "{}"),
    ],
)
def test_values(path: Path, value: Any, expected: str) -> None:
    assert edited(path, "[profiles.a]\n", put("a", ("x",), value)) == f"[profiles.a]\nx = {expected}\n"


def test_true_one_and_one_point_zero_are_different_values(path: Path) -> None:
    text = "[profiles.a]\nx = 1\n"
    assert edited(path, text, put("a", ("x",), 1.0)) == "[profiles.a]\nx = 1.0\n"
    assert edited(path, text, put("a", ("x",), True)) == "[profiles.a]\nx = true\n"
    assert edited(path, text, put("a", ("x",), 1)) == text


def test_dotted_keys_inside_of_an_inline_table_are_not_renamed(path: Path) -> None:
    text = 'profiles = { dev.uri = "x", dev.user = "u", b.uri = "y" }\n'
    path.write_text(text)
    with pytest.raises(EditConflictError, match="dotted keys inside of an inline table") as caught:
        edit_file(path, rename("dev", "box"))
    assert caught.value.hint is not None
    assert "profile edit" in caught.value.hint
    assert path.read_text() == text


def test_all_who_extend_a_profile_follow_its_new_name_on_one_line_too(path: Path) -> None:
    heirs = ", ".join(f"p{number} = {{ extends = 'dev' , user = \"dev\" }}" for number in range(900))
    text = f'profiles = {{ dev = {{ uri = "x" }}, {heirs}, q.extends="DEV", r = {{ extends = "p1" }} }}  # dev\n'
    after = edited(path, text, rename("dev", "box"))
    expected = text.replace("extends = 'dev'", 'extends = "box"').replace('"DEV"', '"box"')
    assert after == expected.replace("{ dev = {", "{ box = {")


def test_a_key_of_ssl_turns_true_into_a_table(path: Path) -> None:
    """`ssl = true` and a table say the same of whether there is TLS; only false is another thing."""
    text = '[profiles.dev]\nuri = "x"\nssl = true  # on\n'
    changes = put("dev", ("ssl", "ca"), "/c"), put("dev", ("ssl", "server_name"), "s")
    assert edited(path, text, *changes) == text.replace("true", '{ca = "/c", server_name = "s"}')
    with pytest.raises(ConfigError, match="ssl is not a table"):
        edited(path, text.replace("true", "false"), changes[0])
