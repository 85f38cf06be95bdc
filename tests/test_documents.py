"""Files as they come: broken, binary, huge, in the way; one clear error with its place, and never a secret in it."""

from __future__ import annotations

import functools
import operator
import os
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from milvus_profiles.config.documents import Document, Role, parse_document, read_document, try_parse
from milvus_profiles.config.loading import load
from milvus_profiles.errors import ConfigError, MilvusProfilesError
from milvus_profiles.masked import MASK, SecretText
from tests.support.errors import refused
from tests.support.files import written

CANARY = "s3cr3tc4n4ry"


def parse(text: str | bytes, role: Role = "user") -> Document:
    content = text.encode() if isinstance(text, str) else text
    return parse_document(content, "/dir/milvus.toml", role)


def refusal(text: str | bytes, role: Role = "user") -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(text, role)
    return caught.value


# --- what a document holds -----------------------------------------------------------------------------------------


def test_a_document_holds_its_profiles_and_the_keys_of_its_root() -> None:
    document = parse(
        'default_profile = "prod"\nmax_connections = 5\nkeyring_backends = ["x.Y"]\n'
        '[profiles.prod]\nuri = "http://h"\n[profiles."Prod.EU"]\nhost = "h"\n'
    )
    assert document.root == {"default_profile": "prod", "max_connections": 5, "keyring_backends": ["x.Y"]}
    assert document.profiles == {"prod": {"uri": "http://h"}, "Prod.EU": {"host": "h"}}
    assert document.aliases == {"prod": "prod", "prod_eu": "Prod.EU"}
    assert (document.path, document.directory, document.role) == ("/dir/milvus.toml", "/dir", "user")
    assert document.line(("profiles", "Prod.EU")) == 6
    assert document.line(("profiles", "none")) is None


def test_an_empty_file_declares_nothing() -> None:
    for text in ("", "\n", "# only a comment", "[profiles]", "profiles = {}"):
        assert parse(text).profiles == {}


def test_literal_secrets_are_hidden_from_the_start() -> None:
    document = parse(
        f'[profiles.a]\ntoken = "{CANARY}"\n[profiles.b]\npassword = "{CANARY}"\n'
        '[profiles.c]\ntoken = { env = "X" }\n[profiles.d]\ntoken = 5\n'
    )
    assert document.profiles["a"]["token"] == SecretText(CANARY)
    assert document.profiles["b"]["password"] == SecretText(CANARY)
    assert document.profiles["c"]["token"] == {"env": "X"}
    assert CANARY not in repr(document)
    assert CANARY not in repr(document.profiles)
    assert CANARY not in repr(vars(document))
    assert repr(document).startswith("Document(path='/dir/milvus.toml', role='user'")


# --- files that cannot be read -------------------------------------------------------------------------------------


