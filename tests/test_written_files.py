"""Every file that the program writes, against everything that may stand in its way.

Each ends in a named error with nothing lost, or in success; a link of an untrusted project is never followed, and
nothing that the program did not write is replaced without asking.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from milvus_profiles.config.atomic import create_file
from tests.support import faults, obstacles
from tests.support.certificates import Certificates
from tests.support.command import Command
from tests.support.files import written
from tests.support.obstacles import PLAIN, Seen
from tests.support.requirements import unavailable
from tests.support.secret_service import KeyringSession

pytestmark = pytest.mark.security

OBSTACLES = ("nothing", "own file", "another file", "link", "dangling link", "FIFO", "device", "directory",
             "another user's file", "full disk", "read-only directory", "read-only mount")  # fmt: skip

WRITTEN, REFUSED, WARNED, ASIDE, ABSENT = "written", "refused", "warned", "aside", "absent"
# What is done, and a warning says that this part of it could not be: WARNED.  Another place was taken: ASIDE.


@dataclass
class World:
    """A home, a project that nobody trusted, and a place elsewhere."""

    base: Path
    certificates: Certificates
    keyring: KeyringSession | None = None
    seen: Seen = PLAIN
    mounts: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.home, self.project, self.outside = (self.base / name for name in ("home", "project", "outside"))

    def command(self, *words: str) -> Command:
        return Command([*self.seen.prefix, *words], self.home, self.project)

    def run(self, *words: str, env: dict[str, str] | None = None) -> tuple[int, str]:
        outcome = self.command(str(obstacles.program()))(*words, env=env, keyring=self.keyring)
        return outcome.returncode, outcome.stderr

    def python(self, text: str, *words: str) -> tuple[int, str]:
        outcome = self.command(sys.executable, "-c", text)(*words)
        return outcome.returncode, outcome.stderr

    def shell(self, text: str) -> tuple[int, str]:
        # The shell itself is not the second user, who cannot enter the directories of every Python.
        words = shlex.join([*self.seen.prefix, str(obstacles.program())])
        outcome = Command(["bash", "-c", f"{words} {text}; exit $?"], self.home, self.project)()
        return outcome.returncode, outcome.stderr


@dataclass(frozen=True)
class Row:
    """A kind of file: where it is, how the program is made to write it, and what becomes of each obstacle.

    `below` is its path in the world, `how` the words of a command or a function, and `own` what the program itself put
    there; what is not in `ends` is written where nothing, or that, stands, and refused elsewhere.
    """

    name: str
    below: str
    how: str | Callable[[World], tuple[int, str]]
    mode: int = 0o600
    own: bytes = b""
    ends: dict[str, str] = field(default_factory=dict)
    needs_keyring: bool = False

    def place(self, world: World) -> Path:
        return world.base / self.below

    def write(self, world: World) -> tuple[int, str]:
        return world.run(*self.how.format(base=world.base).split()) if isinstance(self.how, str) else self.how(world)

    def end(self, obstacle: str) -> str:
        usual = WRITTEN if obstacle in ("nothing", "own file") else REFUSED
        return self.ends.get(obstacle, usual)


TOML = b'[profiles.old]\nuri = "http://127.0.0.1:1"\n'
FOLLOWED = {"link": WRITTEN, "dangling link": WRITTEN}
ADD = "add new --uri http://127.0.0.1:19530"
SEAL = """
import os, sys
from milvus_profiles.config.databases import seal
from milvus_profiles.files.held_directory import HeldDirectory
os.mkdir(sys.argv[1])
with HeldDirectory(sys.argv[1]) as held:
    reason = seal(held, os.environ)
print(f"error: {reason}", file=sys.stderr)
sys.exit(3 if reason else 0)
"""
LITE = """
import sys
from milvus_profiles.errors import MilvusProfilesError
from milvus_profiles.channel.lite import acquire_lite
try:
    acquire_lite(sys.argv[1], None).release()
