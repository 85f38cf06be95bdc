"""The lock, and replacing a file in one step."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from milvus_profiles.config.atomic import read_bytes, write_atomic
from milvus_profiles.config.file_lock import locked
from milvus_profiles.errors import ConfigError, LockTimeoutError

NOBODY = 65534


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A directory that every user can reach."""
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_uid == os.geteuid() and directory != Path(directory.anchor):
            directory.chmod(directory.stat().st_mode | 0o111)
    directory = tmp_path / "shared"
    directory.mkdir()
    directory.chmod(0o755)
    yield directory
    directory.chmod(0o755)


@contextmanager
def as_nobody() -> Iterator[None]:
    """As a user without privileges; for one who has none anyway there is nothing to drop."""
    if os.geteuid() != 0:
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another owner")


# --- writing -----------------------------------------------------------------------------------------------------


def test_a_new_file_is_private_and_an_old_one_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomic(str(path), b"one")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"one", 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o444)
    write_atomic(str(path), b"two")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"two", 0o444)
    write_atomic(str(path), b"three", mode=0o644)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"three", 0o644)
    assert os.listdir(path.parent) == ["file"]


def test_a_reader_who_has_the_old_file_open_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    with path.open("rb") as file:
        write_atomic(str(path), b"two")
        assert file.read() == b"one"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    write_atomic(str(tmp_path / "link"), b"x")
    assert os.readlink(tmp_path / "link") == "file"
    assert (tmp_path / "file").read_bytes() == b"x"


def test_the_last_look_can_leave_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")

    def refuse() -> None:
        raise ConfigError("no")

    with pytest.raises(ConfigError, match="no"):
        write_atomic(str(path), b"two", last_look=refuse)
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["file"]


def test_a_write_that_fails_half_way_leaves_the_old_content_and_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(ConfigError, match="cannot be written: File too large"):
            write_atomic(str(path), b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("directory", [False, True])
def test_a_sync_that_fails_is_an_error_unless_the_change_was_made_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directory: bool
) -> None:
    # No disk can be made to fail here, so the system call is.
    path = tmp_path / "file"
    path.write_bytes(b"one")
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) == directory:
            raise OSError(errno.EIO, "Input/output error")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    if directory:
        told = write_atomic(str(path), b"two")
        assert told is not None
        assert "was made, but may not survive a power failure: Input/output error" in told
    else:
        with pytest.raises(ConfigError, match="cannot be written: Input/output error"):
            write_atomic(str(path), b"two")
    assert path.read_bytes() == (b"two" if directory else b"one")
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_system_that_cannot_sync_directories_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomic(str(tmp_path / "file"), b"two")
    assert (tmp_path / "file").read_bytes() == b"two"


def test_a_system_without_modes_owners_and_directory_handles_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    with monkeypatch.context() as patch:
        # Undone at once: others ask os.name and have use for these calls.
        patch.setattr(os, "name", "nt")
        for name in ("fchmod", "fchown"):
            patch.delattr(os, name)
        write_atomic(str(path), b"two")
    monkeypatch.delattr(os, "geteuid")
    with locked(str(path), 1.0):
        pass
    assert path.read_bytes() == b"two"


