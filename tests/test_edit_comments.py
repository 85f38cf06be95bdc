"""Comments belong to the profile they stand above."""

from __future__ import annotations

from pathlib import Path

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


def test_removing_a_profile_takes_its_comments_along_and_leaves_the_others(tmp_path: Path) -> None:
    text = edited(tmp_path / "milvus.toml", FILE, remove("prod"))
    start = FILE.index("# what customers see")
    stop = FILE.index("# last of pool")
    assert text == FILE[:start] + FILE[stop:]


def test_a_comment_that_touches_the_next_header_stays_with_that_one(tmp_path: Path) -> None:
    text = edited(tmp_path / "milvus.toml", FILE, remove("stage"))
    start = FILE.index("# last of pool")
    assert text == FILE[:start]


def test_a_comment_between_blank_lines_belongs_to_nobody(tmp_path: Path) -> None:
    text = edited(tmp_path / "milvus.toml", FILE, remove("prod"), remove("stage"), remove("dev"))
    assert text == "# Our servers; ask Ann before you change one.\n\n# a note that stands alone\n"


def test_renaming_keeps_every_comment_and_everything_else_in_its_place(tmp_path: Path) -> None:
    text = edited(tmp_path / "milvus.toml", FILE, rename("prod", "prod.eu"))
    assert text == FILE.replace("[profiles.prod", '[profiles."prod.eu"')


def test_setting_a_field_keeps_the_comment_behind_it(tmp_path: Path) -> None:
    text = edited(tmp_path / "milvus.toml", FILE, put("dev", ("uri",), "http://127.0.0.1:19530"))
    assert text == FILE.replace('"http://localhost:19530"  # plain', '"http://127.0.0.1:19530"  # plain')


def test_a_new_field_goes_after_the_last_one_of_the_table_itself(tmp_path: Path) -> None:
    path = tmp_path / "milvus.toml"
    text = edited(path, FILE, put("prod", ("db_name",), "analytics"), put("dev", ("timeout",), 5))
    expected = FILE.replace('user = "root"\n# touches', 'user = "root"\ndb_name = "analytics"\n# touches')
    assert text == expected.replace("fine here\n", "fine here\ntimeout = 5\n")


def test_unsetting_a_field_takes_its_line_and_leaves_the_comments_above_it(tmp_path: Path) -> None:
    text = edited(tmp_path / "milvus.toml", FILE, unset("prod", ("uri",)))
    assert text == without(FILE, 'uri = "https://prod.example:443"\n\n').replace("balancer\n", "balancer\n\n")


def test_unsetting_a_field_between_blank_lines_leaves_one_of_them(tmp_path: Path) -> None:
    text = edited(tmp_path / "m.toml", '[profiles.a]\nuri = "x"\n\nuser = "u"\n\ntimeout = 1\n', unset("a", ("user",)))
    assert text == '[profiles.a]\nuri = "x"\n\ntimeout = 1\n'


def test_removing_the_last_profile_leaves_no_blank_lines_at_the_end(tmp_path: Path) -> None:
    text = edited(tmp_path / "m.toml", '[profiles.a]\nuri = "x"\n\n\n# b\n[profiles.b]\nuri = "y"\n', remove("b"))
    assert text == '[profiles.a]\nuri = "x"\n'


def test_removing_the_only_profile_leaves_an_empty_file(tmp_path: Path) -> None:
    assert edited(tmp_path / "m.toml", '\n# a\n[profiles.a]\nuri = "x"\n', remove("a")) == ""


def test_a_table_that_loses_its_header_takes_the_comment_of_that_header_along(tmp_path: Path) -> None:
    text = '[profiles.a]\nuri = "x"\n\n# pool of a\n[profiles.a.pool]\nmax_uses = 3\n\n# b\n[profiles.b]\nuri = "y"\n'
    assert edited(tmp_path / "m.toml", text, unset("a", ("pool",))) == without(
        text, "# pool of a\n[profiles.a.pool]\nmax_uses = 3\n\n"
    )


def test_copying_keeps_the_comments_inside_and_leaves_those_around(tmp_path: Path) -> None:
    text = edited(tmp_path / "milvus.toml", FILE, copy("prod", "prod.us"))
    assert text == FILE + (
        '\n[profiles."prod.us"]\n# behind the load balancer\nuri = "https://prod.example:443"\n\nuser = "root"\n'
        '\n[profiles."prod.us".pool]\nmax_total_per_key = 4\n'
    )


def test_replacing_keeps_the_place_the_comments_and_the_fields_that_stay(tmp_path: Path) -> None:
    fields = {"uri": "https://other.example:443", "user": "root", "token": {"keyring": True}}
    text = edited(tmp_path / "milvus.toml", FILE, add("PROD", fields, replace=True))
    expected = FILE.replace("https://prod.example:443", "https://other.example:443")
    expected = expected.replace('user = "root"\n# touches', 'user = "root"\ntoken = {keyring = true}\n# touches')
    assert text == without(expected, "[profiles.prod.pool]\nmax_total_per_key = 4\n")


def test_comments_above_dotted_keys_and_inline_profiles_go_along_too(tmp_path: Path) -> None:
    text = (
        '# first\nprofiles.a.uri = "x"\n# more of first\nprofiles.a.user = "u"\n# second\nprofiles.b = { uri = "y" }\n'
        '# third\n[profiles.c]\nuri = "z"\n'
    )
    path = tmp_path / "m.toml"
    assert edited(path, text, remove("a")) == text[text.index("# second") :]
    assert edited(path, text, remove("b")) == without(text, '# second\nprofiles.b = { uri = "y" }\n')
    assert edited(path, text, remove("c")) == text[: text.index("# third")]


def test_a_new_profile_never_catches_a_comment_at_the_end_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    text = edited(path, '[profiles.a]\nuri = "x"\n\n# the end', add("b", {"uri": "y"}))
    assert text == '[profiles.a]\nuri = "x"\n\n# the end\n\n[profiles.b]\nuri = "y"\n'
    assert edited(path, text, remove("b")) == '[profiles.a]\nuri = "x"\n\n# the end\n'
