"""Every page of the documentation runs as it is printed: see tests/support/pages.py for what that means."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from milvus_profiles.config.loading import load_text
from tests.support.certificates import Certificates
from tests.support.command import Command
from tests.support.milvus import MilvusServer
from tests.support.pages import Block, Page, assert_printed, commands, page
from tests.support.secret_service import KeyringSession

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [page(path) for path in sorted(DOCS.rglob("*.md"))]
RUN = [one for one in PAGES if one.blocks and "apart" not in one.needs]
SHOWN = "milvus.example:19530"
KINDS = {"plain": "milvus_plain", "auth": "milvus_auth", "tls": "milvus_tls", "mtls": "milvus_mtls"}
LANGUAGES = {"console", "python", "toml", "text", "yaml", "json", "ini", "nginx", "dockerfile", "sh", "haproxy"}


def named(one: Page) -> str:
    return str(one.path.relative_to(DOCS).with_suffix(""))


class Reader:
    """Does what the page says, in the directory of a project."""

    def __init__(self, cli: Command, keyring: KeyringSession | None, address: str | None, env: dict[str, str]) -> None:
        self.cli = cli
        self.keyring = keyring
        self.address = address
        self.env = env
        self.exported: list[str] = []
        """The commands of the page that set variables, for those that follow."""

    def here(self, text: str) -> str:
        return text if self.address is None else text.replace(SHOWN, self.address)

    def there(self, text: str) -> str:
        return text if self.address is None else text.replace(self.address, SHOWN)

    def does(self, block: Block) -> None:
        if block.title is not None:
            path = self.cli.cwd / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.here(block.text), encoding="utf-8")
        elif block.language == "console":
            for command, output, status in commands(block.text):
                done = self.run("bash", "-euo", "pipefail", "-c", self.here("\n".join((*self.exported, command))))
                if command.startswith("export "):
                    self.exported.append(command)
                printed = self.there(done.stdout + done.stderr)
                assert done.returncode == status, f"$ {command}\n{printed}"
                assert_printed(output, printed)
        elif block.language == "python":
            done = self.run(sys.executable, "-W", "error::ResourceWarning", "-c", self.here(block.text))
            assert done.returncode == 0, done.stderr
        elif block.language == "toml":
            shown = load_text(block.text.encode(), str(self.cli.cwd / "milvus.toml"), "named")
            findings = [finding for alias in shown for finding in shown.findings(alias)]
            assert not findings, findings

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=self.cli.environment(self.env, None, self.keyring), cwd=self.cli.cwd, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip


@pytest.mark.parametrize("one", RUN, ids=named)
def test_the_page_runs(one: Page, cli: Command, certificates: Certificates, request: pytest.FixtureRequest) -> None:
    keyring = request.getfixturevalue("keyring_session") if "keyring" in one.needs else None
    server: MilvusServer | None = None
    if kind := one.needs.get("server"):
        server = request.getfixturevalue(KINDS[kind])
    if "certificates" in one.needs:
        (cli.cwd / "certs").mkdir()
        client = certificates.client
        for name, source in {"ca.pem": certificates.ca, "client.pem": client.cert, "client.key": client.key}.items():
            shutil.copy(source, cli.cwd / "certs" / name)
    env = {}
    if server is not None and "management" in one.needs:
        env["MILVUS_PROFILES__PROD__MANAGEMENT_PORT"] = str(server.metrics_port)
    reader = Reader(cli, keyring, f"127.0.0.1:{server.port}" if server else None, env)
    for block in one.blocks:
        if block.reason is None:
            reader.does(block)


def test_no_block_is_of_a_language_that_nothing_reads() -> None:
    assert {block.language for one in PAGES for block in one.blocks} <= LANGUAGES
    assert set().union(*(one.needs for one in PAGES)) <= {
        "server",
        "keyring",
        "certificates",
        "lite",
        "management",
        "apart",
    }
