"""Files with secrets that others can read, change or clone: said once, refused where they could have been changed."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import milvus_profiles as mp
from milvus_profiles.config.documents import exposure, file_warnings, read_document
from milvus_profiles.config.git_index import is_tracked
from milvus_profiles.config.loading import load
from milvus_profiles.errors import ConfigError, UntrustedError
from milvus_profiles.files.paths import has_modes
from tests.support.command import Command
from tests.support.environment import run_python
from tests.support.errors import refused
from tests.support.faults import recorder
from tests.support.files import written
from tests.support.world import World

CANARY = "canary-5c1e"
LITERAL = f'[profiles.prod]\nuri = "http://127.0.0.1:1"\ntoken = "{CANARY}"\n'


@pytest.fixture
def user_file(world: World) -> Path:
    world.user(LITERAL)
    return world.user_file


def warnings_of(stderr: str) -> list[str]:
    return [json.loads(line)["warning"] for line in stderr.splitlines() if "warning" in json.loads(line)]


# --- permissions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (0o644, "can be read by every user of this machine (mode 0644)"),
        (0o604, "can be read by every user of this machine (mode 0604)"),
        (0o640, "can be read by its group (mode 0640)"),
        (0o660, "can be changed by its group (mode 0660)"),
        (0o620, "can be changed by its group (mode 0620)"),
    ],
)
def test_a_readable_file_with_a_literal_token_is_warned_of_and_used(
    user_file: Path, world: World, mode: int, words: str
) -> None:
    user_file.chmod(mode)
    profiles = world.load()
    assert file_warnings(profiles.documents) == (
        f"{user_file} holds a token or password and {words}: run `chmod 600 {user_file}`",
    )
    assert profiles.use("prod").profile.auth == "inline"


@pytest.mark.parametrize("mode", [0o666, 0o602, 0o622, 0o777, 0o646])
def test_a_file_with_a_literal_token_that_anybody_can_change_is_refused(
    user_file: Path, world: World, mode: int
) -> None:
    user_file.chmod(mode)
    profiles = world.load()
    assert profiles["prod"].auth == "inline"
    remedy = f"run `chmod 600 {user_file}`"
    with refused("…can be changed by every user…", at=f"{user_file}:1:11", hint=remedy) as caught:
        profiles.use("prod")
    assert caught.value.exit_status == 3
    assert CANARY not in str(caught.value)
    user_file.chmod(0o600)  # which is enough also for a program that has read the file before
    assert world.load().use("prod").profile.alias == "prod"


def test_a_password_counts_as_a_token_does_and_so_does_the_profile_of_another(user_file: Path, world: World) -> None:
    written(
        user_file,
        '[profiles.safe]\nuri = "localhost"\n[profiles.prod]\nuri = "localhost"\nuser = "u"\npassword = "canary"\n',
        0o666,
    )
    with refused("…changed by every user…", at=f"{user_file}:3:11"):
        world.load().use("safe")


@pytest.mark.parametrize(
    "token", ["{ keyring = true }", '{ env = "NAME" }', '{ file = "secret" }', '{ command = ["op"] }']
)
def test_without_a_literal_secret_others_may_read_and_may_not_write(user_file: Path, world: World, token: str) -> None:
    written(user_file, f'[profiles.prod]\nuri = "localhost"\ntoken = {token}\n', 0o664)
    profiles = world.load()
    assert file_warnings(profiles.documents) == ()
    assert profiles.use("prod").profile.alias == "prod"
    # They could put a program there.
    user_file.chmod(0o646)
    profiles = world.load()
    said = f"{user_file} can be changed by every user of this machine, who could have it run a program (mode 0646)"
    assert file_warnings(profiles.documents) == (f"{said}: run `chmod o-w {user_file}`",)
    with refused("…who could have it run a program…", at=user_file):
        profiles.use("prod")


def test_a_named_file_that_anybody_can_change_is_refused_and_an_untrusted_one_is_nobodys_word(world: World) -> None:
    path = written(world.project_file, '[profiles.prod]\nuri = "localhost"\n', 0o666)
    with refused("…can be changed by every user…", hint=f"run `chmod o-w {path}`"):
        world.load(path).use("prod")
    assert world.load().use("prod").profile.alias == "prod"


def test_keyrings_that_anybody_could_have_named_are_not_used(user_file: Path, world: World) -> None:
    user_file.write_text('keyring_backends = ["some.module"]\n[profiles.prod]\nuri = "localhost"\n')
    assert world.load().settings.keyring_backends == ["some.module"]
    user_file.chmod(0o666)
    assert world.load().settings.keyring_backends == []


def test_the_mode_is_that_of_what_a_link_leads_to(user_file: Path, world: World) -> None:
    real = world.home / "dotfiles.toml"
    user_file.rename(real)
    user_file.symlink_to(real)
    real.chmod(0o646)
    with pytest.raises(ConfigError, match="mode 0646"):
        world.load().use("prod")


def test_a_profile_of_the_environment_or_of_the_call_does_not_depend_on_the_file(user_file: Path, world: World) -> None:
    user_file.chmod(0o666)
    profiles = world.load(MILVUS_URI="http://localhost", MILVUS_CONN_ALIAS="prod")
    assert profiles.use("prod").profile.auth == "none"
    assert profiles.anonymous({"uri": "localhost"}).profile.auth == "none"


MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
23 22 254:1 / /mnt/stick rw,relatime shared:1 master:2 - vfat /dev/sdb1 rw,fmask=0000
24 22 0:77 / /mnt/c rw - 9p C:\\134 rw
"""


