"""`add` where something is missing, typed at on a real terminal: it asks, tests, goes back, and only then writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import StartMilvus
from tests.support.certificates import Certificates
from tests.support.command import Command
from tests.support.milvus import MilvusServer
from tests.support.ports import ports
from tests.support.secret_service import KeyringSession

ENTER = b"\r"
UP = b"\x1b[A"
DOWN = b"\x1b[B"
EMPTIED = b"\x15"
INTERRUPTED = b"\x03"
SERVICE = "milvus-profiles"
CANARY = "s3cr3tc4n4ry"

Answers = list[tuple[str, str | bytes]]


@pytest.fixture(scope="module")
def unknown_issuer(_start_shared: StartMilvus, certificates: Certificates) -> MilvusServer:
    """Authorization, and TLS with a certificate that nobody has signed."""
    return _start_shared(auth=True, tls="server", identity=certificates.self_signed_server)


def typed(text: str) -> bytes:
    """What is typed over an answer that stands there already."""
    return EMPTIED + text.encode() + ENTER


def files(cli: Command) -> list[Path]:
    return [path for path in cli.home.rglob("*") if path.is_file() and "state" not in path.parts]


def test_it_goes_back_to_the_answer_that_was_wrong_and_then_writes(
    cli: Command, unknown_issuer: MilvusServer, keyring_session: KeyringSession
) -> None:
    nothing_there = f"https://127.0.0.1:{ports().take()}"
    account = f"tls|127.0.0.1|{unknown_issuer.port}|root"
    keyring_session.delete(SERVICE, account)
    answers: Answers = [
        ("Address of the Milvus:", nothing_there),
        ("Name of the profile: (local)", "remote"),
        ("How do you sign in?", ENTER),
        ("User: (root)", ENTER),
        ("Password of root", CANARY),
        ("Database (", "nope"),
        ("Make it the default profile", "y"),
        ("failed at tcp", b""),
        ("What now?", ENTER),
        ("Address of the Milvus:", typed(unknown_issuer.uri)),
        ("SHA-256", b""),
        ("What is to be trusted?", UP + ENTER),
        ("failed at auth", b""),
        ("What now?", ENTER),
        ("How do you sign in?", ENTER),
        ("User:", ENTER),
        ("Password of root", "Milvus"),
        ("failed at database", b""),
        ("What now?", ENTER),
        ("Database (", typed("")),
    ]
    screen = cli.tty("add", answers=answers, keyring=keyring_session, columns=150, status=0)
    assert CANARY not in screen.raw
    assert "remote: ok, Milvus v2.3.5" in screen.text
    said = screen.text[screen.text.rindex("added 'remote'") :]
    assert f"added 'remote' ({unknown_issuer.uri}) to the user file ~/.config/milvus/milvus.toml\n" in said
    assert "stored the secret in the keyring\nit is the default profile of that file\n" in said
    assert "`milvus-profiles show remote`" in said
    assert "`milvus-profiles export remote --to pymilvus`" in said
    assert keyring_session.get(SERVICE, account) == "Milvus"
    written = cli.user_file.read_text()
    assert 'default_profile = "remote"' in written
    assert "nope" not in written
    assert "BEGIN CERTIFICATE" in cli.user_file.with_name("remote.pem").read_text()
    cli("test", "remote", keyring=keyring_session, status=0)


@pytest.mark.parametrize(
    "last", ["address", "name", "sign-in", "user", "password", "database", "default", "certificate", "menu"]
)
def test_ctrl_c_at_any_question_writes_nothing(
    last: str, cli: Command, unknown_issuer: MilvusServer, keyring_session: KeyringSession
) -> None:
    steps: list[tuple[str, str, str | bytes]] = [
        ("address", "Address of the Milvus:", unknown_issuer.uri),
        ("name", "Name of the profile:", "stopped"),
        ("sign-in", "How do you sign in?", ENTER),
        ("user", "User:", "interrupted"),
        ("password", "Password of interrupted", CANARY),
        ("database", "Database (", ENTER),
        ("certificate", "What is to be trusted?", UP + ENTER),
        ("default", "Make it the default profile", "n"),
        ("menu", "What now?", ENTER),
    ]
    place = [name for name, _, _ in steps].index(last)
    answers: Answers = [(prompt, answer) for _, prompt, answer in steps[:place]]
    answers.append((steps[place][1], INTERRUPTED))
    before = keyring_session.usernames(SERVICE)
    screen = cli.tty("add", answers=answers, keyring=keyring_session, columns=150, status=130)
    assert "Traceback" not in screen.text
    assert CANARY not in screen.raw
    assert files(cli) == []
    assert keyring_session.usernames(SERVICE) == before
