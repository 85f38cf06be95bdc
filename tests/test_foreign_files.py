"""Whose a file is, and where there is no home: what is somebody else's, or could be, counts for nothing."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import milvus_profiles as mp
from milvus_profiles.config.locations import find_project_file, state_directory, user_file
from milvus_profiles.files.paths import absolute_path, fault_of, home_directory, own_users
from tests.support.command import Command, Outcome
from tests.support.files import written
from tests.support.requirements import need, unavailable

pytestmark = pytest.mark.security

STRANGER = 12345
GOOD = '[profiles.good]\nuri = "http://127.0.0.1:1"\n'
EVIL = 'default_profile = "evil"\n[profiles.evil]\nuri = "http://127.0.0.1:1"\n'
BROKEN = "[profiles.evil\n"


@pytest.fixture
def root() -> None:
    if os.geteuid() != 0:
        unavailable("needs root, to give files away")


@pytest.fixture
def own(home: Path) -> Path:
    return written(home / ".config/milvus/milvus.toml", GOOD)


def warned(outcome: Outcome) -> list[str]:
    return [json.loads(line)["warning"] for line in outcome.stderr.splitlines()]


def aliases(outcome: Outcome) -> list[str]:
    assert outcome.returncode == 0, outcome.stderr
    return [row["alias"] for row in outcome.json]


# --- a project file that is somebody else's --------------------------------------------------------------------------


def plant(project: Path, how: str, text: str) -> tuple[Path, str]:
    """A project file that could be somebody else's work; the directory to stand in, and what is at fault."""
    file = project / "milvus.toml"
    file.write_text(text)
    below = project / "sub"
    below.mkdir()
    shutil.rmtree(project / ".git")
    (elsewhere := project / "elsewhere").mkdir()
    target = (elsewhere if "open" in how else project) / "real.toml"
    if how == "link" or "target" in how:
        file.rename(target)
        file.symlink_to(target.relative_to(project))
    if how == "sticky":
        project.chmod(0o1777)
    if "open" in how:
        (elsewhere if "target" in how else project).chmod(0o777)
        return below, "can be written to by every user"
    foreign = {"directory": project, "target": target}.get(how, file)
    os.chown(foreign, STRANGER, -1, follow_symlinks=False)
    return below, f"belongs to another user (uid {STRANGER})"


HOWS = ["file", "directory", "open directory", "sticky", "link", "target", "target in an open directory"]


@pytest.mark.usefixtures("root", "own")
@pytest.mark.parametrize("text", [EVIL, BROKEN], ids=["evil", "broken"])
@pytest.mark.parametrize("how", HOWS)
def test_it_is_not_read_whatever_stands_in_it(cli: Command, project: Path, how: str, text: str) -> None:
    below, reason = plant(project, how, text)
    cli = Command(cli.program, cli.home, below, cli.server)
    lines = ["list", "show", "doctor", "config path", "show evil", "add mine --uri localhost", "trust"]
    listed, shown, doctor, path, missing, added, edited = (cli(*line.split(), "--json") for line in lines)
    assert aliases(listed) == ["good"]
    [said] = warned(listed)
    assert said.startswith(f"{project}/milvus.toml is not read: ")
    assert reason in said
    assert f"MILVUS_PROFILES_FILE={project}/milvus.toml" in said
    assert shown.json["alias"] == "good"
    findings = [one for one in doctor.json["findings"] if one["name"] == "files" and one["status"] == "warning"]
    assert [reason in one["detail"] for one in findings] == [True]
    assert [row["role"] for row in path.json] == ["user"]
    assert missing.returncode == 3
    assert f"{project}/milvus.toml is not read" in missing.error["hint"]
    assert added.json["file"] == str(cli.user_file)
    assert edited.returncode == 3
    assert edited.error["location"] == f"{project}/milvus.toml"


@pytest.mark.usefixtures("root", "own")
def test_it_hides_no_file_above_it(cli: Command, project: Path) -> None:
    shutil.rmtree(project / ".git")
    (project / "milvus.toml").write_text('[profiles.ours]\nuri = "localhost"\n')
    below = project / "sub"
    below.mkdir()
    (below / "milvus.toml").write_text(EVIL)
    os.chown(below / "milvus.toml", STRANGER, -1)
    found, passed = find_project_file(str(below), cli.environment())
    assert found == f"{project}/milvus.toml"
    assert [one.path for one in passed] == [f"{below}/milvus.toml"]
    cli("profile", "add", "x", "--uri", "localhost", "--project-file", cwd=below, status=0)
    assert "[profiles.x]" in (project / "milvus.toml").read_text()


