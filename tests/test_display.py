"""How objects look: printed as on the terminal, in a notebook, by rich and under the tab key; with no secret in it."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import rich.console

import milvus_profiles as mp
from tests.support import scripted_grpc
from tests.support.command import Command

CANARY = "c4n4ry-t0ken"
EVIL = "<script>alert(1)</script>\x1b[31m\u202e & [bold]x[/bold]"


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    yield
    mp.disconnect_all()


@pytest.fixture
def profiles(tmp_path: Path, server: scripted_grpc.ScriptedServer) -> mp.Profiles:
    path = tmp_path / "milvus.toml"
    path.write_text(
        f"[profiles.prod]\nuri = 'http://127.0.0.1:{server.port}'\ntoken = '{CANARY}'\n"
        f"description = {json.dumps(EVIL)}\n"
        f"[profiles.hidden]\nuri = 'http://127.0.0.1:1'\ndescription = 'password={CANARY}'\n"
        f"[profiles.wrong]\ntokn = '{CANARY}'\n"
        "[profiles.template]\nuser = 'root'\n"
    )
    path.chmod(0o600)
    return mp.load(path, env={"HOME": str(tmp_path)})


class Page(HTMLParser):
    """The elements and the text of a piece of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def in_rich(thing: object) -> str:
    console = rich.console.Console(file=io.StringIO(), width=500)
    console.print(thing)
    written = console.file
    assert isinstance(written, io.StringIO)
    return written.getvalue()


def seen(thing: Any) -> str:
    """What a notebook and rich show of something, in which no file has its way."""
    html = thing._repr_html_()
    page = Page(html)
    assert set(page.tags) <= {"table", "thead", "tbody", "caption", "tr", "th", "td", "pre", "span"}
    shown = in_rich(thing)
    for text in (page.text, shown, str(thing), repr(thing)):
        assert CANARY not in text
        assert [c for c in text if not c.isprintable() and c != "\n"] == []
    return page.text + shown


def test_everything_is_escaped_and_no_secret_is_shown(profiles: mp.Profiles) -> None:
    said = seen(profiles)
    assert "<script>alert(1)</script>\\x1b[31m\\u202e & [bold]x[/bold]" in said
    assert "invalid: " in said
    assert "password=" not in said
    said = seen(profiles["prod"])
    assert "********" in said
    assert "[bold]x[/bold]" in said
    with mp.connect("prod", profiles=profiles):
        [info] = mp.list_connections()
        assert "prod" in seen(info)
    report = mp.diagnose("prod", profiles=profiles)
    assert report.ok
    assert "a Milvus answers" in seen(report)
    stage = mp.Stage("grpc", "failed", 1.0, EVIL, hint=EVIL)
    assert "<script>" in seen(mp.Report("prod", 8, None, (stage,)))
    assert "wrong" in seen(dataclasses.replace(report, alias="wrong"))


def test_a_printed_report_is_what_the_terminal_shows(
    cli: Command, profiles: mp.Profiles, server: scripted_grpc.ScriptedServer
) -> None:
    def timeless(text: str) -> str:
        return re.sub(r" *[0-9.]+ ms", " N ms", text)

    [document] = profiles.documents
    for alias in ("prod", "hidden", "wrong"):
        shown = cli("--config", document.path, "profile", "test", alias).stdout
        assert timeless(f"{mp.diagnose(alias, profiles=profiles)}\n") == timeless(shown)


def test_a_notebook_shows_a_hundred_profiles_and_says_how_many_there_are(tmp_path: Path) -> None:
    path = tmp_path / "milvus.toml"
    path.write_text("".join(f"[profiles.p{n}]\nuri = 'http://h{n}'\n" for n in range(130)))
    said = mp.load(path, env={"HOME": str(tmp_path)})._repr_html_()
    assert said.count("<tr>") == 101
    assert "and 30 more" in said


def test_the_stats_of_a_pool_are_data(profiles: mp.Profiles) -> None:
    with mp.ConnectionPool(profiles=profiles) as pool, pool.lease("prod"):
        stats = pool.stats()
    plain = dataclasses.asdict(stats)
    assert plain["keys"]["prod"]["pool_active"] == plain["pool_active"] == 1
    assert json.loads(json.dumps(plain)) == plain == stats.as_dict()
    for twin in (copy.copy(stats), copy.deepcopy(stats), pickle.loads(pickle.dumps(stats)), dataclasses.replace(stats)):
        assert twin == stats
    assert "prod" in seen(stats)
    assert "pool_active" in seen(stats.keys["prod"])


def test_dir_shows_what_is_public(profiles: mp.Profiles) -> None:
    with mp.connect("prod", profiles=profiles) as conn, mp.ConnectionPool(profiles=profiles) as pool:
        for thing in (mp, mp.aio, conn, pool, profiles, profiles["prod"]):
            names = [name for name in dir(thing) if name != "__version__"]
            assert names == sorted(set(names))
            assert all(hasattr(thing, name) for name in names)
            assert [name for name in names if name.startswith(("_", "model_"))] == []
        assert {"lease", "stats", "get_client", "drain"} <= set(dir(pool))
        assert {"uri", "connect", "endpoint", "tls"} <= set(dir(profiles["prod"]))


IPYTHON = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.Completer.use_jedi = False  # which reads the sources; this asks the objects
def run(text):
    assert shell.run_cell(text).success
run("import milvus_profiles as mp\\nprofiles = mp.load()\\npool = mp.ConnectionPool()\\nreport = mp.diagnose('hidden')")
shown = {name: shell.display_formatter.format(shell.user_ns[name])[0] for name in ("profiles", "report")}
shown["profile"] = shell.display_formatter.format(shell.user_ns["profiles"]["prod"])[0]
shown["stats"] = shell.display_formatter.format(shell.user_ns["pool"].stats())[0]
asked = ('profiles["', "profiles['pr", "mp.Inse", "pool.tot", "mp.aio.dis")
completed = {text: shell.complete(text)[1] for text in asked}
print(json.dumps([shown, completed]))
"""


def test_ipython_shows_and_completes_them(cli: Command, profiles: mp.Profiles) -> None:
    [document] = profiles.documents
    done = subprocess.run(
        [sys.executable, "-c", IPYTHON],
        env=cli.environment({"MILVUS_PROFILES_FILE": document.path}), cwd=cli.cwd, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert CANARY not in done.stdout + done.stderr
    shown, completed = json.loads(done.stdout.splitlines()[-1])
    assert shown["profiles"]["text/html"] == mp.load(document.path, env={})._repr_html_()
    assert shown["report"]["text/html"].startswith("<pre>")
    assert "********" in shown["profile"]["text/html"]
    assert "<th>all</th>" in shown["stats"]["text/html"]
    assert {"prod", "hidden", "wrong", "template"} <= {name.rpartition('"')[2] for name in completed['profiles["']}
    assert [name.rpartition("'")[2] for name in completed["profiles['pr"]] == ["prod"]
    assert any(name.endswith("InsecureFileWarning") for name in completed["mp.Inse"])
    assert any(name.endswith("total_idle_count") for name in completed["pool.tot"])
    assert any(name.endswith("disconnect_all") for name in completed["mp.aio.dis"])
