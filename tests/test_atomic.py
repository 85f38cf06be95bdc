"""The lock, and replacing a file in one step."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import stat
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from milvus_profiles.config.atomic import check_writable, create_file, read_bytes, remove_file, write_atomic
from milvus_profiles.config.places import locked
from milvus_profiles.errors import ConfigError, LockTimeoutError
from tests.support import obstacles
from tests.support.command import Command
from tests.support.errors import refused
from tests.support.files import written
from tests.support.obstacles import USER as NOBODY
from tests.support.obstacles import as_nobody
from tests.support.requirements import unavailable
from tests.support.waiting import side_by_side


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A directory that every user can reach."""
    directory = tmp_path / "shared"
    directory.mkdir()
    directory.chmod(0o755)
    with obstacles.reachable(tmp_path):
        yield directory
    directory.chmod(0o755)


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """A file that says "one"."""
    return written(tmp_path / "file", "one")


@pytest.fixture
def ours(shared: Path) -> Path:
    """Such a file in the directory that every user can reach."""
    return written(shared / "file", "one", 0o644)


Writer = Callable[[], contextlib.AbstractContextManager[None]]
Owned = tuple[int, int, int]
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another owner")


# --- writing -----------------------------------------------------------------------------------------------------


def test_a_new_file_is_private_and_an_old_one_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomic(str(path), b"one")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"one", 0o600)
    assert {stat.S_IMODE(made.stat().st_mode) for made in path.parents[:2]} == {0o700}
    path.chmod(0o604)
    write_atomic(str(path), b"two")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"two", 0o604)
    write_atomic(str(path), b"three", mode=0o644)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"three", 0o644)
    assert os.listdir(path.parent) == ["file"]


def test_a_reader_who_has_the_old_file_open_keeps_it(one: Path) -> None:
    with one.open("rb") as file:
        write_atomic(str(one), b"two")
        assert file.read() == b"one"


def test_a_write_that_fails_half_way_leaves_the_old_content_and_no_temporary_file(one: Path, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(ConfigError, match="cannot be written: File too large"):
            write_atomic(str(one), b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert one.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("directory", "number"),
    [(False, errno.EIO), (True, errno.EIO), (True, errno.EINVAL)],
    ids=["file", "directory", "no sync of directories"],
)
def test_a_sync_that_fails_is_an_error_unless_the_change_was_made_already(
    one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directory: bool, number: int
) -> None:
    # No disk can be made to fail here, so the system call is.
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) == directory:
            raise OSError(number, os.strerror(number))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    if directory:
        told = write_atomic(str(one), b"two")
        lost = "was made, but may not survive a power failure: Input/output error"
        assert told is None if number == errno.EINVAL else told is not None and lost in told
    else:
        with pytest.raises(ConfigError, match="cannot be written: Input/output error"):
            write_atomic(str(one), b"two")
    assert one.read_bytes() == (b"two" if directory else b"one")
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("path", ["/proc/nothing/milvus.toml", "/dev/null/milvus.toml", "/dev/null/a/milvus.toml"])
def test_a_place_where_nothing_can_be_written_is_named(path: str) -> None:
    with refused(at=path) as caught:
        write_atomic(path, b"x")
    assert caught.value.hint
    with refused("…cannot be locked…"), locked(path, 1.0):
        pass


def test_a_directory_that_may_not_be_written_is_a_clear_error(ours: Path, shared: Path) -> None:
    shared.chmod(0o555)
    with as_nobody():
        remedy = "make the file and its directory writable for this user"
        with refused("…cannot be written: Permission denied", hint=remedy):
            write_atomic(str(ours), b"two")
        with refused("…file.lock cannot be locked: Permission denied"), locked(str(ours), 1):
            pass
    assert ours.read_bytes() == b"one"


# --- owners ------------------------------------------------------------------------------------------------------


