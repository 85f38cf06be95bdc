"""What the package does on Windows, as far as it can be run elsewhere: see ``tests/support/windows.py``."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import milvus_profiles as mp
from milvus_profiles.config.atomic import create_file, read_bytes, write_atomic
from milvus_profiles.config.databases import brought_databases
from milvus_profiles.config.documents import Document, Role, file_warnings, refusal
from milvus_profiles.config.edit import edit_file
from milvus_profiles.config.git_index import is_tracked
from milvus_profiles.config.loading import load_text
from milvus_profiles.config.locations import find_project_file, state_directory, user_file
from milvus_profiles.config.places import locked
from milvus_profiles.config.trust import gated_fields, is_gated
from milvus_profiles.config.values import from_table
from milvus_profiles.endpoint import AddressError, parse_address
from milvus_profiles.errors import ConfigError, LockTimeoutError, UntrustedError
from milvus_profiles.files.held_directory import is_link
from milvus_profiles.files.paths import absolute_path, changeable, home_directory, home_fault, own_users
from milvus_profiles.files.regular_file import is_given, read_given
from milvus_profiles.masked import MaskedMapping
from milvus_profiles.references import CommandRef
from milvus_profiles.secrets.command import absolute_entries, find_program, variables
from milvus_profiles.secrets.resolution import read_file
from milvus_profiles.text import Standing, command, quote, removal
from tests.support.waiting import side_by_side
from tests.support.windows import NATIVE, directory, on_windows

pytestmark = pytest.mark.programs

ANN = {"USERPROFILE": r"C:\Users\Ann"}
APPS = {**ANN, "APPDATA": r"C:\Users\Ann\AppData\Roaming", "LOCALAPPDATA": r"D:\Local"}


def document(text: str, role: Role = "project", path: str = r"C:\work\milvus.toml") -> Document:
    return load_text(text.encode(), path, role, env=ANN).documents[0]


# --- variables and places ---------------------------------------------------------------------------------------------


@on_windows
def test_variables_have_any_case() -> None:
    env = {**ANN, "milvus_profiles__prod__uri": "http://h:1", "Milvus_Uri": "http://d:2", "my_Token": "t",
           "MILVUS_PROFILES__PROD__token__ENV": "MY_token"}  # fmt: skip
    profiles = mp.load(env=env, cwd=r"C:\work")
    assert (profiles["prod"].endpoint.uri, profiles["default"].endpoint.uri) == ("http://h:1", "http://d:2")
    assert mp.connection_args("prod", profiles=profiles)["token"] == "t"
    with pytest.raises(ConfigError, match="MILVUS_PROFILES__PROD__URL"):
        mp.load(env={**ANN, "milvus_profiles__prod__url": "http://h:1"}, cwd=r"C:\work")


@on_windows
def test_a_mapping_of_variables_is_one_whatever_the_case() -> None:
    env = MaskedMapping({"Path": "a", "ProgramData": "b"})
    assert env["PATH"] == env["path"] == env.get("Path") == "a"
    assert "programdata" in env
    assert "nothing" not in env
    assert sorted(env) == ["PATH", "PROGRAMDATA"]
    assert dict(MaskedMapping({**dict(env.items()), "Path": "c"}))["PATH"] == "c"


@on_windows
def test_the_users_files_are_where_windows_has_them() -> None:
    assert user_file(APPS) == r"C:\Users\Ann\AppData\Roaming\milvus\milvus.toml"
    assert state_directory(APPS) == r"D:\Local\milvus"
    assert user_file(ANN) == r"C:\Users\Ann\AppData\Roaming\milvus\milvus.toml"
    assert state_directory(ANN) == r"C:\Users\Ann\AppData\Local\milvus"
    assert user_file({**ANN, "XDG_CONFIG_HOME": r"C:\xdg"}) == user_file(ANN)


@on_windows
def test_a_home_without_a_drive_is_none() -> None:
    assert home_directory({**ANN, "HOME": "/home/ann"}) == r"C:\Users\Ann"
    for text in ("", r"\Users\Ann", "/Users/Ann", "Users", r"C:Users"):
        assert home_directory({"USERPROFILE": text}) is None, text
        assert "USERPROFILE" in (home_fault({"USERPROFILE": text}) or ("",))[0]
    assert user_file({"USERPROFILE": r"\Users", "APPDATA": r"\AppData"}) is None


# --- addresses and paths ----------------------------------------------------------------------------------------------


@on_windows
def test_paths_of_windows_are_databases() -> None:
    for text, path in {
        r"C:\data\milvus.db": r"C:\data\milvus.db",
        "C:/data/milvus.db": r"C:\data\milvus.db",
        "d:/data/../milvus.db/": r"d:\milvus.db",
        r"data\milvus.db": r"C:\work\data\milvus.db",
        r".\milvus.db": r"C:\work\milvus.db",
        "milvus.db": r"C:\work\milvus.db",
        r"~\milvus.db": r"C:\Users\Ann\milvus.db",
        "~/milvus.db": r"C:\Users\Ann\milvus.db",
        r"\\nas\share\milvus.db": r"\\nas\share\milvus.db",
        r"\data\milvus.db": r"C:\data\milvus.db",
    }.items():
        address = parse_address(text, base=r"C:\work", home=r"C:\Users\Ann")
        assert (address.kind, address.path.replace("/", "\\")) == ("lite", path), text


@on_windows
def test_a_host_of_one_letter_is_no_drive() -> None:
    address = parse_address("m:19530/tenant.db")
    assert (address.kind, address.host, address.port, address.database) == ("tcp", "m", 19530, "tenant.db")
    assert parse_address("m:19530").port == 19530
    assert parse_address("http://m:19530/x").host == "m"


@on_windows
def test_a_drive_without_a_slash_and_a_path_that_is_no_database_are_refused() -> None:
    for text in ("C:milvus.db", r"C:\data", "C:/data", r"\\nas\share\x"):
        with pytest.raises(AddressError, match=r"ends in \.db") as caught:
            parse_address(text)
        assert "C:/data/NAME.db" in (caught.value.hint or "")


@on_windows
def test_a_profile_has_paths_of_either_spelling() -> None:
    text = """[profiles.p]
        uri = 'https://h'
        token = { file = 'secrets\\t' }
        ssl = { ca = 'C:\\c\\ca.pem', cert = 'c/cert.pem', key = '~/key.pem' }
        [profiles.q]
        password = { command = ['.\\get.exe', 'a\\b'] }
    """
    declared = document(text)
    raw = from_table(declared, "p", lambda: ANN["USERPROFILE"])
    values = {".".join(path): value.value for path, value in raw.items()}
    assert values == {"uri": "https://h", "token.file": r"C:\work\secrets\t", "ssl.ca": r"C:\c\ca.pem",
                      "ssl.cert": r"C:\work\c\cert.pem", "ssl.key": r"C:\Users\Ann\key.pem"}  # fmt: skip
    assert from_table(declared, "q")["password", "command"].value == [r"C:\work\get.exe", r"a\b"]


@on_windows
def test_lines_may_end_as_windows_ends_them() -> None:
    text = "# c\r\ndefault_profile = 'p'\r\n[profiles.p]\r\nuri = 'C:\\d\\x.db' # here\r\n"
    profiles = load_text(text.encode(), r"C:\work\milvus.toml", "user", env=ANN)
    assert profiles["p"].endpoint.path == r"C:\d\x.db"
    path = os.path.join(directory("w"), "milvus.toml")
    create_file(path, text.encode())
    edit_file(path, lambda editor: editor.set("p", ("db_name",), "d"))
    after = (read_bytes(path) or b"").decode()
    assert after.startswith(text.rstrip("\r\n"))
    assert not re.search(r"(?<!\r)\n", after), after


@on_windows
def test_a_secret_of_a_file_is_without_what_windows_adds() -> None:
    path = os.path.join(directory("s"), "token")
    create_file(path, b"\xef\xbb\xbfs3cret\r\n")
    assert read_file(path, 1.0)[0].reveal() == "s3cret"
    write_atomic(path, "s3cret\r\n".encode("utf-16"))  # as `>` of Windows PowerShell writes it
    with pytest.raises(mp.SecretUnavailableError, match="not UTF-8"):
        read_file(path, 1.0)


@on_windows
def test_what_a_project_file_is_given_is_written_with_slashes() -> None:
    from milvus_profiles.cli.target import Target

    work = directory("work")
    target = Target(os.path.join(work, "milvus.toml"), "project")
    assert target.stored_path(os.path.join(work, "certs", "ca.pem")) == "./certs/ca.pem"
    assert target.stored_uri(os.path.join(work, "data", "milvus.db")) == "./data/milvus.db"
    assert target.stored_command([os.path.join(work, "get.exe"), r"a\b"]) == ["./get.exe", r"a\b"]
    assert target.stored_command(["get", "b"]) == ["get", "b"]
    for outside in (r"D:\ca.pem", r"\\nas\share\ca.pem"):
        assert target.stored_path(outside) == outside


@on_windows
def test_the_null_device_is_an_empty_file_and_no_other_device_is_one() -> None:
    assert is_given("nul")
    assert is_given(r"\\.\NUL")
    for path in ("/dev/stdin", r"C:\dev\stdin", r"\\.\COM1", "CON"):
        assert not is_given(path)
    if NATIVE:
        assert is_given(absolute_path(os.devnull, base="."))
        assert read_given(os.devnull, 10).content == b""


# --- what an untrusted project may have looked at ---------------------------------------------------------------------


ELSEWHERE = (r"\\evil\share\x.db", "//evil/share/x.db", r"D:\x.db", r"\\?\C:\work\x.db", r"\\?\UNC\evil\share\x.db",
             r"\\.\pipe\x.db", r"C:\work2\x.db", r"..\x.db", r"C:\x.db")  # fmt: skip


@on_windows
def test_a_database_outside_of_a_project_needs_trust() -> None:
    for text in ELSEWHERE:
        assert is_gated(("uri",), text, r"C:\work"), text
    for text in ("x.db", r"d\x.db", r"c:\WORK\x.db", "C:/work/d/x.db"):
        assert not is_gated(("uri",), text, r"C:\work"), text
    assert is_gated(("uri",), r"unix:x.sock", r"C:\work")


@contextlib.contextmanager
def looks() -> Iterator[list[str]]:
    """The paths of other machines that the system was asked about."""
    found: list[str] = []

    def watched(function: Any) -> Any:
        def call(path: Any, *rest: Any, **more: Any) -> Any:
            if str(path).replace("/", "\\").startswith("\\\\"):
                found.append(str(path))
            return function(path, *rest, **more)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("stat", "lstat", "open", "readlink", "scandir", "access"):
            patch.setattr(os, name, watched(getattr(os, name)))
        for name in ("realpath", "exists", "isdir", "isfile"):
            patch.setattr(os.path, name, watched(getattr(os.path, name)))
        yield found


@on_windows
def test_a_database_at_another_machine_is_not_looked_at_before_the_project_is_trusted() -> None:
    work = directory("work")
    local = {**ANN, "LOCALAPPDATA": directory("local"), "APPDATA": directory("roaming")}
    for text in (r"\\evil\share\x.db", "//evil/share/x.db", r"\\?\UNC\evil\share\x.db"):
        content = f"[profiles.p]\nuri = '{text}'\n"
        write_atomic(os.path.join(work, "milvus.toml"), content.encode())
        with looks() as seen:
            profiles = mp.load(env=local, cwd=work)
            with pytest.raises(UntrustedError):
                mp.connect("p", profiles=profiles)
            assert [list(profiles), list(gated_fields(profiles.documents[0]))] == [["p"], ["p.uri"]]
            assert brought_databases(profiles.documents[0], local) == {}
        assert not seen, text


@on_windows
def test_a_project_file_that_is_a_link_is_not_followed() -> None:
    work = directory("work")
    try:
        os.symlink(r"\\evil\share\milvus.toml", os.path.join(work, "milvus.toml"))
    except OSError:
        pytest.skip("this user may make no links")
    if not os.path.lexists(os.path.join(work, "milvus.toml")):
        pytest.skip("this Windows has no links")  # Wine
    with looks() as seen:
        found, passed = find_project_file(work, ANN)
    assert found is None
    assert "is a link" in str(passed[0])
    assert not seen


@on_windows
def test_a_git_directory_at_another_machine_is_not_looked_at() -> None:
    work = directory("work")
    create_file(os.path.join(work, ".git"), b"gitdir: //evil/share/repository\n")
    with looks() as seen:
        assert not is_tracked(os.path.join(work, "milvus.toml"))
    assert not seen


@on_windows
def test_names_in_gits_index_have_any_case() -> None:
    work = directory("work")
    name = b"Milvus.DB/data"
    entry = bytes(60) + len(name).to_bytes(2, "big") + name
    index = b"DIRC" + (2).to_bytes(4, "big") + (1).to_bytes(4, "big") + entry + bytes(8 - len(entry) % 8) + bytes(20)
    os.mkdir(os.path.join(work, ".git"))
    create_file(os.path.join(work, ".git", "index"), index)
    assert is_tracked(os.path.join(work, "milvus.db"), below=True)
    assert not is_tracked(os.path.join(work, "other.db"), below=True)


# --- modes and owners -------------------------------------------------------------------------------------------------


@on_windows
def test_nothing_is_said_of_modes() -> None:
    path = os.path.join(directory("w"), "milvus.toml")
    create_file(path, b"[profiles.p]\nuri = 'https://h'\ntoken = 'literal'\n")
    os.chmod(path, 0o666)
    profiles = mp.load(path, env=ANN, cwd=r"C:\work")
    assert (profiles.documents[0].literals, profiles.documents[0].mode) == (("p",), None)
    assert file_warnings(profiles.documents) == ()
    assert refusal(profiles.documents[0]) is None
    assert changeable(path, os.stat(path)) is None
    assert own_users({"SUDO_UID": "1000"}) is None


@on_windows
def test_what_onedrive_keeps_is_no_link_and_a_junction_is_one() -> None:
    def status(tag: int, mode: int = stat.S_IFDIR) -> Any:
        return SimpleNamespace(st_mode=mode, st_reparse_tag=tag, st_file_attributes=0x400)

    for tag in (0x9000001A, 0x9000601A, 0x80000021, 0x80000017, 0x80000013, 0):  # OneDrive, WOF, deduplication
        assert not is_link(status(tag)), hex(tag)
    for tag in (0xA0000003, 0xA000000C, 0xA000001D):  # junctions, symbolic links, those of WSL
        assert is_link(status(tag)), hex(tag)


# --- files that others have open --------------------------------------------------------------------------------------


@contextlib.contextmanager
def being_read(path: str, seconds: float) -> Iterator[None]:
    """Another program has a file open for some time, which keeps it where it is."""
    if NATIVE:
        with open(path, "rb") as file:
            timer = threading.Timer(seconds, file.close)
            timer.start()
            yield
            timer.join()
        return
    until = time.monotonic() + seconds
    replace = os.replace

    def refusing(old: str, new: str, **more: Any) -> None:
        if new == path and time.monotonic() < until:
            raise PermissionError(13, "The process cannot access the file because it is being used by another process")
        replace(old, new, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", refusing)
        yield


@on_windows
def test_a_file_that_is_being_read_is_replaced_when_that_ends() -> None:
    path = os.path.join(directory("w"), "milvus.toml")
    write_atomic(path, b"before")
    with being_read(path, 0.3):
        write_atomic(path, b"after")
    assert read_bytes(path) == b"after"


@on_windows
def test_a_file_that_stays_open_is_said_to_be_after_a_second_and_is_as_it_was() -> None:
    path = os.path.join(directory("w"), "milvus.toml")
    write_atomic(path, b"before")
    with being_read(path, 3.0):
        begun = time.monotonic()
        with pytest.raises(ConfigError) as caught:
            write_atomic(path, b"after")
        assert 0.9 < time.monotonic() - begun < 2.5
        assert "close whatever has the file open" in (caught.value.hint or "")
    assert read_bytes(path) == b"before"
    assert not [name for name in (*os.listdir("."), *os.listdir(os.path.dirname(path))) if name.endswith(".tmp")]


@contextlib.contextmanager
def open_files_stay() -> Iterator[None]:
    """What Windows itself does: a file that somebody has open is not removed."""
    remove, open_, guard = os.unlink, os.open, threading.Lock()

    def opening(*arguments: Any, **more: Any) -> int:
        with guard:
            return open_(*arguments, **more)

    def is_open(number: int) -> bool:
        found = False
        for each in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):  # that of the listing
                found |= os.fstat(int(each)).st_ino == number
        return found

    def removing(path: str, **more: Any) -> None:
        with guard:
            if is_open(os.stat(path).st_ino):
                raise PermissionError(13, "The process cannot access the file because it is being used")
            remove(path, **more)

    with pytest.MonkeyPatch.context() as patch:
        if not NATIVE:
            patch.setattr(os, "unlink", removing)
            patch.setattr(os, "open", opening)
        yield


@on_windows
def test_no_lock_stays_and_nothing_is_lost_between_threads() -> None:
    work = directory("w")
    path = os.path.join(work, "counter")

    def add() -> None:
        for _ in range(5):
            with locked(path, 30.0):
                write_atomic(path, str(int(read_bytes(path) or b"0") + 1).encode())

    with open_files_stay():
        side_by_side(add, threads=4)
    assert read_bytes(path) == b"20"
    assert not [name for name in (*os.listdir("."), *os.listdir(work)) if name.endswith(".lock")]


@on_windows
def test_who_waits_for_a_lock_is_told_what_can_be_done_there() -> None:
    path = os.path.join(directory("w"), "milvus.toml")
    with locked(path, 1.0), pytest.raises(LockTimeoutError) as caught, locked(path, 0.05):
        pass
    assert caught.value.hint == "wait until it has ended"


# --- programs ---------------------------------------------------------------------------------------------------------


def programs(*paths: str) -> None:
    for path in paths:
        with open(path, "wb"):
            pass


@on_windows
def test_a_program_is_found_in_path_by_the_extensions_of_pathext() -> None:
    first, second = directory("first"), directory("second")
    programs(os.path.join(first, "op.py"), os.path.join(first, "op"), os.path.join(second, "op.exe"),
             os.path.join(second, "op.cmd"), os.path.join(second, "tool.v2.bat"))  # fmt: skip
    env = MaskedMapping({"Path": f"{first};{second}", "PathExt": ".PY;.CMD;.EXE;.BAT"})
    assert find_program("op", env) == os.path.join(second, "op.cmd")
    assert find_program("op.exe", env) == os.path.join(second, "op.exe")
    assert find_program("tool.v2", env) == os.path.join(second, "tool.v2.bat")
    assert find_program("op", {"PATH": f"{first};{second}"}) == os.path.join(second, "op.exe")
    assert find_program(os.path.join(second, "op"), env) == os.path.join(second, "op.cmd")
    assert find_program("op.py", env) is None
    assert find_program("missing", env) is None


@on_windows
def test_a_program_beside_the_project_is_not_found() -> None:
    programs("git.exe", "op.cmd")
    other = directory("bin")
    for path in ("", ".", f".;{other}", f"{other};", r"\;C:", ";"):
        for name in ("git", "git.exe", "op", "op.cmd"):
            assert find_program(name, {"PATH": path}) is None, (name, path)
    programs(os.path.join(other, "git.exe"))
    assert find_program("git", {"PATH": f".;{other}"}) == os.path.join(other, "git.exe")


@on_windows
def test_entries_of_path_name_a_drive_and_may_stand_in_quotes() -> None:
    text = r'C:\a;"C:\Program Files\b";.;;bin;\c;C:d;\\nas\share\bin;D:/e'
    assert absolute_entries(text) == r"C:\a;C:\Program Files\b;\\nas\share\bin;D:/e"


@on_windows
def test_a_program_for_a_token_has_what_programs_of_windows_need() -> None:
    env = MaskedMapping({**APPS, "Path": r"C:\a;.", "SystemRoot": r"C:\Windows", "ComSpec": r"C:\cmd.exe",
                         "PathExt": ".EXE", "Secret": "s", "Vault": "v"})  # fmt: skip
    passed = dict(variables(CommandRef(command=("op", "read"), pass_env=("vault",)), env))
    assert passed["PATH"] == r"C:\a"
    assert passed["NODEFAULTCURRENTDIRECTORYINEXEPATH"] == "1"
    assert {"SYSTEMROOT", "COMSPEC", "PATHEXT", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "VAULT"} < set(passed)
    assert "SECRET" not in passed


class Ended:
    """What Windows says of a program that Ctrl+C ended, which this process got too."""

    ran: list[list[str]]

    def __init__(self, command: list[str], **_: Any) -> None:
        Ended.ran = [command]

    def wait(self) -> int:
        signal.raise_signal(signal.SIGINT)
        return 0xC000013A


@on_windows
def test_exec_leaves_ctrl_c_to_the_program_and_ends_with_its_status() -> None:
    from milvus_profiles.interop.running import run_child

    path = directory("bin")
    programs("tool.cmd", os.path.join(path, "tool.exe"))
    before = signal.getsignal(signal.SIGINT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", Ended)
        # As os._exit and sys.exit take it; the system shows it as 0xC000013A again.
        assert run_child(["tool", "a b"], {"PATH": path}) == 0xC000013A - (1 << 32)
        with pytest.raises(FileNotFoundError):
            run_child(["other"], {"PATH": path})
    assert Ended.ran == [[os.path.join(path, "tool.exe"), "a b"]]
    assert signal.getsignal(signal.SIGINT) is before


@on_windows
def test_a_command_in_one_text_keeps_its_backslashes() -> None:
    from milvus_profiles.cli.asking import command_words

    text = r"""'C:\Program Files\op.exe' read C:\x\y "a b" it"s" """
    assert command_words(text, "", "") == [r"C:\Program Files\op.exe", "read", r"C:\x\y", "a b", "its"]


# --- what is pasted ---------------------------------------------------------------------------------------------------


NAMES = [
    r"C:\Users\Ann\milvus.toml", r"C:\Program Files\a b\milvus.toml", r"C:\x'y\it's", r"C:\a&calc\x", r"C:\a;calc;b",
    r"C:\a|b", r"C:\(a)", r"C:\a^b", r"C:\{a},b", r"C:\~a", r"C:\a#b", r"C:\@a", r"C:\é", "prod", "a=b", "-x",
    "--yes", "C:/a b/c", r"C:\a,b", r"C:\a[b]", "*", "@x", "'", "",
]  # fmt: skip
HOSTILE = [
    "C:\\$(calc)\\x", "C:\\`calc`", "C:\\%APPDATA%", "C:\\a!b", 'a" & calc & "', "a\u201d; calc; \u201c",
    "a\u201e;calc",
    "a\\", "C:\\a\\\\b", "\\\\host\\share\\x", "a\\\\\\", "$env:X", "a\n&calc", "a\r\ncalc", "a\x1b[2J", '\\"',
    "\\$", "a\u2028calc", "$", "%%", '"', "`", "\\`", "\u202etxet",
]  # fmt: skip


@on_windows
def test_a_word_is_that_word_in_gits_bash() -> None:
    bash = shutil.which("bash") if NATIVE else "/bin/bash"
    if bash is None:
        pytest.skip("git's bash is not here")
    shown = " ".join(map(quote, NAMES))
    told = subprocess.run([bash, "--norc", "-c", f"printf '%s\\0' {shown}"], capture_output=True, check=True)
    assert told.stdout.decode().split("\0")[:-1] == NAMES


@on_windows
def test_a_directorys_name_in_a_pasted_command_runs_nothing() -> None:
    for text in (*NAMES, *HOSTILE, *(f"a{chr(code)}b" for code in range(1, 0x3000))):
        word = quote(text)
        assert word.isprintable()
        if word[0] != '"':
            # Nothing that PowerShell, cmd or bash splits, expands, or takes for more than text.
            assert re.fullmatch(r"[A-Za-z0-9_:./+-]+", word), word
            continue
        inside = word[1:-1]
        assert word[-1] == '"', word
        assert not set('$`"%!\u201c\u201d\u201e') & set(inside), word
        assert not inside.endswith("\\"), word
        assert "\\\\" not in inside, word


@on_windows
def test_hints_name_what_windows_has() -> None:
    assert quote(r"\\nas\share\a b.toml") == r'"//nas\share\a b.toml"'
    assert os.path.normpath(quote(r"\\nas\share\x").strip('"')) == r"\\nas\share\x"
    assert command("milvus-profiles", "--config", r"C:\a b\x") == r'`milvus-profiles --config "C:\a b\x"`'
    assert removal(r"C:\a b\x") == r"remove C:\a b\x"
    assert Standing(variables={"token": "T"}).unset("p", "token") == "remove the variable T"


@on_windows
def test_a_profile_is_selected_in_powershell_where_that_is_the_shell() -> None:
    from milvus_profiles.cli import app

    os.environ |= {"MILVUS_PROFILES__PROD__URI": "http://h:1", "USERPROFILE": directory("ann"), "APPDATA": ""}
    os.environ.pop("SHELL", None)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert app.run(["profile", "use", "prod", "--shell"]) == 0
    assert out.getvalue().strip() == '$env:MILVUS_PROFILE = "prod"'
