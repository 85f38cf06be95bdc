"""``test --html``: one page with all that it needs, in a real browser: by day, by night, on a phone, attacked."""

from __future__ import annotations

import base64
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support import faults, scripted_grpc
from tests.support.certificates import Certificates
from tests.support.chromium import Page, chromium
from tests.support.command import Command
from tests.support.milvus import MilvusServer
from tests.support.reaper import Reaper

EVIL = (
    "<script>window.owned=1</script><img src=http://evil.example/x onerror=window.owned=2>"
    "\"'><svg onload=window.owned=3>"
)
SECRET = "s3cr3tc4n4ry"


def refusing(call: scripted_grpc.Call) -> bytes:
    """A server that repeats what it was sent, beside markup."""
    raise scripted_grpc.Refusal(grpc.StatusCode.UNAVAILABLE, f"{EVIL} {call.metadata.get('authorization')!r} \x1b[31m")


@pytest.fixture
def hostile(cli: Command, project: Path) -> Path:
    """A page of a good profile and of a hostile one, each with a hostile description."""
    path = project / "report.html"
    with (
        scripted_grpc.scripted_server(refusing) as bad,
        scripted_grpc.scripted_server(scripted_grpc.milvus_answer) as good,
    ):
        cli.own_file(
            f"[profiles.good]\nuri = 'http://127.0.0.1:{good.port}'\ndescription = '''{EVIL}'''\n"
            f"[profiles.bad]\nuri = 'http://127.0.0.1:{bad.port}'\ntoken = 'root:{SECRET}'\n"
            f"description = '''{EVIL * 3}'''\n"
        )
        cli("test", "--all", "--html", path, status=8)
    return path


def test_it_is_ascii_without_secrets_and_with_nothing_from_elsewhere(hostile: Path) -> None:
    text = hostile.read_text("ascii")
    for form in (SECRET, base64.b64encode(f"root:{SECRET}".encode()).decode()):
        assert form not in text
    assert EVIL not in text
    assert not re.findall(r"<(?:script|img|svg|iframe|object|embed|form|base)\b", text)
    assert not re.findall(
        r"""\b(?:src|action|srcset)\s*=\s*["']?(?!data:,)\w""", re.sub(r"&[a-z#0-9]+;|<p [^>]*>[^<]*</p>", "", text)
    )
    assert "url(" not in text
    assert "@import" not in text
    assert "\\x1b[31m" in text
    assert "failed at grpc (exit status 8)" in text


def test_it_goes_to_standard_output_alone(cli: Command, hostile: Path, project: Path) -> None:
    outcome = cli("test", "good", "--html", "-")
    assert outcome.stdout.startswith("<!doctype html>")
    assert outcome.stdout.endswith("</html>\n")
    assert not (project / "-").exists()
    assert "standard output" in cli("test", "good", "--html", "-", "--json", status=2).stderr


def test_an_earlier_page_is_replaced_and_nothing_else(cli: Command, project: Path) -> None:
    env = {"MILVUS_PROFILES__PROD__URI": "http://127.0.0.1:1"}
    path = project / "page.html"
    cli("test", "prod", "--html", path, env=env, status=6)
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()
    cli("test", "prod", "--html", path, env=env, status=6)
    path.write_text("<!doctype html><p>mine")
    refused = cli("test", "prod", "--html", path, env=env, status=2)
    assert "is no report of this program" in refused.stderr
    assert path.read_text() == "<!doctype html><p>mine"
    cli("test", "prod", "--html", path, "--force", env=env, status=6)
    assert "failed at tcp" in path.read_text()
    with faults.recorder() as server:
        env = {"MILVUS_PROFILES__PROD__URI": f"http://127.0.0.1:{server.port}"}
        outcome = cli("test", "prod", "--html", project / "nowhere/page.html", env=env, status=2)
        assert "the page" in outcome.stderr
        assert "--html FILE" in outcome.stderr
        assert server.connections == 0


@pytest.mark.security
def test_no_link_of_an_untrusted_project_is_followed(cli: Command, project: Path, tmp_path: Path) -> None:
    (project / "milvus.toml").write_text('[profiles.prod]\nuri = "http://127.0.0.1:1"\n')
    victim = tmp_path / "victim"
    (project / "page.html").symlink_to(victim)
    cli("test", "prod", "--html", "page.html", status=2)
    assert not victim.exists()


def _umask() -> int:
    before = os.umask(0)
    os.umask(before)
    return before


# --- in a browser ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(reaper: Reaper) -> Iterator[Page]:
    with chromium(reaper) as page:
        yield page


def complaints(page: Page) -> list[Any]:
    return page.of(
        "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening"
    )


@pytest.mark.pages
@pytest.mark.parametrize("width", [400, 320, 1000])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_hostile_page_runs_nothing_and_reads_well(browser: Page, hostile: Path, width: int, scheme: str) -> None:
    browser.open(hostile, width=width, scheme=scheme)
    assert browser.value("typeof window.owned") == "undefined"
    assert complaints(browser) == []
    asked = [event["request"]["url"] for event in browser.of("Network.requestWillBeSent")]
    assert {url for url in asked if not url.startswith("data:")} == {hostile.as_uri()}
    assert browser.value("document.querySelectorAll('script, img, svg, iframe, object, form').length") == 0
    assert browser.value("document.documentElement.scrollWidth") <= width
    # What was written is what is read.
    shown = browser.value("document.querySelector('section .quiet').textContent")
    assert shown == EVIL
    # The colours follow the reader, and can be told from the page.
    back, front = (browser.value(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color"))
    assert (_brightness(back) > _brightness(front)) == (scheme == "light")
    assert abs(_brightness(back) - _brightness(front)) > 500


def _brightness(color: str) -> int:
    return sum(map(int, re.findall(r"\d+", color)[:3]))


@pytest.mark.pages
def test_stages_are_bars_over_time_one_after_the_other(
    browser: Page, cli: Command, project: Path, milvus_tls: MilvusServer, certificates: Certificates
) -> None:
    env = {
        "MILVUS_PROFILES__PROD__URI": milvus_tls.uri,
        "MILVUS_PROFILES__PROD__SSL__CA": str(certificates.ca),
        "MILVUS_PROFILES__PROD__TOKEN": milvus_tls.token or "",
    }
    path = project / "page.html"
    cli("test", "prod", "--html", path, env=env, status=0)
    browser.open(path)
    assert complaints(browser) == []
    boxes = browser.value(
        "[...document.querySelectorAll('.track')].map(track => { const bar = track.firstChild.getBoundingClientRect(),"
        " whole = track.getBoundingClientRect(); return [bar.left - whole.left, bar.width, whole.width] })"
    )
    assert len(boxes) == 11
    for (left, width, whole), (following, _, _) in itertools.pairwise(boxes):
        assert abs(left + width - following) <= 3  # pixels; what took no time has two of them
        assert left <= whole
    assert "SHA-256" in browser.value("document.querySelector('section code').textContent")
    assert "days left" in browser.value("document.body.textContent")
