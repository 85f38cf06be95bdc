"""The operating system's keyring: a real one, and locked, silent and absent ones.

Each test runs a small program in a process of its own, since the keyring library chooses its backend once in each.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from milvus_profiles.errors import ConfigError
from milvus_profiles.secrets.os_keyring import keyring_timeout
from milvus_profiles.secrets.value import SERVICE
from tests.support.environment import coverage_variables, run_python
from tests.support.secret_service import KeyringSession
from tests.support.waiting import until

_PRELUDE = """
import json, os, sys, threading, time
from milvus_profiles.errors import SecretUnavailableError
from milvus_profiles.masked import SecretText
from milvus_profiles.secrets.os_keyring import OSKeyring
from milvus_profiles.secrets.resolution import SecretContext, resolve, status
from milvus_profiles.secrets.value import keyring_account

def attempt(call):
    "What the call gives, a secret in the clear, or the message and hint of its error."
    try:
        answer = call()
    except SecretUnavailableError as error:
        return [error.message, error.hint]
    return answer.reveal() if isinstance(answer, SecretText) else answer

def tell(*values):
    print(json.dumps(values), flush=True)
"""


def run(env: Mapping[str, str], program: str, *arguments: str, timeout: float = 60.0) -> list[Any]:
    """Everything that the program told, in order."""
    done = run_python(_PRELUDE + program, *arguments, env={**env, **coverage_variables()}, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return [value for line in done.stdout.splitlines() for value in json.loads(line)]


def started(session: KeyringSession, program: str) -> Any:
    """A program that waits for a line in between."""
    return subprocess.Popen(
        [sys.executable, "-c", _PRELUDE + program],
        env={**session.env, **coverage_variables()}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture
def account() -> str:
    """An account that no other test uses."""
    return f"tls|{uuid.uuid4().hex}.example|443|root"


# --- a keyring that works --------------------------------------------------------------------------------------------


def test_a_secret_is_stored_read_replaced_and_deleted(keyring_session: KeyringSession, account: str) -> None:
    told = run(
        keyring_session.env,
        """
ring, account = OSKeyring(), sys.argv[1]
tell(attempt(lambda: ring.get(account)), attempt(lambda: ring.delete(account)))
for secret in ("first", "käse: 'ü' €", "x" * 60_000):
    ring.set(account, SecretText(secret))
    tell(ring.get(account).reveal() == secret)
tell(ring.get(account + "x"), ring.delete(account), ring.get(account), ring.delete(account), ring.backend())
""",
        account,
    )
    assert told == [None, False, True, True, True, None, True, None, False, "keyring.backends.SecretService.Keyring"]


def test_other_programs_find_a_secret_under_the_service_and_the_account(
    keyring_session: KeyringSession, account: str
) -> None:
    run(keyring_session.env, "OSKeyring().set(sys.argv[1], SecretText('ours'))", account)
    assert SERVICE == "milvus-profiles"
    assert keyring_session.get(SERVICE, account) == "ours"
    read = "tell(attempt(lambda: OSKeyring().get(sys.argv[1])))"
    keyring_session.set(SERVICE, account, "theirs")
    assert run(keyring_session.env, read, account) == ["theirs"]
    keyring_session.set(SERVICE, f"{account}2", "by hand", by_hand=True)
    assert run(keyring_session.env, read, f"{account}2") == ["by hand"]


def test_storing_replaces_an_entry_made_by_hand(keyring_session: KeyringSession, account: str) -> None:
    # The library overwrites its own entry alone.  Which of two is found is up to the keyring, hence several accounts.
    accounts = [f"{account}{number}" for number in range(8)]
    run(keyring_session.env, "for account in sys.argv[1:]: OSKeyring().set(account, SecretText('old'))", *accounts)
    for each in accounts:
        keyring_session.set(SERVICE, each, "by hand", by_hand=True)
    program = """
for account in sys.argv[1:]:
    OSKeyring().set(account, SecretText("new"))
    tell(OSKeyring().get(account).reveal())
"""
    assert run(keyring_session.env, program, *accounts) == ["new"] * 8


def test_deleting_leaves_no_second_entry_behind(keyring_session: KeyringSession, account: str) -> None:
    keyring_session.set(SERVICE, account, "one")
    keyring_session.set(SERVICE, account, "two", by_hand=True)
    assert run(keyring_session.env, "tell(OSKeyring().delete(sys.argv[1]))", account) == [True]
    assert account not in keyring_session.usernames(SERVICE)


def test_a_secret_that_could_not_be_sent_is_not_stored(keyring_session: KeyringSession, account: str) -> None:
    program = """