@pytest.mark.parametrize(("device", "answer"), [((254, 0), True), ((254, 1), False), ((0, 77), False), ((9, 9), True)])
def test_a_file_system_without_modes_is_known_by_its_mount(device: tuple[int, int], answer: bool) -> None:
    assert has_modes(os.makedev(*device), MOUNTS) is answer
    # One of which nothing is known has them.
    assert has_modes(os.makedev(*device), "garbage\n\n1 2 254:1 - \n")
    assert has_modes(None)
    assert has_modes(os.stat("/").st_dev)


def test_where_there_are_no_modes_a_warning_names_the_keyring_and_nothing_is_refused(user_file: Path) -> None:
    user_file.chmod(0o777)
    document = read_document(str(user_file), "user")
    without_modes = exposure(dataclasses.replace(document, device=os.makedev(254, 1)), MOUNTS)
    assert without_modes is not None
    assert not without_modes.refused
    assert "secret set" in without_modes.hint


def test_commands_that_look_warn_once_and_keep_stdout_clean(cli: Command, user_file: Path, project: Path) -> None:
    user_file.chmod(0o666)
    for words in (["profile", "list"], ["profile", "show", "prod"]):
        outcome = cli(*words, "--json", status=0)
        assert outcome.json
        (warning,) = warnings_of(outcome.stderr)
        assert "can be changed by every user" in warning
        assert f"chmod 600 {user_file}" in warning
        plain = cli(*words)
        assert plain.stderr.count("warning:") == 1
        assert "warning" not in plain.stdout
        assert CANARY not in outcome.stdout + outcome.stderr + plain.stdout + plain.stderr
    # `show` warns of the file in question only.
    (project / "milvus.toml").write_text('[profiles.other]\nuri = "localhost"\n')
    assert "warning" not in cli("profile", "show", "other").stderr
    assert cli("profile", "list").stderr.count("warning:") == 1


def test_validate_warns_of_what_is_used_and_fails_on_what_is_refused(cli: Command, user_file: Path) -> None:
    user_file.chmod(0o640)
    outcome = cli("config", "validate", "--json", status=0)
    assert len(warnings_of(outcome.stderr)) == 1
    user_file.chmod(0o646)
    outcome = cli("config", "validate", "--json", status=3)
    assert outcome.stdout == ""
    assert outcome.error["location"] == f"{user_file}:1:11"
    assert outcome.error["hint"] == f"run `chmod 600 {user_file}`"


