"""Every page of the documentation runs as it is printed: see tests/support/pages.py for what that means."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from milvus_profiles.config.fields import FIELDS, ROOT_KEYS, find_field
from milvus_profiles.config.loading import load_text
from milvus_profiles.pool_settings import POOL_WIDE
from milvus_profiles.profile import Profile
from tests.support.certificates import Certificates
from tests.support.command import Command
from tests.support.layers import need_layer
from tests.support.milvus import MilvusServer
from tests.support.pages import Block, Page, assert_printed, commands, page
from tests.support.secret_service import KeyringSession

pytestmark = pytest.mark.docs

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [page(path) for path in sorted(DOCS.rglob("*.md"))]
RUN = [
    pytest.param(one, marks=pytest.mark.sdks if "sdks" in one.needs else ())
    for one in PAGES
    if one.blocks and "apart" not in one.needs
]
SHOWN = "milvus.example:19530"
KINDS = {"plain": "milvus_plain", "auth": "milvus_auth", "tls": "milvus_tls", "mtls": "milvus_mtls"}
NEEDS = {"server", "keyring", "certificates", "lite", "management", "notebook", "sdks", "apart"}
LANGUAGES = {"console", "python", "toml", "text", "yaml", "json", "ini", "nginx", "dockerfile", "sh", "haproxy"}

NOTEBOOK = """
import json, sys
import nbclient, nbformat.v4 as v4
notebook = v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in json.loads(sys.argv[1])])
nbclient.execute(notebook)
print(json.dumps([cell.outputs for cell in notebook.cells]))
"""


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
            at_home = block.title.startswith("~/")
            path = (self.cli.home if at_home else self.cli.cwd) / block.title.removeprefix("~/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.here(block.text), encoding="utf-8")
        elif block.language == "console":
            for command, output, status in commands(block.text):
                done = self.run(
                    block, "bash", "-euo", "pipefail", "-c", self.here("\n".join((*self.exported, command)))
                )
                if command.startswith("export "):
                    self.exported.append(command)
                printed = self.there(done.stdout + done.stderr)
                assert done.returncode == status, f"$ {command}\n{printed}"
                assert_printed(output, printed)
        elif block.language == "python":
            done = self.run(block, "python", "-W", "error::ResourceWarning", "-c", self.here(block.text))
            assert done.returncode == 0, done.stderr
        elif block.language == "toml":
            shown = load_text(block.text.encode(), str(self.cli.cwd / "milvus.toml"), "named")
            findings = [finding for alias in shown for finding in shown.findings(alias)]
            assert not findings, findings

    def does_notebook(self, blocks: list[Block]) -> None:
        """With a real kernel: each cell shows the text below it."""
        cells = [block.text for block in blocks if block.language == "python"]
        kernel = Block("python", NOTEBOOK, None, None, "jupyter")
        done = self.run(kernel, "python", "-c", kernel.text, json.dumps(cells))
        assert done.returncode == 0, done.stderr
        shown = iter(json.loads(done.stdout.splitlines()[-1]))
        outputs: list[dict[str, Any]] = []
        for block in blocks:
            if block.language == "python":
                outputs = next(shown)
            else:
                parts = (output.get("text") or output["data"]["text/plain"] for output in outputs)
                assert_printed(block.text, "\n".join(parts))

    def run(self, block: Block, *command: str) -> subprocess.CompletedProcess[str]:
        env = self.cli.environment(self.env, self.keyring)
        if block.layer is not None:
            env["PATH"] = os.pathsep.join((str(need_layer(block.layer).parent), env["PATH"]))
        return subprocess.run(
            [shutil.which(command[0], path=env["PATH"]) or command[0], *command[1:]], env=env, cwd=self.cli.cwd,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
        )  # fmt: skip


@pytest.mark.parametrize("one", RUN, ids=named)
def test_the_page_runs(one: Page, cli: Command, certificates: Certificates, request: pytest.FixtureRequest) -> None:
    keyring = request.getfixturevalue("fresh_keyring") if "keyring" in one.needs else None
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
    if "notebook" in one.needs:
        reader.does_notebook(one.blocks)
        return
    for block in one.blocks:
        if block.reason is None:
            reader.does(block)


def test_no_block_is_of_a_language_that_nothing_reads() -> None:
    assert {block.language for one in PAGES for block in one.blocks} <= LANGUAGES
    assert set().union(*(one.needs for one in PAGES)) <= NEEDS


def test_every_how_to_is_in_the_navigation_and_in_the_list() -> None:
    navigation, listed = (ROOT / "zensical.toml").read_text(), (DOCS / "how-to/index.md").read_text()
    for path in (DOCS / "how-to").glob("[!i]*.md"):
        assert f'"how-to/{path.name}"' in navigation
        assert f"({path.name})" in listed


def test_the_tests_that_pages_name_are_there() -> None:
    for one in PAGES:
        for named_there in re.findall(r"\btests/[\w/]+\.py", one.path.read_text()):
            assert (ROOT / named_there).exists(), (one.path, named_there)


def test_the_reference_says_of_each_field_what_it_takes_and_what_holds_without_it(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "scripts/docs.py", tmp_path / "docs"], check=True, cwd=ROOT)
    text = (tmp_path / "docs/reference/fields.md").read_text()
    parts = dict(re.findall(r"^### `([\w.]+)` \{[^\n]*\}\n(.*?)(?=^#|\Z)", text, re.M | re.S))
    leaves = {f"{name}.{key}" for name in FIELDS if (one := find_field((name,))) for key in one.keys}
    assert parts.keys() >= {*FIELDS, "default_profile", "max_connections", "keyring_backends"}
    assert {name for name in leaves if name.split(".")[0] not in ("token", "password")} - parts.keys() == {
        f"pool.{name}" for name in POOL_WIDE
    }
    for name, part in parts.items():
        facts = dict(re.findall(r"^- (\w+(?: \w+)?): (.+)$", part, re.M))
        assert facts.keys() >= {"Type", "Default", "Example"}, (name, part)
        assert ("Variable" in facts and "Set by" in facts) or name in ROOT_KEYS, (name, part)
        described = find_field(tuple(name.split(".")))
        if described is not None and described.kind is not None:
            wanted = {"bool": "boolean", "int": "integer", "float": "number", "secret": "string"}.get(
                described.kind, ""
            )
            assert wanted in facts["Type"], (name, facts)
        if described is not None and described.keys:
            assert "table" in facts["Type"], (name, facts)
        kept = Profile.model_fields[name].default if name in Profile.model_fields else None
        assert (facts["Default"] == "none") == (kept is None) or "." in name or name in ROOT_KEYS, (name, facts)
    assert "- Default: `65536`" in parts["max_connections"]
