"""The terminal pictures of the documentation: each is drawn from a real run, and those in the repository are of today's
commands."""

from __future__ import annotations

import getpass
import html
import re
import runpy
import socket
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support.chromium import chromium
from tests.support.reaper import Reaper

ROOT = Path(__file__).parents[1]
COMMITTED = ROOT / "docs/screens"


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The name of each picture, and its command."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    scenes = runpy.run_path(str(ROOT / "scripts/screens.py"))["SCENES"]
    return {scene.name: scene.command for scene in scenes}


def check(directory: Path, commands: dict[str, str]) -> None:
    assert {path.stem for path in directory.iterdir()} == set(commands)
    ours = {str(ROOT), str(Path.home()), "/tmp/", socket.gethostname(), str(Path(sys.prefix))}
    if (user := getpass.getuser()) != "root":
        ours.add(user)
    for name, command in commands.items():
        text = (directory / f"{name}.svg").read_text()
        ElementTree.fromstring(text)
        words = html.unescape(re.sub("<[^>]*>", " ", text)).replace("\xa0", " ")
        assert f"$ {command}" in words, name
        assert len(words.split(f"$ {command}", 1)[1].split()) > 3, name
        assert not [part for part in ours if re.search(rf"(?<!\w){re.escape(part)}(?!\w)", words)], name
        # Nothing that a browser would fetch.
        assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", text), name
        assert not re.search(r"<(?:script|image|use|a|foreignObject)\b|\bhref", text), name


def test_the_pictures_are_of_these_commands_and_show_nothing_of_a_machine(commands: dict[str, str]) -> None:
    check(COMMITTED, commands)


@pytest.mark.pages
def test_they_are_drawn_from_real_runs_and_a_browser_shows_them(
    commands: dict[str, str], tmp_path: Path, reaper: Reaper
) -> None:
    directory = tmp_path / "screens"
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/screens.py", directory], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    check(directory, commands)
    with chromium(reaper) as page:
        for name in commands:
            path = directory / f"{name}.svg"
            page.open(path)
            assert [event["request"]["url"] for event in page.of("Network.requestWillBeSent")] == [path.as_uri()]
            assert page.of("Log.entryAdded", "Runtime.exceptionThrown") == []
            assert page.value("document.documentElement.getAttribute('aria-label')").startswith("What mvp ")
