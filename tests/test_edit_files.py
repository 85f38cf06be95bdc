"""An edit and the file it happens to: links, line ends, other writers, and everything that is no TOML file."""

from __future__ import annotations

import os
import stat
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from milvus_profiles.config.edit import Change, digest, edit_file, replace_file
from milvus_profiles.config.places import locked
from milvus_profiles.errors import (
    ConfigError,
    EditConflictError,
    LockTimeoutError,
    MilvusProfilesError,
    UnknownProfileError,
)
from tests.support.edits import add, in_turn, put, put_root, remove, unset
from tests.support.errors import refused
from tests.support.files import written

FILE = '# ours\n[profiles.a]\nuri = "x"\ntoken = "hunter2"\n'
ADD = add("b", {"uri": "y"})
SAVED = "the file was saved by someone else meanwhile, so nothing was changed"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path / "milvus.toml", FILE)


# --- the file stays what it was ----------------------------------------------------------------------------------


def test_a_symbolic_link_stays_and_its_target_is_edited(path: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "milvus.toml"
    link.symlink_to("../second.toml")
    (tmp_path / "second.toml").symlink_to("milvus.toml")
    result = edit_file(link, ADD)
    assert link.is_symlink()
    assert (tmp_path / "second.toml").is_symlink()
    assert not path.is_symlink()
    assert path.read_text() == FILE + '\n[profiles.b]\nuri = "y"\n'
    assert result.path == str(link)
    assert os.listdir(tmp_path / "links") == ["milvus.toml"]
    # One that leads to nothing gets its target.
    (tmp_path / "empty.toml").symlink_to("dotfiles/milvus.toml")
    edit_file(tmp_path / "empty.toml", ADD)
    assert (tmp_path / "empty.toml").is_symlink()
    assert (tmp_path / "dotfiles" / "milvus.toml").is_file()


def test_crlf_stays_and_new_lines_get_it(path: Path) -> None:
    path.write_bytes(b'# ours\r\n[profiles.a]\r\nuri = "x"')
    edit_file(path, in_turn(put("a", ("user",), "u"), ADD, put_root("default_profile", "a")))
    assert path.read_bytes() == (
        b'default_profile = "a"\r\n\r\n# ours\r\n[profiles.a]\r\nuri = "x"\r\nuser = "u"\r\n'
        b'\r\n[profiles.b]\r\nuri = "y"\r\n'
    )


def test_mixed_line_ends_stay_mixed(path: Path) -> None:
    path.write_bytes(b"[profiles.a]\r\nuri = 'x'\n# c\r\n\r\n[profiles.c]\n")
    edit_file(path, in_turn(put("a", ("uri",), "z"), put("c", ("uri",), "z")))
    assert path.read_bytes() == b'[profiles.a]\r\nuri = "z"\n# c\r\n\r\n[profiles.c]\nuri = "z"\r\n'


@pytest.mark.parametrize("change", [remove("a"), unset("a", ("uri",)), put_root("max_connections", None)])
def test_an_edit_that_is_refused_or_does_nothing_creates_nothing(tmp_path: Path, change: Change) -> None:
    try:
        result = edit_file(tmp_path / "new" / "milvus.toml", change)
    except UnknownProfileError:
        assert os.listdir(tmp_path) == []
    else:
        assert (result.changed, result.created, result.after) == (False, False, b"")
        assert os.listdir(tmp_path / "new") == []


# --- what is no TOML file ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message", "place"),
    [
        (b"\xef\xbb\xbf[profiles.a]\n", "UTF-8 byte order mark", (1, 1)),
        (b"[profiles.a]\nuri = 'x\xff'\n", "not UTF-8 text", (2, 9)),
        (b"[profiles.a]\n[profiles.a]\n", "not valid TOML", (2, 12)),
        (b"[profiles.a]\nx = " + b"[" * 5000 + b"]" * 5000, "not valid TOML", None),
        (b"profiles.a." + b".".join([b"x"] * 3000) + b" = 1\n", "nested too deeply|more than 16 parts", None),
    ],
    ids=["bom", "latin-1", "declared twice", "nested", "dotted"],
)
def test_a_broken_file_is_left_alone(path: Path, content: bytes, message: str, place: tuple[int, int] | None) -> None:
    path.write_bytes(content)
    edits: list[Callable[[], object]] = [
        lambda: edit_file(path, ADD),
        lambda: edit_file(path, ADD, dry_run=True),
        lambda: replace_file(path.with_name("other.toml"), content, expect=None),
    ]
    for edit in edits:
        with pytest.raises(ConfigError, match=message) as caught:
            edit()
        location = caught.value.location
        assert location is not None
        assert place is None or (location.line, location.column) == place
    assert path.read_bytes() == content
    assert not path.with_name("other.toml").exists()


