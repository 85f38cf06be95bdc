"""Where nothing can be remembered, what was changed is changed, and said to be: in the file and in the keyring."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import obstacles
from tests.support.command import Command
from tests.support.milvus import MilvusServer
from tests.support.secret_service import KeyringSession


def _file(place: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("in the way")
    return place


def _loop(place: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(place.name)
    return place


def _directory(place: Path) -> Path:
    place.mkdir(parents=True)
    return place


def _read_only(place: Path) -> Path:
    _file(place).chmod(0o400)
    return place


# Root may write to every directory, so what stands in the way is no mode here.
STATES: dict[str, Callable[[Path], object]] = {
    "a file above": lambda home: _file(home / ".local"),
    "a file in its place": lambda home: _file(home / ".local/state/milvus"),
    "a link to itself": lambda home: _loop(home / ".local/state"),
    "directories in the places of the files": lambda home: [
        _directory(home / ".local/state/milvus" / name) for name in ("trust.json", "previous.json")
    ],
    "a directory that makes none": lambda home: "/proc/self",
    "a name that is too long": lambda home: f"/{'x' * 300}",
    "a read-only file": lambda home: [
        _read_only(home / ".local/state/milvus" / name) for name in ("trust.json", "previous.json")
    ],
}


@pytest.fixture(params=STATES)
def env(request: pytest.FixtureRequest, home: Path) -> dict[str, str]:
    made = STATES[request.param](home)
    return {"XDG_STATE_HOME": made} if isinstance(made, str) else {}


def warnings(text: str) -> list[str]:
    said = [json.loads(line) for line in text.splitlines()]
    assert all(set(record) == {"warning"} for record in said), said
    return [record["warning"] for record in said]


def test_every_change_is_made_and_the_outcome_is_the_one_on_disk(
    cli: Command, project: Path, env: dict[str, str], keyring_session: KeyringSession
) -> None:
    def done(*words: str, **more: Any) -> list[str]:
        return warnings(cli(*words, "--json", env=env, keyring=keyring_session, status=0, **more).stderr)

    uri = f"https://h{os.urandom(4).hex()}.example"
    address = ["--uri", uri, "--user", "root"]
    [said] = done("profile", "add", "a", *address, "--password-stdin", "--project-file", input="s3cret")
    assert said.startswith("the project file was created, but is not trusted: ")
    assert 'user = "root"' in (project / "milvus.toml").read_text()
    assert done("profile", "add", "b", "--uri", "https://b.example", "--user-file") == []
    # The password is in the keyring, of which nothing was taken back.
    status = cli("secret", "status", "a", "--json", env=env, keyring=keyring_session, status=0).json
    assert status["present"] is True
    [said] = done("profile", "use", "b")
    assert said.startswith("`milvus-profiles profile use -` will not go back: ")
    assert 'default_profile = "b"' in cli.user_file.read_text()
    done("profile", "use", "a", "--project-file")
    assert 'default_profile = "a"' in (project / "milvus.toml").read_text()
    for words in (["set", "a", "timeout=5"], ["rename", "a", "c"], ["copy", "c", "d"], ["remove", "d", "--yes"]):
        assert done("profile", *words) == []
    assert "[profiles.c]" in (project / "milvus.toml").read_text()
    # To be trusted is all that this is for, so here it is an error, with the place and the remedy.
    refused = cli("trust", "--json", env=env, status=3).error
    assert refused["location"].endswith("/trust.json")
    assert refused["hint"]


def test_connect_selects_what_it_checked(cli: Command, env: dict[str, str], milvus_plain: MilvusServer) -> None:
    outcome = cli("connect", "-p", str(milvus_plain.port), "--json", env=env, status=0)
    assert outcome.json["selected"] is True
    assert 'default_profile = "default"' in cli.user_file.read_text()
    assert len(warnings(outcome.stderr)) == 1


@pytest.fixture
def read_only(cli: Command, home: Path, project: Path) -> Iterator[Command]:
    """Its state directory is mounted read-only, as in containers."""
    (state := home / ".local/state").mkdir(parents=True)
    with obstacles.read_only_mount(state, project) as seen:
        yield Command([*seen.prefix, *cli.program], home, project)


def test_a_read_only_mount_is_named_with_what_to_do(read_only: Command) -> None:
    [said] = warnings(read_only("profile", "add", "a", "--uri", "https://a", "--project-file", "--json").stderr)
    assert "Read-only file system" in said
    assert said.endswith("(make its directory writable for this user, or set XDG_STATE_HOME to one that is)")