@pytest.mark.usefixtures("root", "own")
def test_it_is_not_edited_where_one_stands_and_who_names_it_reads_it(cli: Command, project: Path) -> None:
    (project / "milvus.toml").write_text(EVIL)
    os.chown(project / "milvus.toml", STRANGER, -1)
    outcome = cli("profile", "add", "x", "--uri", "localhost", "--project-file", "--json", status=3)
    assert "belongs to another user" in outcome.error["message"]
    assert (project / "milvus.toml").read_text() == EVIL
    assert aliases(cli("--config", "milvus.toml", "profile", "list", "--json")) == ["evil"]
    assert aliases(cli("profile", "list", "--json", env={"MILVUS_PROFILES_FILE": "milvus.toml"})) == ["evil"]


@pytest.mark.usefixtures("root", "own")
@pytest.mark.parametrize(("caller", "read"), [(str(STRANGER), True), ("54321", False), ("", False), ("x", False)])
def test_under_sudo_the_files_of_the_user_who_called_it_are_read(
    cli: Command, project: Path, caller: str, read: bool
) -> None:
    (project / "milvus.toml").write_text(EVIL)
    for path in (project, project / "milvus.toml"):
        os.chown(path, STRANGER, -1)
    names = aliases(cli("profile", "list", "--json", env={"SUDO_UID": caller}))
    assert names == (["evil", "good"] if read else ["good"])


@pytest.mark.usefixtures("root")
def test_another_user_reads_roots_file_and_not_a_third_ones(open_directory: Path) -> None:
    """In a process of another user: SUDO_UID says nothing there."""
    file = written(open_directory / "milvus.toml", EVIL, 0o644)
    for owner, found in ((0, True), (STRANGER, True), (54321, False)):
        os.chown(file, owner, -1)
        pid = os.fork()
        if pid == 0:
            status = 2
            try:
                os.setuid(STRANGER)
                env = {"HOME": "/nowhere", "SUDO_UID": "54321"}
                status = 0 if (find_project_file(str(open_directory), env)[0] is not None) is found else 1
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, owner


def test_who_is_believed(tmp_path: Path) -> None:
    assert own_users({}) == frozenset({os.geteuid(), 0})
    assert fault_of(str(tmp_path / "none"), own_users({})) is None
    tmp_path.chmod(0o777)
    assert fault_of(str(tmp_path), own_users({})) is not None
    tmp_path.chmod(0o1777)
    assert fault_of(str(tmp_path), own_users({})) is None
    assert fault_of("/", None) is None


# --- the user's own places -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("place", [".config", ".config/milvus", ".config/milvus/milvus.toml"])
def test_a_file_of_the_user_that_is_somebody_elses_is_not_read(cli: Command, own: Path, place: str) -> None:
    own.write_text(BROKEN)
    os.chown(cli.home / place, STRANGER, -1)
    lines = ["list", "show good", "add x --uri localhost", "doctor"]
    listed, missing, added, doctor = (cli(*line.split(), "--json") for line in lines)
    assert aliases(listed) == []
    assert "belongs to another user" in warned(listed)[0]
    for refused in (missing, added):
        assert refused.returncode == 3
        assert "belongs to another user" in refused.error["message"] + refused.error["hint"]
    assert any("belongs to another user" in one["detail"] for one in doctor.json["findings"])
    assert own.read_text() == BROKEN


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("how", ["foreign", "open"])
@pytest.mark.parametrize("place", [".local", ".local/state", ".local/state/milvus"])
def test_a_state_directory_that_is_somebody_elses_is_not_used(
    cli: Command, home: Path, project: Path, place: str, how: str
) -> None:
    (project / "milvus.toml").write_text(
        '[profiles.a]\nuri = "localhost"\ntoken = { env = "X" }\n[profiles.b]\nuri = "localhost"\n'
    )
    state = home / ".local/state/milvus"
    state.mkdir(parents=True, mode=0o700)
    entry = home / place
    if how == "foreign":
        os.chown(entry, STRANGER, -1)
    else:
        entry.chmod(0o777)
    refused, used, doctor = (cli(*line.split(), "--json") for line in ("trust", "use b --project-file", "doctor"))
    assert refused.returncode == 3
    assert "the state directory is not used" in refused.error["message"]
    assert str(entry) in refused.error["message"]
    assert used.returncode == 0
    assert any("`milvus-profiles profile use -` will not go back" in line for line in warned(used))
    assert os.listdir(state) == []
    assert any(one["status"] == "failed" and str(entry) in one["detail"] for one in doctor.json["findings"])


