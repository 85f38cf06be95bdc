"""Tokens from literals, variables and files."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path

import pytest

import milvus_profiles as mp
from milvus_profiles.connectable import Credential
from milvus_profiles.endpoint import Endpoint
from milvus_profiles.errors import SecretUnavailableError
from milvus_profiles.masked import SecretText
from milvus_profiles.profile import Profile
from milvus_profiles.references import EnvRef, FileRef
from milvus_profiles.secrets.os_keyring import OSKeyring
from milvus_profiles.secrets.resolution import SecretContext, SecretStatus, resolve, status
from tests.support.environment import coverage_variables
from tests.support.files import written
from tests.support.milvus import MilvusServer
from tests.support.obstacles import as_nobody, unix_socket
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("nothing_kept")

ENDPOINT = Endpoint("tcp", "db.example", 443, tls=True)


def context(env: dict[str, str] | None = None, *, alias: str = "prod", time_limit: float = 30.0) -> SecretContext:
    return SecretContext(env or {}, OSKeyring(), alias, time_limit=time_limit)


def file_token(path: Path | str, *, time_limit: float = 30.0) -> str:
    credential = Credential("file", FileRef(file=str(path)), None)
    token = resolve(credential, ENDPOINT, context(time_limit=time_limit))
    assert token is not None
    return token.reveal()


def failure(credential: Credential | None, where: SecretContext) -> SecretUnavailableError:
    with pytest.raises(SecretUnavailableError) as caught:
        resolve(credential, ENDPOINT, where)
    return caught.value


def file_failure(path: Path | str, *, time_limit: float = 30.0) -> str:
    error = failure(Credential("file", FileRef(file=str(path)), None), context(time_limit=time_limit))
    assert error.message.startswith("profile 'prod' (file): ")
    assert error.hint
    return error.message.removeprefix("profile 'prod' (file): ")


# --- credentials of profiles -----------------------------------------------------------------------------------------


def test_a_profile_without_credentials_has_no_token() -> None:
    assert resolve(None, ENDPOINT, context()) is None
    assert status(None, ENDPOINT, context()) == SecretStatus("missing", "none")


def test_a_literal_token_is_the_token_and_a_password_gets_its_user() -> None:
    token = Profile(alias="p", host="h", token=SecretText("k"))
    password = Profile(alias="p", host="h", user="root", password=SecretText("p:w"))
    assert resolve(token.credential, token.endpoint, context()) == SecretText("k")
    assert resolve(password.credential, password.endpoint, context()) == SecretText("root:p:w")
    assert status(token.credential, token.endpoint, context()) == SecretStatus("present", "inline")


@pytest.mark.parametrize("text", ["p:w\n", "p:w\r\n", "\ufeffp:w"])
def test_a_literal_is_one_line_as_of_a_file(tmp_path: Path, text: str) -> None:
    written(tmp_path / "m.toml", f'[profiles.p]\nuri = "https://h"\nuser = "u"\npassword = {json.dumps(text)}\n')
    family = {"MILVUS_URI": "https://h", "MILVUS_USER": "u", "MILVUS_PASSWORD": text}
    for profile in (
        mp.load(tmp_path / "m.toml", env={})["p"],
        mp.load(env=family, cwd=tmp_path)["default"],
        mp.load(env={}, cwd=tmp_path).anonymous({"uri": "https://h", "user": "u", "password": text}).profile,
        Profile(alias="p", host="h", user="u", password=SecretText(text)),
    ):
        assert profile.password == SecretText("p:w")
        assert resolve(profile.credential, profile.endpoint, context()) == SecretText("u:p:w")


def test_a_connection_without_an_alias_is_named_by_its_address() -> None:
    error = failure(Credential("inline", SecretText(""), None), context(alias=""))
    assert error.message.startswith("the connection to https://db.example:443 (inline): ")
    assert "secret set ALIAS" in (error.hint or "")


# --- variables -------------------------------------------------------------------------------------------------------


def test_a_variable_gives_the_token() -> None:
    credential = Credential("env", EnvRef(env="T"), None)
    assert resolve(credential, ENDPOINT, context({"T": "käse\n"})) == SecretText("käse")
    assert status(credential, ENDPOINT, context({"T": "x"})) == SecretStatus("present", "env")
    assert resolve(Credential("env", EnvRef(env="T"), "u"), ENDPOINT, context({"T": "x"})) == SecretText("u:x")


@pytest.mark.parametrize(
    ("env", "what"),
    [
        ({}, "is not set"),
        ({"T": ""}, "is empty"),
        ({"T": "\n"}, "is empty"),
    ],
)
def test_a_variable_that_gives_no_token_is_named(env: dict[str, str], what: str) -> None:
    credential = Credential("env", EnvRef(env="T"), None)
    error = failure(credential, context(env))
    assert error.message == f"profile 'prod' (env): the variable T {what}"
    assert (status(credential, ENDPOINT, context(env)).state == "missing") == (not env.get("T"))
    assert error.hint
    assert error.exit_status == 4


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"root:k\xc3\xa4se", b"root:k\xc3\xa4se\n", b"\xef\xbb\xbfroot:k\xc3\xa4se\r\n"])
def test_a_file_gives_its_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    assert file_token(tmp_path / "token") == "root:käse"


def test_a_secret_mounted_by_kubernetes_is_followed_through_its_links(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    (mount / "token").symlink_to("..data/token")
    for version in ("first", "second"):
        (mount / f"..{version}").mkdir()
        (mount / f"..{version}" / "token").write_text(version)
        (mount / "..data_tmp").symlink_to(f"..{version}")
        (mount / "..data_tmp").rename(mount / "..data")
        assert file_token(mount / "token") == version


def test_a_file_may_have_64_kib_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"x" * 65536)
    assert len(file_token(tmp_path / "token")) == 65536
    (tmp_path / "token").write_bytes(b"x" * 65537)
    assert file_failure(tmp_path / "token") == f"the file {tmp_path}/token is larger than 64 KiB"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty"),
        (b"\r\n", "is empty"),
        (b"a\n\n", "has several lines"),
        ("token".encode("utf-16"), "is not UTF-8 text"),
    ],
)
def test_a_file_that_holds_no_secret_is_named(tmp_path: Path, content: bytes, what: str) -> None:
    (tmp_path / "token").write_bytes(content)
    assert file_failure(tmp_path / "token") == f"the file {tmp_path}/token {what}"


def test_a_file_that_is_not_there_a_directory_or_no_file_is_named(tmp_path: Path) -> None:
    assert file_failure(tmp_path / "none") == f"the file {tmp_path}/none does not exist"
    assert file_failure(tmp_path) == f"{tmp_path} is a directory"
    (tmp_path / "loop").symlink_to("loop")
    assert "cannot be read: Too many levels of symbolic links" in file_failure(tmp_path / "loop")
    unix_socket(tmp_path / "socket")
    assert "is not a file but a socket" in file_failure(tmp_path / "socket")
    # Opens, and fails on the first read.
    assert file_failure("/proc/self/mem") == "the file /proc/self/mem cannot be read: Input/output error"
    assert file_failure("/dev/null") == "the file /dev/null is not a file but a device"


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    written(tmp_path / "token", "x", 0)
    with as_nobody():
        assert file_failure(tmp_path / "token") == f"the file {tmp_path}/token cannot be read: Permission denied"


def test_the_status_of_a_file_does_not_read_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    states = {
        name: status(Credential("file", FileRef(file=str(tmp_path / name)), None), ENDPOINT, context()).state
        for name in ("pipe", "none", ".")
    }
    assert states == {"pipe": "present", "none": "missing", ".": "missing"}


# --- pipes -----------------------------------------------------------------------------------------------------------


def _write(pipe: FileIO, parts: Iterable[str]) -> None:
    """Write each part when the one before has been read, then end."""
    with pipe:
        for part in parts:
            pipe.write(part.encode())
            until(lambda: not select.select([pipe], [], [], 0)[0])


def test_a_pipe_is_read_until_its_writer_ends_and_anew_each_time(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert file_failure(tmp_path / "pipe") == f"the file {tmp_path}/pipe is empty"  # without a writer at once
    for parts in (("first ", "second\n"), ("two",)):
        with ThreadPoolExecutor(1) as thread:
            # For writing alone the open would wait for the reader.
            thread.submit(_write, open(tmp_path / "pipe", "r+b", buffering=0), parts)  # noqa: SIM115
            assert file_token(tmp_path / "pipe") == "".join(parts).rstrip("\n")


def test_a_pipe_that_does_not_end_is_given_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with open(tmp_path / "pipe", "r+b", buffering=0) as writer:
        assert file_failure(tmp_path / "pipe", time_limit=0.2).endswith("pipe did not end within 0.2 s")
        # Much is there, and there is no time left to wait for its end.
        writer.write(b"x")
        assert file_failure(tmp_path / "pipe", time_limit=0.0).endswith("pipe did not end within 0 s")


_TWICE = """
import sys
import milvus_profiles as mp
from milvus_profiles.endpoint import Endpoint
from milvus_profiles.connectable import Credential
from milvus_profiles.profile import FileRef
from milvus_profiles.secrets.os_keyring import OSKeyring
from milvus_profiles.secrets.resolution import SecretContext, resolve
credential = Credential("file", FileRef(file=sys.argv[1]), None)
context = SecretContext({}, OSKeyring(), "prod")
for refresh in (False, False, True):
    print(resolve(credential, Endpoint("tcp", "h", 1), context, refresh=refresh).reveal())
