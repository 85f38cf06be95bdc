"""A secret that was put into each source shows nowhere: no message, no repr, no log, no local of any frame.

The canary is a global, since the locals of this module's own functions are searched too.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from milvus_profiles.connectable import Credential
from milvus_profiles.endpoint import Endpoint
from milvus_profiles.masked import SecretText
from milvus_profiles.references import CommandRef, EnvRef, FileRef
from milvus_profiles.secrets.os_keyring import OSKeyring
from milvus_profiles.secrets.resolution import SecretContext, resolve
from milvus_profiles.secrets.value import SERVICE
from tests.support.environment import coverage_variables, run_python
from tests.support.reporters import all_told
from tests.support.secret_service import KeyringSession

pytestmark = pytest.mark.usefixtures("nothing_kept")

CANARY = "canary-7f3a"
ENDPOINT = Endpoint("tcp", "db.example", 443, tls=True)


def told_by(call: Callable[[], object]) -> str:
    try:
        call()
    except Exception as error:
        return all_told(error)
    raise AssertionError("it did not fail")


def check(credential: Credential, env: Mapping[str, str], expected: str, *, time_limit: float = 30.0) -> None:
    context = SecretContext({"PATH": "/usr/bin:/bin", **env}, OSKeyring(), "prod", time_limit=time_limit)
    told = told_by(partial(resolve, credential, ENDPOINT, context))
    assert expected in told
    assert CANARY not in told
    assert CANARY not in repr(context)


@pytest.fixture(autouse=True)
def _nothing_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    assert CANARY not in caplog.text


@pytest.mark.parametrize(
    ("ending", "what"),
    [
        ("\nsecond line", "has several lines"),
        ("\x1b", "contains a control character"),
        ("\udcff", "is not UTF-8 text"),
    ],
)
def test_literals_and_variables_do_not_show(ending: str, what: str) -> None:
    # Functions, so that no value stands in a local of this one.
    check(Credential("inline", SecretText(CANARY + ending), "root"), {}, f"the text in the configuration {what}")
    check(Credential("env", EnvRef(env="T"), None), _Variables(ending), f"the variable T {what}")


class _Variables(dict[str, str]):
    def __init__(self, ending: str) -> None:
        super().__init__(T=CANARY + ending)

    def __repr__(self) -> str:
        return "<variables>"


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        (b"\nsecond line", "has several lines"),
        (b"\0", "contains a control character"),
        (b"\xff", "is not UTF-8 text"),
        (b"x" * 70_000, "is larger than 64 KiB"),
    ],
)
def test_what_a_file_holds_does_not_show(tmp_path: Path, ending: bytes, expected: str) -> None:
    (tmp_path / "token").write_bytes(CANARY.encode() + ending)
    check(Credential("file", FileRef(file=str(tmp_path / "token")), None), {}, expected)


def test_what_has_come_through_a_pipe_that_does_not_end_does_not_show(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with open(tmp_path / "pipe", "r+b", buffering=0) as writer:
        writer.write(CANARY.encode())
        credential = Credential("file", FileRef(file=str(tmp_path / "pipe")), None)
        check(credential, {}, "did not end within 0.1 s", time_limit=0.1)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("cat token; exit 3", "ended with status 3"),
        ("cat token >&2; exit 3", "ended with status 3"),
        ("cat token; echo; echo second", "has several lines"),
        (r"cat token; printf '\377'", "is not UTF-8 text"),
        (r"cat token; printf '\001'", "contains a control character"),
        ("cat token; head -c 70000 /dev/zero", "printed more than 64 KiB"),
        ("cat token; exec sleep 600", "did not end within 0.5 s"),
        ("cat token; exec >&-; exec sleep 600", "did not end within 0.5 s"),
        ('printf \'{"token": "\'; cat token', "no valid JSON"),
        ("printf '{\"secret\": \"'; cat token; printf '\"}'", 'without a text "token"'),
        ("printf '{\"token\": [\"'; cat token; printf '\"]}'", 'without a text "token"'),
        ('printf \'{"token": "\'; cat token; printf \'", "expires_at": "tomorrow"}\'', "RFC 3339"),
    ],
)
def test_what_a_command_prints_does_not_show(
    tmp_path: Path, script: str, expected: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").write_text(CANARY)
    command = CommandRef(command=("sh", "-c", f"cd {tmp_path}; {script}"))
    check(Credential("command", command, None), {}, expected, time_limit=0.5 if "sleep" in script else 30.0)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("no-such-program", "was not found"),
        ("/dev/null", "Permission denied"),
        ("false", "status"),
    ],
)
def test_the_variables_that_a_command_gets_do_not_show(program: str, expected: str) -> None:
    command = CommandRef(command=(program,), pass_env=("T",))
    check(Credential("command", command, None), _Variables(""), expected)


def test_what_is_kept_does_not_show() -> None:
    from milvus_profiles.secrets import resolution

    command = CommandRef(
        command=("sh", "-c", """printf '{"token": "%s", "expires_at": "2999-01-01T00:00:00Z"}' "$T" """),
        pass_env=("T",),
    )
    context = SecretContext({"PATH": "/usr/bin:/bin", "T": CANARY}, OSKeyring(), "prod")
    token = resolve(Credential("command", command, None), ENDPOINT, context)
    assert token == SecretText(CANARY)
    assert resolution._KEPT._values
    assert CANARY not in repr((resolution._KEPT._values, vars(resolution._KEPT), context, token))


# --- the keyring -----------------------------------------------------------------------------------------------------

_PROGRAM = """
import logging, os, sys
from tests.test_secrets_leaks import told_by
from milvus_profiles.endpoint import Endpoint
from milvus_profiles.masked import SecretText
from milvus_profiles.connectable import Credential
from milvus_profiles.profile import KeyringRef
from milvus_profiles.secrets.os_keyring import OSKeyring
from milvus_profiles.secrets.resolution import SecretContext, resolve
from milvus_profiles.secrets.value import keyring_account
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
ring = OSKeyring(extra_backends=["chatty"], timeout=float(sys.argv[2]))
"""

_CHATTY = """
import os
import keyring.backend
class Chatty(keyring.backend.KeyringBackend):
    priority = -1
    def get_password(self, service, username):
        mine = os.environ["MINE"]
        raise UnicodeDecodeError("utf-8", mine.encode(), 0, 1, mine)
    def set_password(self, service, username, password):
        try:
            raise OSError(password)
        except OSError as error:
            raise ValueError(f"could not store {password}") from error
    delete_password = get_password