@root_only
def test_a_lock_that_root_made_does_not_shut_out_the_owner_of_the_directory(shared: Path) -> None:
    os.chown(shared, NOBODY, NOBODY)
    with locked(str(shared / "file"), 1.0):
        pass
    with as_nobody(), locked(str(shared / "file"), 1.0):
        write_atomic(str(shared / "file"), b"x")


@root_only
@pytest.mark.parametrize(
    ("writer", "file", "directory", "left"),
    [
        # Root leaves a user's file to its owner.
        (contextlib.nullcontext, (NOBODY, NOBODY, 0o640), (0, 0, 0o755), (NOBODY, NOBODY, 0o640)),
        # Where the owner cannot be kept, no other group gets the rights of the old one.
        (as_nobody, (0, 0, 0o664), (0, 0, 0o777), (NOBODY, NOBODY, 0o604)),
        # Where only the group can be kept, it is.
        (as_nobody, (0, NOBODY, 0o664), (NOBODY, 12345, 0o2777), (NOBODY, NOBODY, 0o664)),
    ],
)
def test_owner_group_and_mode_are_kept_as_far_as_they_can_be(
    ours: Path, writer: Writer, file: Owned, directory: Owned, left: Owned
) -> None:
    for path, (user, group, mode) in ((ours, file), (ours.parent, directory)):
        os.chown(path, user, group)
        path.chmod(mode)
    with writer():
        write_atomic(str(ours), b"two")
    status = ours.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == left


@root_only
def test_what_root_makes_in_a_users_directory_is_the_users(shared: Path) -> None:
    """`sudo` keeps HOME on many systems: directories of root's there would shut its owner out."""
    os.chown(shared, NOBODY, 12345)
    path = shared / "config/milvus/milvus.toml"
    with locked(str(path), 1.0):
        write_atomic(str(path), b"x")
    create_file(str(shared / "state/pin.pem"), b"x")
    made = [path, path.parent, path.parent.parent, shared / "state/pin.pem"]
    assert {(one.stat().st_uid, one.stat().st_gid) for one in made} == {(NOBODY, 12345)}
    with as_nobody():
        write_atomic(str(path), b"y")
    # Its own directories stay root's, and so does what it finds there.
    (shared.parent / "roots").mkdir()
    write_atomic(str(shared.parent / "roots/a/b"), b"x")
    assert (shared.parent / "roots/a/b").stat().st_uid == 0


@pytest.mark.security
@root_only
def test_root_gives_no_directory_away_that_it_did_not_make(shared: Path) -> None:
    os.chown(shared, NOBODY, NOBODY)
    (shared / "roots").mkdir(mode=0o700)
    (shared / "roots/secret").write_text("x")
    write_atomic(str(shared / "roots/file"), b"x")
    assert {(shared / name).stat().st_uid for name in ("roots", "roots/secret", "roots/file")} == {0}


# --- what a file has beside its content --------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o400, 0o444, 0o000])
def test_a_file_that_its_owner_made_read_only_is_not_written(shared: Path, mode: int) -> None:
    path = shared / "a file"
    path.write_bytes(b"one")
    os.chown(path, NOBODY if os.geteuid() == 0 else -1, -1)
    os.chown(shared, NOBODY if os.geteuid() == 0 else -1, -1)
    path.chmod(mode)

    writes: list[Callable[[], object]] = [
        lambda: write_atomic(str(path), b"two"),
        lambda: check_writable(str(path)),
        lambda: remove_file(str(path)),
    ]

    def every() -> None:
        for write in writes:
            with refused(f"is read-only (mode {mode:04o})", hint=f"if it may be changed, run `chmod u+w '{path}'`"):
                write()

    every()
    with as_nobody():
        every()
    path.chmod(0o600)
    assert path.read_bytes() == b"one"
    assert [one.name for one in shared.iterdir()] == ["a file"]


