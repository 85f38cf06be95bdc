"""The pages about errors: each code has one, what stands in it is so, and the command line names it and prints it."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import milvus_profiles
from milvus_profiles import errors
from milvus_profiles.cli.app import application
from milvus_profiles.cli.commands.general import meant
from milvus_profiles.cli.help import every
from milvus_profiles.errors import MilvusProfilesError
from tests.support import faults, gateways, scripted_grpc
from tests.support.command import Command
from tests.support.milvus import MilvusServer
from tests.support.reaper import Reaper
from tests.test_structure import loaded

pytestmark = pytest.mark.docs

PACKAGE = Path(milvus_profiles.__file__).parent
PAGES = {path.stem: path.read_text() for path in (PACKAGE / "explanations").glob("*.md")}
CLASSES = {
    name: one
    for name, one in vars(errors).items()
    if isinstance(one, type) and issubclass(one, MilvusProfilesError)
}  # fmt: skip
CODES = sorted({one.code for one in CLASSES.values()})
WITH_BLOCKS = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


# --- the pages and the tree ------------------------------------------------------------------------------------------


def test_every_code_of_the_tree_has_a_page_and_every_page_a_code() -> None:
    assert sorted(PAGES) == CODES == sorted(page.code for page in every())


@pytest.mark.parametrize("code", CODES)
def test_a_page_names_its_exit_status_and_its_classes(code: str) -> None:
    first, about, *_ = PAGES[code].split("\n\n")
    assert re.fullmatch(rf"# {code}: [^.]{{10,70}}", first)
    own = meant(code)[0].classes
    parts = []
    for one in own:
        other = f" (exit status {one.exit_status})" if one.exit_status != own[0].exit_status else ""
        parts.append(f"`{one.__name__}`{other}")
    assert about.replace("\n", " ") == f"Exit status {own[0].exit_status}. In Python: {', '.join(parts)}."


def leads(code: str) -> list[str]:
    """The words by which a page's causes are known; `…` stands for what is another's each time."""
    return re.findall(r"\*\*(.+?)\*\*", PAGES[code].replace("\n  ", " "))


def test_the_words_by_which_a_cause_is_known_are_those_that_the_program_says() -> None:
    source = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    said = re.sub(r'"\s*\n\s*[rf]?"', "", source)  # literals in one piece, as the program joins them
    for code in CODES:
        assert len(leads(code)) > 1, code
        for piece in (piece.strip(" ,;:") for lead in leads(code) for piece in lead.split("…")):
            assert piece in said, (code, piece)


@pytest.mark.parametrize("code", CODES)
def test_the_example_of_a_page_is_one_of_its_causes(code: str) -> None:
    shown = PAGES[code].partition("```console")[2].partition("```")[0]
    patterns = (".*".join(map(re.escape, lead.split("…"))) for lead in leads(code))
    assert any(re.search(pattern, shown) for pattern in patterns)


def options_of(command: Any) -> set[str]:
    return {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}


def test_every_command_of_a_page_is_one_of_the_program() -> None:
    root: Any = get_command(application([]))
    for code, page in PAGES.items():
        for text in re.findall(r"`(?:[A-Z_]+=\S+ )?milvus-profiles ([^`]+)`|^\$ milvus-profiles (.+)$", page, re.M):
            words = shlex.split(" ".join("".join(text).split()))
            command, known = root, options_of(root)
            for word in words[: words.index("--")] if "--" in words else words:
                if word.startswith("-"):
                    assert word.partition("=")[0] in known, (code, words)
                elif (inner := getattr(command, "commands", None)) is not None:
                    assert word in inner, (code, words)
                    command = inner[word]
                    known |= options_of(command)


# --- how it looks ----------------------------------------------------------------------------------------------------


@dataclass
class Scene:
    """What a page's example is run with.

    Attributes:
        standing: the addresses on the page, and what stands for them.
        env: variables; a value of None removes one.
        own: whether the TOML is the user's file, or that of the project.
        keyring: whether there is one.
        status: the exit status.
        marks: of the test.
    """

    standing: Callable[[Stand], dict[str, str]] = field(default=lambda stand: {})
    env: dict[str, str | None] = field(default_factory=dict)
    own: bool = True
    keyring: bool = False
    status: int = 1
    marks: tuple[pytest.MarkDecorator, ...] = ()


@dataclass
class Stand:
    """Servers for the scenes, started when they are asked for."""

    request: pytest.FixtureRequest
    stack: contextlib.ExitStack
    directory: Path

    def plain(self) -> dict[str, str]:
        server: MilvusServer = self.request.getfixturevalue("milvus_plain")
        return {"127.0.0.1:19530": server.address, "127.0.0.1:9091": f"127.0.0.1:{server.metrics_port}"}

    def auth(self) -> dict[str, str]:
        server: MilvusServer = self.request.getfixturevalue("milvus_auth")
        return {"127.0.0.1:19530": server.address}

    def starting(self) -> dict[str, str]:
        server = self.stack.enter_context(scripted_grpc.starting_milvus())
        return {"127.0.0.1:19530": f"127.0.0.1:{server.port}"}

    def nobody(self) -> dict[str, str]:
        return {"127.0.0.1:19530": f"127.0.0.1:{self.stack.enter_context(faults.refused_port())}"}

    def forbidding(self) -> dict[str, str]:
        reaper: Reaper = self.request.getfixturevalue("reaper")
        site = gateways.Site("location / { return 403; }")
        ports = self.stack.enter_context(gateways.nginx(reaper, self.directory, {"403": site}))
        return {"127.0.0.1:8080": f"127.0.0.1:{ports['403']}"}

    def broken_library(self) -> dict[str, str]:
        package = self.directory / "tomlkit"
        package.mkdir()
        (package / "__init__.py").write_text("from tomlkit.api import document\n")
        return {}


SCENES = {
    "config": Scene(status=3, own=False),
    "unknown_profile": Scene(status=3),
    "secret": Scene(status=4, keyring=True),
    "untrusted": Scene(status=5, own=False),
    "insecure": Scene(status=3),
    "unreachable": Scene(Stand.nobody, status=6),
    "tls": Scene(Stand.plain, status=7),
    "not_milvus": Scene(Stand.plain, status=8),
    "not_ready": Scene(Stand.starting, status=8),
    "auth": Scene(Stand.auth, status=9, env={"PROD_TOKEN": "root:wrong"}),
    "permission": Scene(Stand.forbidding, status=9, marks=(pytest.mark.proxies,)),
    "database": Scene(Stand.plain, status=10),
    "limit": Scene(Stand.plain),
    "closed": Scene(Stand.plain),
    "pool": Scene(Stand.plain),
    "fork": Scene(Stand.plain, status=0),
    "edit_conflict": Scene(status=3),
    "usage": Scene(status=2),
    "internal": Scene(Stand.broken_library, env={"PYTHONPATH": "{directory}"}),
}


def test_every_page_has_its_scene() -> None:
    assert sorted(SCENES) == CODES


@pytest.fixture
def stand(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stand]:
    (tmp_path / "stand").mkdir()
    with contextlib.ExitStack() as stack:
        yield Stand(request, stack, tmp_path / "stand")


def same(text: str) -> str:
    """Without what another run has otherwise: times, and the last line of a traceback, which Python 3.10 leaves out."""
    if sys.version_info < (3, 11):
        text = re.sub(r"(?m)^see: https://.*\n", "", text)
    return re.sub(r" +[0-9]+\.[0-9] ms", " T ms", text)


@pytest.mark.parametrize("code", [pytest.param(code, marks=scene.marks) for code, scene in SCENES.items()])
def test_it_looks_as_the_page_shows_it(code: str, stand: Stand, cli: Command, request: pytest.FixtureRequest) -> None:
    """The example's files are written, its commands are run, and what they print stands on the page."""
    scene, page = SCENES[code], PAGES[code]
    standing = scene.standing(stand)
    blocks = WITH_BLOCKS.findall(page.partition("## How it looks")[2].partition("\n## ")[0])

    def real(text: str) -> str:
        for shown, actual in standing.items():
            text = text.replace(shown, actual)
        return text

    def shown(text: str) -> str:
        for place, path in (("/srv/shop", cli.cwd), ("/home/you", cli.home)):
            text = text.replace(str(path), place)
        for place, actual in standing.items():
            text = text.replace(actual, place)
        return re.sub(
            r"Traceback.*\n(?=milvus_profiles\.)", "Traceback (most recent call last):\n  …\n", text, flags=re.S
        )

    env = {name: value and value.format(directory=stand.directory) for name, value in scene.env.items()}
    keyring = request.getfixturevalue("keyring_session") if scene.keyring else None
    transcripts = []
    for language, text in blocks:
        if language == "toml":
            cli.own_file(real(text)) if scene.own else (cli.cwd / "milvus.toml").write_text(real(text))
        elif language == "python":
            (cli.cwd / "app.py").write_text(text)
        elif language == "console":
            transcripts.append(text)
    [transcript] = transcripts
    [command] = re.findall(r"^\$ (.*)$", transcript, re.MULTILINE)
    program, *words = shlex.split(command)
    if program == "python":
        python = Command([sys.executable], cli.home, cli.cwd)
        done = python(*words, env=env, keyring=keyring, status=scene.status)
    else:
        assert program == "milvus-profiles"
        done = cli(*words, env=env, keyring=keyring, status=scene.status)
    printed = f"$ {command}\n{shown(done.stdout + done.stderr)}"
    if os.environ.get("PYTEST_RECORD"):  # to have what is printed now written into the page
        (PACKAGE / f"explanations/{code}.md").write_text(page.replace(transcript, printed))
    else:
        assert same(transcript) == same(printed)