"""


def _told(env: Mapping[str, str], program: str, account: str, timeout: float = 30.0) -> str:
    done = run_python(
        _PROGRAM + program,
        account,
        timeout,
        env={**env, **coverage_variables(), "PYTHONPATH": os.pathsep.join((os.getcwd(), env.get("PYTHONPATH", "")))},
        input=CANARY,
    )
    assert done.returncode == 0, done.stderr
    told = done.stdout + done.stderr
    assert CANARY not in told
    return told


_CALLS = """
# Not in a variable: this is the outermost frame.
for call in (
    lambda: ring.get(sys.argv[1]),
    lambda: ring.delete(sys.argv[1]),
    lambda: ring.set(sys.argv[1], SecretText(sys.stdin.read())),
):
    print(told_by(call))
"""


@pytest.mark.security
@pytest.mark.parametrize("state", ["locked", "suspended", "stopped"])
def test_a_keyring_that_fails_shows_neither_what_it_holds_nor_what_it_was_given(
    fresh_keyring: KeyringSession, state: str
) -> None:
    fresh_keyring.set(SERVICE, "a", CANARY)
    {"locked": fresh_keyring.lock, "suspended": fresh_keyring.suspend, "stopped": fresh_keyring.stop_daemon}[state]()
    told = _told(fresh_keyring.env, _CALLS, "a", 0.5 if state == "suspended" else 30.0)
    assert told.count("SecretUnavailableError: the keyring ") + told.count("there is no usable keyring") >= 3


@pytest.mark.security
def test_a_backend_that_repeats_secrets_in_its_errors_is_not_quoted(
    no_keyring_env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "chatty.py").write_text(_CHATTY)
    chatty = {"PYTHONPATH": str(tmp_path), "PYTHON_KEYRING_BACKEND": "chatty.Chatty", "MINE": CANARY}
    told = _told({**no_keyring_env, **chatty}, _CALLS, "a")
    assert "the keyring failed with builtins.UnicodeDecodeError" in told
    assert "the keyring failed with builtins.ValueError" in told


@pytest.mark.security
def test_a_stored_value_that_is_no_secret_does_not_show(keyring_session: KeyringSession) -> None:
    host = f"{uuid.uuid4().hex}.example"
    keyring_session.set(SERVICE, f"tls|{host}|443|root", CANARY + "\nsecond line")
    program = """
credential = Credential("keyring", KeyringRef(keyring=True), "root")
context = SecretContext(os.environ, ring, "prod")
endpoint = Endpoint("tcp", sys.argv[1], 443, tls=True)
print(told_by(lambda: resolve(credential, endpoint, context)))
"""
    told = _told(keyring_session.env, program, host)
    assert f"(keyring): the keyring's secret for tls|{host}|443|root has several lines" in told
    assert "secret set prod" in told


@pytest.mark.security
def test_the_logs_of_a_keyring_that_works_do_not_show_its_secrets(keyring_session: KeyringSession) -> None:
    program = """
ring.set(sys.argv[1], SecretText(sys.stdin.read()))
print(ring.get(sys.argv[1]), ring.delete(sys.argv[1]))
"""
    told = _told(keyring_session.env, program, f"tls|{uuid.uuid4().hex}|443|")
    assert "******** True" in told
    assert "DEBUG:keyring" in told