def test_the_other_names_of_a_file_are_told(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(b"one")
    assert write_atomic(str(path), b"two") is None
    os.link(path, other)
    told = write_atomic(str(path), b"three")
    assert told == f"{path} has other names (hard links), which still lead to the old text"
    assert (path.read_bytes(), other.read_bytes()) == (b"three", b"two")
    assert write_atomic(str(path), b"four") is None


ACCESS_LIST = struct.pack(
    "<I" + "HHI" * 5, 2,
    1, 6, 0xFFFFFFFF,  # the owner: rw
    2, 4, 12345,  # the user 12345: r
    4, 0, 0xFFFFFFFF, 16, 4, 0xFFFFFFFF, 32, 0, 0xFFFFFFFF,
)  # fmt: skip


def attribute(path: Path, name: str, value: bytes) -> None:
    if not hasattr(os, "setxattr"):
        unavailable("needs extended attributes")
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        unavailable(f"needs a file system with {name}: {error}")


def test_extended_attributes_and_the_access_control_list_are_kept(one: Path) -> None:
    attribute(one, "user.origin", b"\x00kept")
    attribute(one, "system.posix_acl_access", ACCESS_LIST)
    assert write_atomic(str(one), b"two") is None
    assert os.getxattr(one, "user.origin") == b"\x00kept"
    assert os.getxattr(one, "system.posix_acl_access") == ACCESS_LIST
    # A mode that is asked for is the whole of what others may do.
    assert write_atomic(str(one), b"three", mode=0o600) is None
    assert os.listxattr(one) == ["user.origin"]
    assert stat.S_IMODE(one.stat().st_mode) == 0o600


@root_only
def test_an_extended_attribute_that_cannot_be_kept_is_told(ours: Path, shared: Path) -> None:
    attribute(ours, "security.test", b"x")
    attribute(ours, "system.posix_acl_access", ACCESS_LIST)
    os.chown(shared, NOBODY, NOBODY)
    ours.chmod(0o664)
    with as_nobody():
        told = write_atomic(str(ours), b"two")
    assert told == f"{ours} has lost its extended attributes security.test, system.posix_acl_access"
    assert (ours.read_bytes(), ours.stat().st_uid) == (b"two", NOBODY)
    assert os.listxattr(ours) == []


def test_what_is_lost_is_warned_of_and_the_change_is_made(cli: Command) -> None:
    path = cli.own_file('[profiles.a]\nuri = "http://127.0.0.1:1"\n')
    os.link(path, cli.home / "backup.toml")
    outcome = cli("profile", "set", "a", "timeout=5", "--json", status=0)
    assert "hard links" in outcome.error["warning"]
    path.chmod(0o400)
    refused = cli("profile", "set", "a", "timeout=6", "--json", status=3)
    assert (refused.error["location"], refused.error["message"]) == (str(path), "is read-only (mode 0400)")
    assert "timeout = 5" in path.read_text()


def test_a_file_that_is_mounted_by_itself_is_named_with_the_remedy(cli: Command, project: Path) -> None:
    file = written(project / "milvus.toml", '[profiles.a]\nuri = "http://127.0.0.1:1"\n')
    with obstacles.mounted_file(file, project) as seen:
        mounted = Command([*seen.prefix, *cli.program], cli.home, project)
        assert [row["alias"] for row in mounted("profile", "list", "--json", status=0).json] == ["a"]
        outcome = mounted("profile", "set", "a", "timeout=5", "--json", status=3)
        assert "busy" in outcome.error["message"]
        assert outcome.error["hint"].endswith("mount its directory in its place")
        left = {path.name for path in seen.at(project).iterdir()}
    assert left == {".git", "milvus.toml", "milvus.toml.was"}


# --- reading -----------------------------------------------------------------------------------------------------


def test_reading(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\x00\r\n")
    assert read_bytes(str(tmp_path / "file")) == b"\x00\r\n"
    assert read_bytes(str(tmp_path / "none")) is None
    assert read_bytes(str(tmp_path / "no" / "ne")) is None
    with refused("…is a directory"):
        read_bytes(str(tmp_path))
    (tmp_path / "loop").symlink_to("loop")
    with refused("…cannot be read…") as caught:
        read_bytes(str(tmp_path / "loop"))
    assert caught.value.hint
    with refused("…cannot be read: Not a directory"):
        read_bytes(str(tmp_path / "file" / "x"))


def test_a_file_that_may_not_be_read_is_a_clear_error(ours: Path) -> None:
    ours.chmod(0)
    with as_nobody(), refused("…cannot be read: Permission denied", hint="make it readable for this user"):
        read_bytes(str(ours))


# --- the lock ----------------------------------------------------------------------------------------------------


def test_the_lock_keeps_other_threads_out_and_its_file_is_gone_again(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    inside: list[int] = []
    most: list[int] = []
    modes: set[int] = set()

    def work(number: int) -> None:
        for _ in range(20):
            with locked(path, 60.0):
                modes.add(stat.S_IMODE((tmp_path / "file.lock").stat().st_mode))
                inside.append(number)
                most.append(len(inside))
                inside.remove(number)

    side_by_side(work, *zip(range(4)))
    assert (len(most), max(most)) == (80, 1)
    assert os.listdir(tmp_path) == []
    assert modes == {0o600}


def test_a_link_and_its_target_have_one_lock(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    with locked(str(tmp_path / "link"), 1.0), pytest.raises(LockTimeoutError), locked(str(tmp_path / "file"), 0.05):
        pass
    assert os.listdir(tmp_path) == ["link"]


def test_who_waited_for_a_lock_that_is_gone_takes_the_one_that_stands_there(tmp_path: Path) -> None:
    """Two waiters opened the same file; when it is taken away both get its lock, and only one may go on."""
    path = str(tmp_path / "file")
    inside, most = 0, 0
    ready = threading.Barrier(3)

    def wait() -> None:
        nonlocal inside, most
        ready.wait()
        with locked(path, 60.0):
            inside += 1
            most = max(most, inside)
            threading.Event().wait(0.05)
            inside -= 1

    with ThreadPoolExecutor(2) as threads, locked(path, 1.0):
        waiting = [threads.submit(wait) for _ in range(2)]
        ready.wait()
        threading.Event().wait(0.1)
    assert [one.result() for one in waiting] == [None, None]
    assert (inside, most) == (0, 1)
    assert os.listdir(tmp_path) == []


def test_the_lock_of_a_killed_process_is_free_and_goes_with_the_next(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    program = (
        "import sys, time\nfrom milvus_profiles.config.places import locked\n"
        "with locked(sys.argv[1], 1.0):\n    print('held', flush=True)\n    time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(LockTimeoutError), locked(path, 0.05):
            pass
        process.kill()
    assert os.listdir(tmp_path) == ["file.lock"]
    with locked(path, 1.0):
        pass
    assert os.listdir(tmp_path) == []


def test_a_file_that_somebody_called_so_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "file.lock").write_text("precious")
    with locked(str(tmp_path / "file"), 1.0), pytest.raises(LockTimeoutError), locked(str(tmp_path / "file"), 0.05):
        pass
    assert (tmp_path / "file.lock").read_text() == "precious"


@root_only
def test_another_users_lock_is_none(shared: Path) -> None:
    shared.chmod(0o777)
    (shared / "file.lock").touch()
    os.chown(shared / "file.lock", NOBODY, NOBODY)
    os.chown(shared, 12345, 12345)
    with refused("…cannot be locked: it belongs to another user…"), locked(str(shared / "file"), 1):
        pass
    assert (shared / "file.lock").exists()


def test_what_a_killed_writer_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    stale = tmp_path / ".file.0123456789abcdef.tmp"
    kept = {".file.tmp", ".other.0123456789abcdef.tmp", ".file.0123456789abcdeg.tmp", "file.0123456789abcdef.tmp"}
    for name in (*kept, stale.name):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / ".file.1111111111111111.tmp").mkdir()  # not ours, and no reason to fail
    with locked(str(tmp_path / "file"), 1.0):
        assert set(os.listdir(tmp_path)) == kept | {"file.lock", ".file.1111111111111111.tmp"}
