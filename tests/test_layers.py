"""Which files are read, where they are looked for, and what of each layer counts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from milvus_profiles.config.loading import load
from milvus_profiles.config.locations import find_project_file, state_directory, user_file
from milvus_profiles.config.profiles import Profiles
from milvus_profiles.errors import ConfigError
from milvus_profiles.files.paths import home_directory
from tests.support.errors import refused
from tests.support.files import written
from tests.support.obstacles import as_nobody, reachable
from tests.support.world import World, aliases

# --- layers --------------------------------------------------------------------------------------------------------

USER = '[profiles.prod]\nuri = "https://user"\nuser = "root"\ntimeout = 3\n[profiles.mine]\nuri = "http://mine"\n'


def test_a_profile_comes_whole_from_the_first_file_that_declares_it(world: World) -> None:
    world.user(USER)
    world.found('[profiles.PROD]\nuri = "https://user"\ndb_name = "d"\n[profiles.theirs]\nuri = "http://theirs"\n')
    profiles = world.load()
    assert list(profiles) == ["PROD", "theirs", "mine"]
    made = profiles["prod"]
    assert (made.alias, made.user, made.timeout, made.db_name) == ("PROD", None, 10.0, "d")
    resolved = profiles.resolve("prod")
    assert str(resolved.origin) == f"{world.project_file}:1:11"
    assert not resolved.trusted
    assert {".".join(path): str(origin) for path, origin in resolved.raw.overridden} == {
        "uri": f"{world.user_file}:2:1",
        "user": f"{world.user_file}:3:1",
        "timeout": f"{world.user_file}:4:1",
    }
    assert profiles.resolve("mine").trusted
    assert [document.role for document in profiles.documents] == ["project", "user"]


def test_a_broken_profile_behind_a_stronger_one_does_not_matter(world: World) -> None:
    world.found('[profiles.prod]\nuri = "https://user"\n')
    for broken in ("prod = 5", "prod = { extends = 'nobody' }"):
        world.user(f"[profiles]\n{broken}\n")
        assert world.load()["prod"].uri == "https://user"


def test_a_named_file_is_the_only_one_that_is_read(world: World) -> None:
    world.user("this is [ not toml")
    world.found("nor = is this")
    file = written(world.home / "other.toml", aliases("only"))
    spellings = file, str(file), "../home/other.toml", "~/other.toml"
    for profiles in (
        world.load(file, MILVUS_PROFILES_FILE="/nonexistent"),
        *(world.load(spelling) for spelling in spellings),
        *(world.load(MILVUS_PROFILES_FILE=str(spelling)) for spelling in spellings),
    ):
        assert list(profiles) == ["only"]
        assert profiles.documents[0].role == "named"
        assert profiles.documents[0].path == str(file)
        assert profiles.resolve("only").trusted


def test_a_tilde_is_the_home_directory_of_each_call(world: World, tmp_path: Path) -> None:
    file = written(tmp_path / "m.toml", '[profiles.only]\nuri = "~/x.db"\n')
    for home in (world.home, world.project, world.home):
        profiles = load(file, env={"HOME": str(home)}, cwd=world.project)
        assert profiles.use("only").profile.endpoint.uri == f"{home}/x.db"
        assert profiles["only"].endpoint.uri == f"{home}/x.db"


def test_a_home_directory_that_others_may_fill_by_now_is_none_for_a_tilde(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(world.home))
    file = written(tmp_path / "m.toml", '[profiles.file]\nuri = "~/x.db"\n')
    own = {"HOME": str(world.home)}
    variables = {**own, "MILVUS_PROFILES__VARIABLE__URI": "~/x.db"}
    for alias, env in (("file", own), ("variable", variables), ("file", variables)):
        world.home.chmod(0o755)
        assert load(file, env=env, cwd=world.project).use(alias).profile.endpoint.uri == f"{world.home}/x.db"
        world.home.chmod(0o777)
        with pytest.raises(ConfigError, match="begins with ~"):
            load(file, env=env, cwd=world.project).use(alias)


def test_a_named_file_that_is_missing_is_an_error_that_says_who_names_it(world: World, tmp_path: Path) -> None:
    world.user(USER)
    with refused("the file that file= names does not exist", at=f"{tmp_path}/no.toml", hint="…profile add…"):
        world.load(tmp_path / "no.toml")
    with refused("…that MILVUS_PROFILES_FILE names does not exist"):
        world.load(MILVUS_PROFILES_FILE="no.toml")
    with refused("…that --config names…"):
        load("no.toml", env={}, cwd="/", file_name="--config")
    with refused("the file that file= names: a path holds a NUL character…"):
        world.load("a\x00b")
    with refused("file= names no file…"):
        load("")
    for there, said in ((tmp_path, "that is a directory"), ("/dev/zero", "that is not a file but a device")):
        with refused(said):
            world.load(there)


def test_loading_reads_nothing_of_the_process_when_all_is_given(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("MILVUS_URI", "http://process")
    monkeypatch.setenv("MILVUS_PROFILES__X__URI", "http://process")
    world.user('[profiles.p]\nuri = "~/m.db"\nssl = { ca = "~/ca.pem" }\n[profiles.q]\nuri = "~/q.db"\n')
    profiles = world.load(MILVUS_PROFILES__R__URI="~/r.db")
    assert list(profiles) == ["p", "q", "r"]
    assert "r.db" not in repr(profiles.env)
    assert profiles["q"].endpoint.uri == f"{world.home}/q.db"
    assert profiles["r"].endpoint.uri == f"{world.home}/r.db"
    assert profiles.raw("p").values["ssl", "ca"].value == f"{world.home}/ca.pem"
    assert profiles.use("q", {"uri": "~/s.db"}).profile.endpoint.uri == f"{world.home}/s.db"


def test_relative_paths_count_from_the_file_that_declares_them(world: World, tmp_path: Path) -> None:
    file = written(
        tmp_path / "deep" / "m.toml",
        '[profiles.a]\nuri = "x.db"\n[profiles.b]\nuri = "unix:x.sock"\n[profiles.c]\nuri = "unix:///x.sock"\n'
        '[profiles.d]\nuri = "http://h"\ntoken = { file = "../t" }\nssl = { ca = "ca.pem", cert = "/c", key = "k" }\n'
        '[profiles.e]\nuri = "a/b://../c.db"\n[profiles.f]\nuri = "unix://x"\n',
    )
    profiles = world.load(file)
    assert profiles["a"].endpoint.uri == f"{tmp_path}/deep/x.db"
    assert profiles["b"].endpoint.uri == f"unix:{tmp_path}/deep/x.sock"
    assert profiles["c"].endpoint.uri == "unix:/x.sock"
    raw = profiles.raw("d").values
    assert raw["token", "file"].value == f"{tmp_path}/t"
    assert [raw["ssl", name].value for name in ("ca", "cert", "key")] == [
        f"{tmp_path}/deep/ca.pem",
        "/c",
        f"{tmp_path}/deep/k",
    ]
    assert profiles["e"].endpoint.uri == f"{tmp_path}/deep/a/c.db"
    with pytest.raises(ConfigError, match="unix:// takes an absolute path"):
        profiles["f"]


def test_variables_are_read_anew_when_they_change() -> None:
    def only(**env: str) -> Profiles:
        return load(env={"HOME": "/nowhere", **env}, cwd="/")

    first = only(MILVUS_URI="http://a", MILVUS_TOKEN="canary-1")
    assert only(MILVUS_URI="http://a", MILVUS_TOKEN="canary-1").settings is first.settings
    assert only(MILVUS_URI="http://a", MILVUS_TOKEN="canary-2")["default"] != first["default"]
    assert only(MILVUS_URI="http://b")["default"].endpoint.host == "b"
    assert len(only()) == 0
    # What is remembered shows no secret.
    assert "canary" not in repr(vars(sys.modules["milvus_profiles.config.settings"]))


# --- where the files are -------------------------------------------------------------------------------------------


def test_the_search_for_a_project_file_goes_upwards(world: World) -> None:
    world.found(aliases("p"))
    deep = world.project / "a" / "b" / "c"
    deep.mkdir(parents=True)
    assert find_project_file(str(deep), world.env())[0] == str(world.project_file)
    (world.project / "a" / "milvus.toml").write_text("")
    assert find_project_file(str(deep), world.env())[0] == str(world.project / "a" / "milvus.toml")


def test_the_search_ends_with_the_directory_of_the_repository(world: World) -> None:
    (world.project.parent / "milvus.toml").write_text(aliases("outside"))
    (world.project / "sub").mkdir()
    assert find_project_file(str(world.project / "sub"), world.env())[0] is None
    (world.project / ".git").rmdir()
    assert find_project_file(str(world.project / "sub"), world.env())[0] == str(world.project.parent / "milvus.toml")
    # A worktree or submodule has a file there.
    (world.project / ".git").write_text("gitdir: elsewhere")
    assert find_project_file(str(world.project / "sub"), world.env())[0] is None
    (world.project / ".git").unlink()
    (world.project / ".git").symlink_to("nowhere")
    assert find_project_file(str(world.project / "sub"), world.env())[0] is None


def test_the_search_ends_with_the_home_directory(world: World) -> None:
    (world.home.parent / "milvus.toml").write_text(aliases("outside"))
    work = world.home / "work"
    work.mkdir()
    assert find_project_file(str(work), world.env())[0] is None
    link = world.home.parent / "link"
    link.symlink_to(world.home)
    assert find_project_file(str(work), world.env(HOME=str(link)))[0] is None
    (world.home / "milvus.toml").write_text("")
    assert find_project_file(str(work), world.env())[0] == str(world.home / "milvus.toml")
    for outside in ("/", "/usr/share"):  # where it ends at the root
        assert find_project_file(outside, {"HOME": "/nowhere"})[0] is None


def test_the_users_own_file_is_not_taken_for_a_project_file(world: World) -> None:
    world.user(f"keyring_backends = []\n{aliases('p')}")
    own = world.user_file.parent
    assert find_project_file(str(own), world.env())[0] is None
    profiles = load(env=world.env(), cwd=own)
    assert [document.role for document in profiles.documents] == ["user"]
    # The search goes on above it.
    (world.home / "milvus.toml").write_text(aliases("q"))
    assert find_project_file(str(own), world.env())[0] == str(world.home / "milvus.toml")


def test_a_link_to_nowhere_is_passed_over_and_one_to_itself_is_an_error(world: World) -> None:
    world.project_file.symlink_to("nowhere")
    assert find_project_file(str(world.project), world.env())[0] is None
    world.project_file.unlink()
    world.project_file.symlink_to("milvus.toml")
    with refused("cannot look for a project file…", at=world.project_file, hint="…--config…"):
        world.load()
    world.project_file.unlink()
    world.user("")
    world.user_file.unlink()
    world.user_file.symlink_to("nowhere")
    with refused("…No such file…", at=world.user_file):
        world.load()


def test_the_places_of_the_users_files() -> None:
    assert user_file({"HOME": "/me"}) == "/me/.config/milvus/milvus.toml"
    assert user_file({"HOME": "/me", "XDG_CONFIG_HOME": "/x"}) == "/x/milvus/milvus.toml"
    assert state_directory({"HOME": "/me"}) == "/me/.local/state/milvus"
    assert state_directory({"HOME": "/me", "XDG_STATE_HOME": "/x"}) == "/x/milvus"
    # The specification says that relative paths there are ignored.
    for relative in ("", "x", "./x", "~/x"):
        assert user_file({"HOME": "/me", "XDG_CONFIG_HOME": relative}) == "/me/.config/milvus/milvus.toml"
        assert state_directory({"HOME": "/me", "XDG_STATE_HOME": relative}) == "/me/.local/state/milvus"
    assert home_directory({"HOME": "/me"}) == "/me"
    assert os.path.isabs(home_directory({}) or "")


def test_a_deleted_current_directory_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declared = str(written(tmp_path / "profiles.toml", aliases("a")))
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    remedy = "change to a directory that exists"
    with refused("the current directory cannot be read: No such file or directory", hint=remedy):
        load()
    assert len(load(cwd="/", env={"HOME": "/nowhere"})) == 0
    assert [*load(declared), *load(env={"MILVUS_PROFILES_FILE": declared})] == ["a", "a"]


def test_a_directory_that_may_not_be_looked_into_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0)
    said = "cannot look for a project file: Permission denied"
    with reachable(tmp_path), as_nobody(), refused(said, hint="…MILVUS_PROFILES_FILE…"):
        load(cwd=closed / "below", env={"HOME": "/nowhere"})
