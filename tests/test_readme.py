"""Every command of the README runs as it is printed and says what is printed below it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import StartMilvus
from tests.support.command import Command, Outcome
from tests.support.milvus import MilvusServer
from tests.support.pages import assert_printed, commands, page
from tests.support.ports import documented_port
from tests.support.secret_service import KeyringSession

pytestmark = pytest.mark.docs

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
BLOCKS = page(README).blocks


def run(command: str, cli: Command, keyring: KeyringSession | None) -> Outcome:
    return Command(["bash", "-euo", "pipefail", "-c", command], cli.home, cli.cwd)(keyring=keyring)


def test_every_block_of_the_readme_is_tested() -> None:
    """A new block belongs into a test, and then into this list."""
    languages = [block.language for block in BLOCKS]
    assert languages == ["console", "console", "python", "console", "console", "console", "python"]
    # What make set up; `make release-check` installs it.
    assert BLOCKS[0].text == "$ pip install '.[lite]'\n"


def test_it_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 120


def printed_as_shown(block: str, cli: Command, keyring: KeyringSession | None, status: int = 0) -> None:
    for command, output, _ in commands(block):
        done = run(command, cli, keyring)
        assert done.returncode == status, done.stderr
        assert_printed(output, done.stdout)


def runs(program: str, cli: Command) -> str:
    return Command([sys.executable, "-W", "error", "-c", program], cli.home, cli.cwd)(status=0).stdout


def test_milvus_lite(cli: Command) -> None:
    _, first, program, *_, pool = (block.text for block in BLOCKS)
    printed_as_shown(first, cli, None)
    assert "milvus_lite" in runs(program, cli)
    printed = runs(pool, cli)
    assert "milvus_lite" in printed
    assert "requests_num" in printed


@pytest.fixture
def at_the_documented_port(start_milvus: StartMilvus) -> Iterator[MilvusServer]:
    with documented_port() as port:
        server = start_milvus(auth=True, port=port)
        yield server
        server.stop()


def test_a_server(cli: Command, at_the_documented_port: MilvusServer, keyring_session: KeyringSession) -> None:
    (cli.cwd / "password").write_text("Milvus\n")
    (cli.cwd / "token").write_text("root:Milvus\n")
    add, container, failing = (block.text for block in BLOCKS[3:6])
    printed_as_shown(add, cli, keyring_session)
    printed_as_shown(container, cli, None)
    # The failure that is shown: a profile with https:// on a server without TLS.
    run("milvus-profiles add prod --uri https://127.0.0.1:19530 --user root --force", cli, keyring_session)
    run("milvus-profiles secret set prod < password", cli, keyring_session)
    printed_as_shown(failing, cli, keyring_session, status=7)


def test_make_targets_exist() -> None:
    help_text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("demo", "test", "test-sdks", "lint", "cov", "campaign"):
        assert f"make {target} " in help_text


def test_the_demo_runs(tmp_path: Path) -> None:
    env = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run([ROOT / "scripts/demo"], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "found: The Third Man" in done.stdout
    assert "local: ok, Milvus" in done.stdout
    assert shutil.which("milvus-profiles", path=env["PATH"])