# --- what names the pages --------------------------------------------------------------------------------------------

SEE = "see: milvus-profiles explain "


def test_an_error_ends_with_the_command_that_explains_it(cli: Command) -> None:
    cli.own_file('[profiles.prod]\nuri = "http://127.0.0.1:1"\n')
    refused = cli("profile", "show", "nobody", status=3).stderr
    assert refused.endswith(f"\n{SEE}unknown_profile\n")
    assert refused.count(SEE) == 1
    assert cli("profile", "show", "--nothing", status=2).stderr.endswith(f"\n{SEE}usage\n")
    assert f"\n{' ' * 11}{SEE}unreachable\n" in cli("profile", "test", "prod", status=6).stdout
    shown = cli.tty("profile", "show", "nobody", status=3)
    assert "see:\x1b[0m milvus-profiles explain unknown_profile" in shown.raw


@pytest.mark.parametrize("words", [["--quiet"], ["-q"], ["--json"]])
def test_whoever_wants_less_or_json_is_not_told(cli: Command, words: list[str], tmp_path: Path) -> None:
    cli.own_file('[profiles.prod]\nuri = "http://127.0.0.1:1"\n')
    for command in (["profile", "show", "nobody"], ["profile", "test", "prod"], ["profile", "show", "--nothing"]):
        done = cli(*command, *words)
        assert done.returncode in (2, 3, 6)
        assert "explain" not in done.stdout + done.stderr
    (tmp_path / "tomlkit.py").write_text("raise RuntimeError\n")
    add = ["profile", "add", "other", "--uri", "h", "--description", 'the "old" one', *words]
    assert "explain" not in cli(*add, env={"PYTHONPATH": str(tmp_path)}, status=1).stderr


