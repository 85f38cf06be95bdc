"""Every way in which TOML can spell a table, what an edit makes of it, and whose the comments are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from milvus_profiles.config.edit import Change
from milvus_profiles.errors import EditConflictError
from tests.support.edits import add, copy, edited, put, put_root, remove, rename, unset
from tests.support.errors import refused

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
            (ONE_LINE, ONE_LINE.replace(" } }", ' }, new = {uri = "z"} }')),
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
            ("[profiles.dev]\nssl.key = 'k'\na = 1\n", "[profiles.dev]\nssl.key = 'k'\nssl.ca = 'q'\na = 1\n"),
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
            (ONE_LINE, ONE_LINE.replace("dev", "box")),
            ('[profiles . "dev"  ] # x\n', "[profiles . box  ] # x\n"),
            ("[[profiles.dev]]\n[[profiles.dev]]\na = 2\n", "[[profiles.box]]\n[[profiles.box]]\na = 2\n"),
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
    "replacing what is no table": (
        add("dev", {"uri": "x"}, replace=True),
        [("[profiles]\ndev = 3\nb = {}\n", '[profiles]\nb = {}\n\n[profiles.dev]\nuri = "x"\n')],
    ),
    "unsetting a root key": (
        put_root("default_profile", None),
        [
            ("max = 3\ndefault_profile = 'a' # x\n\n[profiles.a]\n", "max = 3\n\n[profiles.a]\n"),
            ("[default_profile]\na = 1\n[profiles.a]\n", "[profiles.a]\n"),
        ],
    ),
    "a root key": (
        put_root("default_profile", "a"),
        [
            ("[profiles.a]\n", 'default_profile = "a"\n\n[profiles.a]\n'),
            ("# head\n\n# a\n[profiles.a]\n", '# head\n\ndefault_profile = "a"\n\n# a\n[profiles.a]\n'),
            ("max = 5\n# x\n\n[profiles.a]\n", 'max = 5\ndefault_profile = "a"\n# x\n\n[profiles.a]\n'),
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
def test_every_form_is_edited_in_its_place(tmp_path: Path, what: str, text: str, expected: str) -> None:
    assert edited(tmp_path, text, FORMS[what][0]) == expected.replace("'q'", '"q"')


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('a\x1b\x7f"\\\n\té', r'"a\u001b\u007f\"\\\n\té"'),
        (1e16, "1e+16"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        # Neither is the 1 that was there.
        (True, "true"),
        (1.0, "1.0"),
        (("op", "read"), '["op", "read"]'),
        ([{"a b": {"c": [1, {}]}}], '[{"a b" = {c = [1, {}]}}]'),
        ({}, "{}"),
    ],
)
def test_values(tmp_path: Path, value: Any, expected: str) -> None:
    assert edited(tmp_path, "[profiles.a]\nx = 1\n", put("a", ("x",), value)) == f"[profiles.a]\nx = {expected}\n"


def test_dotted_keys_inside_of_an_inline_table_are_not_renamed(tmp_path: Path) -> None:
    text = 'profiles = { dev.uri = "x", dev.user = "u", b.uri = "y" }\n'
    with refused("…dotted keys inside of an inline table…", hint="…profile edit…", kind=EditConflictError):
        edited(tmp_path, text, rename("dev", "box"))
    assert (tmp_path / "milvus.toml").read_text() == text


def test_all_who_extend_a_profile_follow_its_new_name_on_one_line_too(tmp_path: Path) -> None:
    heirs = ", ".join(f"p{number} = {{ extends = 'dev' , user = \"dev\" }}" for number in range(900))
    text = f'profiles = {{ dev = {{ uri = "x" }}, {heirs}, q.extends="DEV", r = {{ extends = "p1" }} }}  # dev\n'
    after = edited(tmp_path, text, rename("dev", "box"))
    expected = text.replace("extends = 'dev'", 'extends = "box"').replace('"DEV"', '"box"')
    assert after == expected.replace("{ dev = {", "{ box = {")


def test_a_key_of_ssl_turns_true_into_a_table(tmp_path: Path) -> None:
    """`ssl = true` and a table say the same of whether there is TLS; only false is another thing."""
    text = '[profiles.dev]\nuri = "x"\nssl = true  # on\n'
    changes = put("dev", ("ssl", "ca"), "/c"), put("dev", ("ssl", "server_name"), "s")
    assert edited(tmp_path, text, *changes) == text.replace("true", '{ca = "/c", server_name = "s"}')
    with refused("…ssl is not a table…"):
        edited(tmp_path, text.replace("true", "false"), changes[0])


# --- comments -----------------------------------------------------------------------------------------------------

FILE = """\
# Our servers; ask Ann before you change one.

default_profile = "dev"  # never prod

# the laptop
[profiles.dev]  # local
uri = "http://localhost:19530"  # plaintext is fine here
# user = "root"

# a note that stands alone

# what customers see
# (two replicas)
[profiles.prod]
# behind the load balancer
uri = "https://prod.example:443"

