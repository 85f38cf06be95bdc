"""What an export writes comes back through the real parser of its language, whatever is in the value."""

from __future__ import annotations

import ast
import io
import json
import subprocess
from collections.abc import Callable

import dotenv
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from milvus_profiles.interop.exports import quoting

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


@given(TEXT.filter(lambda text: not quoting.dotenv_expands(text)))
@settings(max_examples=300)
def test_dotenv(text: str) -> None:
    lines = f"A={quoting.dotenv(text)}\nB=1\n"
    assert dotenv.dotenv_values(stream=io.StringIO(lines)) == {"A": text, "B": "1"}


@pytest.mark.parametrize("text", ["${A}", "a${B:-c}", "it's $HOME"])
def test_dotenv_says_what_it_cannot_write(text: str) -> None:
    assert quoting.dotenv_expands(text)


def test_every_bare_dotenv_value_needs_no_quotes() -> None:
    """`docker run --env-file` takes lines as they are."""
    for text in ("https://db.example:443", "root:Milvus", "/run/secrets/a-b_c.pem", "a@b,c+d%e"):
        assert quoting.dotenv(text) == text


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