def test_many_findings_are_followed_by_one_pointer(cli: Command, project: Path) -> None:
    (project / "milvus.toml").write_text('[profiles.a]\nuri = "h"\nx = 1\ny = 2\n[profiles.b]\nuri = "h"\nz = 3\n')
    said = cli("config", "validate", status=3).stderr
    assert said.count("error: ") == 3
    assert said.count(SEE) == 1
    assert said.endswith(f"{SEE}config\n")
    port = "http://127.0.0.1:1"
    (project / "milvus.toml").write_text(f'[profiles.a]\nuri = "{port}"\n[profiles.b]\nuri = "{port}"\n')
    assert cli("profile", "test", "--all", status=6).stdout.count(SEE) == 1


def test_whoever_says_no_is_not_told_why(cli: Command) -> None:
    cli.own_file('[profiles.prod]\nuri = "h"\nprotected = true\n')
    screen = cli.tty("profile", "remove", "prod", answers=[("?", "n")], status=1)
    assert "error:" in screen.text
    assert "see:" not in screen.text
    interrupted = cli.tty("profile", "remove", "prod", answers=[("?", b"\x03")], status=130)
    assert "see:" not in interrupted.text


# --- explain ---------------------------------------------------------------------------------------------------------


def test_explain_lists_the_codes(cli: Command) -> None:
    heading, *rows = cli("explain", status=0).stdout.splitlines()
    assert heading.split() == ["CODE", "EXIT", "WHAT", "IT", "MEANS"]
    assert sorted(row.split()[0] for row in rows) == CODES
    for row in rows:
        code, exit_status, title = row.split(maxsplit=2)
        assert PAGES[code].startswith(f"# {code}: {title}\n\nExit status {exit_status}. ")
    records = cli("explain", "--json", status=0).json
    assert [record["error"] for record in records] == [row.split()[0] for row in rows]
    assert {key for record in records for key in record} == {"error", "exit_status", "classes", "title", "url"}


@pytest.mark.parametrize("word", ["tls", "TLS", "7", "TLSError", "tlserror"])
def test_explain_prints_the_page_of_a_code_a_status_or_a_class(cli: Command, word: str) -> None:
    page = cli("explain", word, status=0).stdout
    assert page.startswith(PAGES["tls"])
    assert page.endswith("\n\nOn the web: https://milvus-profiles.readthedocs.io/errors/tls/\n")


