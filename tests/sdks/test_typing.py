"""What pyright, and with it an editor, knows of what the package returns."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.sdks.test_programs import SDKS
from tests.support.requirements import need, unavailable
from tests.test_typing import WANTED, check

pytestmark = pytest.mark.sdks


def test_a_client_is_a_milvus_client_to_pyright(tmp_path: Path) -> None:
    need("node")
    pyright = SDKS / "pyright/node_modules/pyright/index.js"
    if not pyright.exists():
        unavailable("needs pyright, which `make test-sdks` could not fetch")
    said = check("node", pyright, "--pythonpath", sys.executable, directory=tmp_path)
    assert re.findall(r' is "(.+)"', said) == WANTED
