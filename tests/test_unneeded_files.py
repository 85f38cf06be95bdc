"""Files that a connection does not need: broken, unreadable or out of reach they are a warning, and no more."""

from __future__ import annotations

import json
import os
import sys
import textwrap
import warnings
from pathlib import Path

import pytest

import milvus_profiles as mp
from milvus_profiles import connections
from tests.support import obstacles
from tests.support.command import Command
from tests.support.files import written
from tests.support.milvus import MilvusServer

BROKEN = "[profiles.prod\n"


def broken(place: str, home: Path, project: Path) -> Path:
    if place == "project":
        path = project / "milvus.toml"
    else:
        path = home / ".config/milvus/milvus.toml"
        path.parent.mkdir(parents=True)
    if place == "directory":
        path.mkdir()
    elif place == "FIFO":
        os.mkfifo(path)
    elif place == "alias":
        path.write_text('[profiles.prod]\nuri = "http://127.0.0.1:1"\n[profiles.PROD]\n')
    elif place == "root":
        path.write_text("keyring_backend = []\n")
    else:
        path.write_text(BROKEN)
    return path


PLACES = ["user", "project", "directory", "FIFO", "alias", "root"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.usefixtures("in_process")
async def test_an_address_of_the_call_and_milvus_uri_need_no_file(
    place: str, home: Path, project: Path, milvus_plain: MilvusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = broken(place, home, project)
    with pytest.warns(UserWarning, match="nothing of it is needed here") as caught:
        mp.connect(uri=milvus_plain.uri).close()
    assert str(path) in str(caught[0].message)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="nothing of it is needed here"):
        await (await mp.aio.connect(uri=milvus_plain.uri)).close()
    for alias in (None, "prod", "default"):
        with pytest.raises(mp.ConfigError):
            mp.connect(alias)
    with pytest.raises(mp.ConfigError):  # the file may say how that is reached: with TLS, say
        connections.connect("prod", uri=milvus_plain.uri)
    monkeypatch.setenv("MILVUS_URI", milvus_plain.uri)
    for alias in (None, "default"):
        with pytest.warns(UserWarning, match="nothing of it is needed here"):
            mp.connect(alias).close()
        with pytest.warns(UserWarning, match="nothing of it is needed here"):
            assert mp.diagnose(alias).ok
    with pytest.warns(UserWarning, match="nothing of it is needed here") as caught:
        assert mp.connection_args()["uri"] == milvus_plain.uri
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="nothing of it is needed here"):
        connections.connect()
    connections.disconnect("default")
    with pytest.warns(UserWarning, match="nothing of it"), mp.ConnectionPool() as pool, pool.lease("default"):
        pass
    with pytest.raises(mp.ConfigError):
        mp.connect("prod")
    monkeypatch.setenv("MILVUS_PROFILE", "prod")
    with pytest.raises(mp.ConfigError):
        mp.connect()


@pytest.mark.usefixtures("in_process")
def test_a_file_that_was_named_is_needed(milvus_plain: MilvusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILVUS_PROFILES_FILE", "missing.toml")
    with pytest.raises(mp.ConfigError, match="the file that MILVUS_PROFILES_FILE names does not exist"):
        mp.connect(uri=milvus_plain.uri)
    monkeypatch.delenv("MILVUS_PROFILES_FILE")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mp.connect(uri=milvus_plain.uri).close()


@pytest.mark.usefixtures("in_process")
def test_a_variable_that_is_wrong_is_no_file(
    home: Path, project: Path, milvus_plain: MilvusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILVUS_PROFILES__A__NOTHING", "x")
    with pytest.raises(mp.ConfigError, match="NOTHING"):
        mp.connect(uri=milvus_plain.uri)
    broken("user", home, project)
    with pytest.raises(mp.ConfigError, match="not valid TOML"):
        mp.connect(uri=milvus_plain.uri)


COMMANDS = [
    "profile test", "profile test default", "profile show", "export default --to env", "exec default -- true",
    "secret status default", "--profile default profile show",
]  # fmt: skip


def test_the_command_line_warns_too(cli: Command, home: Path, project: Path, milvus_plain: MilvusServer) -> None:
    path = broken("user", home, project)
    env = {"MILVUS_URI": milvus_plain.uri}
    for line in COMMANDS:
        outcome = cli("--json", *line.split(), env=env, status=0)
        said = [json.loads(line)["warning"] for line in outcome.stderr.splitlines()]
        assert [text.startswith(f"{path}:1") for text in said] == [True], line
    # Whoever asks for all, or for another, needs the file.
    for line in (
        "profile list",
        "profile test --all",
        "profile show prod",
        "profile test default prod",
        "config validate",
    ):
        outcome = cli(*line.split(), env=env, status=3)
        assert "not valid TOML" in outcome.stderr + outcome.stdout


@pytest.mark.security
def test_what_cannot_be_looked_into_is_told_and_is_not_no_profiles(open_directory: Path) -> None:
    base = open_directory
    home, project = base / "home", base / "project"
    for directory in (home / ".config/milvus", project / ".git"):
        directory.mkdir(parents=True)
    file = home / ".config/milvus/milvus.toml"
    written(file, '[profiles.prod]\nuri = "http://127.0.0.1:1"\n')
    seen = obstacles.as_user(base)
    command = Command([*seen.prefix, str(obstacles.program())], home, project)
    assert command("profile", "show", "prod", status=0).stdout
    file.parent.chmod(0o000)
    reason = f"{file} is not read: its directory cannot be searched: Permission denied"
    for words in (["profile", "test"], ["profile", "show", "prod"], ["exec", "prod", "true"]):
        outcome = command("--json", *words, status=3)
        assert reason in outcome.error["hint"], words
        assert "let this user look into its directory" in outcome.error["hint"]
    for words in (["profile", "list"], ["config", "path"], ["config", "validate"]):
        assert reason in command(*words, status=0).stderr, words
    findings = command("doctor", "--json").json["findings"]
    assert [one["detail"] for one in findings if one["name"] == "files" and one["status"] == "warning"] == [reason]
    refused = command("profile", "add", "b", "--uri", "http://b", "--user-file", "--json", status=3).error
    assert refused["message"] == "the file " + reason.removeprefix(f"{file} ")
    # What needs no file says nothing, unless it fails for want of one: HOME is somebody else's in many containers.
    program = textwrap.dedent("""
        import warnings, milvus_profiles as mp
        warnings.simplefilter("error")
        try:
            mp.connect(uri="http://127.0.0.1:1")
        except mp.UnreachableError:
            print("reached for")
    """)
    python = Command([*seen.prefix, sys.executable, "-c", program], home, project)
    assert python(status=0).stdout == "reached for\n"
    named = command("--config", file, "profile", "list", "--json", status=3).error
    assert named["message"] == "the file cannot be read: Permission denied"
