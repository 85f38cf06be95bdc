"""The state of the terminal at prompts for secrets: after a stop, after Ctrl+C, after a time limit, after signals."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.support.command import Command
from tests.support.files import written
from tests.support.requirements import need
from tests.support.secret_service import KeyringSession
from tests.support.waiting import until

pytestmark = pytest.mark.security

CANARY = "s3cr3tc4n4ry"

# A keyring that asks for its password on the terminal, as keyrings.cryptfile does, in whatever thread it is called.
ASKING = """
import getpass
import keyring.backend

class Asking(keyring.backend.KeyringBackend):
    priority = -1
    def get_password(self, service, username): return getpass.getpass("Master password: ")
    def set_password(self, service, username, password): getpass.getpass("Master password: ")
    def delete_password(self, service, username): getpass.getpass("Master password: ")
"""

READY = "READY> "
SHELLS = {"bash": ["--norc", "-i"], "dash": ["-i"], "zsh": ["-f", "-i"]}


def _heeding_signals() -> None:
    # Tests that a shell without job control runs in the background ignore these, and so would all that they start.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


class Terminal:
    """A shell with job control on a terminal."""

    def __init__(self, shell: str, cli: Command, env: dict[str, str]) -> None:
        need(shell)
        self.child = pexpect.spawn(
            shell, SHELLS[shell], env={"TERM": "dumb", **env, "PS1": READY, "PROMPT": READY}, cwd=str(cli.cwd),
            encoding="utf-8", timeout=30, dimensions=(50, 200), preexec_fn=_heeding_signals,
        )  # fmt: skip
        self.program = cli.program[0]
        self.child.expect_exact(READY)

    def start(self, words: str, prompt: str) -> None:
        self.child.sendline(f"{self.program} {words}")
        self.child.expect_exact(prompt)
        self.wait_until_hidden()

    def stop(self) -> None:
        self.child.send("\x1a")
        self.child.expect_exact(READY)

    def wait_until_hidden(self) -> None:
        """Until the program has the terminal, and no echo: an editor of lines, such as bash's, has none either."""
        shell = self.child.pid
        until(lambda: os.tcgetpgrp(self.child.child_fd) != shell and not self.child.getecho())

    def state(self) -> set[str]:
        """What a program that is started now finds."""
        self.child.sendline("stty -a")
        self.child.expect_exact(READY)
        return set(re.split(r"[;\s]+", self.child.before or ""))


@pytest.fixture
def asking(cli: Command, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "asking_store.py").write_text(ASKING)
    cli.own_file('keyring_backends = ["asking_store"]\n[profiles.a]\nuri = "https://h.example"\nuser = "u"\n')
    return cli.environment({"PYTHONPATH": str(tmp_path), "PYTHON_KEYRING_BACKEND": "asking_store.Asking"})


def terminal(shell: str, cli: Command, env: dict[str, str]) -> Iterator[Terminal]:
    opened = Terminal(shell, cli, env)
    try:
        yield opened
    finally:
        opened.child.close(force=True)


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_typed_after_a_stop_is_not_seen(
    shell: str, cli: Command, asking: dict[str, str], keyring_session: KeyringSession
) -> None:
    # Our own prompt, then one of a keyring that asks in a thread.
    for env, words in (
        (cli.environment(keyring=keyring_session), "secret set a"),
        (asking, "secret status a"),
    ):
        for at in terminal(shell, cli, env):
            at.start(words, ": ")
            at.stop()
            assert "echo" in at.state()
            at.child.sendline("fg")
            at.wait_until_hidden()
            at.child.sendline(CANARY)  # seen only if the echo is on
            at.child.expect_exact(READY)
            seen = (at.child.before or "") + str(at.state())
            assert CANARY not in seen
            assert "echo" in seen


@pytest.mark.parametrize(("signal", "status"), [("\x03", 130), ("kill -TERM", 143), ("\x1c", 131), (None, 4)], ids=str)
def test_the_terminal_is_as_it_was_however_the_asking_ends(
    cli: Command, asking: dict[str, str], signal: str | None, status: int
) -> None:
    limit = {"MILVUS_PROFILES_KEYRING_TIMEOUT": "0.5" if signal is None else "60"}
    for at in terminal("dash", cli, {**asking, **limit}):
        before = at.state()
        # Without a core, which the system would write at Ctrl+\ for as long as it takes.
        at.child.sendline(f"ulimit -c 0; {cli.program[0]} secret status a; echo STATUS $?")
        at.child.expect_exact("Master password: ")
        at.wait_until_hidden()
        if signal is not None and signal.startswith("kill"):
            children = Path(f"/proc/{at.child.pid}/task/{at.child.pid}/children").read_text().split()
            os.kill(int(children[0]), 15)
        elif signal is not None:
            at.child.send(signal)
        at.child.expect_exact(f"STATUS {status}")
        at.child.expect_exact(READY)
        assert at.state() == before


QUESTIONS = {
    "show": ("to filter)", "a  https"),
    "add": ("Address of the Milvus", "Address of the Milvus"),
}


