"""Backends that the keyring library was told to use, or found by itself: which are used, and how their faults show.

As in test_keyring.py each test runs a small program in a process of its own.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.secret_service import KeyringSession
from tests.test_keyring import ALL_CALLS, account, run

__all__ = ["account"]  # a fixture

# A backend that is not the operating system's: the file keeps what it is given, in plaintext, and its name says what
# else is wrong with it.  Named in PYTHON_KEYRING_BACKEND, or found by a chain, like those of keyrings.alt.
_BACKENDS = """
import json, os, pathlib
import keyring.backend
from keyring.errors import PasswordDeleteError

FILE = pathlib.Path(os.environ["PLAIN_FILE"])

class Plain(keyring.backend.KeyringBackend):
    priority = 9
    def _all(self): return json.loads(FILE.read_text()) if FILE.exists() else {}
    def get_password(self, service, username): return self._all().get(username)
    def set_password(self, service, username, password):
        FILE.write_text(json.dumps({**self._all(), username: password}))
    def delete_password(self, service, username):
        left = self._all()
        if left.pop(username, None) is None: raise PasswordDeleteError("none")
        FILE.write_text(json.dumps(left))

class NeverDeletes(Plain):
    priority = -1
    def delete_password(self, service, username): pass

class WinVaultKeyring(Plain):
    priority = -1
    __module__ = "keyring.backends.Windows"

if "Unusable" in os.environ.get("PYTHON_KEYRING_BACKEND", ""):  # else the library would stumble over it in every search
    class Unusable(Plain):
        def __init__(self): raise LookupError("no\\nway")
"""


@pytest.fixture
def backends(no_keyring_env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """An environment without a keyring in which the backends above are the module ``plain_store``."""
    (tmp_path / "plain_store.py").write_text(_BACKENDS)
    return {**no_keyring_env, "PYTHONPATH": str(tmp_path), "PLAIN_FILE": str(tmp_path / "plain.json")}


# --- backends that are chosen by a variable --------------------------------------------------------------------------


CANNOT = "the keyring library cannot load its backend: "
VARIABLE = "PYTHON_KEYRING_BACKEND"
NONE = "there is no usable keyring on this machine"
CHAINER = "keyring.backends.chainer.ChainerBackend"


@pytest.mark.parametrize(
    ("backend", "allowed", "said", "hinted"),
    [
        ("no.such.Backend", (), f"{CANNOT}ModuleNotFoundError: No module named 'no'", VARIABLE),
        ("keyring.backends.null.Nothing", (), f"{CANNOT}AttributeError: ", VARIABLE),
        ("nonsense", (), f"{CANNOT}ValueError: ", VARIABLE),
        ("keyring.backends.SecretService.Keyring", (), f"{CANNOT}FileNotFoundError: ", VARIABLE),
        ("plain_store.Unusable", (), f"{CANNOT}LookupError: no way", VARIABLE),
        (
            "keyring.backends.null.Keyring", (),
            "the keyring is turned off: the backend keyring.backends.null stores nothing", VARIABLE,
        ),
        ("keyring.backends.fail.Keyring", (), NONE, "--token-file"),
        ("keyring.backends.fail.Keyring", ("keyring.backends.fail",), NONE, "--token-file"),
        (CHAINER, (), NONE, "--token-file"),
    ],
)  # fmt: skip
def test_a_backend_that_is_none_is_an_error_that_says_why(
    backends: dict[str, str], backend: str, allowed: tuple[str, ...], said: str, hinted: str
) -> None:
    env = {**backends, VARIABLE: backend}
    for message, hint in run(env, ALL_CALLS, *allowed)[: 3 if allowed else 4]:
        assert message.startswith(said)
        assert hinted in hint


@pytest.mark.parametrize(("backend", "program"), [("plain_store.Plain", ""), (CHAINER, "import plain_store\n")])
def test_a_plaintext_backend_is_refused_alone_and_in_a_chain_and_gets_nothing(
    backends: dict[str, str], backend: str, program: str
) -> None:
    env = {**backends, VARIABLE: backend}
    for message, hint in run(env, program + ALL_CALLS, "plain_store.Other", "plain"):
        assert "plain_store.Plain is not used" in message
        assert "plaintext" in message
        assert 'keyring_backends = ["plain_store.Plain"] in the user configuration file' in hint
    assert not os.path.exists(backends["PLAIN_FILE"])


@pytest.mark.parametrize("allowed", ["plain_store.Plain", "plain_store"])
def test_a_backend_that_the_user_allows_is_used(backends: dict[str, str], allowed: str) -> None:
    env = {**backends, "PYTHON_KEYRING_BACKEND": "plain_store.Plain"}
    assert run(env, ALL_CALLS, allowed) == [None, None, True, "plain_store.Plain"]


def test_a_backend_that_stores_nothing_and_one_that_does_not_delete_are_noticed(backends: dict[str, str]) -> None:
    env = {**backends, VARIABLE: "keyring.backends.null.Keyring"}
    [got, (message, _), deleted, _] = run(env, ALL_CALLS, "keyring.backends.null")
    assert (got, deleted) == (None, False)
    assert message == "the keyring did not keep the secret (backend keyring.backends.null.Keyring)"
    env[VARIABLE] = "plain_store.NeverDeletes"
    [_, _, (message, hint), _] = run(env, ALL_CALLS, "plain_store")
    assert message == "the keyring did not delete the secret (backend plain_store.NeverDeletes)"
    assert "own application" in hint


def test_a_secret_too_long_for_windows_is_refused_before_it_is_stored(backends: dict[str, str]) -> None:
    program = """