@pytest.mark.usefixtures("root")
def test_a_list_that_a_stranger_left_in_a_sticky_directory_trusts_nothing(
    cli: Command, home: Path, project: Path
) -> None:
    (project / "milvus.toml").write_text('[profiles.a]\nuri = "localhost"\ntoken = { env = "X" }\n')
    assert cli("trust").returncode == 0
    state = home / ".local/state/milvus"
    state.chmod(0o1777)
    assert cli("profile", "list", "--json").json[0]["trusted"] is True
    (state / "trust.json").rename(state / "real.json")
    (state / "trust.json").symlink_to("real.json")
    assert cli("profile", "list", "--json").json[0]["trusted"] is True
    os.chown(state / "trust.json", STRANGER, -1, follow_symlinks=False)
    assert cli("profile", "list", "--json").json[0]["trusted"] is False


# --- no home ---------------------------------------------------------------------------------------------------------

MARKER_COMMAND = """\
default_profile = "evil"
keyring_backends = ["evil.Keyring"]
[profiles.evil]
uri = "http://127.0.0.1:1"
token = { command = ["touch", "marker"] }
"""


def trap(project: Path) -> None:
    """Everything that a wrong idea of the home directory could lead to: here, in `~`, and in `.`."""
    for base in (project, project / "~", project / "rel"):
        for name in ("milvus", "python_keyring"):
            (base / ".config" / name).mkdir(parents=True, exist_ok=True)
            (base / name).mkdir(exist_ok=True)
        (base / ".config/milvus/milvus.toml").write_text(MARKER_COMMAND)
        (base / "milvus/milvus.toml").write_text(MARKER_COMMAND)
        for directory in (base / ".config/python_keyring", base / "python_keyring"):
            (directory / "keyringrc.cfg").write_text(
                f"[backend]\ndefault-keyring=evil.Keyring\nkeyring-path={project}/evil\n"
            )
    (project / "evil").mkdir()
    (project / "evil/evil.py").write_text(f"open({str(project / 'marker')!r}, 'w').close()\nclass Keyring: pass\n")


def files(directory: Path) -> set[str]:
    return {str(path) for path in directory.rglob("*") if "__pycache__" not in path.parts}


@pytest.fixture
def homeless(cli: Command, project: Path) -> Iterator[Command]:
    trap(project)
    before = files(project)
    yield cli
    assert files(project) == before


HOMES: dict[str, dict[str, str]] = {
    "empty": {"HOME": ""},
    "relative": {"HOME": "rel"},
    "dot": {"HOME": "."},
    "tilde": {"HOME": "~"},
    "XDG too": {"HOME": "rel", "XDG_CONFIG_HOME": "rel", "XDG_STATE_HOME": "rel", "XDG_DATA_HOME": "rel"},
    "XDG tilde": {"HOME": "", "XDG_CONFIG_HOME": "~/.config", "XDG_STATE_HOME": "~"},
}


