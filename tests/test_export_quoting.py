"""What an export writes comes back through the real parser of its language, whatever is in the value."""

from __future__ import annotations

import ast
import json
import os
import shutil
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import dotenv
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from milvus_profiles.interop.exports import quoting
from tests.support.requirements import need, unavailable

# Everything that some language gives a meaning, and a few characters from outside of ASCII and of the BMP.
AWKWARD = [
    "", " ", "'", '"', "\\", "\\\\", "$HOME", "${HOME}", "$(id)", "`id`", "%d", "%%", "#", "a #b", "!x", "a\nb",
    "a\\nb", "\t", "\r\n", "{{x}}", "*", "&a", "- a", "a: b", "yes", "null", "0x1", "~", "@", "|", "\\u0022", "\\u000a",
    "\x01", "\x7f", "\x85", "\u2028", "é", "日本", "😀", " a ", "a'b\"c\\d$e`f", "EOF", "\\", "a\\", "-n", "--",
    "=", "a=b",
]  # fmt: skip
# No surrogates and no NUL: neither a TOML file nor an environment can hold them.
TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=30)
LONG = [*AWKWARD, "".join(AWKWARD), "".join(map(chr, range(1, 256)))]


def examples(texts: st.SearchStrategy[str], number: int) -> list[str]:
    """So many texts, always the same ones."""
    drawn: list[str] = []

    @given(texts)
    @settings(max_examples=number, derandomize=True, database=None)
    def draw(text: str) -> None:
        drawn.append(text)

    draw()
    return drawn


@given(TEXT)
def test_python(text: str) -> None:
    assert ast.literal_eval(quoting.python(text)) == text


@given(TEXT)
def test_yaml(text: str) -> None:
    assert yaml.safe_load(f"a:\n  - {quoting.yaml(text)}\n") == {"a": [text]}


@given(TEXT)
def test_javascript_is_json(text: str) -> None:
    assert json.loads(quoting.javascript(text)) == text
    assert quoting.javascript(text).isascii()


# --- .env files, by the programs that read them ----------------------------------------------------------------------

Reader = Callable[[Path], dict[str, str]]
CLEAN = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}