def test_explain_knows_every_code_class_and_status(cli: Command) -> None:
    for name, one in CLASSES.items():
        assert [page.code for page in meant(name)] == [page.code for page in meant(one.code)] == [one.code]
        assert one.code in [page.code for page in meant(str(one.exit_status))]
    assert [page.code for page in meant("9")] == ["auth", "permission"]
    shown = cli("explain", "1", status=0)
    assert re.search("^edit_conflict +LockTimeoutError  ", shown.stdout, re.MULTILINE)
    assert shown.stderr == "`milvus-profiles explain CODE` prints the page of one\n"


def test_explain_gives_the_page_as_json(cli: Command) -> None:
    record = cli("explain", "edit-conflict", "--json", status=0).json
    assert record == {
        "error": "edit_conflict",
        "exit_status": 3,
        "classes": [
            {"name": "EditConflictError", "exit_status": 3},
            {"name": "LockTimeoutError", "exit_status": 1},
        ],
        "title": "the file was not changed",
        "url": "https://milvus-profiles.readthedocs.io/errors/edit_conflict/",
        "text": PAGES["edit_conflict"].rstrip("\n"),
    }
    assert [record["text"][:8] for record in cli("explain", "9", "--json").json] == ["# auth: ", "# permis"]


@pytest.mark.parametrize(
    ("word", "hint"),
    [("tsl", "did you mean tls?"), ("TLSErr", "did you mean TLSError?"), ("quux", "`milvus-profiles explain` lists"),
     ("130", "interrupted"), ("0", "all went well"), ("77", "`milvus-profiles explain` lists"), ("9" * 5000, "lists"),
     ("0009", "lists")],
)  # fmt: skip
def test_explain_suggests_what_was_meant(cli: Command, word: str, hint: str) -> None:
    refused = cli("explain", word, "--json", status=2)
    assert refused.error["error"] == "usage"
    assert hint in refused.error["hint"]


def test_explain_renders_the_page_on_a_terminal(cli: Command) -> None:
    screen = cli.tty("explain", "tls", columns=70, status=0)
    assert "\x1b[1m" in screen.raw
    assert "**" not in screen.text
    assert "```" not in screen.text
    assert max(map(len, screen.text.splitlines())) <= 70
    assert "speaks plaintext, and the profile has TLS: the server has no TLS" in " ".join(screen.text.split())
    narrow = cli.tty("explain", "tls", env={"PYTHONIOENCODING": "ascii"}, status=0)
    assert narrow.text.startswith("# tls: ")
    assert narrow.text.isascii()
    plain = cli.tty("explain", "tls", env={"NO_COLOR": "1"}, columns=70, status=0)
    assert not re.search(r"\x1b\[[0-9;]*[34]\dm", plain.raw)


def test_completion_offers_the_codes(cli: Command) -> None:
    env = {"_MILVUS_PROFILES_COMPLETE": "complete_bash", "COMP_WORDS": "milvus-profiles explain not", "COMP_CWORD": "2"}
    assert cli(env=env, status=0).stdout.split() == ["not_milvus", "not_ready"]
    for shell in ("zsh", "fish"):
        line = {"_TYPER_COMPLETE_ARGS": "milvus-profiles explain ", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
        found = cli(env={"_MILVUS_PROFILES_COMPLETE": f"complete_{shell}", **line}, status=0).stdout
        assert all(code in found for code in CODES)


@pytest.mark.security
def test_explain_shows_nothing_of_files_and_variables(cli: Command, project: Path) -> None:
    canary = "c4n4ry"
    without = [cli("explain", *words, status=0).stdout for words in ([], ["tls"], ["9"], ["config", "--json"])]
    env = {"MILVUS_URI": f"http://{canary}", "MILVUS_TOKEN": canary, "MILVUS_PROFILE": canary}
    for text in (f'[profiles.{canary}]\nuri = "http://{canary}"\ntoken = "{canary}"\n', f'broken = "{canary}'):
        (project / "milvus.toml").write_text(text)
        cli.own_file(text)
        done = [cli("explain", *words, env=env, status=0) for words in ([], ["tls"], ["9"], ["config", "--json"])]
        assert [one.stdout for one in done] == without
        assert canary not in "".join(one.stderr for one in done)


def test_explain_loads_nothing_heavy(tmp_path: Path) -> None:
    found = loaded(
        "import sys; from milvus_profiles.cli.entry import main; sys.exit(main(['explain', 'tls']))", tmp_path
    )
    assert "typer" in found
    heavy = {"grpc", "google", "keyring", "tomlkit", "tomli", "pydantic_settings", "cryptography", "markdown_it"}
    assert not found & heavy