def unreadable(path: Path | str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read_document(str(path), "named")
    error = caught.value
    assert error.location is not None
    assert error.location.source == str(path)
    assert error.__cause__ is error.__context__ is None
    return error


def test_what_is_no_readable_file_is_refused_at_once_and_by_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    os.symlink("loop", tmp_path / "loop")
    os.symlink("nowhere", tmp_path / "dangling")
    (tmp_path / "file").touch()
    before = len(os.listdir("/proc/self/fd"))
    assert "No such file" in unreadable(tmp_path / "missing").message
    assert "profile add" in (unreadable(tmp_path / "missing").hint or "")
    assert "No such file" in unreadable(tmp_path / "dangling").message
    assert "directory" in unreadable(tmp_path).message
    assert unreadable(tmp_path).hint == "put a TOML file there"
    assert unreadable(tmp_path / "fifo").message == "that is not a file but a FIFO (a pipe)"
    assert "symbolic link" in unreadable(tmp_path / "loop").message
    assert "Not a directory" in unreadable(tmp_path / "file" / "x").message
    assert "too long" in unreadable(tmp_path / ("n" * 300)).message
    assert unreadable("/dev/zero").message == "that is not a file but a device"
    assert "not the name of a file" in unreadable("a\x00b").message
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_is_parsed_again_only_when_its_content_changed(tmp_path: Path) -> None:
    path = written(tmp_path / "milvus.toml", '[profiles.a]\nuri = "http://h1"\n')
    status = path.stat()
    first = read_document(str(path), "user")
    assert read_document(str(path), "user") is first
    # The same size and the same times: only the content tells.
    path.write_text('[profiles.a]\nuri = "http://h2"\n')
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert read_document(str(path), "user").profiles["a"]["uri"] == "http://h2"
    path.write_text('[profiles.a]\nuri = "http://h1"\n')
    assert read_document(str(path), "user") is first
    assert read_document(str(path), "project") is not first
    assert read_document(str(path), "project").role == "project"


def test_only_the_last_few_files_are_kept(tmp_path: Path) -> None:
    paths = [written(tmp_path / f"{number}.toml", "") for number in range(5)]
    documents = [read_document(str(path), "user") for path in paths]
    assert read_document(str(paths[4]), "user") is documents[4]
    assert read_document(str(paths[0]), "user") is not documents[0]


# --- text that is no TOML ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("a", 1, 2, "expected '='"),
        ("\n\n  x y", 3, 5, "expected '='"),
        ("[profiles.prod]\nuri = http://h\n", 2, 7, "invalid value"),
        ("[profiles.prod]\r\nuri = http://h\r\n", 2, 7, "invalid value"),
        ("[profiles.prod]\n\turi = http://h\n", 2, 8, "invalid value"),
        ('# é例\n[profiles.prod]\ndescription = "例" x\n', 3, 19, "expected newline"),
        ("[profiles.prod\nuri = 'x'", 1, 15, "expected ']'"),
        ("[profiles.p]\n[profiles.p]\n", 2, 13, "cannot declare"),
        ("[profiles.p]\nuri = 'x'\nuri = 'y'\n", 3, 10, "cannot overwrite"),
        ("[profiles.p]\nuri = 'x", 2, 9, ""),
        ('[profiles.p]\nuri = "x\n', 2, 9, "illegal character"),
        ("keyring_backends = [1, 2", 1, 25, ""),
        ('default_profile = "\\q"', 1, 21, "unescaped"),
        ("a = 1979-02-30", 1, 5, "invalid date"),
        ("a.b = 1\na = 2", 2, 6, "cannot overwrite"),
        ("a = {b = 1, b = 2}", 1, 18, "duplicate"),
        ("\ufeffa = 1", 1, 1, "byte order mark"),
    ],
)
def test_a_syntax_error_has_its_line_and_column(text: str, line: int, column: int, message: str) -> None:
    error = refusal(text)
    assert error.location is not None
    assert (error.location.source, error.location.line) == ("/dir/milvus.toml", line)
    # Versions of the parser put some columns one character further.
    assert abs((error.location.column or 0) - column) <= 1
    assert message in error.message.lower()
    assert error.__cause__ is error.__context__ is None


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[profiles.p]\nuri = localhost:19530\n", "quotes"),
        ("[profiles.p]\nuri = ~/x.db\n", "quotes"),
        ('[profiles.p]\nssl = { ca = "C:\\certs\\q.pem" }\n', "backslash"),
        ("[profiles.p]\ntimeout = 1_\n", None),
        ("[profiles.p\n", None),
    ],
)
def test_common_slips_come_with_the_remedy(text: str, hint: str | None) -> None:
    error = refusal(text)
    assert (hint in (error.hint or "")) if hint else error.hint is None


@pytest.mark.parametrize(
    ("content", "message", "place"),
    [
        (b"\xef\xbb\xbfa = 1", "UTF-8 byte order mark", ":1:1"),
        ("a = 1".encode("utf-16"), "UTF-16 byte order mark", ":1:1"),
        (b"\xfe\xff\x00a", "UTF-16 byte order mark", ":1:1"),
        ("a = 1".encode("utf-32"), "byte order mark", ":1:1"),
        ("[profiles.p]\nuser = 'ä'".encode("latin-1"), "not UTF-8 text (byte 0xe4)", ":2:9"),
        ("# é\nuser = 'é\udcff'".encode("utf-8", "surrogateescape"), "not UTF-8 text (byte 0xff)", ":2:10"),
        ("# \ud800".encode("utf-8", "surrogatepass"), "not UTF-8 text (byte 0xed)", ":1:3"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "not UTF-8 text (byte 0x89)", ":1:1"),
        (b"\x1f\x8b\x08\x00", "not UTF-8 text (byte 0x8b)", ":1:2"),
        (b"SQLite format 3\x00", "not valid TOML", ":1:8"),
        ("a = 1\n".encode("utf-16-le"), "not valid TOML", ":1:"),
        (b'{"profiles": {}}', "not valid TOML", ":1:1"),
        (b"profiles:\n  prod:\n    uri: x\n", "not valid TOML", ":1:"),
        (b"#!/bin/sh\necho hi\n", "not valid TOML", ":2:"),
    ],
)
def test_binary_files_and_other_formats_are_named_not_guessed(content: bytes, message: str, place: str) -> None:
    error = refusal(content)
    assert message in error.message
    assert f"milvus.toml{place}" in str(error.location)


