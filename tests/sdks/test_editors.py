"""What people see of a milvus.toml in editors that read TOML with taplo, as Even Better TOML does."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.sdks.test_programs import SDKS
from tests.support.command import Command
from tests.support.requirements import need, unavailable
from tests.test_repository import URLS

pytestmark = pytest.mark.sdks

ROOT = Path(__file__).parents[2]
TAPLO = SDKS / "taplo/node_modules"


@pytest.fixture
def schema(tmp_path: Path, cli: Command) -> Path:
    need("node")
    if not TAPLO.exists():
        unavailable("needs taplo, which `make test-sdks` could not fetch")
    path = tmp_path / "schema.json"
    path.write_text(cli("config", "schema").stdout)
    return path


def lint(schema: Path, *paths: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["node", TAPLO / ".bin/taplo", "lint", "--no-auto-config", f"--schema={schema.as_uri()}", *paths],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def shown(path: Path, schema: Path, typed: str = "") -> Any:
    """What an editor shows of a file, where the site serves this schema."""
    program = path.with_name("editor.mjs")
    shutil.copy(Path(__file__).with_name("taplo") / program.name, program)
    modules = path.with_name("node_modules")
    if not modules.exists():
        modules.symlink_to(TAPLO)
    address = f"{URLS['Documentation']}/schema/milvus.json"
    done = subprocess.run(
        ["node", program, path, address, schema, typed], capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return json.loads(done.stdout)


def added(cli: Command) -> Path:
    path = cli.cwd / "milvus.toml"
    cli("profile", "add", "prod", "--uri", "https://milvus.example:443", "--project-file", status=0)
    cli("profile", "set", "prod", "timeout=5", "keepalive.time=30", status=0)
    return path


def test_a_wrong_key_in_a_sample_is_found_and_a_right_one_is_not(schema: Path, tmp_path: Path) -> None:
    samples = sorted((ROOT / "sample_configs").rglob("*.toml"))
    done = lint(schema, *samples)
    assert done.returncode == 0, done.stderr
    wrong = [tmp_path / f"{number}.toml" for number in range(len(samples))]
    for sample, path in zip(samples, wrong, strict=True):
        path.write_text(re.sub(r"(?m)^uri\b", "urri", sample.read_text(), count=1))
    done = lint(schema, *wrong)
    assert done.returncode == 1
    for path in wrong:
        assert re.search(rf"'urri' was unexpected\)\n\s*┌─ {re.escape(str(path))}", done.stderr), done.stderr


def test_in_a_file_that_add_made_nothing_is_underlined_and_every_key_is_explained(cli: Command, schema: Path) -> None:
    seen = shown(added(cli), schema)
    assert seen["diagnostics"] == []
    assert seen["hover"].keys() >= {"uri", "timeout"}
    for words in seen["hover"].values():
        assert re.search(r"\w", words)
        assert ":func:" not in words
    assert seen["hover"]["timeout"].strip().startswith("seconds")


def test_a_wrong_key_in_a_file_that_add_made_is_underlined(cli: Command, schema: Path) -> None:
    path = added(cli)
    path.write_text(path.read_text().replace("timeout", "timout", 1))
    [problem] = shown(path, schema)["diagnostics"]
    assert "'timout' was unexpected" in problem["message"]
    assert problem["line"] == path.read_text().splitlines().index("[profiles.prod]") + 1


def test_keys_and_values_are_completed(cli: Command, schema: Path) -> None:
    path = added(cli)
    path.write_text(path.read_text() + "\n[profiles.other]\n")
    keys = shown(path, schema, "d")["completion"]
    assert {"uri", "description", "db_name", "ssl.ca", "pool.mode"} <= set(keys)
    assert "alias" not in keys
    assert "mode" in shown(path, schema, "pool = { ")["completion"]
