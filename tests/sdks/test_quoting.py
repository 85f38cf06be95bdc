"""What an export writes comes back through the compilers of the SDKs' languages, whatever is in the value."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from milvus_profiles.interop.exports import quoting
from tests.sdks.test_programs import SDKS, go_env
from tests.support.requirements import unavailable
from tests.test_export_quoting import LONG, check_reader_of_dotenv_files, printed

pytestmark = pytest.mark.sdks


def need(tool: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"there is no {tool} on this machine")


def run_program(tmp_path: Path, name: str, source: str, *command: str) -> list[str]:
    path = tmp_path / name
    path.write_text(source, encoding="ascii")
    done = subprocess.run([*command, path], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().split("\0")[:-1]


@need("node")
def test_node(tmp_path: Path) -> None:
    source = f"for (const text of [{', '.join(map(quoting.javascript, LONG))}]) process.stdout.write(text + '\\0');"
    assert run_program(tmp_path, "a.mjs", source, "node") == LONG


@need("java")
def test_java(tmp_path: Path) -> None:
    source = (
        "import java.io.*; public class A { public static void main(String[] a) throws Exception {"
        'PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, "UTF-8");'
        f'for (String text : new String[] {{{", ".join(map(quoting.java, LONG))}}}) out.print(text + "\\0"); }} }}'
    )
    assert run_program(tmp_path, "A.java", source, "java") == LONG


@need("go")
def test_go(tmp_path: Path) -> None:
    source = (
        'package main\nimport "fmt"\nfunc main() {\n'
        f'for _, text := range []string{{{", ".join(map(quoting.go, LONG))}}} {{ fmt.Print(text + "\\x00") }} }}\n'
    )
    assert run_program(tmp_path, "a.go", source, "env", *(f"{k}={v}" for k, v in go_env().items()), "go", "run") == LONG


def test_dotenv_of_node(tmp_path: Path) -> None:
    if not (SDKS / "node/fetched").exists():
        unavailable("needs the packages of Node (make test-sdks fetches them)")

    def read(path: Path) -> dict[str, str]:
        program = (
            "require('dotenv').config({path: process.argv[1], quiet: true}); console.log(JSON.stringify(process.env))"
        )
        env = {"PATH": os.environ["PATH"], "NODE_PATH": f"{SDKS}/node/node_modules"}
        found: dict[str, str] = json.loads(printed("node", "-e", program, path, env=env))
        return found

    check_reader_of_dotenv_files(read, tmp_path)