import keyring, plain_store
keyring.set_keyring(plain_store.WinVaultKeyring())
for secret in ("x" * 1280, "x" * 1281, "😀" * 640, "😀" * 641):
    tell(attempt(lambda: OSKeyring().set("a", SecretText(secret))))
"""
    [fits, (message, hint), pairs_fit, too_many_pairs] = run(backends, program)
    assert (fits, pairs_fit) == (None, None)
    assert "too long for the Windows Credential Manager (1280 characters at most)" in message
    assert "--token-file" in hint
    assert too_many_pairs == [message, hint]


# --- several backends in a chain -------------------------------------------------------------------------------------


def test_in_a_chain_only_the_members_that_are_allowed_are_asked(
    keyring_session: KeyringSession, backends: dict[str, str], account: str
) -> None:
    Path(backends["PLAIN_FILE"]).write_text(json.dumps({account: "in plaintext"}))
    told = run(
        {**backends, **keyring_session.env},
        # Imported before the library looks for backends, as a plugin would be; its priority is the higher one.
        """
import plain_store, keyring
from keyring.backends.chainer import ChainerBackend
tell(isinstance(keyring.get_keyring(), ChainerBackend), [type(b).__name__ for b in keyring.get_keyring().backends])
ring, account = OSKeyring(), sys.argv[1]
tell(ring.backend(), ring.get(account))
ring.set(account, SecretText("encrypted"))
tell(attempt(lambda: ring.get(account)), ring.delete(account), ring.get(account))
both = OSKeyring(extra_backends=["plain_store.Plain"])
tell(both.backend(), attempt(lambda: both.get(account)))
""",
        account,
    )
    assert told == [
        True, ["Plain", "Keyring"], "keyring.backends.SecretService.Keyring", None, "encrypted", True, None,
        "plain_store.Plain", "in plaintext",
    ]  # fmt: skip
    assert json.loads(Path(backends["PLAIN_FILE"]).read_text()) == {account: "in plaintext"}


# --- threads, forks, the library itself ------------------------------------------------------------------------------

_SLOW = """
import keyring, plain_store

class Slow(plain_store.Plain):
    priority = -1
    inside, most, entered, go = 0, 0, threading.Event(), threading.Event()
    def get_password(self, service, username):
        Slow.inside += 1
        Slow.most = max(Slow.most, Slow.inside)
        self.entered.set()
        self.go.wait()
        Slow.inside -= 1
        return "answer"

keyring.set_keyring(Slow())
"""


def test_one_call_at_a_time_is_under_way(backends: dict[str, str]) -> None:
    program = """
answers, waits = [], []
ring = OSKeyring(extra_backends=["__main__"], timeout=60, on_wait=lambda: (waits.append(1), Slow.go.set()))
threads = [threading.Thread(target=lambda: answers.append(ring.get("a").reveal())) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
tell(answers, Slow.most, len(waits))
"""
    assert run(backends, _SLOW + program) == [["answer"] * 8, 1, 1]


def test_waiting_for_one_s_turn_counts(backends: dict[str, str]) -> None:
    program = """
patient, hasty = (OSKeyring(extra_backends=["__main__"], timeout=seconds) for seconds in (60, 0.1))
thread = threading.Thread(target=lambda: tell(patient.get("a").reveal()))
thread.start()
Slow.entered.wait()
tell(attempt(lambda: hasty.get("a"))[0], Slow.most)
Slow.go.set()
thread.join()
"""
    assert run(backends, _SLOW + program) == ["the keyring did not answer within 0.1 s", 1, "answer"]


def test_the_child_of_a_fork_does_not_wait_for_its_parent_s_calls(backends: dict[str, str]) -> None:
    program = """
import warnings
warnings.simplefilter("ignore")  # Python 3.12 warns of forks beside threads, which is what this is about
ring = OSKeyring(extra_backends=["__main__"], timeout=60)
for _ in range(3):
    attempt(lambda: OSKeyring(extra_backends=["__main__"], timeout=0.05).get("a"))
thread = threading.Thread(target=lambda: ring.get("a"))
thread.start()
while Slow.inside < 4:
    time.sleep(0.01)
if (pid := os.fork()) == 0:
    Slow.go = threading.Event()
    Slow.go.set()
    tell(attempt(lambda: ring.get("a")))
    os._exit(0)
os.waitpid(pid, 0)
Slow.go.set()
thread.join()
"""
    assert run(backends, _SLOW + program) == ["answer"]


def test_an_interrupt_while_waiting_leaves_the_keyring_usable(backends: dict[str, str]) -> None:
    program = """
import signal
caught = []
def interrupt(*_):
    caught.append(1)
    if len(caught) == 1: raise KeyboardInterrupt
signal.signal(signal.SIGUSR1, interrupt)
ring = OSKeyring(extra_backends=["__main__"], timeout=60)
def press():
    Slow.entered.wait()
    while not caught:  # one that comes just before the main thread falls asleep would not wake it
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
        time.sleep(0.1)
threading.Thread(target=press).start()
try:
    ring.get("a")
except KeyboardInterrupt:
    tell("interrupted")
Slow.go.set()
tell(attempt(lambda: ring.get("a")))
"""
    assert run(backends, _SLOW + program) == ["interrupted", "answer"]


def test_a_keyring_library_that_cannot_be_imported_is_an_error(no_keyring_env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "keyring.py").write_text("raise ImportError('broken')")
    for message, hint in run({**no_keyring_env, "PYTHONPATH": str(tmp_path)}, ALL_CALLS):
        assert message == "the keyring library cannot be imported: ImportError: broken"
        assert "pip install keyring" in hint
