"""Tokens that a program prints."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from milvus_profiles import load
from milvus_profiles.connectable import Credential
from milvus_profiles.endpoint import Endpoint
from milvus_profiles.errors import ConfigError, SecretUnavailableError
from milvus_profiles.masked import SecretText
from milvus_profiles.references import CommandRef
from milvus_profiles.secrets.command import run_command, variables
from milvus_profiles.secrets.os_keyring import OSKeyring
from milvus_profiles.secrets.resolution import SecretContext, SecretStatus, forget, resolve, status
from tests.support.files import written
from tests.support.waiting import has_ended, interrupted_when, until

pytestmark = pytest.mark.usefixtures("nothing_kept")

ENDPOINT = Endpoint("tcp", "db.example", 443, tls=True)
PATH = "/usr/bin:/bin"
NOW = 1_700_000_000.0  # 2023-11-14T22:13:20Z


def context(env: dict[str, str] | None = None, **settings: Any) -> SecretContext:
    return SecretContext({"PATH": PATH, **(env or {})}, OSKeyring(), "prod", now=lambda: NOW, **settings)


def command(*words: str, pass_env: tuple[str, ...] = (), user: str | None = None) -> Credential:
    return Credential("command", CommandRef(command=words, pass_env=pass_env), user)


def shell(script: str, **settings: Any) -> Credential:
    return command("sh", "-c", script, **settings)


def token(credential: Credential | None, where: SecretContext | None = None, **settings: Any) -> str:
    secret = resolve(credential, ENDPOINT, where or context(), **settings)
    assert secret is not None
    return secret.reveal()


def failure(credential: Credential | None, where: SecretContext | None = None) -> str:
    with pytest.raises(SecretUnavailableError) as caught:
        resolve(credential, ENDPOINT, where or context())
    assert caught.value.hint
    prefix = "profile 'prod' (command): the command "
    assert caught.value.message.startswith(prefix)
    return caught.value.message.removeprefix(prefix)


def pid_in(path: Path) -> int:
    until(lambda: path.exists() and path.read_text().strip(), 10)
    return int(path.read_text())


# --- how it is run ---------------------------------------------------------------------------------------------------


def test_one_line_of_output_is_the_secret() -> None:
    assert token(shell("echo 'käse '")) == "käse "
    assert token(shell("printf pw", user="root")) == "root:pw"
    assert token(command("printf", "%s", "$HOME; `id` *")) == "$HOME; `id` *"  # no shell reads its arguments


def test_the_program_gets_few_variables_and_those_that_are_named() -> None:
    env = {"HOME": "/h", "LANG": "C", "TERM": "t", "LEAK": "l", "GIVEN": "g"}
    printed = token(shell("env | sort | tr '\\n' ' '", pass_env=("GIVEN", "UNSET")), context(env))
    assert [word for word in printed.split() if not word.startswith(("PWD=", "SHLVL=", "_=", "OLDPWD="))] == [
        "GIVEN=g", "HOME=/h", "LANG=C", f"PATH={PATH}"
    ]  # fmt: skip


def test_the_program_is_found_by_the_path_of_the_given_environment(tmp_path: Path) -> None:
    written(tmp_path / "give", "#!/bin/sh\necho given\n", 0o755)
    assert token(command("give"), context({"PATH": f"{tmp_path}:{PATH}"})) == "given"
    assert failure(command("give")) == "'give' was not found"


def test_the_program_is_not_found_by_a_relative_entry_of_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    for planted in (tmp_path / "give", tmp_path / "bin/give"):
        written(planted, "#!/bin/sh\necho planted\n", 0o755)
    monkeypatch.chdir(tmp_path)
    for path in (".", "", f"bin:{PATH}", f":{PATH}", f"{PATH}:", f"./bin:{PATH}", f"{PATH}::{PATH}"):
        assert failure(command("give"), context({"PATH": path})) == "'give' was not found"
        assert status(command("give"), ENDPOINT, context({"PATH": path})).state == "missing"
    # Nor does what it starts in turn get them.
    assert token(shell("echo $PATH"), context({"PATH": f".:bin:{PATH}::"})) == PATH


def test_a_program_that_anybody_can_change_is_not_run(tmp_path: Path) -> None:
    give = written(tmp_path / "give", "#!/bin/sh\necho 'a:secret'\n", 0o757)
    found = context({"PATH": f"{tmp_path}:{PATH}"})
    for program in (str(give), "give"):
        with pytest.raises(SecretUnavailableError) as caught:
            token(command(program), found)
        assert f"is not run: {give} can be written to by every user of this machine (mode 0757)" in str(caught.value)
        assert caught.value.hint == f"run `chmod o-w {give}`"
    give.chmod(0o755)
    assert token(command("give"), found) == "a:secret"


def test_the_program_runs_where_its_file_stands_or_else_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, declared, hostile = (tmp_path / name for name in ("home", "declared", "hostile"))
    for directory in (home, declared, hostile):
        directory.mkdir()
    monkeypatch.chdir(hostile)
    (declared / "milvus.toml").write_text(
        '[profiles.p]\nuri = "https://h"\ntoken = { command = ["pwd"] }\n[profiles.c]\nextends = "p"\n'
    )
    env = {"PATH": PATH, "HOME": str(home)}
    at_home = context(env)
    for alias in ("p", "c"):
        declared_one = load(declared / "milvus.toml", env=env, cwd=hostile)[alias]
        copied = pickle.loads(pickle.dumps(declared_one)).model_copy(update={"timeout": 3.0})
        for one in (declared_one, copied):
            assert token(one.credential, at_home) == str(declared)
    variable = {**env, "MILVUS_URI": "https://h", "MILVUS_PROFILES__DEFAULT__TOKEN__COMMAND": '["pwd"]'}
    for credential in (load(env=variable, cwd=hostile)["default"].credential, command("pwd")):
        assert token(credential, at_home) == str(home)
    for homeless in ({"HOME": ""}, {"HOME": "."}, {"HOME": "/no/such"}):
        assert token(command("pwd"), context(homeless)) == "/"
    credential = load(declared / "milvus.toml", env=env)["p"].credential
    shutil.rmtree(declared)
    assert failure(credential) == f"'pwd' cannot be run in '{declared}': No such file or directory"


def test_the_program_has_no_input_and_no_terminal() -> None:
    assert token(shell("cat; readlink /proc/self/fd/0")) == "/dev/null"
    assert token(shell("ps -o tty= -p $$ 2>/dev/null || echo '?'")).strip() == "?"


def test_what_it_says_on_standard_error_is_discarded_or_let_through(capfd: pytest.CaptureFixture[str]) -> None:
    for shown, said in ((False, ""), (True, "loud\n")):
        assert token(shell("echo loud >&2; echo x"), context(verbose_stderr=shown)) == "x"
        assert capfd.readouterr() == ("", said)


def test_the_status_finds_the_program_and_does_not_run_it(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    assert status(shell(f"touch {ran}"), ENDPOINT, context()) == SecretStatus("present", "command")
    assert status(command("no-such-program"), ENDPOINT, context()).state == "missing"
    assert status(command("sh"), ENDPOINT, SecretContext({}, OSKeyring(), "prod")).state == "present"
    assert not ran.exists()


# --- how it fails ----------------------------------------------------------------------------------------------------


def test_a_program_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    assert failure(command("/no/such")) == "'/no/such' was not found"
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n")
    assert failure(command(str(plain))) == f"'{plain}' cannot be run: Permission denied"
    plain.write_bytes(b"\x00\x01")
    plain.chmod(0o755)
    assert failure(command(str(plain))) == f"'{plain}' cannot be run: Exec format error"
    with pytest.raises(ConfigError, match="holds a NUL character"):
        command("sh", "a\0b")


@pytest.mark.parametrize(
    ("script", "what"),
    [
        ("echo tok; exit 3", "ended with status 3"),
        ("kill -9 $$", "was ended by signal 9"),
        ("true", "gave a secret that is empty"),
        ("echo", "gave a secret that is empty"),
        ("head -c 65537 /dev/zero", "printed more than 64 KiB"),
        ("yes", "printed more than 64 KiB"),
    ],
)
def test_a_program_that_gives_no_secret_is_named_without_its_arguments(script: str, what: str) -> None:
    assert failure(shell(script)) == f"'sh' {what}"


@pytest.mark.parametrize("script", ["wait", "echo tok; exec >&-; wait"], ids=["silent", "with its output closed"])
def test_a_program_that_takes_too_long_is_killed_with_all_that_it_started(tmp_path: Path, script: str) -> None:
    script = f"echo $$ > {tmp_path}/a; sleep 600 & echo $! > {tmp_path}/b; {script}"
    assert failure(shell(script), context(time_limit=0.5)) == "'sh' did not end within 0.5 s"
    for name in "ab":
        until(partial(has_ended, pid_in(tmp_path / name)), 10)
    until(lambda: not [t for t in threading.enumerate() if "command output" in t.name], 10)


def test_what_it_printed_is_taken_when_it_has_ended_whatever_children_it_left(tmp_path: Path) -> None:
    script = f"sleep 600 & echo $! > {tmp_path}/b; echo tok"
    try:
        assert token(shell(script)) == "tok"
        assert not has_ended(pid_in(tmp_path / "b"))  # an agent, such as gpg's, is there for the next who asks
    finally:
        os.kill(pid_in(tmp_path / "b"), signal.SIGKILL)
    # All of it, though it is more than a pipe holds; and no more than that.
    script = f"sleep 600 & echo $! > {tmp_path}/c; head -c 65535 /dev/zero | tr '\\0' x; {{}}"
    for last, length in (("true", 65535), ("echo xx", None)):
        try:
            if length is None:
                assert failure(shell(script.format(last))) == "'sh' printed more than 64 KiB"
            else:
                assert len(token(shell(script.format(last)))) == length
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid_in(tmp_path / "c"), signal.SIGKILL)


def test_the_hint_says_that_it_has_no_terminal() -> None:
    for script, seconds in (("read x </dev/tty", 30.0), ("sleep 600", 0.2)):
        with pytest.raises(SecretUnavailableError) as caught:
            resolve(shell(script), ENDPOINT, context(time_limit=seconds))
        assert "it has no terminal to ask on here" in (caught.value.hint or "")


def test_an_interrupt_kills_the_program(tmp_path: Path) -> None:
    with interrupted_when(lambda: pid_in(tmp_path / "a")), pytest.raises(KeyboardInterrupt):
        resolve(shell(f"echo $$ > {tmp_path}/a; exec sleep 600"), ENDPOINT, context())
    until(partial(has_ended, pid_in(tmp_path / "a")), 10)


def test_no_child_and_no_descriptor_is_left_behind() -> None:
    def children() -> set[str]:
        found = set()
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(FileNotFoundError):  # a thread that has just ended
                found.update((task / "children").read_text().split())
        return found

    token(shell("echo x"))
    before = set(os.listdir("/proc/self/fd")), children()
    for script in ("echo x", "exit 3", "yes"):
        with contextlib.suppress(SecretUnavailableError):
            resolve(shell(script), ENDPOINT, context())
    assert (set(os.listdir("/proc/self/fd")), children()) == before


# --- JSON ------------------------------------------------------------------------------------------------------------


def run(output: str) -> tuple[SecretText, float | None]:
    reference = CommandRef(command=("printf", "%s", output))
    return run_command(reference, variables(reference, {"PATH": PATH}), seconds=30, show_stderr=False)


@pytest.mark.parametrize(
    ("expires_at", "seconds"),
    [
        ("2023-11-14T22:13:20Z", 0.0),
        ("2023-11-14t22:13:20z", 0.0),
        ("2023-11-14 22:13:20Z", 0.0),
        ("2023-11-14T23:13:20+01:00", 0.0),
        ("2023-11-14T16:43:20-05:30", 0.0),
        ("2023-11-14T22:13:20.25Z", 0.25),
        ("2023-11-14T22:13:20.123456789Z", 0.123456789),
        ("2023-11-14T22:13:60Z", 39.0),
    ],
)
def test_a_time_in_rfc_3339_is_understood(expires_at: str, seconds: float) -> None:
    secret, until = run(f'{{"token": "t", "expires_at": "{expires_at}", "other": [1]}}')
    assert secret == SecretText("t")
    assert until == pytest.approx(NOW + seconds, abs=1e-6)


@pytest.mark.parametrize(
    "expires_at",
    [
        '"2023-11-14T22:13:20"',
        '"2023-11-14"',
        '"14.11.2023 22:13"',
        '"2023-13-14T22:13:20Z"',
        '"2023-11-14T22:61:20Z"',
        '"2023-11-14T22:13:61Z"',
        '"2023-11-14T22:13:20+99:00"',
        '"٢٠٢٣-11-14T22:13:20Z"',
        '""',
        "1700000000",
        "true",
    ],
)
def test_a_time_without_a_zone_or_in_another_format_is_refused(expires_at: str) -> None:
    what = failure(command("printf", "%s", f'{{"token": "t", "expires_at": {expires_at}}}'))
    assert what == "'printf' printed an \"expires_at\" that is not RFC 3339 with a time zone"


@pytest.mark.parametrize("output", ['{"token": "t"}\n', '{"token": "t", "expires_at": null}', '{\n  "token": "t"\n}\n'])
def test_json_without_an_expiry_is_a_token(output: str) -> None:
    assert run(output) == (SecretText("t"), None)


@pytest.mark.parametrize(
    ("output", "what"),
    [
        ("{", "printed a brace and then no valid JSON"),
        ('{"token": "t"} {', "printed a brace and then no valid JSON"),
        ('{"token": ' + "[" * 50_000, "printed a brace and then no valid JSON"),
        ("{}", 'printed JSON without a text "token"'),
        ('{"token": 5}', 'printed JSON without a text "token"'),
        ('{"token": ""}', "gave a secret that is empty"),
        ('{"token": "a\\nb"}', "gave a secret that has several lines"),
        ('{"token": "\\ud800"}', "gave a secret that is not UTF-8 text"),
    ],
)
def test_json_without_a_usable_token_is_refused(output: str, what: str) -> None:
    assert failure(command("printf", "%s", output)) == f"'printf' {what}"


# --- keeping ---------------------------------------------------------------------------------------------------------


Counted = Callable[..., Credential]


@pytest.fixture
def counted(tmp_path: Path) -> Counted:
    """A program that counts its runs and prints a token with an expiry."""

    def made(expires_at: str | None, **settings: Any) -> Credential:
        rest = f', "expires_at": "{expires_at}"' if expires_at else ""
        runs = tmp_path / "runs"
        return shell(f"""echo run >> {runs}; printf '{{"token": "%s"{rest}}}' $(wc -l < {runs})""", **settings)

    return made


def test_a_token_with_an_expiry_is_kept_until_shortly_before(counted: Counted) -> None:
    credential = counted("2023-11-14T22:14:20Z")  # a minute after NOW
    clock = NOW
    where = SecretContext({"PATH": PATH}, OSKeyring(), "prod", now=lambda: clock)
    assert [token(credential, where) for _ in range(3)] == ["1", "1", "1"]
    clock = NOW + 49
    assert token(credential, where) == "1"
    clock = NOW + 51
    assert token(credential, where) == "2"


def test_a_token_without_an_expiry_or_expired_on_arrival_is_not_kept(counted: Counted) -> None:
    assert [token(counted(None)) for _ in range(2)] == ["1", "2"]
    assert [token(counted("2023-11-14T22:13:20Z")) for _ in range(2)] == ["3", "4"]


def test_a_token_that_the_server_refused_or_that_is_forgotten_is_fetched_anew(counted: Counted) -> None:
    credential = counted("2024-01-01T00:00:00Z")
    assert token(credential) == "1"
    assert token(credential, refresh=True) == "2"
    assert token(credential) == "2"
    forget()
    assert token(credential) == "3"


def test_what_is_kept_belongs_to_one_endpoint_user_and_environment(counted: Counted) -> None:
    later = "2024-01-01T00:00:00Z"
    plain, passing = counted(later), counted(later, pass_env=("A",))
    assert token(plain) == "1"
    assert resolve(plain, Endpoint("tcp", "other.example", 443, tls=True), context()) == SecretText("2")
    assert token(counted(later, user="root")) == "root:3"
    assert token(passing, context({"A": "x"})) == "4"
    assert token(passing, context({"A": "y"})) == "5"
    assert token(passing, context({"A": "x"})) == "4"
    assert token(plain, context({"A": "z"})) == "1"


def test_a_failure_is_not_kept(tmp_path: Path) -> None:
    credential = shell(f"cat {tmp_path}/token")
    assert failure(credential) == "'sh' ended with status 1"
    (tmp_path / "token").write_text("now")
    assert token(credential) == "now"
