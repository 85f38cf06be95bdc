"""What pyright, and with it an editor, knows of what the package returns."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sdks.test_programs import SDKS
from tests.support.requirements import need, unavailable
from tests.test_typing import WANTED, WRONG, check, refused

pytestmark = pytest.mark.sdks


@pytest.fixture
def pyright() -> list[str]:
    need("node")
    program = SDKS / "pyright/node_modules/pyright/index.js"
    if not program.exists():
        unavailable("needs pyright, which `make test-sdks` could not fetch")
    return ["node", str(program), "--pythonpath", sys.executable]


def test_what_is_wrong_is_refused_by_pyright(tmp_path: Path, pyright: list[str]) -> None:
    assert refused(*pyright, directory=tmp_path) == WRONG


def test_a_client_is_a_milvus_client_to_pyright(tmp_path: Path, pyright: list[str]) -> None:
    said = check(*pyright, directory=tmp_path)
    assert re.findall(r' is "(.+)"', said) == WANTED


def test_pyright_finds_nothing_wrong_in_the_package(pyright: list[str]) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run([*pyright, "milvus_profiles"], cwd=root, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout
    assert "0 errors" in done.stdout
