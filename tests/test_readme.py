"""Every command of the README runs as it is printed and says what is printed below it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import StartMilvus
from tests.support.command import Command
from tests.support.milvus import MilvusServer
from tests.support.pages import assert_printed, commands
from tests.support.ports import documented_port
from tests.support.secret_service import KeyringSession

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SECTIONS = {part.partition("\n")[0]: part for part in README.split("\n## ")[1:]}
BLOCKS: dict[str, list[tuple[str, str]]]
BLOCKS = {title: re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL) for title, text in SECTIONS.items()}


def console(section: str) -> list[tuple[str, str]]:
    """The commands of the console blocks of a section."""
    blocks = (text for language, text in BLOCKS[section] if language == "console")
    return [(command, output) for text in blocks for command, output, _ in commands(text)]


def program(section: str) -> str:
    """The Python of a section."""
    [text] = (text for language, text in BLOCKS[section] if language == "python")
    return text


def run(command: str, cli: Command, keyring: KeyringSession | None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        env={**cli.environment(env, None, keyring)}, cwd=cli.cwd, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_every_block_of_the_readme_is_tested() -> None:
    """A new block belongs into a test of its section, and then into this list."""
    assert {title: [language for language, _ in blocks] for title, blocks in BLOCKS.items() if blocks} == {
        "In a project": ["console", "python"],
        "With a server and a password": ["console", "toml"],
        "In a container": ["console"],
        "With every other client": ["console"],
        "In your tests": ["python"],
        "From asyncio, and in a pool": ["python"],
        "When it fails": ["console"],
    }


def test_in_a_project(cli: Command) -> None:
    install, *rest = console("In a project")
    assert install[0] == "pip install 'milvus-profiles[lite]'"  # what make set up
    for command, output in rest:
        done = run(command, cli, None)
        assert done.returncode == 0, done.stderr
        assert_printed(output, done.stdout)
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", program("In a project")],
        env=cli.environment(), cwd=cli.cwd, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "milvus_lite" in done.stdout


def test_from_asyncio_and_in_a_pool(cli: Command) -> None:
    (cli.cwd / "milvus.toml").write_text('[profiles.local]\nuri = "./milvus.db"\n')
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program("From asyncio, and in a pool")], env=cli.environment(),
        cwd=cli.cwd, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "milvus_lite" in done.stdout
    assert "requests_num" in done.stdout


def test_in_your_tests(cli: Command) -> None:
    (cli.cwd / "test_films.py").write_text(program("In your tests"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], env=cli.environment(), cwd=cli.cwd,
        capture_output=True, text=True,
    )  # fmt: skip
    assert "1 passed" in done.stdout, done.stdout


@pytest.fixture
def at_the_documented_port(start_milvus: StartMilvus) -> Iterator[MilvusServer]:
    with documented_port() as port:
        server = start_milvus(auth=True, port=port)
        yield server
        server.stop()


def test_with_a_server_and_in_a_container(
    cli: Command, at_the_documented_port: MilvusServer, keyring_session: KeyringSession
) -> None:
    (cli.cwd / "password").write_text("Milvus\n")
    (cli.cwd / "token").write_text("root:Milvus\n")
    for command, output in console("With a server and a password"):
        done = run(command, cli, keyring_session)
        assert done.returncode == 0, done.stderr
        assert_printed(output, done.stdout)
    for command, output in console("In a container"):
        done = run(command, cli, None)
        assert done.returncode == 0, done.stderr
        assert_printed(output, done.stdout)
    (cli.home / ".milvus_cli_connections.json").write_text(
        '{"eu": {"uri": "https://eu.example", "token": "root:Milvus", "tlsmode": 1}}'
    )
    for command, output in console("With every other client"):
        # The management port is not at its documented place.
        run(f"milvus-profiles profile set prod management_port={at_the_documented_port.metrics_port}", cli, None)
        done = run(command, cli, keyring_session)
        assert done.returncode == 0, done.stderr
        assert_printed(output, done.stdout)
    # The failure that is shown: a profile with https:// on a server without TLS.
    run("milvus-profiles profile add prod --uri https://127.0.0.1:19530 --user root --force", cli, keyring_session)
    run("milvus-profiles secret set prod < password", cli, keyring_session)
    [(command, output)] = console("When it fails")
    done = run(command, cli, keyring_session)
    assert done.returncode == 7
    assert_printed(output, done.stdout)


def test_the_file_that_is_shown_is_valid(cli: Command) -> None:
    [text] = (text for language, text in BLOCKS["With a server and a password"] if language == "toml")
    (cli.cwd / "milvus.toml").write_text(text)
    assert cli("config", "validate").returncode == 0
    assert cli("profile", "show", "--json").json["alias"] == "prod"


def test_the_exit_statuses_that_are_named_are_those_of_the_errors() -> None:
    from milvus_profiles import errors

    named = {
        "3 configuration": errors.ConfigError,
        "4 secret": errors.SecretUnavailableError,
        "5 trust": errors.UntrustedError,
        "6 unreachable": errors.UnreachableError,
        "7 TLS": errors.TLSError,
        "8 not a Milvus": errors.NotMilvusError,
        "9 authentication": errors.AuthenticationError,
        "10 database": errors.DatabaseNotFoundError,
    }
    flat = re.sub(r"\s+", " ", README)
    for words, error in named.items():
        assert words in flat
        assert int(words.split()[0]) == error.exit_status


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