# --- the caller's check ------------------------------------------------------------------------------------------


def test_the_check_sees_the_new_content_and_can_refuse_it(path: Path) -> None:
    def check(content: bytes) -> None:
        assert path.read_text() == FILE
        assert b"[profiles.b]" in content
        raise ConfigError("not this one")

    for dry_run in (False, True):
        with refused("not this one"):
            edit_file(path, ADD, check=check, dry_run=dry_run)
    edit_file(path.with_name("new") / "milvus.toml", ADD, dry_run=True)
    assert (path.read_text(), os.listdir(path.parent)) == (FILE, ["milvus.toml"])


def test_an_error_carries_no_frame_that_holds_the_text(path: Path) -> None:
    path.write_text(FILE + "[")
    edits: list[Callable[[], object]] = [
        lambda: edit_file(path, ADD),
        lambda: replace_file(path, FILE.encode() + b"[", expect=None),
    ]
    for edit in edits:
        with pytest.raises(MilvusProfilesError) as caught:
            edit()
        chain = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        own = [frame for frame in chain.stack if frame.filename != __file__]
        assert "hunter2" not in "".join(str(frame.locals) for frame in own)
        assert caught.value.__context__ is None


# --- others who write ----------------------------------------------------------------------------------------------


def test_what_others_do_to_a_file_during_an_edit_is_noticed(path: Path) -> None:
    # An editor takes no lock; the check runs while the lock is held.
    new = path.with_name("new.toml")
    for file, text in ((path, "# saved\n"), (new, "")):
        with refused(SAVED, hint="look at it, and try again", kind=EditConflictError):
            edit_file(file, ADD, check=lambda _, file=file, text=text: file.write_text(text))  # type: ignore[misc]
        assert file.read_text() == text
    with pytest.raises(EditConflictError):
        edit_file(path, ADD, check=lambda _: path.unlink())
    assert os.listdir(path.parent) == ["new.toml"]


def test_the_expected_content_is_compared_first(path: Path) -> None:
    edit_file(path, ADD, expect=digest(FILE.encode()))
    with refused(SAVED, kind=EditConflictError):
        edit_file(path, add("c", {}), expect=digest(FILE.encode()))
    with pytest.raises(EditConflictError):
        edit_file(path.with_name("new.toml"), ADD, expect=digest(FILE.encode()))
    assert edit_file(path.with_name("new.toml"), ADD, expect=digest(None)).created
    with pytest.raises(EditConflictError):
        edit_file(path.with_name("new.toml"), add("d", {}), expect=digest(None))


def test_a_lock_that_is_held_too_long_is_named(path: Path) -> None:
    lock = f"{path}.lock"
    with locked(str(path), 1.0), refused(f"…{lock}…", hint=f"…fuser {lock}…", kind=LockTimeoutError):
        edit_file(path, ADD, lock_timeout=0.05)
    assert path.read_text() == FILE
    edit_file(path, ADD, lock_timeout=0.05)


# --- a whole new text ----------------------------------------------------------------------------------------------


def test_a_whole_text_takes_the_place_of_the_old_one(path: Path) -> None:
    path.chmod(0o640)
    new = FILE.replace('"x"', '"z"').encode()
    result = replace_file(path, new, expect=digest(FILE.encode()))
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (new, 0o640)
    assert result.diff.splitlines()[3:] == [" # ours", " [profiles.a]", '-uri = "x"', '+uri = "z"', " token = ********"]
    with pytest.raises(EditConflictError):
        replace_file(path, FILE.encode(), expect=digest(FILE.encode()))
    assert not replace_file(path, new, expect=None).changed
    assert replace_file(path, b"", expect=None, dry_run=True).changed
    assert path.read_bytes() == new
    # It can mend a broken file, and be the first one.
    path.write_bytes(b"\xff[[[")
    replace_file(path, new, expect=None)
    assert path.read_bytes() == new
    assert replace_file(path.with_name("new") / "milvus.toml", new, expect=digest(None)).created