for secret in ("", "a\\nb", "a\\0b", "a\\udcff"):
    tell(attempt(lambda: OSKeyring().set(sys.argv[1], SecretText(secret)))[0])
"""
    assert run(keyring_session.env, program, account) == [
        "the secret is empty",
        "the secret has several lines",
        "the secret contains a control character",
        "the secret is not UTF-8 text",
    ]
    assert keyring_session.get(SERVICE, account) is None


_RESOLVE = """
from milvus_profiles.profile import Profile
def token(alias="prod", **fields):
    profile = Profile(alias=alias, **fields)
    context = SecretContext({}, OSKeyring(), alias)
    tell(attempt(lambda: resolve(profile.credential, profile.endpoint, context)))
    found = status(profile.credential, profile.endpoint, context)
    tell([found.state, found.kind, found.backend])
"""


def test_a_profile_s_password_and_token_come_from_the_keyring(keyring_session: KeyringSession) -> None:
    host = f"{uuid.uuid4().hex}.example"
    keyring_session.set(SERVICE, f"tls|{host}|443|root", "p:w\n")
    keyring_session.set(SERVICE, f"plain|{host}|19530|", "api-key")
    present = ["present", "keyring", "keyring.backends.SecretService.Keyring"]
    told = run(
        keyring_session.env,
        _RESOLVE
        + """
host = sys.argv[1]
token(uri=f"https://{host.upper()}.", user="root")
token(host=host, token={"keyring": True})
""",
        host,
    )
    assert told == ["root:p:w", present, "api-key", present]


def test_a_secret_is_found_for_its_own_endpoint_and_user_alone(keyring_session: KeyringSession) -> None:
    host = f"{uuid.uuid4().hex}.example"
    keyring_session.set(SERVICE, f"tls|{host}|443|root", "pw")
    told = run(
        keyring_session.env,
        _RESOLVE
        + """
host = sys.argv[1]
token(uri=f"https://evil-{host}", user="root")
token(uri=f"http://{host}:443", user="root")
token(uri=f"https://{host}:444", user="root")
token(uri=f"https://{host}", user="Root")
token(uri=f"https://{host}", token={"keyring": True})
""",
        host,
    )
    errors, statuses = told[::2], told[1::2]
    assert [state for state, _, _ in statuses] == ["missing"] * 5
    assert errors[0] == [
        f"profile 'prod' (keyring): the keyring has no secret for tls|evil-{host}|443|root",
        "store the secret with `milvus-profiles secret set prod`",
    ]
    assert all("has no secret for" in message for message, _ in errors)


# --- a keyring that does not answer, or says no ----------------------------------------------------------------------


def test_a_locked_keyring_is_an_error_that_says_so(fresh_keyring: KeyringSession) -> None:
    fresh_keyring.set(SERVICE, "a", "secret")
    fresh_keyring.lock()
    for message, hint in run(fresh_keyring.env, ALL_CALLS)[:3]:
        assert message == "the keyring is locked, or it denied access"
        assert "unlock it" in hint
        assert "--token-file" in hint


def test_a_keyring_that_hangs_is_given_up_and_does_not_hold_up_the_end(fresh_keyring: KeyringSession) -> None:
    program = """
waits = []
ring = OSKeyring(timeout=0.6, on_wait=lambda: waits.append(threading.current_thread() is threading.main_thread()))
tell(attempt(lambda: ring.get("a")), attempt(lambda: ring.get("a")), waits)
"""
    with fresh_keyring.suspended():
        [(message, hint), again, waits] = run(fresh_keyring.env, program)
    assert message == "the keyring did not answer within 0.6 s"
    assert "MILVUS_PROFILES_KEYRING_TIMEOUT" in hint
    assert "--token-file" in hint
    assert again == [message, hint]
    assert waits == [True]


def test_unanswered_calls_do_not_pile_up_and_end_when_the_keyring_wakes(fresh_keyring: KeyringSession) -> None:
    fresh_keyring.set(SERVICE, "a", "secret")
    program = """