@pytest.mark.parametrize("path", ["/proc/nothing/milvus.toml", "/dev/null/milvus.toml", "/dev/null/a/milvus.toml"])
def test_a_place_where_nothing_can_be_written_is_named(path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        write_atomic(path, b"x")
    assert caught.value.hint is not None
    assert str(caught.value.location) == path
    with pytest.raises(ConfigError, match="cannot be locked"), locked(path, 1.0):
        pass


def test_a_directory_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a directory"):
        write_atomic(str(tmp_path), b"x")


def test_a_directory_that_may_not_be_written_is_a_clear_error(shared: Path) -> None:
    path = shared / "file"
    path.write_bytes(b"one")
    shared.chmod(0o555)
    with as_nobody():
        with pytest.raises(ConfigError, match="cannot be written: Permission denied") as caught:
            write_atomic(str(path), b"two")
        assert caught.value.hint == "make the file and its directory writable for this user"
        with pytest.raises(ConfigError, match=r"file\.lock cannot be locked: Permission denied"), locked(str(path), 1):
            pass
    assert path.read_bytes() == b"one"


# --- owners ------------------------------------------------------------------------------------------------------


@root_only
def test_root_leaves_a_users_file_to_its_owner(shared: Path) -> None:
    path = shared / "file"
    path.write_bytes(b"one")
    os.chown(path, NOBODY, NOBODY)
    path.chmod(0o640)
    write_atomic(str(path), b"two")
    status = path.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (NOBODY, NOBODY, 0o640)


@root_only
def test_a_lock_that_root_made_does_not_shut_out_the_owner_of_the_directory(shared: Path) -> None:
    os.chown(shared, NOBODY, NOBODY)
    with locked(str(shared / "file"), 1.0):
        pass
    with as_nobody(), locked(str(shared / "file"), 1.0):
        write_atomic(str(shared / "file"), b"x")


@root_only
def test_where_the_owner_cannot_be_kept_no_other_group_gets_the_rights_of_the_old_one(shared: Path) -> None:
    path = shared / "file"
    path.write_bytes(b"one")
    path.chmod(0o664)
    shared.chmod(0o777)
    with as_nobody():
        write_atomic(str(path), b"two")
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    assert path.stat().st_uid == NOBODY


@root_only
def test_where_only_the_group_can_be_kept_it_is(shared: Path) -> None:
    path = shared / "file"
    path.write_bytes(b"one")
    os.chown(path, 0, NOBODY)
    path.chmod(0o664)
    os.chown(shared, NOBODY, 12345)
    shared.chmod(0o2777)
    with as_nobody():
        write_atomic(str(path), b"two")
    status = path.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (NOBODY, NOBODY, 0o664)


# --- reading -----------------------------------------------------------------------------------------------------


def test_reading(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\x00\r\n")
    assert read_bytes(str(tmp_path / "file")) == b"\x00\r\n"
    assert read_bytes(str(tmp_path / "none")) is None
    assert read_bytes(str(tmp_path / "no" / "ne")) is None
    with pytest.raises(ConfigError, match="is a directory"):
        read_bytes(str(tmp_path))
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        read_bytes(str(tmp_path / "loop"))
    assert caught.value.hint is not None
    with pytest.raises(ConfigError, match="cannot be read: Not a directory"):
        read_bytes(str(tmp_path / "file" / "x"))


def test_a_file_that_may_not_be_read_is_a_clear_error(shared: Path) -> None:
    path = shared / "file"
    path.write_bytes(b"one")
    path.chmod(0)
    with as_nobody(), pytest.raises(ConfigError, match="cannot be read: Permission denied") as caught:
        read_bytes(str(path))
    assert caught.value.hint == "make it readable for this user"


# --- the lock ----------------------------------------------------------------------------------------------------


def test_the_lock_keeps_other_threads_out_and_its_file_stays(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        for _ in range(20):
            with locked(path, 60.0):
                inside.append(number)
                most.append(len(inside))
                inside.remove(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(most), max(most)) == (80, 1)
    assert os.listdir(tmp_path) == ["file.lock"]
    assert stat.S_IMODE((tmp_path / "file.lock").stat().st_mode) == 0o600


def test_a_link_and_its_target_have_one_lock(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    with locked(str(tmp_path / "link"), 1.0), pytest.raises(LockTimeoutError), locked(str(tmp_path / "file"), 0.05):
        pass
    assert sorted(os.listdir(tmp_path)) == ["file.lock", "link"]


def test_the_lock_is_released_after_an_error(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    with pytest.raises(ZeroDivisionError), locked(path, 1.0):
        raise ZeroDivisionError
    with locked(path, 0.05):
        pass


def test_what_a_killed_writer_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    stale = tmp_path / ".file.0123456789abcdef.tmp"
    kept = {".file.tmp", ".other.0123456789abcdef.tmp", ".file.0123456789abcdeg.tmp", "file.0123456789abcdef.tmp"}
    for name in (*kept, stale.name):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / ".file.1111111111111111.tmp").mkdir()  # not ours, and no reason to fail
    with locked(str(tmp_path / "file"), 1.0):
        assert set(os.listdir(tmp_path)) == kept | {"file.lock", ".file.1111111111111111.tmp"}


def test_a_lock_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "file.lock").symlink_to(victim)
    with pytest.raises(ConfigError, match="cannot be locked"), locked(str(tmp_path / "file"), 1.0):
        pass
    assert victim.read_bytes() == b"precious"


def test_reading_a_directory_leaves_no_descriptor_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with pytest.raises(ConfigError):
            read_bytes(str(tmp_path))
    assert len(os.listdir("/proc/self/fd")) == before