"""


@pytest.mark.parametrize(
    "command",
    [
        'printf \'given\\n\' | "$0" -c "$1" /dev/stdin',
        '"$0" -c "$1" <(sleep 0.1; printf given)',
    ],
)
def test_standard_input_and_process_substitution_can_be_named_and_their_secret_is_kept(command: str) -> None:
    done = subprocess.run(
        ["bash", "-c", command, sys.executable, _TWICE],
        env={"PATH": os.environ["PATH"], **coverage_variables()},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "given\n" * 3


def test_a_terminal_is_refused_because_it_would_show_what_is_typed() -> None:
    master, slave = pty.openpty()
    try:
        assert file_failure(os.ttyname(slave)).endswith("is a terminal")
    finally:
        os.close(master)
        os.close(slave)


def test_a_password_with_a_tab_logs_in_wherever_it_is_kept(milvus_auth: MilvusServer, tmp_path: Path) -> None:
    password = "tab\tin it\t"
    with mp.connect(uri=milvus_auth.uri, token="root:Milvus") as admin:
        admin.client().create_user("tabbed", password)
    (tmp_path / "secret").write_text(password + "\n")
    for source in (
        password,
        {"env": "SECRET"},
        {"file": str(tmp_path / "secret")},
        {"command": ["printenv", "SECRET"], "pass_env": ["SECRET"]},
    ):
        profiles = mp.load(env={"HOME": str(tmp_path), "SECRET": password, "PATH": os.environ["PATH"]}, cwd=tmp_path)
        with mp.connect(profiles=profiles, uri=milvus_auth.uri, user="tabbed", password=source) as connection:
            assert connection.ping() > 0