# --- git -------------------------------------------------------------------------------------------------------------


def git(directory: Path, *words: str) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": "/nowhere", "GIT_CONFIG_NOSYSTEM": "1"}
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always"]
    subprocess.run(["git", "-C", directory, *identity, *words], env=environment, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    file = written(tmp_path / "repository/milvus.toml", LITERAL)
    git(file.parent, "init", "--quiet")
    return file.parent


def commit(directory: Path) -> None:
    for name in ("a", "milvus.tom", "milvus.tomm", "sub/milvus.toml", "sub/deep/x", "z" * 200):
        written(directory / name, name)
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--message", "all")


def test_validate_warns_of_a_literal_secret_in_a_project_and_says_if_git_tracks_it(
    cli: Command, repository: Path
) -> None:
    before = cli("config", "validate", "--json", cwd=repository)
    assert before.returncode == 0
    (warning,) = warnings_of(before.stderr)
    assert warning.startswith(f"{repository}/milvus.toml holds a token or password, and goes where the project goes")
    assert "milvus-profiles secret set prod" in warning
    commit(repository)
    outcome = cli("config", "validate", "--json", cwd=repository, status=0)
    (warning,) = warnings_of(outcome.stderr)
    assert warning.startswith(f"{repository}/milvus.toml holds a token or password and git tracks it")
    assert "milvus-profiles secret set prod" in warning
    (repository / "milvus.toml").write_text('[profiles.prod]\nuri = "localhost"\n')
    assert cli("config", "validate", "--json", cwd=repository).stderr == ""


@pytest.mark.parametrize("version", ["2", "3", "4"])
def test_every_version_of_the_index_is_read_with_names_longer_than_it_has_a_length_for(
    repository: Path, version: str
) -> None:
    commit(repository)
    # No file system here takes such a name, an index does; it sorts before the one that is asked for.
    empty = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    git(repository, "update-index", "--add", "--cacheinfo", f"100644,{empty},{'b/' * 3000}c")
    if version == "3":  # which git writes where an entry has one of the flags that version 2 has no room for
        (repository / "later").write_text("")
        git(repository, "add", "--intent-to-add", "later")
    else:
        git(repository, "update-index", "--index-version", version)
    assert (repository / ".git/index").read_bytes()[7] == int(version)
    assert is_tracked(str(repository / "milvus.toml"))
    assert is_tracked(str(repository / "sub/milvus.toml"))
    assert is_tracked(str(repository / ("z" * 200)))
    for stranger in ("other", "milvus", "sub", "sub/deep", "sub/deep/milvus.toml"):
        assert not is_tracked(str(repository / stranger))


def test_a_repository_with_sha256_is_read(tmp_path: Path) -> None:
    directory = written(tmp_path / "modern/milvus.toml", LITERAL).parent
    git(directory, "init", "--quiet", "--object-format=sha256")
    assert not is_tracked(str(directory / "milvus.toml"))
    commit(directory)
    assert is_tracked(str(directory / "milvus.toml"))
    git(directory, "update-index", "--index-version", "4")
    assert is_tracked(str(directory / "milvus.toml"))


def test_a_further_work_tree_and_a_submodule_have_their_index_elsewhere(repository: Path, tmp_path: Path) -> None:
    commit(repository)
    git(repository, "worktree", "add", "--quiet", str(tmp_path / "second"))
    assert is_tracked(str(tmp_path / "second/milvus.toml"))
    (tmp_path / "second/new.toml").write_text("x")
    assert not is_tracked(str(tmp_path / "second/new.toml"))
    parent = tmp_path / "parent"
    parent.mkdir()
    git(parent, "init", "--quiet")
    git(parent, "submodule", "--quiet", "add", str(repository), "inner")
    assert is_tracked(str(parent / "inner/milvus.toml"))


def test_a_link_out_of_the_repository_is_not_the_file_that_git_has(repository: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.toml"
    (repository / "milvus.toml").rename(outside)
    (repository / "milvus.toml").symlink_to(outside)
    commit(repository)
    assert not is_tracked(str(repository / "milvus.toml"))


def test_dotfiles_that_are_linked_into_place_are_tracked(repository: Path, home: Path) -> None:
    commit(repository)
    (home / "milvus.toml").symlink_to(repository / "milvus.toml")
    assert is_tracked(str(home / "milvus.toml"))


@pytest.mark.parametrize(
    "index",
    [
        b"",
        b"DIRC",
        b"DIRC\0\0\0\x02\xff\xff\xff\xff",
        b"DIRC\0\0\0\x02\0\0\0\x01" + b"\0" * 62 + b"milvus.toml",
        b"DIRC\0\0\0\x04\0\0\0\x01" + b"\0" * 62 + b"\xff" * 100,
        b"DIRC\0\0\0\x04\0\0\0\x01" + b"\0" * 60 + b"\0\x0b\x05milvus.toml\0",
        b"DIRC\0\0\0\x09\0\0\0\x01" + b"\0" * 80,
        b"DIRC\0\0\0\x02\0\0\0\x01" + b"\0" * 60 + b"\0\x05milvus.toml\0" + b"\0" * 20,
        b"nonsense" * 100,
    ],
)
def test_an_index_that_is_none_tracks_nothing(project: Path, index: bytes) -> None:
    (project / "milvus.toml").write_text(LITERAL)
    (project / ".git/index").write_bytes(index)
    assert not is_tracked(str(project / "milvus.toml"))
    (project / ".git/index").unlink()
    os.mkfifo(project / ".git/index")
    assert not is_tracked(str(project / "milvus.toml"))


@pytest.mark.parametrize("pointer", ["gitdir: ", "gitdir: /nowhere\0/x\n", "gitdir: ../../../..\n", "other", ""])
def test_a_git_file_that_leads_nowhere_tracks_nothing(tmp_path: Path, pointer: str) -> None:
    (tmp_path / ".git").write_text(pointer)
    assert not is_tracked(str(tmp_path / "milvus.toml"))
    assert not is_tracked("/proc/self/status")


def test_a_hostile_repository_runs_no_program(cli: Command, repository: Path, tmp_path: Path) -> None:
    commit(repository)
    marker = tmp_path / "marker"
    hook = written(repository / "hook", f"#!/bin/sh\necho ran >> {marker}\nexit 1\n", 0o755)
    for key in ("core.fsmonitor", "core.sshCommand", "core.pager", "pager.ls-files", "core.editor", "core.askPass"):
        git(repository, "config", key, str(hook))
    git(repository, "config", "core.hooksPath", str(repository))
    # That the trap is armed: git itself walks into it.
    git(repository, "status")
    assert marker.exists()
    marker.unlink()
    outcome = cli("config", "validate", "--json", cwd=repository)
    assert len(warnings_of(outcome.stderr)) == 1
    assert not marker.exists()


def test_without_git_the_answer_is_the_same(cli: Command, repository: Path) -> None:
    commit(repository)
    outcome = cli("config", "validate", cwd=repository, env={"PATH": str(Path(sys.executable).parent)})
    assert "git tracks it" in outcome.stderr


# --- the list of trusted files ---------------------------------------------------------------------------------------

GATED = '[profiles.prod]\nuri = "http://127.0.0.1:1"\ntoken = { env = "TEAM_TOKEN" }\n'


@pytest.fixture
def state(cli: Command, project: Path, home: Path) -> Path:
    (project / "milvus.toml").write_text(GATED)
    assert cli("trust").returncode == 0
    return home / ".local/state/milvus/trust.json"


def is_trusted(cli: Command) -> bool:
    return bool(cli("profile", "list", "--json").json[0]["trusted"])


def why_not_trusted(cli: Command) -> str:
    outcome = cli("profile", "list", "--json")
    assert outcome.json[0]["trusted"] is False
    (warning,) = warnings_of(outcome.stderr)
    return warning


@pytest.mark.parametrize("mode", [0o622, 0o602, 0o620, 0o666])
def test_a_list_that_others_can_write_trusts_nothing_and_is_not_laundered(cli: Command, state: Path, mode: int) -> None:
    state.chmod(mode)
    warning = why_not_trusted(cli)
    assert "the list of trusted files is not believed: others can write to it" in warning
    assert f"rm {state}" in warning
    # Using the file names that fault too.
    with refused(hint="…others can write to it…", kind=UntrustedError):
        load(env={"HOME": str(cli.home)}, cwd=cli.cwd).use("prod")
    before = state.read_bytes()
    for words in (["trust"], ["untrust"]):
        assert cli(*words, "--json", status=3).error["location"] == str(state)
    assert state.read_bytes() == before
    state.unlink()
    assert cli("trust").returncode == 0
    assert is_trusted(cli)


def test_a_directory_that_others_can_write_trusts_nothing_unless_it_is_sticky(cli: Command, state: Path) -> None:
    state.parent.chmod(0o777)
    assert f"chmod o-w {state.parent}" in why_not_trusted(cli)
    state.parent.chmod(0o1777)
    assert is_trusted(cli)


def test_a_list_of_somebody_else_trusts_nothing(cli: Command, state: Path, project: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(state, 65534, -1)
    assert "belongs to another user" in why_not_trusted(cli)
    os.chown(state, 0, -1)
    os.chown(state.parent, 65534, -1)
    assert not is_trusted(cli)


# --- what trust shows ------------------------------------------------------------------------------------------------


def test_trust_shows_and_remembers_no_secret(cli: Command, project: Path, home: Path) -> None:
    (project / "milvus.toml").write_text(
        f"""\
[profiles.one]
uri = "localhost"
proxy = "http://u:{CANARY}@proxy:3128"
token = {{ command = ["vault", "--token={CANARY}", "x"], pass_env = ["VAULT_ADDR", "{CANARY}"] }}
allow_insecure = "{CANARY}"
ssl = {{ key = '''-----BEGIN PRIVATE KEY-----
{CANARY}''', ca = "ca.pem", server_name = 3 }}

[profiles.two]
uri = "localhost"
token = {{ env = "{CANARY}" }}

[profiles.three]
uri = "localhost"
token = {{ command = "{CANARY}" }}

[profiles.four]
uri = "localhost"
token = "{CANARY}"
"""
    )
    outcome, again = cli("trust"), cli("trust", "--json")
    assert outcome.returncode == again.returncode == 0
    assert "vault" in outcome.stdout
    assert "VAULT_ADDR" in outcome.stdout
    assert f"{project}/ca.pem" in outcome.stdout
    told = [outcome.stdout, outcome.stderr, again.stdout, again.stderr]
    told += [path.read_text() for path in (home / ".local/state/milvus").iterdir()]
    assert not [text for text in told if CANARY in text]


def test_trust_tells_that_a_masked_value_changed(cli: Command, project: Path) -> None:
    path = written(project / "milvus.toml", '[profiles.one]\nuri = "localhost"\ntoken = { command = ["op", "read"] }\n')
    assert cli("trust", "--json").json["changed"] == {"one.token.command": [None, ["op", "********"]]}
    path.write_text('[profiles.one]\nuri = "localhost"\ntoken = { command = ["op", "steal"] }\n')
    assert cli("trust", "--json").json["changed"] == {"one.token.command": [["op", "********"], ["op", "********"]]}
    path.write_text('[profiles.one]\nuri = "localhost"\n')
    outcome = cli("trust")
    assert "- one.token.command" in outcome.stdout
    assert cli("trust", "--json").json["changed"] == {}


def test_trust_says_where_anybody_can_put_files_beside_the_trusted_one(cli: Command, project: Path) -> None:
    (project / "milvus.toml").write_text(GATED)
    project.chmod(0o1777)
    outcome = cli("trust", status=0)
    assert f"every user of this machine can write to {project}" in outcome.stderr


# --- programs by path ------------------------------------------------------------------------------------------------


def test_a_program_given_by_a_path_counts_from_the_file_not_from_where_one_stands(world: World) -> None:
    for written_down, meant in (
        ('["./get", "./x"]', (f"{world.user_file.parent}/get", "./x")),
        ('["~/bin/get"]', (f"{world.home}/bin/get",)),
        ('["get"]', ("get",)),
    ):
        world.user(f'[profiles.a]\nuri = "localhost"\ntoken = {{ command = {written_down} }}\n')
        profile = world.load().use("a").profile
        assert profile.model_dump()["token"]["command"] == meant


def test_add_and_set_write_a_program_so_that_it_is_found_from_everywhere(
    cli: Command, home: Path, project: Path
) -> None:
    written(project / "get", "#!/bin/sh\necho x\n", 0o755)
    words = ["--uri", "localhost", "--user-file", "--token-command", "./get it"]
    assert cli("profile", "add", "one", *words).returncode == 0
    assert cli("profile", "add", "two", "--uri", "localhost", "--user-file").returncode == 0
    assert cli("profile", "set", "two", 'token.command=["./get"]').returncode == 0
    assert cli("profile", "set", "two", 'token={ command = ["./get", "a"] }').returncode == 0
    text = (home / ".config/milvus/milvus.toml").read_text()
    assert f'["{project}/get", "it"]' in text
    assert f'["{project}/get", "a"]' in text


# --- the Python face -------------------------------------------------------------------------------------------------


def test_connect_refuses_a_writable_file(world: World) -> None:
    with recorder() as attacker:
        written(world.project_file, LITERAL.replace("127.0.0.1:1", f"127.0.0.1:{attacker.port}"), 0o666)
        with pytest.raises(mp.ConfigError, match="changed by every user"):
            mp.connect("prod", profiles=world.load(world.project_file))
        assert attacker.connections == 0


CONNECTS = """
import contextlib, os, sys, threading, warnings
import milvus_profiles as mp
def connect():
    with contextlib.suppress(mp.MilvusProfilesError):
        mp.connect("prod", timeout=1)
connect()
threads = [threading.Thread(target=connect) for _ in range(8)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
with mp.ConnectionPool() as pool, contextlib.suppress(mp.MilvusProfilesError):
    pool.lease("prod").__enter__()
if (pid := os.fork()) == 0:
    connect()
    os._exit(0)
os.waitpid(pid, 0)
with warnings.catch_warnings():
    warnings.simplefilter("error", mp.InsecureFileWarning)
    os.rename(sys.argv[1], sys.argv[2])
    os.environ["MILVUS_PROFILES_FILE"] = sys.argv[2]
    for _ in range(2):
        try:
            connect()
        except mp.InsecureFileWarning:
            print("refused")
"""


def test_a_program_is_told_once_of_a_file_that_others_can_read(cli: Command, tmp_path: Path) -> None:
    """By threads, a pool and a forked child too; a filter that makes an error of it makes one each time."""
    path = written(tmp_path / "profiles.toml", LITERAL, 0o644)
    env = cli.environment({"MILVUS_PROFILES_FILE": str(path), "PYTHONWARNINGS": "always,ignore::DeprecationWarning"})
    done = run_python(CONNECTS, path, tmp_path / "other.toml", env=env, cwd=cli.cwd, check=True)
    assert done.stderr.count("InsecureFileWarning: ") == 1, done.stderr
    assert done.stdout == "refused\nrefused\n"