_SIZE = 10_000_000
# Pieces that are repeated to the size above.
PIECES = {
    "zeros": b"\0", "every byte": bytes(range(256)), "one word": b"a", "equals signs": b"=", "opening brackets": b"[",
    "quotes": b'"', "apostrophes": b"'", "carriage returns": b"\r", "words": b"word\n", "braces and quotes": b'{"',
    "commas and quotes": b",'", "emoji": "\U0001f600".encode(), "json": b'{"a": 1},\n',
    "log": b"2024-01-01 00:00:00 INFO all is well\n", "base64": b"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY\n",
}  # fmt: skip
RUBBISH: dict[str, Callable[[], bytes]] = {
    **{name: functools.partial(operator.mul, piece, _SIZE // len(piece)) for name, piece in PIECES.items()},
    "one key": lambda: b"a" * _SIZE + b" = 1",
    "one alias": lambda: b"[profiles." + b"a" * _SIZE + b"]",
    "one root key that looks like a field": lambda: b"uri = '" + b"a" * _SIZE + b"'",
    "nested arrays": lambda: b"a = " + b"[" * _SIZE,
    "nested arrays, closed": lambda: b"a = " + b"[" * (_SIZE // 2) + b"]" * (_SIZE // 2),
    "nested tables": lambda: b"a = " + b"{a = " * (_SIZE // 5),
    "dotted key": lambda: b"a." * (_SIZE // 2) + b"a = 1",
    "dotted header": lambda: b"[profiles.p]\n[" + b"a." * (_SIZE // 2) + b"a]",
    "dotted key in a table": lambda: b"a = {b = 1, " + b"a . " * (_SIZE // 4) + b"a = 1}",
    "dotted key in quotes": lambda: b"'a b'." * (_SIZE // 6) + b"a = 1",
    "digits": lambda: b"[profiles.p]\ntimeout = " + b"1" * _SIZE,
    "underscored digits": lambda: b"max_connections = " + b"1_1" * (_SIZE // 3),
    "hexadecimal digits": lambda: b"max_connections = 0x" + b"f" * _SIZE,
    "decimals": lambda: b"max_connections = 1." + b"1" * _SIZE,
    "unclosed string": lambda: b'a = "' + b"x" * _SIZE,
    "unclosed lines": lambda: b'a = """' + b"x\n" * (_SIZE // 2),
    # Small, because what CPython does to make appending to a text fast does not work while coverage is measured.
    "escapes": lambda: b'default = "' + b"\\n" * 200_000 + b'"',
    "spaces": lambda: b" " * _SIZE + b"=",
    "newlines": lambda: b"\n" * _SIZE + b"=",
    "tabs and hashes": lambda: b"\t#" * (_SIZE // 2) + b"\nx",
}


@pytest.mark.security
@pytest.mark.parametrize("kind", RUBBISH)
def test_ten_megabytes_of_rubbish_end_in_one_short_error(kind: str) -> None:
    outcome = try_parse(RUBBISH[kind](), "/dir/milvus.toml", "user")
    if isinstance(outcome, Document):
        # A value may be TOML and wrong only as a setting; then the error comes with the settings.
        assert kind in ("hexadecimal digits", "decimals")
        return
    assert len(str(outcome)) < 1000
    assert str(outcome).isprintable() or "\n" in str(outcome)
    assert len(str(outcome).splitlines()) <= 4
    assert outcome.location is not None
    assert outcome.location.source == "/dir/milvus.toml"


def test_many_dots_that_are_no_key_are_fine() -> None:
    dots = ".".join("abcdefgh" * 20)
    document = parse(
        f'# {dots}\n[profiles.p]\ndescription = "{dots}"\nuser = \'{dots}\'\ntoken = """ {dots}"""\n'
        "retry = { initial = 0.1 }\n"
    )
    assert document.profiles["p"]["description"] == dots


# --- the root ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message", "place", "hint"),
    [
        ("default_profil = 'x'", "unknown key 'default_profil'", "1:1", "did you mean 'default_profile'?"),
        ("[profile.prod]\nuri = 'x'", "unknown key 'profile'", "1:2", "did you mean 'profiles'?"),
        ("\n[prod]\nuri = 'x'", "unknown key 'prod'", "2:2", "[profiles.prod]"),
        ("[[connections]]\nuri = 'x'", "unknown key 'connections'", "1:3", "max_connections"),
        ("[\"a b\"]\nuri = 'x'", "unknown key 'a b'", "1:2", "[profiles.NAME]"),
        ("uri = 'http://h'", "unknown key 'uri'", "1:1", "[profiles.local]"),
        ("xyzzy = 1", "unknown key 'xyzzy'", "1:1", "default_profile, max_connections, keyring_backends, profiles"),
        ('"\\u001b[31m" = 1', "unknown key '\\x1b[31m'", "1:1", "the root holds"),
        ("profiles = 5", "profiles must be a table", "1:12", "[profiles.NAME]"),
        ("profiles = [1]", "profiles must be a table", "1:12", "[profiles.NAME]"),
        ("[[profiles]]\nuri = 'x'", "profiles must be a table", "1:1", "[profiles.NAME]"),
    ],
)
def test_what_the_root_does_not_know_is_refused_with_a_suggestion(
    text: str, message: str, place: str, hint: str
) -> None:
    with refused(message, at=f"/dir/milvus.toml:{place}", hint=f"…{hint}…"):
        parse(text)


def test_keyring_backends_stand_only_in_the_users_own_file() -> None:
    text = '\nkeyring_backends = ["a.B"]\n'
    assert parse(text, "user").root == {"keyring_backends": ["a.B"]}
    for role in ("project", "named"):
        with refused("…not the user's…", at="/dir/milvus.toml:2:1"):
            parse(text, role)


# --- aliases -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ('[profiles."a b"]', "'a b' is not a valid alias", "1:11"),
        (
            '[profiles."pr\u043ed"]',
            "'pr\u043ed' is not a valid alias: '\u043e' is U+043E (CYRILLIC SMALL LETTER O)",
            "1:11",
        ),
        ('[profiles."日本"]', "'日本' is not a valid alias: '日' is U+65E5 (CJK UNIFIED IDEOGRAPH-65E5)", "1:11"),
        ('[profiles."a\u202eb"]', "'a\\u202eb' is not a valid alias", "1:11"),
        ('[profiles."\\u001b[2J"]', "'\\x1b[2J' is not a valid alias", "1:11"),
        (f"[profiles.{'a' * 65}]", "the alias is longer than 64 characters", "1:11"),
        ("[profiles.x]\n[profiles]\n'-' = {}", "'-' is not a valid alias", "3:1"),
    ],
)
def test_invalid_aliases_have_their_place(text: str, message: str, place: str) -> None:
    with refused(message, at=f"/dir/milvus.toml:{place}", hint="…ASCII letters…"):
        parse(text)


@pytest.mark.parametrize("other", ["Prod-eu", "prod_eu", '"prod.eu"', "PROD_EU"])
def test_aliases_that_are_the_same_are_refused_and_both_named(other: str) -> None:
    said = f"…'prod-eu' and {other.strip(chr(34))!r} are the same…"
    with refused(said, at="/dir/milvus.toml:4:11", hint="…line 2…"):
        parse(f"# c\n[profiles.prod-eu]\nuri = 'x'\n[profiles.{other}]\nuri = 'y'\n")


# --- excerpts ------------------------------------------------------------------------------------------------------


def shown(text: str, *path: str | int, at: str = "key") -> list[str]:
    """The excerpt and the line of the caret, for the place of an entry."""
    location = parse(text).location(path, at=at)  # type: ignore[arg-type]
    caret = location.caret()
    assert caret is not None
    return caret.splitlines()


def test_the_caret_stands_under_the_key_or_the_value() -> None:
    text = "[profiles.p]\n  timeout =  '5'\n"
    assert shown(text, "profiles", "p", "timeout") == ["  timeout =  '5'", "  ^"]
    assert shown(text, "profiles", "p", "timeout", at="value") == ["  timeout =  '5'", "             ^"]
    assert shown(text, "profiles", "p") == ["[profiles.p]", "          ^"]


def test_tabs_wide_characters_and_windows_lines_do_not_move_the_caret() -> None:
    assert shown("[profiles.p]\r\n\ttimeout\t= '5'\r\n", "profiles", "p", "timeout", at="value") == [
        "\ttimeout\t= '5'",
        "\t       \t  ^",
    ]
    text = '[profiles]\np = { description = "例é", timeout = "5" }\n'
    assert shown(text, "profiles", "p", "timeout") == [
        'p = { description = "例é", timeout = "5" }',
        " " * 27 + "^",
    ]


def test_an_entry_without_a_place_has_that_of_its_file() -> None:
    location = parse("[profiles.p]\n").location(("elsewhere",))
    assert (str(location), location.excerpt) == ("/dir/milvus.toml", None)


EXCERPTS = [
    ('uri = "http://h:19530/db"', 'uri = "http://h:19530/db"'),
    ('uri = "https://milvus-1.example.com"', 'uri = "https://milvus-1.example.com"'),
    ('uri = "[::1]:19530"', 'uri = "[::1]:19530"'),
    ('uri = "unix:/run/m.sock"', 'uri = "unix:/run/m.sock"'),
    ('uri = "unix:///run/m.sock"', 'uri = "unix:///run/m.sock"'),
    ('uri = "./data/my milvus.db"', 'uri = "./data/my milvus.db"'),
    ("uri = '~/m.db'", "uri = '~/m.db'"),
    ('host = "h"', 'host = "h"'),
    ("timeout = 5 # seconds", "timeout = 5"),
    ('user = "root"', 'user = "root"'),
    ('description = "text, with = and [x]"', 'description = "text, with = and [x]"'),
    ('ssl = { ca = "c.pem", server_name = "h" }', 'ssl = { ca = "c.pem", server_name = "h" }'),
    ('ssl.ca = "c.pem"', 'ssl.ca = "c.pem"'),
    ("retry = { attempts = 9 }", "retry = { attempts = 9 }"),
    ("token = { keyring = true }", "token = { keyring = true }"),
    ('token = { file = "/run/secret" }', 'token = { file = "/run/secret" }'),
    ('token = { env = "MILVUS_KEY" }', 'token = { env = "MILVUS_KEY" }'),
    ('token.env = "MILVUS_KEY"', 'token.env = "MILVUS_KEY"'),
    ('pool = { mode = "x", size = 5 }', f'pool = {{ mode = "x", size = {MASK} }}'),
    (f'token = "{CANARY}"', f"token = {MASK}"),
    (f"token = '{CANARY}'  # {CANARY}", f"token = {MASK}"),
    (f'token = "{CANARY} # {CANARY}"', f"token = {MASK}"),
    (f'password = "a\\"{CANARY}"', f"password = {MASK}"),
    ("token = 12345", f"token = {MASK}"),
    ('token = ""', f"token = {MASK}"),
    (f'tokn = "{CANARY}"', f"tokn = {MASK}"),
    (f'"api key" = "{CANARY}"', f'"api key" = {MASK}'),
    (f'auth = {{ key = "{CANARY}", file = "{CANARY}" }}', f"auth = {{ key = {MASK}, file = {MASK} }}"),
    (f'token = {{ command = ["op", "{CANARY}"] }}', f"token = {{ command = {MASK} }}"),
    (
        f'token = {{ command = ["op"], pass_env = ["{CANARY}"] }}',
        f"token = {{ command = {MASK}, pass_env = {MASK} }}",
    ),
    (f'token = {{ env = "{CANARY}-1" }}', f"token = {{ env = {MASK} }}"),
    (f'token = {{ keyring = "{CANARY}" }}', f"token = {{ keyring = {MASK} }}"),
    (f'token = {{ vault = "{CANARY}" }}', f"token = {{ vault = {MASK} }}"),
    (f'token.vault = "{CANARY}"', f"token.vault = {MASK}"),
    (f'uri = "http://root:{CANARY}@h"', f"uri = {MASK}"),
    (f'uri = "root:{CANARY}@h:1"', f"uri = {MASK}"),
    (f'uri = "http://root:{CANARY}/x@h"', f"uri = {MASK}"),
    (f'uri = "http://root:{CANARY}\\u0040h"', f"uri = {MASK}"),
    (f'uri = "http://root:{CANARY}%40h"', f"uri = {MASK}"),
    (f'uri = "http://root:{CANARY}"', f"uri = {MASK}"),
    (f'uri = "http://h?token={CANARY}"', f"uri = {MASK}"),
    (f'host = "root:{CANARY}@h"', f"host = {MASK}"),
    (f'proxy = "http://u:{CANARY}@p:1"', f"proxy = {MASK}"),
    (f'user = "root:{CANARY}"', f"user = {MASK}"),
    (f'db_name = "root:{CANARY}@h"', f"db_name = {MASK}"),
    (f'ssl = {{ key = "-----BEGIN PRIVATE KEY-----\\n{CANARY}" }}', f"ssl = {{ key = {MASK} }}"),
    (f'timeout = {{ x = "{CANARY}" }}', f"timeout = {{ x = {MASK} }}"),
    (f'description = """{CANARY}"""', f"description = {MASK}"),
]


@pytest.mark.parametrize(("line", "expected"), EXCERPTS)
def test_an_excerpt_shows_harmless_values_and_masks_the_rest(line: str, expected: str) -> None:
    text = f"# {CANARY}\n[profiles.p]\n{line}\n"
    key = next(iter(parse(text).profiles["p"]))
    assert shown(text, "profiles", "p", key)[0] == expected
    if "#" not in line:
        assert shown(f"[profiles]\np = {{ {line} }}", "profiles", "p")[0] == f"p = {{ {expected} }}"


def test_values_of_the_root_are_shown_and_scalars_in_the_place_of_profiles_are_not() -> None:
    assert shown("keyring_backends = ['a', 'b']", "keyring_backends")[0] == "keyring_backends = ['a', 'b']"
    assert shown("default_profile = 5", "default_profile")[0] == "default_profile = 5"
    assert shown(f"[profiles]\ntoken = '{CANARY}'", "profiles", "token")[0] == f"token = {MASK}"
    assert shown(f"profiles.token = '{CANARY}'", "profiles", "token")[0] == f"profiles.token = {MASK}"
    assert shown(f"profiles.p.token = '{CANARY}'", "profiles", "p")[0] == f"profiles.p.token = {MASK}"
    assert shown("profiles.p.timeout = 'x'", "profiles", "p")[0] == "profiles.p.timeout = 'x'"
    for text in (f"profiles = '{CANARY}'", f"profiles = ['{CANARY}']", f"token = '{CANARY}'", f"x.uri = '{CANARY}'"):
        assert MASK in str(refusal(text))
        assert CANARY not in str(refusal(text))


def test_lines_inside_a_long_secret_are_masked() -> None:
    text = f'[profiles]\np = {{ token = """\n{CANARY}\n{CANARY}""", timeout = "5" }}\n'
    assert shown(text, "profiles", "p", "timeout") == [f'{MASK}, timeout = "5" }}', " " * 10 + "^"]
    text = f"[profiles.p.token]\ncommand = [\n 'op', # {CANARY}\n '{CANARY}',\n]\n"
    assert shown(text, "profiles", "p", "token", "command", 1)[0] == MASK
    assert shown(text, "profiles", "p", "token", "command")[0] == f"command = {MASK}"


def test_the_caret_keeps_its_place_behind_a_mask_and_inside_one() -> None:
    text = f'[profiles]\np = {{ token = "{CANARY * 9}", timeout = "5" }}\n'
    excerpt, caret = shown(text, "profiles", "p", "timeout", at="value")
    assert excerpt == f'p = {{ token = {MASK}, timeout = "5" }}'
    assert excerpt[caret.index("^") :].startswith('"5"')
    location = parse(text).location(("profiles", "p", "timeout"), at="value")
    assert location.column == text.splitlines()[1].index('"5"') + 1
    text = f"[profiles.p.token]\ncommand = ['op', '{CANARY}', 5]\n"
    excerpt, caret = shown(text, "profiles", "p", "token", "command", 2)
    assert excerpt[caret.index("^") :] == MASK


def test_a_long_line_is_cut_around_the_caret() -> None:
    for before, after in ((0, 5000), (5000, 0), (5000, 5000), (100, 5000), (40, 40)):
        text = f"[profiles]\np = {{ description = '{'b' * before}', timeout = 'x', db_name = '{'a' * after}' }}\n"
        excerpt, caret = shown(text, "profiles", "p", "timeout")
        assert excerpt[caret.index("^") :].startswith("timeout = 'x'")
        assert len(excerpt) <= 162
        assert excerpt.startswith("…") is (before == 5000 or (before == 100 and not excerpt.startswith("p")))
        assert excerpt.endswith("…") is (after == 5000)


def test_what_is_not_printable_is_not_printed() -> None:
    text = "[profiles.p]\ndescription = 'a\u202eb\u200bc\xa0d'"
    assert shown(text, "profiles", "p", "description")[0] == "description = 'a?b?c?d'"


# --- excerpts of broken text ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("uri = localhost:19530", "uri = localhost:19530"),
        ("uri = http://h:1/db", "uri = http://h:1/db"),
        ('uri = "http://h', 'uri = "http://h'),
        ('profiles.x.uri = "http://h', 'profiles.x.uri = "http://h'),
        ("timeout = 10 s", f"timeout = 10 {MASK}"),
        ("timeout = 10 s # slow", f"timeout = 10 {MASK}"),
        ("timeout = 10s # slow", "timeout = 10s"),
        ("timeout = ten", "timeout = ten"),
        ("timeout =", "timeout ="),
        ("  description = text", "  description = text"),
        ("ssl.ca = c.pem", "ssl.ca = c.pem"),
        ('max_connections = "5', 'max_connections = "5'),
        ("[profiles.x", "[profiles.x"),
        ("[[profiles.'x.y'", "[[profiles.'x.y'"),
        ("[profiles.x # c", "[profiles.x"),
        (f"[profiles.x] {CANARY}", f"[profiles.x] {MASK}"),
        (f"[profiles.x]token = '{CANARY}", f"[profiles.x]{MASK}"),
        (f"token = {CANARY}", f"token = {MASK}"),
        (f'token = "{CANARY}', f"token = {MASK}"),
        (f'tokn = "{CANARY}', f"tokn = {MASK}"),
        (f"timout = {CANARY}", f"timout = {MASK}"),
        (f'uri = "http://h"token = "{CANARY}"', f'uri = "http://h"{MASK}'),
        (f'timeout = 10tokn = "{CANARY}"', f"timeout = 10tokn {MASK}"),
        (f'description = "x" tokn = "{CANARY}"', f'description = "x" {MASK}'),
        (f'ssl = {{ ca = "x", ky = "{CANARY}', f"ssl = {MASK}"),
        (f"uri = http://root:{CANARY}@h", f"uri = {MASK}"),
        (f'uri = "http://root:{CANARY}', f"uri = {MASK}"),
        (f"user = root:{CANARY}", f"user = {MASK}"),
        (f'ssl.key = "-----BEGIN KEY {CANARY}', f"ssl.key = {MASK}"),
        (f"{CANARY} {CANARY}", None),
        (f"{CANARY}", None),
        (f"{CANARY} = ", None),
        (f"x.{CANARY} = ", None),
        (f'"{CANARY}', None),
        (f"profiles.{CANARY} = ", None),
        (f"['{CANARY}', [", None),
        (f"[{CANARY}", None),
    ],
)
def test_a_broken_line_is_shown_only_as_far_as_it_is_understood(line: str, expected: str | None) -> None:
    error = refusal(f"[profiles.p]\n{line}\n")
    assert error.location is not None
    assert (error.location.line, error.location.excerpt) == (2, expected)
    assert CANARY not in str(error)


def test_no_line_is_shown_of_a_broken_text_with_multi_line_strings() -> None:
    # One quote too few or too many decides which lines are inside; nobody knows.
    for text in (
        f'token = ""\nuri = {CANARY}\n"""\n',
        f"token = '''\n'''\nuri = {CANARY}\n",
        f'# """\nuri = {CANARY}\n',
    ):
        location = refusal(text).location
        assert location is not None
        assert (location.line is not None, location.excerpt) == (True, None)


def test_the_parsers_words_are_not_repeated_where_they_quote_the_file() -> None:
    for text in (
        f"a = {{'{CANARY}' = 1, '{CANARY}' = 2}}",
        f"a = {{\"it's '{CANARY}'\" = 1, \"it's '{CANARY}'\" = 2}}",
        f"['{CANARY} ']\n['{CANARY} ']",
        f"['x ({CANARY})']\n['x ({CANARY})']",
        f"[a]\n[a.'{CANARY}']\n[a]\n'{CANARY}' = 1",
    ):
        assert CANARY not in str(refusal(text))


# --- no secret leaves, whatever is broken --------------------------------------------------------------------------


HARMLESS = "harmless-host"

# Those of the excerpts, and what stands in several lines or wrong in another way. What is no secret where valid
# (a description, the names of a database and of a variable) shows in the profile.
_SHOWS = ("description", "db_name", 'token = { command = ["op"], pass_env')
_SECRET_LINES = [
    *(line for line, _ in EXCERPTS if CANARY in line and not line.startswith(_SHOWS)),
    f'token = """{CANARY}"""',
    f'token = """\n{CANARY}\n{CANARY}"""',
    f"token = '''\nuri = {CANARY}\n'''",
    f'token = "a#{CANARY}=[]{{}}"',
    f'token = {{ command = [\n  "op",\n  "{CANARY}", # {CANARY}\n], pass_env = ["A"] }}',
    f'token = "{CANARY}\\n"',
    f'token = ["{CANARY}"]',
    f'secrets = ["{CANARY}", {{ key = "{CANARY}" }}]',
    f'uri = "http://root:\\u0041{CANARY}\\u0040{HARMLESS}"',
    f"# {CANARY}",
    f'# token = "{CANARY}"',
    f"# root:{CANARY}@{HARMLESS}",
    f"timeout = 5000  #  {CANARY}",
]
_PLAIN_LINES = [
    *(line for line, _ in EXCERPTS if CANARY not in line and "uri" not in line),
    f'uri = "http://{HARMLESS}:19530"', f'host = "{HARMLESS}"', 'timeout = "5"', "ssl = { ky = 'x' }",
    "ssl = true", "ssl = false", 'db_name = "a b"', "keepalive.time = 1", 'extends = "nobody"', "port = 0",
]  # fmt: skip


@st.composite
def spoiled(draw: st.DrawFn) -> str:
    """A file with secrets in all the places where people put them, broken at one place or not at all."""
    lines = draw(st.lists(st.sampled_from(_SECRET_LINES), min_size=1, max_size=3))
    lines += draw(st.lists(st.sampled_from(_PLAIN_LINES), max_size=4))
    lines = draw(st.permutations(lines))
    shape = draw(st.sampled_from(["table", "inline", "dotted", "root"]))
    if shape == "inline":
        body = ", ".join(line.split(" #")[0] for line in lines if not line.startswith("#"))
        text = f"[profiles]\nalpha = {{ {body} }} # {CANARY}\n"
    elif shape == "dotted":
        text = "\n".join(line if line.startswith("#") else f"profiles.alpha.{line}" for line in lines)
    else:
        text = ("[profiles.alpha]\n" if shape == "table" else "") + "\n".join(lines)
    text = f"# {CANARY}\n{text}\n[profiles.beta]\nuri = 'http://{HARMLESS}'\ntoken = '{CANARY}'\n"
    if draw(st.booleans()):
        at = draw(st.integers(0, len(text)))
        removed = draw(st.integers(0, 3))
        inserted = draw(
            st.sampled_from(["", "", '"', "'", "=", "[", "]", "{", "}", "\n", "#", "\\", ",", ".", "@", " x "])
        )
        text = text[:at] + inserted + text[at + removed :]
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text


def failures(path: str) -> Iterator[MilvusProfilesError]:
    """Every error that a file brings about on its way to a connection."""
    try:
        profiles = load(path, env={"HOME": "/nowhere"}, cwd="/")
    except MilvusProfilesError as error:
        yield error
        return
    for alias in [*profiles, "unknown", "alpha"]:
        for attempt in (profiles.resolve, profiles.use, profiles.select, profiles.__getitem__):
            try:
                attempt(alias)
            except MilvusProfilesError as error:  # noqa: PERF203
                yield error
    for alias in profiles:
        yield from profiles.findings(alias)


def everything_that_shows(error: MilvusProfilesError) -> str:
    assert error.__cause__ is error.__context__ is None
    parts: list[Any] = [str(error), repr(error), error.args, error.message, error.hint, error.location]
    if error.location is not None:
        parts += [error.location.excerpt, error.location.caret()]
    parts += traceback.TracebackException.from_exception(error, capture_locals=True).format()
    return "\n".join(str(part) for part in parts)


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("documents")


@given(text=spoiled())
@example(text=f"[profiles.alpha]\ntoken = {CANARY}\n")
@example(text=f"[profiles]\nalpha = '{CANARY}'\n")
@example(text=f"token = '{CANARY}'\n")
@example(text=f'[profiles.alpha]\ndb_name = "root:{CANARY}@h"\n')
def test_no_error_of_a_file_shows_a_secret_of_it(text: str, scratch: Path) -> None:
    for error in failures(str(written(scratch / "milvus.toml", text))):
        shows = everything_that_shows(error)
        assert CANARY not in shows
        assert error.code in ("config", "unknown_profile")


@given(st.lists(st.sampled_from(_SECRET_LINES), max_size=3), st.booleans())
def test_harmless_values_show_beside_the_secrets(secrets: list[str], windows: bool) -> None:
    lines = [line for line in secrets if not line.startswith(("uri", "timeout", "host", "user"))]
    text = "\n".join(["[profiles.alpha]", *dict.fromkeys(lines), 'timeout = "5"', f"uri = 'http://{HARMLESS}'", ""])
    outcome = try_parse((text.replace("\n", "\r\n") if windows else text).encode(), "/f", "user")
    if isinstance(outcome, MilvusProfilesError):  # two secrets of one name
        return
    assert outcome.location(("profiles", "alpha", "timeout")).excerpt == 'timeout = "5"'
    assert outcome.location(("profiles", "alpha", "uri")).excerpt == f"uri = 'http://{HARMLESS}'"


@given(st.binary(max_size=60))
def test_any_bytes_are_a_document_or_one_clear_error(content: bytes) -> None:
    outcome = try_parse(content, "/f", "user")
    if not isinstance(outcome, Document):
        assert isinstance(outcome, ConfigError)
        assert outcome.location is not None
        assert str(outcome).replace("\n", "").replace("\t", "").isprintable()
    else:
        assert outcome.path == "/f"


# --- twice, and other letters ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[profiles.a]\n[profiles.b]\n[profiles.a]\n", "declare [profiles.a] twice: it stands in line 1 already"),
        ("profiles.a.uri = 'x'\n[profiles.a]\n", "declare [profiles.a] twice: it stands in line 1 already"),
        ("[profiles]\na.uri = 'x'\n[profiles.a]\n", "declare [profiles.a] twice: it stands in line 2 already"),
        ("[profiles.a]\nssl = {}\n[profiles.a.ssl]\n", "declare [profiles.a.ssl] twice: it stands in line 2 already"),
        ("[profiles.a]\nuri = '''\nx'''\n[profiles.a]\n", "declare [profiles.a] twice: it stands in line 1 already"),
        ("[profiles.a]\nuri='x'\n# c\nuri='y'\n", "overwrite a value: profiles.a.uri stands in line 2 already"),
        ("[profiles.a]\nuri='x'\n[profiles.a.uri]\n", "overwrite a value: profiles.a.uri stands in line 2 already"),
        ("[profiles]\na={}\na={ uri='y' }\n", "overwrite a value: profiles.a stands in line 2 already"),
        ("a = 1\n[a.b]\n", "overwrite a value: a stands in line 1 already"),
        (f"[profiles.a]\n'{CANARY} x'=1\n'{CANARY} x'=2", "overwrite a value: profiles.a.… stands in line 2 already"),
        # Where it is cannot be told: a value of several lines.
        ("[profiles.a]\nuri='x'\nuri='''\ny'''\n", "cannot overwrite a value"),
    ],
)
def test_what_is_declared_twice_is_named_with_its_first_place(text: str, said: str) -> None:
    error = refusal(text)
    assert said in error.message
    assert CANARY not in str(error)
    assert error.hint == ("keep one of them" if "already" in said else None)
