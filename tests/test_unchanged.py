"""Connecting by name reads nothing again while nothing has changed, and sees every change that decides anything."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import milvus_profiles as mp
from milvus_profiles import errors
from milvus_profiles.config.loading import Unchanged
from milvus_profiles.config.trust import TrustStore
from milvus_profiles.live.request import CallFields, Request, request
from tests.support.certificates import Certificates
from tests.support.files import written

_OLD = """\
default_profile = "prod"
[profiles.prod]
uri = "http://127.0.0.1:1"
db_name = "old"
[profiles.other]
uri = "http://127.0.0.1:2"
"""


@dataclass
class World:
    """A home with a file of profiles, and a project below it in which the program runs."""

    home: Path
    project: Path
    patch: pytest.MonkeyPatch

    @property
    def user_file(self) -> Path:
        return self.home / ".config/milvus/milvus.toml"

    def enter(self) -> None:
        self.patch.setenv("HOME", str(self.home))
        self.patch.chdir(self.project)


def _edit(world: World) -> None:
    world.user_file.write_text(world.user_file.read_text().replace('"old"', '"new"'))


def _replace(world: World) -> None:
    other = world.user_file.with_name("other")
    written(other, _OLD.replace('"old"', '"new"'))
    os.utime(other, ns=(0, world.user_file.stat().st_mtime_ns))
    other.replace(world.user_file)


def _link(world: World) -> None:
    other = world.user_file.with_name("other.toml")
    written(other, _OLD.replace('"old"', '"new"'))
    world.user_file.unlink()
    world.user_file.symlink_to(other)


def _set(name: str, value: str) -> Callable[[World], None]:
    return lambda world: world.patch.setenv(name, value)


def _declare(world: World) -> None:
    world.patch.setenv("MILVUS_URI", "http://127.0.0.1:1")
    world.patch.setenv("MILVUS_DB_NAME", "new")


PROJECT = '[profiles.prod]\nuri = "http://127.0.0.1:1"\ndb_name = "{}"\n'


def _project_file(world: World) -> None:
    written(world.project / "milvus.toml", PROJECT.format("new"))


def _in_parent(world: World) -> None:
    written(world.project.parent / "milvus.toml", PROJECT.format("new"))


def _go_elsewhere(world: World) -> None:
    written(world.home / "elsewhere/milvus.toml", PROJECT.format("new"))
    world.patch.chdir(world.home / "elsewhere")


def _another_home(world: World) -> None:
    written(world.home / "second/.config/milvus/milvus.toml", _OLD.replace('"old"', '"new"'))
    world.patch.setenv("HOME", str(world.home / "second"))


def _named(world: World) -> None:
    written(world.home / "named.toml", _OLD.replace('"old"', '"new"'))
    world.patch.setenv("MILVUS_PROFILES_FILE", str(world.home / "named.toml"))


CHANGES: dict[str, Callable[[World], None]] = {
    "the file is edited": _edit,
    "the file is replaced by one with the same times": _replace,
    "the file is a link now": _link,
    "a variable gives the field": _set("MILVUS_PROFILES__PROD__DB_NAME", "new"),
    "a variable declares the profile": _declare,
    "a project file appears": _project_file,
    "one appears further up": _in_parent,
    "the program goes elsewhere": _go_elsewhere,
    "the home is another": _another_home,
    "a file is named": _named,
}


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> dict[str, Path]:
    """A home for each test, all old enough for the times of their files to tell the next change."""
    made = {}
    for name in (*CHANGES, "nothing", "untrusted", "trusted", "mode", "certificate", "gone", "mended", "between"):
        home = made[name] = tmp_path_factory.mktemp("home")
        written(home / ".config/milvus/milvus.toml", _OLD)
        (home / "work/project").mkdir(parents=True)
    project = PROJECT.format("old")
    for name in ("untrusted", "trusted", "between"):
        written(made[name] / "work/project/milvus.toml", project)
    # Between the two there is one that a repository in the project's directory would hide.
    shutil.move(made["between"] / "work/project/milvus.toml", made["between"] / "work/milvus.toml")
    written(made["mended"] / "work/project/milvus.toml", "[profiles\n")
    authority = made["certificate"] / "ca.pem"
    written(authority, certificates.ca.read_text())
    tls = f'[profiles.prod]\nuri = "https://127.0.0.1:1"\nssl.ca = "{authority}"\n'
    written(made["certificate"] / ".config/milvus/milvus.toml", tls)
    written(made["mode"] / ".config/milvus/milvus.toml", _OLD + 'token = "root:hunter2"\n')
    written(made["trusted"] / "work/project/milvus.toml", project + 'token = {env = "SECRET"}\n')
    environment = {"HOME": str(made["trusted"])}
    document = mp.load(env=environment, cwd=made["trusted"] / "work/project").documents[0]
    TrustStore.load(environment).pin(document)
    time.sleep(2.1)
    return made


@pytest.fixture
def world(request: pytest.FixtureRequest, homes: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> World:
    home = homes[request.param]
    made = World(home, home / "work/project", monkeypatch)
    made.enter()
    return made


def _ask(alias: str | None = "prod", *, dedicated: bool = False) -> Request:
    return request(alias, dedicated=dedicated, fields=CallFields({}))


@pytest.mark.parametrize("world", ["nothing"], indirect=True)
def test_the_answer_is_the_same_object_while_nothing_changes(world: World) -> None:
    asked = _ask()
    assert all(_ask() is asked for _ in range(3))
    assert (_ask("other").resolved.profile.alias, _ask(None).resolved.profile.alias) == ("other", "prod")
    assert _ask() is asked
    assert _ask(dedicated=True).key is None
    assert asked.key is not None


@pytest.mark.parametrize("world", ["nothing"], indirect=True)
def test_fields_and_wrong_arguments_are_not_answered_from_memory(world: World) -> None:
    _ask()
    _ask(dedicated=True)
    given = request("prod", fields=CallFields({"db_name": "call"}))
    assert given.resolved.profile.db_name == "call"
    assert request("prod", timeout=3, fields=CallFields({})).resolved.profile.timeout == 3
    wrong: Any
    for wrong in (1, [], "yes"):
        with pytest.raises(errors.ParamError, match="dedicated="):
            request("prod", dedicated=wrong, fields=CallFields({}))
    with pytest.raises(errors.ParamError):
        request([], fields=CallFields({}))  # type: ignore[arg-type]


@pytest.mark.parametrize("world", CHANGES, indirect=True)
def test_every_change_that_decides_something_is_seen_at_once(world: World, request: pytest.FixtureRequest) -> None:
    asked = _ask(None)
    assert _ask(None) is asked
    assert asked.resolved.profile.db_name == "old"
    CHANGES[request.node.callspec.params["world"]](world)
    try:
        found = _ask(None).resolved.profile.db_name
    except errors.UntrustedError as error:  # a project file leads elsewhere than the user's own
        found = error.message.partition("the database '")[2].partition("'")[0]
    assert found == "new"


@pytest.mark.parametrize("world", ["between"], indirect=True)
def test_a_repository_that_appears_ends_the_search_there(world: World) -> None:
    asked = _ask()
    assert asked.resolved.raw.document is not None
    assert asked.resolved.raw.document.role == "project"
    (world.project / ".git").mkdir()
    found = _ask().resolved.raw.document
    assert found is not None
    assert found.role == "user"


@pytest.mark.parametrize("world", ["gone"], indirect=True)
def test_a_file_or_directory_that_is_gone_is_an_error_as_ever(world: World) -> None:
    _ask()
    world.user_file.unlink()
    with pytest.raises(errors.UnknownProfileError):
        _ask()
    world.project.rmdir()
    with pytest.raises(errors.ConfigError, match="current directory"):
        _ask()


@pytest.mark.parametrize("world", ["trusted"], indirect=True)
def test_trust_that_is_withdrawn_counts_at_once(world: World) -> None:
    world.patch.setenv("SECRET", "root:Milvus")
    asked = _ask()
    assert _ask() is asked
    TrustStore.load({"HOME": str(world.home)}).unpin(str(world.project / "milvus.toml"))
    with pytest.raises(errors.UntrustedError):
        _ask()


@pytest.mark.parametrize("world", ["untrusted"], indirect=True)
def test_of_an_untrusted_file_nothing_is_remembered(world: World) -> None:
    assert _ask() is not _ask()


@pytest.mark.parametrize("world", ["mode"], indirect=True)
def test_a_file_with_a_secret_that_everybody_may_change_now_is_refused(world: World) -> None:
    asked = _ask("other")
    assert _ask("other") is asked
    world.user_file.chmod(0o606)
    with pytest.raises(errors.ConfigError, match="changed by every user"):
        _ask("other")


@pytest.mark.parametrize("world", ["certificate"], indirect=True)
def test_a_certificate_that_changed_is_looked_at(world: World) -> None:
    asked = _ask()
    assert _ask() is asked
    (world.home / "ca.pem").write_text("no certificate")
    with pytest.raises(errors.ConfigError, match=r"ca\.pem is not a PEM file"):
        _ask()


@pytest.mark.parametrize("world", ["mended"], indirect=True)
def test_a_broken_file_that_was_left_out_counts_when_it_is_mended(world: World) -> None:
    world.patch.setenv("MILVUS_URI", "http://127.0.0.1:1/old")
    asked = _ask(None)
    assert [str(warning) for warning in asked.warnings]
    written(world.project / "milvus.toml", "[profiles.prod]\nuri = 'http://127.0.0.1:1'\n")
    assert not _ask(None).warnings


@pytest.mark.parametrize("world", ["nothing"], indirect=True)
def test_whoever_logs_hears_each_time_which_profile_was_chosen(world: World, caplog: pytest.LogCaptureFixture) -> None:
    _ask(None)
    with caplog.at_level(logging.DEBUG, logger="milvus_profiles"):
        for _ in range(3):
            _ask(None)
    assert sum(record.getMessage().startswith("the profile is prod") for record in caplog.records) == 3


def test_a_file_that_was_changed_just_now_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, tmp_path / "work", monkeypatch)
    world.project.mkdir()
    written(world.user_file, _OLD)
    world.enter()
    assert _ask() is not _ask()
    for name in ("a", "b", "c"):  # within one tick of the file system's clock, of the same size
        written(world.user_file, _OLD.replace("old", f"ol{name}"))
        assert _ask().resolved.profile.db_name == f"ol{name}"


@pytest.mark.parametrize("world", ["nothing"], indirect=True)
def test_no_secret_shows_in_what_is_remembered(world: World) -> None:
    world.patch.setenv("MILVUS_PROFILES__PROD__TOKEN", "root:canary-1234")
    found = Unchanged.since(mp.load())
    assert found is not None
    assert found.holds()
    assert "canary" not in f"{found!r} {[getattr(found, name) for name in found.__slots__]}"
    assert "canary" not in repr(_ask())
