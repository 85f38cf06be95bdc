"""What stands in place of a file is refused by name, at once: links to devices, FIFOs, sockets, files without end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from milvus_profiles.files.regular_file import FileFault, open_file, read_regular
from tests.support.command import Command, Outcome
from tests.support.files import written
from tests.support.obstacles import fifo, unix_socket
from tests.support.requirements import unavailable

pytestmark = pytest.mark.security


def zero(path: Path) -> None:
    path.symlink_to("/dev/zero")


def kmsg(path: Path) -> None:
    path.symlink_to("/proc/kmsg")


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


OBSTACLES = [fifo, zero, kmsg, unix_socket, huge, Path.mkdir]
WORST = [fifo, zero, kmsg]
obstacles = pytest.mark.parametrize("obstacle", OBSTACLES, ids=lambda obstacle: obstacle.__name__)
worst = pytest.mark.parametrize("obstacle", WORST, ids=lambda obstacle: obstacle.__name__)
Obstacle = Callable[[Path], None]


def put(obstacle: Obstacle, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    obstacle(path)


def assert_named(outcome: Outcome, *statuses: int) -> None:
    assert outcome.returncode in statuses, outcome.stderr
    assert "unexpected" not in outcome.stderr
    assert "Traceback" not in outcome.stderr


# --- the opener ------------------------------------------------------------------------------------------------------


@obstacles
def test_the_opener_refuses_it_and_leaves_nothing_open(tmp_path: Path, obstacle: Obstacle) -> None:
    put(obstacle, tmp_path / "x")
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileFault) as caught:
        read_regular(str(tmp_path / "x"), 1 << 20)
    assert caught.value.reason.startswith(("is ", "cannot be read: "))
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_regular_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for size in (0, 1, 2047, 2048):
        path.write_bytes(b"x" * size)
        assert read_regular(str(path), 2048).content == b"x" * size
    path.write_bytes(b"x" * 2049)
    with pytest.raises(FileFault, match="is larger than 2 KiB"):
        read_regular(str(path), 2048)
    # Those of /proc say that they are empty.
    assert b"Name:" in read_regular("/proc/self/status", 1 << 20).content
    assert read_regular(str(path), 4096).status.st_ino == path.stat().st_ino


def test_a_pipe_is_opened_only_for_those_who_want_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x")
    descriptor, _ = open_file(str(tmp_path / "x"), pipes=True)
    os.close(descriptor)
    with pytest.raises(FileFault, match=r"is not a file but a FIFO \(a pipe\)"):
        open_file(str(tmp_path / "x"))
    with pytest.raises(FileFault, match="is not a file but a device"):
        open_file("/dev/zero", pipes=True)


@pytest.mark.parametrize("name", ["a\0b", "a\ud800", "n" * 300, "/".join(["n" * 200] * 30)])
def test_what_can_be_no_path_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileFault):
        read_regular(f"{tmp_path}/{name}", 1)


# --- in the place of every file that is read -------------------------------------------------------------------------

READERS = ["list", "show", "add x --uri localhost", "set x timeout=3", "profile edit", "use x", "config path",
           "config validate", "trust", "doctor"]  # fmt: skip


@pytest.mark.parametrize(
    ("place", "obstacle"),
    [("project", obstacle) for obstacle in OBSTACLES]
    + [(place, obstacle) for place in ("user", "--config", "variable") for obstacle in WORST[:2]],
)
def test_a_configuration(cli: Command, home: Path, project: Path, obstacle: Obstacle, place: str) -> None:
    path = home / ".config/milvus/milvus.toml" if place == "user" else project / "milvus.toml"
    put(obstacle, path)
    words = ["--config", str(path)] if place == "--config" else []
    env = {"EDITOR": "true", **({"MILVUS_PROFILES_FILE": str(path)} if place == "variable" else {})}
    for reader in READERS:
        outcome = cli(*words, *reader.split(), env=env)
        if place == "variable" and reader == "trust":
            assert outcome.returncode == 2  # which file is trusted is no variable's to say
            continue
        # A link out of a project that is not trusted is refused before anybody looks where it leads.
        assert_named(outcome, 0, 3, 5)
        if not reader.startswith("config") and place != "user":
            assert outcome.returncode in ((3, 5) if place == "project" else (3,)), (reader, outcome.stderr)


@worst
@pytest.mark.parametrize("name", ["trust.json", "previous.json"])
def test_a_state_file(cli: Command, home: Path, project: Path, obstacle: Obstacle, name: str) -> None:
    put(obstacle, home / ".local/state/milvus" / name)
    (project / "milvus.toml").write_text('[profiles.a]\nuri = "localhost"\n[profiles.b]\nuri = "localhost"\n')
    lines = [["profile", "list"], ["profile", "show", "a"], ["config", "path"], ["doctor"], ["trust"], ["untrust"]]
    lines += [["profile", "use", "a", "--project-file"], ["profile", "use", "-", "--project-file"]]
    for line in lines:
        assert_named(cli(*line), 0, 2, 3)


@worst
@pytest.mark.parametrize("name", ["ca", "cert", "key", "file"])
def test_a_certificate_and_a_secret(cli: Command, project: Path, obstacle: Obstacle, name: str) -> None:
    put(obstacle, project / "x")
    field = "token = { file" if name == "file" else "ssl = { cert = 'x', key" if name == "key" else f"ssl = {{ {name}"
    if name == "cert":
        field = "ssl = { key = 'x', cert"
    cli.own_file(f'[profiles.a]\nuri = "https://127.0.0.1:1"\n{field} = "{project}/x" }}\n')
    lines = [["profile", "list"], ["profile", "show"], ["config", "validate"], ["export", "--to", "java", "a"]]
    for line in [*lines, ["profile", "test", "--timeout", "2"], ["secret", "status", "a"]]:
        assert_named(cli(*line), 0, 3, 4, 6, 7)


@obstacles
def test_the_file_of_another_tool(cli: Command, project: Path, obstacle: Obstacle) -> None:
    put(obstacle, project / "x")
    (project / "credentials").write_text("[default]\napi_key = x\n")
    put(obstacle, project / "config")
    lines = [["import", "--from", name, "x"] for name in ("milvus-cli", "dotenv", "zilliz", "attu", "pymilvus-uri")]
    for line in [*lines, ["import", "--from", "zilliz", "credentials"]]:
        assert_named(cli(*line), 3)


@worst
@pytest.mark.parametrize("name", [".git/index", ".git", ".env"])
def test_what_is_looked_at_beside_it(cli: Command, project: Path, obstacle: Obstacle, name: str) -> None:
    if name == ".git":
        (project / ".git").rmdir()
    put(obstacle, project / name)
    file = project / "milvus.toml"
    written(file, '[profiles.a]\nuri = "https://127.0.0.1:1"\ntoken = "x"\n')
    for line in [["profile", "list"], ["config", "validate"], ["doctor"]]:
        assert_named(cli(*line), 0, 3)


CONNECTING = """\
import milvus_profiles as mp

