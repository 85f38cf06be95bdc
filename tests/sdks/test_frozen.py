"""A program that PyInstaller froze: the command line and the library in it, with TLS and the keyring.

The hook is found by the entry point of the distribution, so nothing is said to PyInstaller about this package.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.command import Command
from tests.support.milvus import MilvusServer
from tests.support.requirements import unavailable
from tests.support.secret_service import KeyringSession

pytestmark = pytest.mark.sdks

_PROGRAM = """
import sys
import milvus_profiles as mp

if sys.argv[1:2] != ["--library"]:
    from milvus_profiles.cli.entry import script
    script()

import asyncio

async def main():
    async with mp.aio.connect("prod") as conn, mp.aio.ConnectionPool() as pool, pool.lease("prod") as lease:
        return await conn.ping() > 0, await lease.ping() > 0

with mp.connect("prod") as conn, mp.ConnectionPool() as pool, pool.lease("prod") as lease:
    print(conn.server_version, conn.ping() > 0, lease.ping() > 0, *asyncio.run(main()), mp.diagnose("prod").ok)
"""


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_spec("PyInstaller") is None:
        unavailable("needs PyInstaller (make setup installs it)")
    directory = tmp_path_factory.mktemp("frozen")
    (directory / "program.py").write_text(_PROGRAM)
    # What the environment of the tests has, and no program of a user's needs for this.
    surplus = [
        f"--exclude-module={name}" for name in ("matplotlib", "pandas", "pymilvus", "pytest", "numpy", "IPython")
    ]
    done = subprocess.run(
        [sys.executable, "-m", "PyInstaller", "--onedir", "--noconfirm", "--log-level=WARN", *surplus, "program.py"],
        cwd=directory, env={**os.environ, "HOME": str(directory)}, capture_output=True, text=True, check=False,
        timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return directory / "dist/program/program"


@pytest.fixture
def program(frozen: Path, cli: Command, milvus_tls: MilvusServer) -> Command:
    """The frozen program, with a profile whose password is in the keyring."""
    assert milvus_tls.certs is not None
    ca = json.dumps(str(milvus_tls.certs.ca))
    cli.own_file(f'[profiles.prod]\nuri = "{milvus_tls.uri}"\nuser = "root"\nssl = {{ ca = {ca} }}\n')
    return Command([frozen], cli.home, cli.cwd)


def test_every_command_is_in_it(program: Command) -> None:
    assert program("profile", "list", "--json", status=0).json[0]["alias"] == "prod"
    assert "changed" in program("profile", "set", "prod", "timeout=5", status=0).stdout
    assert "prod" in program("export", "prod", "--to", "go", status=0).stdout
    assert "profile" in program("--help", status=0).stdout
    assert program("explain", "tls", status=0).stdout.startswith("# tls: ")
    assert program("--version", status=0).stdout.startswith("milvus-profiles ")
    assert program("exec", "prod", "--", "sh", "-c", "exit 5").returncode in (4, 5)  # there is no keyring


def test_doctor_finds_all_that_it_needs(program: Command, keyring_session: KeyringSession) -> None:
    found = program("doctor", "--json", keyring=keyring_session, status=0).json["findings"]
    by_name = {each["name"]: each for each in found}
    assert by_name["libraries"]["status"] == "ok", by_name
    assert all(name in by_name["libraries"]["detail"] for name in ("grpcio ", "protobuf ", "keyring ", "cryptography "))
    assert by_name["keyring"]["status"] == "ok", by_name


def test_it_connects_over_tls_with_a_password_of_the_keyring(
    program: Command, keyring_session: KeyringSession, milvus_tls: MilvusServer
) -> None:
    program("secret", "set", "prod", keyring=keyring_session, input="Milvus\n", status=0)
    tested = program("profile", "test", "prod", "--json", keyring=keyring_session, status=0).json
    assert tested[0]["ok"]
    used = program("--library", keyring=keyring_session, status=0)
    assert used.stdout.split()[1:] == ["True"] * 5
    program("secret", "delete", "prod", keyring=keyring_session, status=0)