@pytest.mark.parametrize("words", QUESTIONS)
@pytest.mark.parametrize(("signal", "status"), [("\x03", 130), ("kill -TERM", 143)], ids=str)
def test_the_terminal_is_as_it_was_however_a_question_ends(cli: Command, words: str, signal: str, status: int) -> None:
    cli.own_file('[profiles.a]\nuri = "https://h.example"\n[profiles.b]\nuri = "https://h.example"\n')
    for at in terminal("dash", cli, {**cli.environment(), "TERM": "xterm"}):
        before = at.state()
        at.child.sendline(f"{cli.program[0]} {words}; echo STATUS $?")
        at.child.expect_exact(QUESTIONS[words][0])
        at.wait_until_hidden()
        if signal.startswith("kill"):
            children = Path(f"/proc/{at.child.pid}/task/{at.child.pid}/children").read_text().split()
            os.kill(int(children[0]), 15)
        else:
            at.child.send(signal)
        at.child.expect_exact(f"STATUS {status}")
        shown = at.child.before or ""
        # The cursor is there again, and nothing that is pasted is marked.
        assert shown.rindex("\x1b[?25h") > shown.rfind("\x1b[?25l")
        assert "\x1b[?2004l" in shown
        at.child.expect_exact(READY)
        assert at.state() == before


@pytest.mark.parametrize("words", QUESTIONS)
def test_a_question_can_be_stopped_and_goes_on(cli: Command, words: str) -> None:
    cli.own_file('[profiles.a]\nuri = "https://h.example"\n[profiles.b]\nuri = "https://h.example"\n')
    for at in terminal("bash", cli, {**cli.environment(), "TERM": "xterm"}):
        at.child.sendline(f"{cli.program[0]} {words}")
        at.child.expect_exact(QUESTIONS[words][0])
        at.wait_until_hidden()
        at.stop()
        assert "echo" in at.state()
        at.child.sendline("fg")
        at.child.expect_exact(QUESTIONS[words][1])
        at.wait_until_hidden()
        at.child.send("\x03")
        at.child.expect_exact(READY)


def test_an_editor_that_is_killed_leaves_the_terminal_as_it_was(cli: Command, tmp_path: Path) -> None:
    written(editor := tmp_path / "editor", "#!/bin/sh\nstty raw -echo\nkill -9 $$\n", 0o755)
    cli.own_file('[profiles.a]\nuri = "https://h.example"\n')
    for at in terminal("dash", cli, cli.environment({"EDITOR": str(editor)})):
        before = at.state()
        at.child.sendline(f"{cli.program[0]} profile edit")
        at.child.expect_exact(READY)
        assert at.state() == before


def test_a_library_that_gives_up_a_keyring_leaves_the_terminal_as_it_was(cli: Command, asking: dict[str, str]) -> None:
    program = "import milvus_profiles as mp\ntry: mp.connect('a')\nexcept mp.MilvusProfilesError as error: print(error)"
    for at in terminal("dash", cli, {**asking, "MILVUS_PROFILES_KEYRING_TIMEOUT": "0.5", "PROGRAM": program}):
        before = at.state()
        at.child.sendline(f'{sys.executable} -c "$PROGRAM"')
        at.child.expect_exact("Master password: ")
        at.child.expect_exact("did not answer within")
        at.child.expect_exact(READY)
        assert at.state() == before


# --- programs that give a token --------------------------------------------------------------------------------------

HELPER = """\
#!/bin/sh
test -t 0 && test -t 2 && test -n "$TERM" || exit 3
stty -echo </dev/tty
printf 'Passphrase: ' >/dev/tty
read -r answer </dev/tty
stty echo </dev/tty
echo "for $answer" >&2
printf %s "$answer-token"
"""


@pytest.fixture
def helper(cli: Command, tmp_path: Path) -> Command:
    written(program := tmp_path / "helper", HELPER, 0o755)
    profile = f'uri = "https://h.example"\ntoken = {{ command = ["{program}"] }}\n'
    cli.own_file(f"[profiles.a]\n{profile}timeout = 1\n[profiles.b]\n{profile}timeout = 1\n")
    return cli


def test_a_program_that_needs_the_terminal_has_it(helper: Command) -> None:
    for at in terminal("bash", helper, helper.environment()):
        before = at.state()
        at.start("exec a -- sh -c 'echo GOT $MILVUS_TOKEN'", "Passphrase: ")
        at.stop()
        assert "echo" in at.state()
        at.child.sendline("fg")
        at.wait_until_hidden()
        at.child.sendline("typed")
        at.child.expect_exact("for typed")
        at.child.expect_exact("GOT typed-token")
        at.child.expect_exact(READY)
        # It is ended by Ctrl+C, and its state of the terminal with it.
        at.start("exec a -- true", "Passphrase: ")
        at.child.send("\x03")
        at.child.expect_exact(READY)
        assert at.state() == before


def test_nothing_is_drawn_over_a_program_that_asks_during_a_test(helper: Command) -> None:
    for at in terminal("bash", helper, {**helper.environment(), "TERM": "xterm"}):
        at.start("profile test a", "Passphrase: ")
        at.child.expect([pexpect.TIMEOUT], timeout=0.5)  # several pictures of a spinner, if there were one
        assert at.child.before == ""
        at.child.sendline("typed")
        at.child.expect_exact("for typed")


@pytest.mark.parametrize("words", ["exec a -- true &", "profile test a b", "profile test a --json"])
def test_a_program_has_no_terminal_in_the_background_beside_others_or_for_json(helper: Command, words: str) -> None:
    for at in terminal("bash", helper, helper.environment()):
        at.child.sendline(f"{helper.program[0]} {words}")
        at.child.expect_exact("no terminal to ask on")
        at.child.sendline("")
        at.child.expect_exact(READY)


def test_off_the_terminal_the_hint_says_that_there_is_none(helper: Command) -> None:
    assert "it has no terminal to ask on here" in helper("exec", "a", "--", "true", status=4).stderr
