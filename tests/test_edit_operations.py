"""What the changes mean for aliases, defaults and inheritance, and what they refuse."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

import pytest

from milvus_profiles.config.edit import Change, EditResult, edit_file
from milvus_profiles.config.edit_profiles import Editor
from milvus_profiles.errors import ConfigError, EditConflictError, MilvusProfilesError, UnknownProfileError
from milvus_profiles.masked import SecretText
from tests.support.edits import add, copy, in_turn, put, put_root, remove, rename, unset

FILE = """\
default_profile = "PROD"

[profiles.prod]
uri = "https://prod.example:443"
ssl = true
token = "s3cret"

[profiles."prod.eu"]
extends = "Prod"

[profiles.stage]
extends = "prod"
"""


def refused(file: Path, *changes: Change, kind: type[MilvusProfilesError] = ConfigError) -> MilvusProfilesError:
    """The error of an edit that must leave the file alone."""
    before = file.read_bytes()
    with pytest.raises(kind) as caught:
        edit_file(file, in_turn(*changes))
    assert file.read_bytes() == before
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value


def edited(file: Path, *changes: Change) -> EditResult:
    result = edit_file(file, in_turn(*changes))
    assert file.read_bytes() == result.after
    return result


# --- adding ------------------------------------------------------------------------------------------------------


def test_one_that_is_not_there_to_be_replaced_is_appended(file: Path) -> None:
    result = edited(file, add("dev.box", {"uri": "http://x:1", "call_timeout": 2.5}, replace=True))
    assert file.read_text() == FILE + '\n[profiles."dev.box"]\nuri = "http://x:1"\ncall_timeout = 2.5\n'
    assert (result.changed, result.created, result.before) == (True, False, FILE.encode())


def test_a_new_file_begins_with_lines_that_say_what_it_is_to_editors_and_to_people(tmp_path: Path) -> None:
    file = tmp_path / "milvus.toml"
    result = edited(file, add("dev", {"uri": "x"}), put_root("default_profile", "dev"))
    lines = file.read_text().splitlines()
    assert re.fullmatch(r"#:schema https://\S+/schema/milvus\.json", lines[0])
    assert lines[1].startswith("# Connection profiles for Milvus.")
    assert lines[2:] == ["", 'default_profile = "dev"', "", "[profiles.dev]", 'uri = "x"']
    assert (result.created, result.before) == (True, None)


@pytest.mark.parametrize(
    ("alias", "there", "line"), [("prod", "prod", 3), ("Prod-EU", "prod.eu", 8), ("PROD_eu", "prod.eu", 8)]
)
def test_an_alias_that_is_taken_is_refused_naming_the_one_that_is_there(
    file: Path, alias: str, there: str, line: int
) -> None:
    error = refused(file, add(alias, {"uri": "x"}))
    assert f"'{there}'" in error.message
    assert error.hint
    assert str(error.location) == f"{file}:{line}"
    refused(file, copy("stage", alias))
    refused(file, rename("stage", alias))


@pytest.mark.parametrize("alias", ["", "a..b", "a/b", "x" * 65])
def test_what_is_no_alias_is_refused(file: Path, alias: str) -> None:
    for change in (add(alias, {}), copy("prod", alias), rename("prod", alias)):
        refused(file, change)


def test_a_secret_text_is_written_and_stays_out_of_every_repr(file: Path) -> None:
    secret = SecretText("hunter2")
    result = edited(file, put("stage", ("token",), secret), add("dev", {"token": secret}))
    assert file.read_text().count('token = "hunter2"') == 2
    assert "hunter2" not in repr(result)
    assert "s3cret" not in repr(result)


# --- removing ----------------------------------------------------------------------------------------------------


def test_a_profile_that_others_extend_is_not_removed(file: Path) -> None:
    error = refused(file, remove("prod"), kind=EditConflictError)
    assert "'prod.eu', 'stage'" in error.message
    assert "profile unset prod.eu extends" in (error.hint or "")


def test_one_that_no_other_extends_any_more_is_removed_and_is_the_default_no_longer(file: Path) -> None:
    result = edited(file, unset("stage", ("extends",)), remove("prod-eu"), remove("Prod"), remove("STAGE"))
    assert file.read_text() == ""
    assert result.notes == ("'prod' was the default profile; this file names none now",)


# --- renaming ----------------------------------------------------------------------------------------------------


def test_the_default_and_the_heirs_follow_a_new_name(file: Path) -> None:
    result = edited(file, rename("Prod", "main"))
    expected = FILE.replace("[profiles.prod]", "[profiles.main]").replace('"PROD"', '"main"')
    assert file.read_text() == expected.replace('extends = "Prod"', 'extends = "main"').replace('"prod"', '"main"')
    assert result.notes == ("default_profile names 'main' now", "'prod.eu', 'stage': extends names 'main' now")


def test_a_name_may_be_spelled_anew(file: Path) -> None:
    result = edited(file, rename("prod.eu", "PROD-eu"))
    assert file.read_text() == FILE.replace('"prod.eu"', "PROD-eu")
    assert result.notes == ()
    assert not edited(file, rename("PROD-eu", "PROD-eu")).changed


# --- fields and root keys ----------------------------------------------------------------------------------------


def test_setting_what_is_set_changes_nothing(file: Path) -> None:
    before = file.stat()
    result = edited(file, put("prod", ("ssl",), True), put_root("default_profile", "PROD"))
    assert (result.changed, result.diff) == (False, "")
    assert file.stat() == before


def test_unsetting_what_is_not_set_changes_nothing_and_says_so(file: Path) -> None:
    result = edited(file, unset("prod", ("pool", "max_uses")), put_root("max_connections", None))
    assert not result.changed
    assert result.notes == ("pool.max_uses of 'prod' is not set in this file",)


@pytest.mark.parametrize(
    ("name", "line", "change"),
    [
        ("uri", 4, put("prod", ("uri", "x"), 1)),
        ("ssl", 5, unset("prod", ("ssl", "ca"))),
        ("token", 6, put("prod", ("token", "env"), "X")),
    ],
)
def test_a_path_through_a_scalar_is_refused(file: Path, name: str, line: int, change: Change) -> None:
    error = refused(file, change)
    assert f"{name} is not a table" in error.message
    assert f"profile unset prod {name}" in (error.hint or "")
    assert str(error.location) == f"{file}:{line}"
    assert "s3cret" not in str(error)


@pytest.mark.parametrize(
    "change",
    [remove("stag"), rename("stag", "x"), copy("stag", "x"), put("stag", ("uri",), "x"), unset("stag", ("uri",))],
)
def test_an_unknown_profile_comes_with_a_suggestion(file: Path, change: Change) -> None:
    error = refused(file, change, kind=UnknownProfileError)
    assert error.hint == "did you mean 'stage'?"


def test_an_unknown_profile_without_a_near_one_lists_what_there_is(file: Path) -> None:
    assert "'prod', 'prod.eu', 'stage'" in str(refused(file, remove("zzz"), kind=UnknownProfileError))
    file.write_text("".join(f"[profiles.a{n}]\n" for n in range(20)))
    assert "'a9', …" in str(refused(file, remove("zzz"), kind=UnknownProfileError))
    file.write_text("")
    assert "profile add" in str(refused(file, remove("zzz"), kind=UnknownProfileError))


def test_what_is_no_table_has_neither_profiles_nor_fields(file: Path) -> None:
    for text in ("profiles = 3\n", "[[profiles]]\n", "profiles = ['a']\n"):
        file.write_text(text)
        assert "profiles must be a table" in str(refused(file, add("a", {})))
    file.write_text("profiles.a = 3\n")
    assert "[profiles.a]" in str(refused(file, put("a", ("uri",), "x")))
    refused(file, copy("a", "b"))
    refused(file, add("a", {}))


@pytest.mark.parametrize("value", [None, object(), {1, 2}, b"x", 2**63, "\ud800", [None]])
def test_what_toml_cannot_hold_is_refused_without_repeating_it(file: Path, value: Any) -> None:
    refused(file, put("prod", ("uri",), value))
    refused(file, add("x", {"uri": value}))


def test_what_may_not_be_changed_is_refused(file: Path) -> None:
    for change in (put("prod", (), 1), put_root("profiles", {}), put_root("profiles", None)):
        refused(file, change)
    refused(file, put("prod", ("timeout",), 3), remove("zzz"), kind=UnknownProfileError)  # all changes happen, or none


# --- the guard ---------------------------------------------------------------------------------------------------


def test_a_value_that_tomlkit_writes_wrongly_is_refused(file: Path) -> None:
    # An offset with seconds has no spelling in TOML; tomlkit writes one all the same.
    odd = datetime.timezone(datetime.timedelta(hours=1, seconds=30))
    error = refused(file, put("prod", ("uri",), datetime.datetime(2020, 1, 1, tzinfo=odd)), kind=EditConflictError)
    assert "profile edit" in (error.hint or "")


def test_a_text_that_does_not_say_what_the_data_says_is_refused() -> None:
    text = "[profiles.a]\nx = 1\n"
    others: list[dict[str, object]] = [{"x": True}, {"x": [1]}, {"x": 1, "y": 2}, {}, {"x": {}}, {"x": 1.0}]
    for other in others:
        editor = Editor(text, {"profiles": {"a": other}}, "milvus.toml")
        editor.set_root("max_connections", 2)
        with pytest.raises(EditConflictError, match="would damage"):
            editor.guard()
    editor = Editor(text, {"profiles": {"a": {"x": 1}}}, "milvus.toml")
    editor.set_root("max_connections", 2)
    editor.guard()
    assert editor.document.text == "max_connections = 2\n\n" + text
    assert "x = 1" not in repr(editor) + repr(editor.document)
