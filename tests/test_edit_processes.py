"""Many writers at once, and writers that are killed.  Run as a program this module is one of those writers."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from milvus_profiles.config.edit import edit_file
from milvus_profiles.tomltext.parser import loads
from tests.support.edits import add, put

pytestmark = pytest.mark.programs

WRITERS = 8


def start(*arguments: object) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", __name__, *map(str, arguments)]
    project = Path(__file__).parents[1]
    return subprocess.Popen(words, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    try:
        stdout, stderr = process.communicate(timeout=600)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, stderr
    return stdout


@pytest.mark.parametrize("each", [10, pytest.param(40, marks=pytest.mark.campaign)])
def test_eight_processes_that_add_at_once_lose_no_profile_and_no_comment(tmp_path: Path, each: int) -> None:
    path = tmp_path / "milvus.toml"
    text = "# head\n\n" + "".join(
        f"# about {n}\n[profiles.old{n}]  # {n}\nuri = 'x'\n# below {n}\n\n" for n in range(10)
    )
    path.write_text(text)
    for process in [start("add", path, number, each) for number in range(WRITERS)]:
        finish(process)
    after = path.read_text()
    assert after.startswith(text)
    profiles = loads(after)["profiles"]
    assert len(profiles) == WRITERS * each + 10
    assert {f"w{w}-{n}" for w in range(WRITERS) for n in range(each)} < profiles.keys()
    assert os.listdir(tmp_path) == ["milvus.toml"]


@pytest.mark.parametrize("kills", [60, pytest.param(1000, marks=pytest.mark.campaign)])
def test_a_killed_edit_leaves_the_old_file_or_the_new_one(tmp_path: Path, kills: int) -> None:
    path = tmp_path / "milvus.toml"
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    report = json.loads(finish(start("kill", path, kills, seed)))
    print(report)
    assert report["old"] + report["new"] == kills
    # The kills met edits that were under way, and not just the pauses between them.
    assert report["half-written"] > 0
    edit_file(path, add("last", {}), lock_timeout=0.5)
    assert os.listdir(tmp_path) == ["milvus.toml"]


# --- the writers ---------------------------------------------------------------------------------------------------


def add_many(path: str, writer: str, each: int) -> None:
    for number in range(each):
        edit_file(path, add(f"w{writer}-{number}", {"uri": "http://x"}), lock_timeout=300)


def flip_for_ever(path: str, about_to_write: int) -> None:
    def tell(_: bytes) -> None:
        os.write(about_to_write, b".")

    try:
        while True:
            for uri in ("http://other", "http://host-50"):
                edit_file(path, put("p50", ("uri",), uri), check=tell)
    finally:
        os._exit(1)


def kill(path: str, kills: int, seed: int) -> None:
    """Fork a writer, which is quicker than starting one, and kill it; again and again."""
    chance = random.Random(seed)
    old = "".join(
        f'# {n}\n[profiles.p{n}]\nuri = "http://host-{n}"\ntoken = {{ keyring = true }}\n\n' for n in range(100)
    )
    new = old.replace("http://host-50", "http://other")
    Path(path).write_text(old)
    edit_file(path, put("p50", ("uri",), "http://host-50"))  # imports what the writers need
    report = {"old": 0, "new": 0, "half-written": 0}
    for number in range(kills):
        ready, about_to_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            flip_for_ever(path, about_to_write)
        if number % 2:
            time.sleep(chance.uniform(0, 0.1))
        else:
            # Random moments seldom meet the short time in which the file is written: every other kill aims at it.
            os.read(ready, 1)
            time.sleep(chance.uniform(0, 0.0005))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        os.close(ready)
        os.close(about_to_write)
        if not os.WIFSIGNALED(status):
            raise SystemExit("a writer ended by itself")
        content = Path(path).read_text()
        if content not in (old, new):
            raise SystemExit(f"torn: {content!r}")
        report["old" if content == old else "new"] += 1
        report["half-written"] += any(name.endswith(".tmp") for name in os.listdir(os.path.dirname(path)))
    print(json.dumps(report))


if __name__ == "__main__":
    if sys.argv[1] == "add":
        add_many(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        kill(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