ring = OSKeyring(timeout=0.1)
for _ in range(6):
    tell(attempt(lambda: ring.get("a"))[0])
tell(sum("keyring" in thread.name for thread in threading.enumerate()))
sys.stdin.readline()
deadline = time.monotonic() + 30
while any("keyring" in thread.name for thread in threading.enumerate()) and time.monotonic() < deadline:
    time.sleep(0.01)
tell(attempt(lambda: OSKeyring(timeout=30).get("a")))
"""
    fresh_keyring.suspend()
    with started(fresh_keyring, program) as process:
        with fresh_keyring.suspended():
            told = [json.loads(process.stdout.readline())[0] for _ in range(7)]
        rest, _ = process.communicate("awake\n", 60)
    assert told[:4] == ["the keyring did not answer within 0.1 s"] * 4
    assert told[4:6] == ["the keyring has left 4 earlier questions of this process unanswered"] * 2
    assert told[6] == 4
    assert json.loads(rest) == ["secret"]


def test_a_keyring_that_stops_is_an_error(fresh_keyring: KeyringSession) -> None:
    program = """
ring = OSKeyring(timeout=30)
tell(attempt(lambda: ring.get("a")))
sys.stdin.readline()
tell(attempt(lambda: ring.get("a")))
"""
    with started(fresh_keyring, program) as process:
        assert process.stdout.readline() == "[null]\n"
        fresh_keyring.stop_daemon()
        rest, _ = process.communicate("stopped\n", 60)
    [(message, hint)] = json.loads(rest)
    assert message.startswith("the keyring cannot be opened: ")
    assert "--token-file" in hint


ALL_CALLS = """
ring = OSKeyring(extra_backends=sys.argv[1:])
for call in (lambda: ring.get("a"), lambda: ring.set("a", SecretText("x")), lambda: ring.delete("a"), ring.backend):
    tell(attempt(call))
"""


def test_a_keyring_that_was_never_set_up_is_an_error(fresh_keyring: KeyringSession) -> None:
    def is_said() -> bool:
        [(said, hint)] = run(fresh_keyring.env, "tell(attempt(lambda: OSKeyring(timeout=30).get('a')))")
        return said.startswith("the keyring cannot be opened: ") and "set up a default keyring" in hint

    fresh_keyring.stop_daemon()
    shutil.rmtree(fresh_keyring.home / ".local")
    (fresh_keyring.home / ".local" / "share").mkdir(parents=True)
    command = ["gnome-keyring-daemon", "--foreground", "--components=secrets"]
    with subprocess.Popen(
        command, env=fresh_keyring.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as daemon:
        try:
            until(is_said)
        finally:
            daemon.kill()


@pytest.mark.parametrize("address", ["unset", "nonsense", "unix:path={home}/x", "a bus without a keyring", "no bus"])
def test_where_there_is_no_keyring_every_call_names_other_ways(
    home: Path, address: str, request: pytest.FixtureRequest
) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_RUNTIME_DIR": str(home)}
    if address == "no bus":
        env = request.getfixturevalue("no_keyring_env")
    elif address == "a bus without a keyring":
        session: KeyringSession = request.getfixturevalue("fresh_keyring")
        session.stop_daemon()
        env = session.env
    elif address != "unset":
        env["DBUS_SESSION_BUS_ADDRESS"] = address.format(home=home)
    for message, hint in run(env, ALL_CALLS):
        assert message == "there is no usable keyring on this machine"
        for way in ("--token-file", "--token-env", "MILVUS_TOKEN_FILE"):
            assert way in hint


# --- the time limit --------------------------------------------------------------------------------------------------


def test_the_time_limit_depends_on_the_terminal_and_the_variable_beats_both() -> None:
    assert keyring_timeout({}) == 3.0
    assert keyring_timeout({"MILVUS_PROFILES_KEYRING_TIMEOUT": ""}, interactive=True) == 60.0
    for interactive in (False, True):
        assert keyring_timeout({"MILVUS_PROFILES_KEYRING_TIMEOUT": "0.5"}, interactive=interactive) == 0.5


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e9", "soon"])
def test_a_time_limit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        keyring_timeout({"MILVUS_PROFILES_KEYRING_TIMEOUT": text})
    assert str(caught.value.location) == "$MILVUS_PROFILES_KEYRING_TIMEOUT"