except MilvusProfilesError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(error.exit_status)
"""


def _pin(world: World) -> tuple[int, str]:
    with faults.tls_without_h2(world.certificates.self_signed_server) as server:
        words = ("profile", "add", "prod", "--uri", f"https://localhost:{server.port}", "--pin-certificate")
        command = world.command(str(obstacles.program()))
        screen = command.tty(*words, "--project-file", answers=[("Trust this certificate?", "y")])
    return screen.returncode, screen.text


def _edit(world: World) -> tuple[int, str]:
    env = {"EDITOR": str(world.outside / "editor"), "TMPDIR": str(world.base / "tmp")}
    command = world.command(str(obstacles.program()))
    screen = command.tty("profile", "edit", "--project-file", env=env, keyring=world.keyring)
    return screen.returncode, screen.text


DOTENV = b"DEBUG=1\nMILVUS_URI=https://dotenv.example\nMILVUS_TOKEN=canary-91c5\n"

STATE = "home/.local/state/milvus"
TRUSTED = json.dumps({"version": 1, "files": {}}).encode()


def _install(world: World) -> tuple[int, str]:
    return world.shell("--install-completion")


ROWS = (
    Row("user file", "home/.config/milvus/milvus.toml", f"{ADD} --user-file", own=TOML, ends=FOLLOWED),
    Row("named file", "named/conf.toml", f"{ADD} --config {{base}}/named/conf.toml", own=TOML, ends=FOLLOWED),
    Row("project file", "project/milvus.toml", f"{ADD} --project-file", own=TOML),
    Row("lock", "project/milvus.toml.lock", f"{ADD} --project-file", ends={"another file": WRITTEN}),
    Row("list of trusted files", f"{STATE}/trust.json", "trust", own=TRUSTED, ends={"another file": ASIDE, **FOLLOWED}),
    Row(
        "profile before", f"{STATE}/previous.json", "use old --project-file", own=b"{}",
        ends=dict.fromkeys(OBSTACLES[5:], WARNED) | {"another file": ASIDE, **FOLLOWED},
    ),
    Row(
        "list of databases", f"{STATE}/databases.json", lambda world: world.python(SEAL, str(world.base / "milvus.db")),
        own=b'{"databases": {}}', ends={"another file": ASIDE, **FOLLOWED},
    ),
    Row(
        "database and its seal", "data/milvus.db", lambda world: world.python(LITE, str(world.base / "data/milvus.db")),
        mode=0o755,
        # Milvus Lite keeps its data in a directory, and this one is its user's own business: links are followed.
        ends={"own file": REFUSED, "dangling link": WRITTEN, "directory": WRITTEN, "full disk": WRITTEN},
    ),
    Row("pinned certificate", "project/prod.pem", _pin, mode=0o644, ends=dict.fromkeys(OBSTACLES[2:9], ASIDE)),
    Row(
        "JUnit report or page", "project/report.xml", "test old --junit report.xml", mode=0o644,
        own=b'<?xml version="1.0"?>\n<testsuites name="milvus-profiles" />\n',
    ),
    Row(
        "import source", "project/.env", "import --from dotenv --yes --force --delete-source --user-file", own=DOTENV,
        # The keyring of these tests is root's, who may write to any directory.
        ends={"nothing": REFUSED, "read-only directory": ABSENT}, needs_keyring=True,
    ),
    # Its name is a random one in a directory of its own; without a directory for it, another one is taken.
    Row(
        "editor's copy", "tmp/unknown", _edit,
        ends=dict.fromkeys(OBSTACLES[1:9], ABSENT) | dict.fromkeys(OBSTACLES[9:], WRITTEN),
    ),
    Row(
        "completion script", "home/.bash_completions/milvus-profiles.sh", _install, mode=0o644,
        own=b"_MILVUS_PROFILES_COMPLETE\n", ends=FOLLOWED,
    ),
    Row(
        "shell's start-up file", "home/.bashrc", _install, mode=0o644, own=b"# mine\n",
        ends={"another file": WRITTEN, **FOLLOWED},
    ),
    # A link there is the user's own: the directory that it names is made, unless it leads to what is none.
    Row(
        "directory on the way", "home/.config/milvus", f"{ADD} --user-file", mode=0o700,
        ends={"own file": REFUSED, "directory": WRITTEN, "dangling link": WRITTEN},
    ),
)  # fmt: skip

ELSEWHERE = {
    "profile of the pytest plugin": "in the directory that pytest made for this test alone (`tmp_path`)",
    "temporary file": "beside each of them, under a random name that nothing can stand at",
}
"""What stands in the table and is in nobody's reach."""

