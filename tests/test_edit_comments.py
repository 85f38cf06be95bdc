"""Comments belong to the profile they stand above."""

from __future__ import annotations

from pathlib import Path

import pytest

from milvus_profiles.config.edit import Change, edit_file
from tests.support.edits import add, copy, in_turn, put, remove, rename, unset

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


def edited(path: Path, text: str, *changes: Change) -> str:
    path.write_bytes(text.encode())
    edit_file(str(path), in_turn(*changes))
    return path.read_bytes().decode()


def without(text: str, *pieces: str) -> str:
    for piece in pieces:
        assert text.count(piece) == 1
        text = text.replace(piece, "")
    return text


POOL = '[profiles.a]\nuri = "x"\n\n# pool of a\n[profiles.a.pool]\nmax_uses = 3\n\n# b\n[profiles.b]\nuri = "y"\n'
FORMS = (
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
        (FORMS, [remove("a")], FORMS[FORMS.index("# second") :]),
        (FORMS, [remove("b")], without(FORMS, '# second\nprofiles.b = { uri = "y" }\n')),
        (FORMS, [remove("c")], FORMS[: FORMS.index("# third")]),
        # A new name changes nothing but the name.
        (FILE, [rename("prod", "prod.eu")], FILE.replace("[profiles.prod", '[profiles."prod.eu"')),
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
    assert edited(tmp_path / "milvus.toml", text, *changes) == expected


def test_a_new_profile_never_catches_a_comment_at_the_end_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    text = edited(path, '[profiles.a]\nuri = "x"\n\n# the end', add("b", {"uri": "y"}))
    assert text == '[profiles.a]\nuri = "x"\n\n# the end\n\n[profiles.b]\nuri = "y"\n'
    assert edited(path, text, remove("b")) == '[profiles.a]\nuri = "x"\n\n# the end\n'