try:
    mp.connect("a", timeout=2)
except mp.MilvusProfilesError as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize("obstacle", [fifo, zero], ids=lambda obstacle: obstacle.__name__)
def test_the_certificates_that_grpc_trusts_by_default(
    cli: Command, home: Path, project: Path, obstacle: Obstacle
) -> None:
    """Which gRPC would read itself, where nobody can interrupt it."""
    put(obstacle, project / "roots.pem")
    (project / "milvus.toml").write_text('[profiles.a]\nuri = "https://127.0.0.1:1"\n')
    env = {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(project / "roots.pem")}
    connected = Command([sys.executable, "-c", CONNECTING], home, project)(env=env, timeout=30)
    assert connected.stdout.split() == ["ConfigError"], connected.stderr
    assert_named(cli("profile", "test", "a", "--timeout", "2", env=env, timeout=30), 3, 6, 7)


@worst
def test_completion(cli: Command, project: Path, obstacle: Obstacle) -> None:
    put(obstacle, project / "milvus.toml")
    asked = {
        "_MILVUS_PROFILES_COMPLETE": "complete_bash",
        "COMP_WORDS": "milvus-profiles profile show ",
        "COMP_CWORD": "3",
    }
    outcome = cli(env=asked, timeout=20)
    assert (outcome.stdout.strip(), outcome.stderr) == ("", "")


def test_a_file_without_end_takes_no_memory(cli: Command, project: Path) -> None:
    if sys.platform != "linux":
        unavailable("needs /dev/zero and a limit of memory")
    (project / "milvus.toml").symlink_to("/dev/zero")
    limited = Command(["sh", "-c", 'ulimit -v 2000000; exec "$@"', "sh", *cli.program], cli.home, cli.cwd)
    for words in (["profile", "list"], ["profile", "add", "x", "--uri", "localhost"], ["profile", "edit"]):
        outcome = limited(*words, env={"EDITOR": "true"})
        assert (outcome.returncode, "is not a file but a device" in outcome.stderr) == (3, True) or (
            outcome.returncode == 5 and "is a symbolic link, and the project is not trusted" in outcome.stderr
        )