CASES = [(row, obstacle) for row in ROWS for obstacle in OBSTACLES if row.end(obstacle) != ABSENT]


@pytest.fixture
def world(open_directory: Path, certificates: Certificates, request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(open_directory, certificates)
    for directory in (made.home, made.project / ".git", made.outside, open_directory / STATE, open_directory / "tmp"):
        directory.mkdir(parents=True, exist_ok=True)
    (made.project / "milvus.toml").write_bytes(TOML)
    written(made.outside / "editor", '#!/bin/sh\nprintf "# typed\\n" >> "$1"\n', 0o755)
    row = request.node.callspec.params["row"]
    if row.needs_keyring:
        made.keyring = request.getfixturevalue("keyring_session")
    with made.mounts:
        yield made


def stage(row: Row, obstacle: str, world: World) -> None:
    place = row.place(world)
    place.parent.mkdir(parents=True, exist_ok=True)
    if place == world.project / "milvus.toml":
        place.unlink()
    own = world.certificates.self_signed_server.cert.read_bytes() if row.name == "pinned certificate" else row.own
    if place.name == "report.xml" and obstacle == "link":
        own = b""
    if obstacle == "another user's file" and os.geteuid() != 0:
        unavailable("needs root, for a second user")
    disk = obstacle in ("full disk", "read-only directory", "read-only mount")
    # The obstacle itself, and not what happens to stand there, is looked at: a lock that is there needs no room.
    if not (
        disk
        and row.name in ("lock", "pinned certificate", "editor's copy", "database and its seal", "directory on the way")
    ):
        obstacles.lay(obstacle, place, world.outside, own)
    if world.keyring is not None:
        # The keyring is the session's, so the program is root, and the directory one that everybody may write to.
        if obstacle == "another user's file":
            place.parent.chmod(0o1777)
    elif obstacle in ("another user's file", "read-only directory"):
        world.seen = obstacles.as_user(world.base)
        if obstacle == "another user's file":
            os.chown(place, obstacles.OTHER, obstacles.OTHER)
        else:
            place.parent.chmod(0o555)
    if obstacle == "full disk":
        world.seen = world.mounts.enter_context(obstacles.full_disk(place.parent, world.project))
    elif obstacle == "read-only mount":
        world.seen = world.mounts.enter_context(obstacles.read_only_mount(place.parent, world.project))


@pytest.mark.parametrize(("row", "obstacle"), CASES, ids=[f"{row.name}: {obstacle}" for row, obstacle in CASES])
def test_every_file_and_every_obstacle(row: Row, obstacle: str, world: World) -> None:
    stage(row, obstacle, world)
    place = row.place(world)
    seen = world.seen.at(place)
    before = _look(row, world)
    status, said = row.write(world)
    after = _look(row, world)
    lost = {name for name, what in before.items() if after.get(name) != what}
    # Directories that were made on the way may stay.
    new = {name for name in set(after) - set(before) if after[name][0] != "0o40000"}
    end = row.end(obstacle)
    assert "Traceback" not in said
    assert "unexpected" not in said
    assert not [name for name in after if name.endswith(".tmp")]
    if end == REFUSED:
        assert status in (1, 2, 3, 5, 8), said
        assert "error: " in said
        assert not lost
        assert not {name for name in new if not name.startswith(f"{seen}/")}
    elif end == WARNED:
        assert status == 0, said
        assert "warning: `milvus-profiles profile use -` will not go back" in said
        assert not lost | new
    elif end == ASIDE:
        assert status == 0, said
        contents = [content for _, _, _, content in after.values()]
        assert all(before[name][3] in contents for name in lost)
        assert [after[name][1] for name in new] == [row.mode], new
    else:
        assert end == WRITTEN
        assert status in (0, 6), said  # nothing listens where the report is about
        _check_written(row, obstacle, seen, before, after)


def _look(row: Row, world: World) -> obstacles.Snapshot:
    place = row.place(world)
    found = obstacles.snapshot(world.seen.at(place.parent), world.seen.at(world.outside))
    if place.name != "milvus.toml":
        found.pop(str(world.seen.at(world.project / "milvus.toml")), None)
    return found


def _check_written(row: Row, obstacle: str, seen: Path, before: obstacles.Snapshot, after: obstacles.Snapshot) -> None:
    if row.name == "editor's copy":
        assert after == before  # it is gone again
        return
    if obstacle in ("link", "dangling link"):
        assert seen.is_symlink()
        assert after[str(seen)] == before[str(seen)]
        return
    if row.name == "lock" and obstacle in ("nothing", "own file"):
        assert not seen.exists()  # it is gone again
        return
    assert seen.exists()
    if row.name == "import source":
        assert b"canary" not in seen.read_bytes()
        assert b"DEBUG=1\n" in seen.read_bytes()
    elif obstacle == "nothing":
        assert stat.S_IMODE(seen.stat().st_mode) == row.mode
    elif seen.is_file():
        assert stat.S_IMODE(seen.stat().st_mode) == before[str(seen)][1]
    if row.name in ("lock", "shell's start-up file") and str(seen) in before:
        assert after[str(seen)][3].startswith(before[str(seen)][3])


# --- whose link it is ------------------------------------------------------------------------------------------------


def test_a_linked_project_file_is_edited_where_it_is_trusted_and_nowhere_else(
    cli: Command, project: Path, tmp_path: Path
) -> None:
    target = tmp_path / "dotfiles.toml"
    target.write_bytes(TOML)
    (project / "milvus.toml").symlink_to(target)
    refused = cli(*ADD.split())
    assert (refused.returncode, target.read_bytes()) == (5, TOML)
    assert f"milvus-profiles trust {project / 'milvus.toml'}" in refused.stderr
    assert cli("trust").returncode == 0
    assert cli(*ADD.split()).returncode == 0
    assert b"[profiles.new]" in target.read_bytes()
    assert (project / "milvus.toml").is_symlink()
    # And it still is: the edit pinned it again.
    assert cli("profile", "list", "--json").json[0]["trusted"] is True


@pytest.mark.parametrize("below", ["out/report.xml", "./out/../out/report.xml", "{project}/out/report.xml"])
def test_no_directory_of_an_untrusted_project_leads_out_of_it(
    cli: Command, project: Path, tmp_path: Path, below: str
) -> None:
    (project / "milvus.toml").write_bytes(TOML)
    (tmp_path / "elsewhere").mkdir()
    (project / "out").symlink_to(tmp_path / "elsewhere")
    alias = tmp_path / "alias"  # the user's own way into the project
    alias.symlink_to(project)
    for path in (below.format(project=project), below.format(project=alias)):
        outcome = cli("profile", "test", "old", "--junit", path, status=2)
        assert "is a symbolic link, and the project is not trusted" in outcome.stderr
    assert list((tmp_path / "elsewhere").iterdir()) == []
    cli("trust")
    assert cli("profile", "test", "old", "--junit", "out/report.xml").returncode == 6
    assert (tmp_path / "elsewhere/report.xml").exists()


def test_a_link_that_another_user_put_there_is_not_followed(cli: Command, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        unavailable("needs root, for a second user")
    (tmp_path / "target.toml").write_bytes(TOML)
    link = tmp_path / "conf.toml"
    link.symlink_to(tmp_path / "target.toml")
    os.lchown(link, obstacles.OTHER, obstacles.OTHER)
    outcome = cli(*ADD.split(), "--config", link)
    assert (outcome.returncode, (tmp_path / "target.toml").read_bytes()) == (3, TOML)
    assert f"is a symbolic link of another user (uid {obstacles.OTHER})" in outcome.stderr


# --- what was there --------------------------------------------------------------------------------------------------


def test_a_report_takes_the_place_of_something_else_only_when_asked_to(cli: Command, project: Path) -> None:
    (project / "milvus.toml").write_bytes(TOML)
    path = project / "report.xml"
    path.write_text("precious")
    words = ("profile", "test", "old", "--junit", "report.xml")
    alone = cli(*words)
    assert (alone.returncode, alone.stdout, path.read_text()) == (2, "", "precious")
    assert "replace it with --force" in alone.stderr
    declined = cli.tty(*words, answers=[("Replace it?", "n")])
    assert (declined.returncode, path.read_text()) == (1, "precious")
    assert cli.tty(*words, answers=[("Replace it?", "y")]).returncode == 6
    assert "testsuites" in path.read_text()
    assert cli("profile", "test", "old", "--force").returncode == 2


def test_a_certificate_is_pinned_beside_a_file_that_has_its_name(
    cli: Command, project: Path, certificates: Certificates
) -> None:
    (project / "milvus.toml").write_bytes(TOML)
    (project / "prod.pem").write_text("my client certificate")
    with faults.tls_without_h2(certificates.self_signed_server) as server:
        words = ("profile", "add", "prod", "--uri", f"https://localhost:{server.port}", "--pin-certificate")
        for extra in ((), ("--force",)):  # the second time it is there already
            screen = cli.tty(*words, *extra, answers=[("Trust this certificate?", "y")], status=0)
            assert "prod.pem is something else, and is left alone" in screen.text
    assert (project / "prod.pem").read_text() == "my client certificate"
    [pinned] = project.glob("prod-*.pem")
    assert f'ssl = {{ca = "./{pinned.name}"}}' in (project / "milvus.toml").read_text()
    assert pinned.read_text() == certificates.self_signed_server.cert.read_text()


def test_a_file_is_created_where_the_file_system_has_no_second_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No such file system can be mounted here, so the system call fails as it does there.
    def link(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    created = create_file(str(tmp_path / "file"), b"one", mode=0o644)
    assert created is not None
    assert create_file(str(tmp_path / "file"), b"two") is None
    assert ((tmp_path / "file").read_bytes(), os.listdir(tmp_path)) == (b"one", ["file"])
    (tmp_path / "file").unlink()
    (tmp_path / "file").write_bytes(b"somebody else's")
    assert created.remove()
    assert (tmp_path / "file").read_bytes() == b"somebody else's"


# --- what is said is what happened ------------------------------------------------------------------------------------


def test_a_change_that_was_made_is_no_failure_where_it_cannot_be_trusted_again(
    cli: Command, home: Path, project: Path
) -> None:
    (project / "milvus.toml").write_bytes(TOML)
    assert cli("trust").returncode == 0
    lock = home / ".local/state/milvus/trust.json.lock"
    lock.mkdir()
    outcome = cli(*ADD.split(), status=0)
    assert "was changed, but is not trusted any more" in outcome.stderr
    assert b"[profiles.new]" in (project / "milvus.toml").read_bytes()
    assert {row["trusted"] for row in cli("profile", "list", "--json").json} == {False}


def test_what_was_typed_is_kept_however_the_editor_ends(cli: Command, project: Path, tmp_path: Path) -> None:
    (project / "milvus.toml").write_bytes(TOML)
    (tmp_path / "tmp").mkdir()
    editor = written(tmp_path / "editor", '#!/bin/sh\necho "# typed" >>"$1"; echo swap >"$1.swp"; kill -9 $$\n', 0o755)
    env = {"EDITOR": str(editor), "TMPDIR": str(tmp_path / "tmp")}
    screen = cli.tty("profile", "edit", env=env)
    assert (screen.returncode, (project / "milvus.toml").read_bytes()) == (1, TOML)
    kept = Path(screen.text.split("your text is kept in ")[1].splitlines()[0])
    assert kept.read_bytes() == TOML + b"# typed\n"
    assert (stat.S_IMODE(kept.stat().st_mode), stat.S_IMODE(kept.parent.stat().st_mode)) == (0o600, 0o700)
    editor.write_text('#!/bin/sh\necho "# typed" >>"$1"; echo swap >"$1.swp"\n')
    shutil.rmtree(kept.parent)
    cli.tty("profile", "edit", env=env, status=0)
    assert list((tmp_path / "tmp").iterdir()) == []  # what the editor left beside it is gone too