def printed(*words: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> bytes:
    done = subprocess.run(
        words, capture_output=True, check=False, timeout=60, env=CLEAN if env is None else env, cwd=cwd
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def by_shell(*shell: str) -> Reader:
    def read(path: Path) -> dict[str, str]:
        need(shell[0])
        out = b""
        for locale in ("C.UTF-8", "C"):
            out = printed(*shell, "-c", f"set -a; . {path}; env -0", env={**CLEAN, "LANG": locale})
        return dict(entry.split("=", 1) for entry in out.decode().split("\0") if entry)

    return read


def by_node(path: Path) -> dict[str, str]:
    need("node")
    out = printed("node", f"--env-file={path}", "-e", "console.log(JSON.stringify(process.env))")
    found: dict[str, str] = json.loads(out)
    return found


def by_python_dotenv(path: Path) -> dict[str, str]:
    return {name: value for name, value in dotenv.dotenv_values(path).items() if value is not None}


def by_systemd(path: Path) -> dict[str, str]:
    """The parser of EnvironmentFile= in the one program that prints what it read."""
    generator = Path("/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator")
    if not generator.exists():
        unavailable("needs systemd's environment-d generator (Debian: apt-get install systemd)")
    (place := path.parent / "environment.d").mkdir(exist_ok=True)
    shutil.copy(path, place / "a.conf")
    lines = printed(generator, env={"HOME": str(path.parent), "XDG_CONFIG_HOME": str(path.parent)}).decode()
    return dict(line.split("=", 1) for line in lines.split("\n") if line)


class Daemon(socketserver.BaseRequestHandler):
    """As much of Docker's API as `docker create` asks, over a real socket: it is the client that reads the file."""

    def handle(self) -> None:
        stream = self.request.makefile("rb")
        while line := stream.readline():
            length = 0
            while (header := stream.readline().strip()) != b"":
                if header.lower().startswith(b"content-length:"):
                    length = int(header.split(b":")[1])
            content = stream.read(length)
            if b"/containers/create" in line:
                self.server.seen = json.loads(content)["Env"]  # type: ignore[attr-defined]
            body = b'{"Id": "a", "Warnings": []}' if b"/create" in line else b"OK"
            body = b"" if line.startswith(b"HEAD") else body
            status = b"201 Created" if b"/create" in line else b"200 OK"
            self.request.sendall(
                b"HTTP/1.1 " + status + b"\r\nApi-Version: 1.45\r\nContent-Type: application/json\r\n"
                b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
            )


def by_docker(path: Path) -> dict[str, str]:
    need("docker")
    with tempfile.TemporaryDirectory() as short, socketserver.ThreadingUnixStreamServer(f"{short}/s", Daemon) as daemon:
        daemon.daemon_threads = True
        thread = threading.Thread(target=daemon.serve_forever)
        thread.start()
        try:
            printed("docker", "-H", f"unix://{short}/s", "create", "--env-file", path, "image",
                    env={**CLEAN, "HOME": short})  # fmt: skip
        finally:
            daemon.shutdown()
            thread.join()
        return dict(entry.split("=", 1) for entry in daemon.seen)  # type: ignore[attr-defined]


READERS: dict[str, Reader] = {
    "bash": by_shell("bash"), "sh": by_shell("sh"), "dash": by_shell("dash"), "zsh": by_shell("zsh", "-f"),
    "python-dotenv": by_python_dotenv, "node": by_node, "systemd": by_systemd, "docker": by_docker,
}  # fmt: skip
PLAIN = [
    "https://db.example:443", "root:Milvus", "/run/secrets/a-b_c.pem", "a@b,c+d%e", "YWJj==", "-n", "%d", "a=b:c",
    "::1", "é", "日本語", "हिन्दी", "e\u0301", "１２", "ſ", "𝔘", "ßİı", "@", ",",
]  # fmt: skip


def check_reader_of_dotenv_files(reader: Reader, directory: Path) -> None:
    """A reader gives back every value that is written to such files."""
    drawn = examples(TEXT.filter(lambda text: text != "" and quoting.dotenv_obstacle(text) is None), 300)
    # Every letter that a letter is to Unicode, a few hundred in a value.
    some = [chr(code) for code in range(0x30000, 0, -1) if quoting.dotenv_obstacle("a" + chr(code)) is None]
    values = [*PLAIN, *drawn, *("a" + "".join(some[at : at + 500]) for at in range(0, len(some), 500))]
    assert all(quoting.dotenv_obstacle(text) is None for text in values)
    wanted = {f"VALUE_{number}": value for number, value in enumerate(values)}
    (path := directory / "values.env").write_text("# A comment.\n" + "".join(f"{n}={v}\n" for n, v in wanted.items()))
    found = reader(path)
    assert {name: found.get(name) for name in wanted} == wanted


@pytest.mark.security
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_of_a_dotenv_file_reads_the_same(reader: str, tmp_path: Path) -> None:
    check_reader_of_dotenv_files(READERS[reader], tmp_path)


@pytest.mark.security
@pytest.mark.parametrize(
    ("text", "char"),
    [
        (f"a{char}b", char)
        for char in " \t\n\r\v\f\x1b\x7f\x85\u2028\u202e\u200b\xa0\ufeff\ud800'\"\\$`#!&|;<>()[]{}*?^~"
    ]
    + [("=ls", "="), ("a:=ls", "="), ("~root", "~"), ("a\\", "\\"), ("$(>evil)", "$"), ("x`>evil`", "`")],
)
def test_what_readers_of_a_dotenv_file_disagree_on_is_not_written(text: str, char: str) -> None:
    assert quoting.dotenv_obstacle(text) == char


@pytest.mark.parametrize("text", LONG)
@pytest.mark.parametrize("shell", ["zsh", "bash", "dash"])
def test_an_assignment_of_a_quoted_word_is_that_word(shell: str, text: str) -> None:
    need(shell)
    for value in (text, f"={text}", f"a:={text}", f"=ls{text}"):
        done = subprocess.run(
            [shell, *(["-f"] if shell == "zsh" else []), "-c", f"export A={quoting.shell(value)}; printf %s. \"$A\""],
            capture_output=True, env=CLEAN, check=True,
        )  # fmt: skip
        assert done.stdout.decode() == f"{value}."


# How people have a shell take the text in; what the shell is started with.
EVALUATED = {
    "bash": ('eval "$({})"', "eval $({})", ". <({})"), "dash": ('eval "$({})"', "eval $({})"),
    "zsh": ('eval "$({})"', "eval $({})", ". <({})"),
    "fish": ('eval "$({})"', "eval $({})", "eval ({})", "{} | source"),
}  # fmt: skip
STARTED = {
    "bash": ("bash", "--norc", "-O", "nullglob", "-eu"), "dash": ("dash", "-eu"), "zsh": ("zsh", "-fieu"),
    "fish": ("fish", "--no-config"),
}  # fmt: skip
WAYS = [(shell, way) for shell, ways in EVALUATED.items() for way in ways]


def evaluated(shell: str, way: str, text: str, directory: Path, env: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of a program of a shell that took in a text."""
    need(shell)
    (directory / "text").write_text(text)
    out = printed(
        *STARTED[shell], "-c", f"{way.format('cat text')}; exec env -0",
        env={**CLEAN, "HOME": str(directory), **(env or {})}, cwd=directory,
    )  # fmt: skip
    return dict(entry.split("=", 1) for entry in out.decode().split("\0") if entry)


@pytest.mark.security
@pytest.mark.parametrize(("shell", "way"), WAYS)
def test_what_is_evaluated_is_each_value_in_every_shell_quoted_or_not(shell: str, way: str, tmp_path: Path) -> None:
    texts = [*LONG, *examples(TEXT, 200), "a  b", "  ", " a", "a ", "\t\t", "*", "?", "[a]", "!(x)", "=ls", "a:=ls",
             "~root", "$(>evil)", "`>evil`", "';>evil;'", "\\';>evil;'"]  # fmt: skip
    # No value of a profile has a line break, which fish's own `export` takes for the end of its word.
    values = {f"VALUE_{n}": text.replace("\n", "") for n, text in enumerate(texts)}
    for name in ("x", "'x'"):  # what would be found by a pattern
        (tmp_path / name).write_text("")
    text = "".join(f"export {name}={quoting.evaluated(value)};\n" for name, value in values.items())
    found = evaluated(shell, way, text, tmp_path)
    assert {name: found.get(name) for name in values} == values
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_shell(shell: str) -> None:
    script = "".join(f"printf '%s\\0' {quoting.shell(text)}\n" for text in LONG)
    done = subprocess.run([shell], input=script.encode(), capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == LONG


def systemd_unquoted(line: str) -> str:
    """What systemd makes of a value, by its documentation (systemd.syntax(7), systemd.unit(5))."""
    out, i = bytearray(), 0
    escapes = {"\\": b"\\", '"': b'"', "n": b"\n", "r": b"\r", "t": b"\t"}
    while i < len(line):
        if line[i] == "\\":
            if line[i + 1] == "x":
                out.append(int(line[i + 2 : i + 4], 16))
                i += 4
                continue
            out += escapes[line[i + 1]]
            i += 2
        elif line[i] == "%":
            assert line[i + 1] == "%"
            out += b"%"
            i += 2
        else:
            assert line[i] != '"'
            assert line[i].isprintable()
            out += line[i].encode()
            i += 1
    return out.decode()


@given(TEXT)
def test_systemd_as_documented(text: str) -> None:
    quoted = quoting.systemd("A", text)
    assert quoted.startswith('"A=')
    assert quoted.endswith('"')
    assert systemd_unquoted(quoted[3:-1]) == text
    bare = quoting.systemd_bare(text)
    assert bare == bare.strip(" \t\n")


def all_quoters() -> list[Callable[[str], str]]:
    return [quoting.python, quoting.javascript, quoting.go, quoting.java, quoting.yaml]


@given(TEXT)
def test_literals_are_one_line_of_ascii(text: str) -> None:
    for quote in all_quoters():
        assert quote(text).isascii()
        assert quote(text).isprintable()