user = "root"
# touches the last field of prod

[profiles.prod.pool]
max_total_per_key = 4
# last of pool
# just above stage
[profiles.stage]
uri = "https://stage.example:443"
# the end of stage
"""


def without(text: str, *pieces: str) -> str:
    for piece in pieces:
        assert text.count(piece) == 1
        text = text.replace(piece, "")
    return text


POOL = '[profiles.a]\nuri = "x"\n\n# pool of a\n[profiles.a.pool]\nmax_uses = 3\n\n# b\n[profiles.b]\nuri = "y"\n'
SEVERAL_FORMS = (
    '# first\nprofiles.a.uri = "x"\n# more of first\nprofiles.a.user = "u"\n# second\nprofiles.b = { uri = "y" }\n'
    '# third\n[profiles.c]\nuri = "z"\n'
)
OTHER = {"uri": "https://other.example:443", "user": "root", "token": {"keyring": True}}


@pytest.mark.parametrize(
    ("text", "changes", "expected"),
    [
        # A profile that is removed takes its comments along, and leaves those of others and those of nobody.
        (FILE, [remove("prod")], FILE[: FILE.index("# what customers see")] + FILE[FILE.index("# last of pool") :]),
        (FILE, [remove("stage")], FILE[: FILE.index("# last of pool")]),
        (
            FILE,
            [remove("prod"), remove("stage"), remove("dev")],
            "# Our servers; ask Ann before you change one.\n\n# a note that stands alone\n",
        ),
        ('[profiles.a]\nuri = "x"\n\n\n# b\n[profiles.b]\nuri = "y"\n', [remove("b")], '[profiles.a]\nuri = "x"\n'),
        ('\n# a\n[profiles.a]\nuri = "x"\n', [remove("a")], ""),
        (SEVERAL_FORMS, [remove("a")], SEVERAL_FORMS[SEVERAL_FORMS.index("# second") :]),
        (SEVERAL_FORMS, [remove("b")], without(SEVERAL_FORMS, '# second\nprofiles.b = { uri = "y" }\n')),
        (SEVERAL_FORMS, [remove("c")], SEVERAL_FORMS[: SEVERAL_FORMS.index("# third")]),
        # A field keeps the comment behind it, and a new one goes after the last of the table itself.
        (
            FILE,
            [put("dev", ("uri",), "http://127.0.0.1:19530")],
            FILE.replace('"http://localhost:19530"  # plain', '"http://127.0.0.1:19530"  # plain'),
        ),
        (
            FILE,
            [put("prod", ("db_name",), "analytics"), put("dev", ("timeout",), 5)],
            FILE.replace('user = "root"\n# touches', 'user = "root"\ndb_name = "analytics"\n# touches').replace(
                "fine here\n", "fine here\ntimeout = 5\n"
            ),
        ),
        # One that is unset takes its line, and leaves the comments above it and one of two blank lines.
        (
            FILE,
            [unset("prod", ("uri",))],
            without(FILE, 'uri = "https://prod.example:443"\n\n').replace("balancer\n", "balancer\n\n"),
        ),
        (
            '[profiles.a]\nuri = "x"\n\nuser = "u"\n\ntimeout = 1\n',
            [unset("a", ("user",))],
            '[profiles.a]\nuri = "x"\n\ntimeout = 1\n',
        ),
        (POOL, [unset("a", ("pool",))], without(POOL, "# pool of a\n[profiles.a.pool]\nmax_uses = 3\n\n")),
        # A copy has the comments inside; one that takes another's place keeps those, and the fields that stay.
        (
            FILE,
            [copy("prod", "prod.us")],
            FILE + '\n[profiles."prod.us"]\n# behind the load balancer\nuri = "https://prod.example:443"\n\n'
            'user = "root"\n\n[profiles."prod.us".pool]\nmax_total_per_key = 4\n',
        ),
        (
            FILE,
            [add("PROD", OTHER, replace=True)],
            without(FILE, "[profiles.prod.pool]\nmax_total_per_key = 4\n")
            .replace("https://prod.example:443", "https://other.example:443")
            .replace('user = "root"\n# touches', 'user = "root"\ntoken = {keyring = true}\n# touches'),
        ),
    ],
)
def test_comments_belong_to_the_profile_they_stand_above(
    tmp_path: Path, text: str, changes: list[Change], expected: str
) -> None:
    assert edited(tmp_path, text, *changes) == expected


def test_a_new_profile_never_catches_a_comment_at_the_end_of_the_file(tmp_path: Path) -> None:
    text = edited(tmp_path, '[profiles.a]\nuri = "x"\n\n# the end', add("b", {"uri": "y"}))
    assert text == '[profiles.a]\nuri = "x"\n\n# the end\n\n[profiles.b]\nuri = "y"\n'
    assert edited(tmp_path, text, remove("b")) == '[profiles.a]\nuri = "x"\n\n# the end\n'