def check_homeless(homeless: Command, env: dict[str, str | None]) -> None:
    lines = ["list", "show", "test evil", "add x --uri localhost", "use x", "--config named.toml use named",
             "trust named.toml", "untrust named.toml", "doctor", "config path",
             "--config named.toml import --from milvus-cli", "--config ~/milvus.toml list",
             "--config named.toml secret status kept"]  # fmt: skip
    named = written(
        homeless.cwd / "named.toml",
        'default_profile = "named"\n[profiles.named]\nuri = "~/x.db"\n[profiles.kept]\nuri = "https://h"\nuser = "u"\n',
        0o644,
    )
    try:
        found = [homeless(*line.split(), "--json", env=env) for line in lines]
    finally:
        named.unlink()
    for line, outcome in zip(lines, found, strict=True):
        assert "unexpected" not in outcome.stderr, (line, outcome.stderr)
        assert outcome.returncode != 1, (line, outcome.stderr)
    listed, shown, tested, added, _, _, trusted, _, doctor, _, imported, tilde, kept = found
    assert aliases(listed) == []
    for refused, words in (
        (shown, "there is no file of your own, since "),
        (tested, "there is no file of your own, since "),
        (added, "there is no place for a file of your own"),
        (trusted, "there is no place to remember that"),
        (imported, "is looked for in the home directory"),
        (tilde, "begins with ~, and there is no home directory"),
    ):
        assert refused.returncode == 3, refused.stderr
        error = refused.error
        assert words in f"{error['message']} {error['hint']}"
        assert "set HOME" in error["hint"]
    assert any(one["name"] == "home" and one["status"] == "warning" and "no home directory" in one["detail"]
               for one in doctor.json["findings"])  # fmt: skip
    assert kept.returncode == 4
    assert "the keyring is not asked" in kept.error["message"]


@pytest.mark.parametrize("name", HOMES)
def test_without_a_home_nothing_here_becomes_one(homeless: Command, name: str) -> None:
    check_homeless(homeless, {**HOMES[name]})


@pytest.mark.usefixtures("root")
def test_a_home_that_is_somebody_elses_is_none(homeless: Command, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / ".config/milvus").mkdir(parents=True)
    (other / ".config/milvus/milvus.toml").write_text(MARKER_COMMAND)
    os.chown(other, STRANGER, -1)
    check_homeless(homeless, {"HOME": str(other)})
    os.chown(other, 0, -1)
    other.chmod(0o777)
    check_homeless(homeless, {"HOME": str(other)})


@pytest.mark.usefixtures("root")
def test_a_user_without_home_and_without_an_entry_in_passwd(cli: Command, project: Path, open_directory: Path) -> None:
    """Docker's `--user 12345`: the program runs as a number."""
    need("setpriv")
    shutil.copytree(project, open_directory / "project")
    os.chmod(open_directory / "project", 0o755)
    trap(open_directory / "project")
    for path in [open_directory, *open_directory.rglob("*")]:
        os.chown(path, STRANGER, STRANGER)
    before = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"]
    homeless = Command([*before, *cli.program], cli.home, open_directory / "project")
    probe = Command([*before, sys.executable, "-c", "import milvus_profiles"], cli.home, open_directory / "project")
    if probe(env={"HOME": None}).returncode != 0:
        unavailable("needs an interpreter that every user may read")
    kept = files(open_directory)
    check_homeless(homeless, {"HOME": None})
    assert files(open_directory) == kept


def test_the_places_without_a_home() -> None:
    for home in ("", "rel", ".", "~", "a\0b", "/a\0b"):
        env = {"HOME": home, "XDG_CONFIG_HOME": "rel", "XDG_STATE_HOME": ""}
        assert home_directory(env) is None
        assert user_file(env) is None
        assert state_directory(env) is None
        assert find_project_file("/", env) == (None, ())
    env = {"HOME": "", "XDG_CONFIG_HOME": "/x", "XDG_STATE_HOME": "/y"}
    assert (user_file(env), state_directory(env)) == ("/x/milvus/milvus.toml", "/y/milvus")


def test_a_tilde_without_a_home_is_one_profiles_trouble(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "rel")
    written(
        project / "named.toml",
        '[profiles.good]\nuri = "localhost"\n[profiles.lite]\nuri = "~/x.db"\n'
        '[profiles.unix]\nuri = "unix:~no-such-user/x"\n[profiles.ca]\nuri = "https://h"\nssl = { ca = "~/x" }\n'
        '[profiles.file]\nuri = "h"\ntoken = { file = "~no-such-user/x" }\n',
    )
    profiles = mp.load(project / "named.toml")
    assert profiles["good"].uri == "localhost"
    for alias in ("lite", "unix", "ca", "file"):
        with pytest.raises(mp.ConfigError, match="begins with ~"):
            _ = profiles[alias]


@pytest.mark.parametrize("path", ["~", "~/x", "~no-such-user/x", "a\0b", "~\0x", "a\ud800", "x/" * 4000])
def test_what_can_be_no_path_is_refused_by_name(path: str) -> None:
    with pytest.raises(mp.ConfigError, match="a path "):
        absolute_path(path, base="/b", home="")
