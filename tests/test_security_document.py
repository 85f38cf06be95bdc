"""SECURITY.md says what is so: each test that it names is there, and every file that is written has its row."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.test_written_files import ELSEWHERE, ROWS

PROJECT = Path(__file__).parents[1]
TEXT = (PROJECT / "SECURITY.md").read_text()


def test_each_test_that_it_names_exists() -> None:
    named = re.findall(r"`(test_\w+\.py)(?:::(\w+))?`", TEXT)
    assert len(named) > 20
    for file, function in named:
        tree = ast.parse((PROJECT / "tests" / file).read_text())
        defined = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
        assert not function or function in defined, f"{file}::{function}"


def test_each_file_that_is_written_has_its_row() -> None:
    table = TEXT.partition("## Every file that is written")[2].partition("## Known gaps")[0]
    rows = {line.split("|")[1].strip() for line in table.splitlines() if line.startswith("|")} - {"file", "---"}
    assert rows == {row.name for row in ROWS} | set(ELSEWHERE)
