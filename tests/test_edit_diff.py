"""The diff of an edit: what it shows, and what it must never show."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from milvus_profiles.config.edit import Change, edit_file, replace_file
from tests.support.edits import add, in_turn, put, remove, unset

SECRETS = """\
[profiles.prod]
uri = "https://root:hunter2@prod.example:443"  # was http://root:hunter2@old
# token = "hunter2"
# Password: hunter2
token = "hunter2"  # the old api_key=hunter2
password = \"\"\"
hunter2
hunter2\"\"\"
tokn = "hunter2"
db_name = "analytics"
token.env = "unused"
retry = { attempts = 3, token = "hunter2" }
extra = [ "hunter2", { password = "hunter2" } ]
""".replace("token.env", "tokens.env")

REFERENCES = """\
[profiles.a]
token = { env = "TOKEN_OF_A" }
[profiles.b]
password = { command = ["op", "read", "hunter2"], pass_env = ["OP"] }
[profiles.c]
token = { keyring = true }
"""


def diff(directory: Path, text: str, *changes: Change, name: str = "milvus.toml") -> str:
    path = directory / name
    path.write_bytes(text.encode())
    return edit_file(path, in_turn(*changes), dry_run=True).diff


def test_it_is_a_unified_diff_that_patch_understands(tmp_path: Path) -> None:
    path = tmp_path / "milvus.toml"
    text = "".join(f'# {n}\n[profiles.p{n}]\nuri = "http://h{n}"\nuser = "u"\n\n' for n in range(9)).rstrip()
    changes: list[Change] = [
        put("p0", ("uri",), "x"),
        remove("p4"),
        unset("p7", ("user",)),
        add("new", {"uri": "z"}),
    ]
    shown = diff(tmp_path, text, *changes)
    assert shown.startswith(f"--- {path}\n+++ {path}\n@@ -1,6 +1,6 @@\n # 0\n [profiles.p0]\n-uri")
    assert shown.count("@@ -") == 3
    assert "\\ No newline at end of file" in shown
    after = edit_file(path, in_turn(*changes)).after
    (tmp_path / "copy.toml").write_text(text)
    subprocess.run(
        ["git", "apply", "--unsafe-paths", "-p0", "-"],
        input=shown.replace(str(path), "copy.toml").encode(),
        cwd=tmp_path,
        check=True,
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"], "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)},
    )
    assert (tmp_path / "copy.toml").read_bytes() == after


def test_a_removed_profile_shows_as_itself_among_others_with_the_same_fields(tmp_path: Path) -> None:
    text = "".join(f'# {n}\n[profiles.p{n}]\nuser = "u"\ndb_name = "d"\n\n' for n in range(9))
    shown = diff(tmp_path, text, remove("p4"))
    assert [line for line in shown.splitlines()[3:] if line[0] == "-"] == [
        "-# 4",
        "-[profiles.p4]",
        '-user = "u"',
        '-db_name = "d"',
        "-",
    ]


def test_a_new_file_is_compared_with_nothing(tmp_path: Path) -> None:
    shown = edit_file(tmp_path / "milvus.toml", add("a", {}), dry_run=True).diff
    assert shown.startswith("--- /dev/null\n+++ ")
    assert "@@ -0,0 +1,4 @@" in shown
    assert list(tmp_path.iterdir()) == []


def test_secrets_are_masked_wherever_they_stand(tmp_path: Path) -> None:
    for change in (put("prod", ("db_name",), "x"), put("prod", ("uri",), "y"), remove("prod")):
        shown = diff(tmp_path, SECRETS, change)
        assert "hunter2" not in shown
    for line in (
        '-uri = "https://********@prod.example:443"  # was http://********@old',
        "-# token = ********",
        "-# Password: ********",
        "-token = ********  # the old api_key=********",
        "-password = ********",
        "-********",
        "-tokn = ********",
        '-db_name = "analytics"',
        "-tokens.env = ********",
        "-retry = { attempts = 3, token = ******** }",
        "-extra = [ ********, { password = ******** } ]",
    ):
        assert line in shown.splitlines()


def test_references_are_shown_but_commands_are_not(tmp_path: Path) -> None:
    shown = diff(tmp_path, REFERENCES, *(put(alias, ("user",), "u") for alias in "abc"))
    assert ' token = { env = "TOKEN_OF_A" }' in shown
    assert " token = { keyring = true }" in shown
    assert ' password = { command = [********, ********, ********], pass_env = ["OP"] }' in shown


def test_a_secret_that_only_changes_shows_as_a_change(tmp_path: Path) -> None:
    shown = diff(tmp_path, '[profiles.a]\ntoken = "hunter2"\n', put("a", ("token",), "swordfish"))
    assert shown.splitlines()[3:] == [" [profiles.a]", "-token = ********", "+token = ********"]


def test_profiles_that_are_no_tables_and_unknown_root_keys_are_masked(tmp_path: Path) -> None:
    text = 'tokn = "hunter2"\ndefault_profile = "b"\nprofiles.a = "hunter2"\n[profiles.b]\n'
    shown = diff(tmp_path, text, add("c", {}))
    assert "hunter2" not in shown
    assert ' default_profile = "b"' in shown
    assert "hunter2" not in diff(tmp_path, text, remove("a"))


def test_nothing_unprintable_is_shown(tmp_path: Path) -> None:
    text = '# \u202e evil \u2028\n[profiles.a]\n\turi = "x\u009b31m"  # \u200b\n'
    shown = diff(tmp_path, text, put("a", ("user",), "é\x1b[0m😀"), name="a\x1b[31mb.toml")
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert r"# \u202e evil \u2028" in shown
    assert r"+\tuser = " in shown
    assert "é" in shown
    assert "😀" in shown


def test_carriage_returns_show_only_where_line_ends_change(tmp_path: Path) -> None:
    path = tmp_path / "milvus.toml"
    text = "[profiles.a]\r\nuri = 'x'\r\n"
    assert "\\r" not in diff(tmp_path, text, put("a", ("user",), "u"))
    shown = replace_file(path, text.replace("\r", "").encode(), expect=None, dry_run=True).diff
    assert shown.splitlines()[3:] == ["-[profiles.a]\\r", "-uri = 'x'\\r", "+[profiles.a]", "+uri = 'x'"]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (
            b'[profiles.a]\ntoken = "hunter2\n\nhunter2 \xff\n uri= x\n',
            [" [profiles.a]", "-token = ********", "-", "-********", "- uri= ********"],
        ),
        # A line of base64 in a text of several lines looks like the entry of a field without a value.
        (
            b'[profiles.a]\ntoken = """\nhunter2==\n""\nuri = x\n',
            [" [profiles.a]", "-token = ********", "-********", "-********", "-uri = ********"],
        ),
    ],
)
def test_of_a_broken_text_only_names_are_shown(tmp_path: Path, text: bytes, rows: list[str]) -> None:
    path = tmp_path / "milvus.toml"
    path.write_bytes(text)
    shown = replace_file(path, b"[profiles.a]\n", expect=None, dry_run=True).diff
    assert "hunter2" not in shown
    assert shown.splitlines()[3:] == rows


@pytest.mark.parametrize("value", ["[\n  1, # hunter2 password=hunter2\n  2,\n]", "[ 1 ] # pwd: hunter2"])
def test_comments_inside_of_values_are_masked_too(tmp_path: Path, value: str) -> None:
    shown = diff(tmp_path, f"[profiles.a]\ntimeout = {value}\n", put("a", ("user",), "u"))
    assert "=hunter2" not in shown
    assert ": hunter2" not in shown
