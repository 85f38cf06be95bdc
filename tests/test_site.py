"""The site of the documentation: built, served, and looked at in a real browser."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import milvus_profiles as mp
from milvus_profiles.cli.help import every
from milvus_profiles.cli.manual import GROUPS, PAGES, VARIABLES
from milvus_profiles.cli.output_schemas import SCHEMAS
from milvus_profiles.config.fields import FIELDS
from milvus_profiles.config.schema import EXAMPLES
from tests.support.chromium import Page, chromium
from tests.support.ports import ports
from tests.support.reaper import Reaper
from tests.support.requirements import unavailable
from tests.support.waiting import until

pytestmark = pytest.mark.pages

ROOT = Path(__file__).parents[1]
SITE = ROOT / "build/site"
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def site(reaper: Reaper) -> Iterator[str]:
    """The address of the site, as `make docs` builds it."""
    if not (BIN / "zensical").exists():
        unavailable("needs what `make docs` installs")
    subprocess.run([sys.executable, ROOT / "scripts/docs.py"], check=True, cwd=ROOT)
    built = subprocess.run([BIN / "zensical", "build", "--strict", "--clean"], cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    assert "No issues found" in built.stdout + built.stderr
    port = ports().take()
    server = subprocess.Popen(
        [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", SITE, str(port)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    reaper.watch_process(server.pid)
    yield f"http://127.0.0.1:{port}/"
    server.terminate()
    server.wait(20)
    ports().give_back(port)


@pytest.fixture(scope="module")
def browser(reaper: Reaper, site: str) -> Iterator[Page]:
    with chromium(reaper) as page:

        def answers() -> bool:
            page.open(site)
            return bool(page.value("document.title"))

        until(answers, 30)
        yield page


def pages() -> list[str]:
    """The address of each page below that of the site."""
    found = [path.parent.relative_to(SITE).as_posix() for path in sorted(SITE.rglob("index.html"))]
    return ["" if path == "." else f"{path}/" for path in found]


def said(browser: Page) -> list[Any]:
    return browser.of("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")


def test_every_page_loads_with_its_pictures_and_without_an_error(site: str, browser: Page) -> None:
    broken: dict[str, Any] = {}
    for path in pages():
        browser.open(site + path)
        images = "[...document.images].filter(one => !(one.complete && one.naturalWidth)).map(one => one.src)"
        asked = [event["request"]["url"] for event in browser.of("Network.requestWillBeSent")]
        elsewhere = [url for url in asked if not url.startswith((site, "data:"))]
        wrong = [*said(browser), *browser.value(images), *elsewhere]
        if wrong or not browser.value("document.querySelector('article h1')?.textContent"):
            broken[path] = wrong
    assert not broken
    assert len(pages()) > 50


def test_a_phone_scrolls_no_page_sideways(site: str, browser: Page) -> None:
    wide = []
    for path in pages():
        browser.open(site + path, width=390)
        if browser.value("document.scrollingElement.scrollWidth > innerWidth"):
            wide.append(path)
    assert not wide


@pytest.mark.parametrize("words", ["keepalive", "UntrustedError", "MILVUS_URI"])
def test_the_search_finds(words: str, site: str, browser: Page) -> None:
    browser.open(site)
    results = "document.activeElement.shadowRoot?.textContent ?? ''"

    def opened() -> bool:
        browser.click(".md-search__button")
        return bool(browser.value("!!document.activeElement.shadowRoot"))

    until(opened, 20)
    browser.call("Input.insertText", text=words)
    until(lambda: re.search(r"\b[1-9]\d* results?", browser.value(results)) is not None, 20)
    assert words in browser.value(results)


_MODELS = {"keepalive": "Keepalive", "pool": "PoolSettings"}


def documented() -> dict[str, set[str]]:
    """What a reader may look for, by kind, from the code."""
    keys = {f"{name.lower()}.{key}" for name in ("SSL", "Retry", "Keepalive") for key in EXAMPLES[name]}
    # Of these two only the keys are variables.
    whole = [name for name in FIELDS if name not in ("keepalive", "pool")]
    leaves = [f"{table}__{key}" for table in ("keepalive", "pool") for key in EXAMPLES[_MODELS[table]]]
    commands = {name for group in GROUPS.values() for names in group.values() for name in names}
    return {
        "public name": set(mp.__all__) - {"__version__"},
        "field": {*FIELDS, *keys, *(f"pool.{key}" for key in EXAMPLES["PoolSettings"]), *EXAMPLES[""]},
        "variable": set(VARIABLES) | {f"MILVUS_PROFILES__PROD__{name.upper()}" for name in (*whole, *leaves)},
        "command": {*commands, *(name for name in PAGES if name)},
        "code": {page.code for page in every()},
        "exit status": {str(one.exit_status) for page in every() for one in page.classes},
        "schema": set(SCHEMAS),
    }


@pytest.mark.usefixtures("site")
def test_everything_has_its_place_in_the_search() -> None:
    items = json.loads((SITE / "search.json").read_text())["items"]
    texts = "\n".join(html.unescape(f"{item['title']}\n{item['text']}") for item in items)
    missing = {
        kind: sorted(name for name in names if not re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", texts))
        for kind, names in documented().items()
    }
    assert not {kind: names for kind, names in missing.items() if names}


@pytest.mark.usefixtures("site")
def test_the_schemas_are_served_as_the_command_prints_them() -> None:
    for what in ("milvus", *SCHEMAS):
        assert json.loads((SITE / f"schema/{what}.json").read_text())["$schema"]
