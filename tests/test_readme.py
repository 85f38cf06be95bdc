"""Every command of the README runs as it is printed and says what is printed below it."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import Command
from tests.support.milvus import MilvusServer
from tests.support.secret_service import KeyringSession

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)


def commands(block: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with what is printed below it."""
    found: list[tuple[str, str]] = []
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        found.append((command, output))
    return found


CONSOLES = [commands(text) for language, text in BLOCKS if language == "console"]


def run(command: str, cli: Command, keyring: KeyringSession | None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        env={**cli.environment(env, None, keyring)}, cwd=cli.cwd, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def assert_printed(pattern: str, printed: str) -> None:
    """Each line of the README stands in the output, in this order; `…` and numbers may differ."""
    lines = iter(printed.splitlines())
    for wanted in pattern.splitlines():
        if not wanted.strip():
            continue
        loose = re.sub(r"[0-9]+(\.[0-9]+)?", "*", re.sub(r"\s+", " ", wanted.strip())).replace("…", "*")
        loose = loose.replace("[", "[[]")
        for line in lines:
            normal = re.sub(r"[0-9]+(\.[0-9]+)?", "0", re.sub(r"\s+", " ", line.strip()))
            if fnmatch.fnmatchcase(normal, loose.replace("*", "*")):
                break
        else:
            raise AssertionError(f"not printed: {wanted!r}\n--- the output\n{printed}")


def test_the_readme_has_the_blocks_that_are_tested() -> None:
    assert [len(block) for block in CONSOLES] == [4, 3, 1, 1]
    assert [language for language, _ in BLOCKS if language != "console"] == ["python", "toml"]


def test_in_a_project(cli: Command) -> None:
    install, *rest = CONSOLES[0]
    assert install[0] == "pip install 'milvus-profiles[lite]'"  # what make set up
    for command, output in rest:
        done = run(command, cli, None)
        assert done.returncode == 0, done.stderr
        assert_printed(output, done.stdout)
    program = next(text for language, text in BLOCKS if language == "python")
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", program], env=cli.environment(), cwd=cli.cwd,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "milvus_lite" in done.stdout


@pytest.fixture
def at_the_documented_port(start_milvus: object, reaper: object, certificates: object) -> MilvusServer:
    return start_milvus(auth=True, port=19530)  # type: ignore[operator,no-any-return]


def test_with_a_server_and_in_a_container(
    cli: Command, at_the_documented_port: MilvusServer, keyring_session: KeyringSession
) -> None:
    (cli.cwd / "password").write_text("Milvus\n")
    (cli.cwd / "token").write_text("root:Milvus\n")
    for command, output in CONSOLES[1]:
        done = run(command, cli, keyring_session)
        assert done.returncode == 0, done.stderr
        assert_printed(output, done.stdout)
    for command, output in CONSOLES[2]:
        done = run(command, cli, None)
        assert done.returncode == 0, done.stderr
        assert_printed(output, done.stdout)
    # The failure that is shown: a profile with https:// on a server without TLS.
    run("milvus-profiles profile add prod --uri https://127.0.0.1:19530 --user root --force", cli, keyring_session)
    run("milvus-profiles secret set prod < password", cli, keyring_session)
    [(command, output)] = CONSOLES[3]
    done = run(command, cli, keyring_session)
    assert done.returncode == 7
    assert_printed(output, done.stdout)


def test_the_file_that_is_shown_is_valid(cli: Command) -> None:
    (cli.cwd / "milvus.toml").write_text(next(text for language, text in BLOCKS if language == "toml"))
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
    for target in ("demo", "test", "lint", "cov", "campaign"):
        assert f"make {target} " in help_text


def test_the_demo_runs(tmp_path: Path) -> None:
    env = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run([ROOT / "scripts/demo"], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "found: The Third Man" in done.stdout
    assert "local: ok, Milvus" in done.stdout
    assert shutil.which("milvus-profiles", path=env["PATH"])
