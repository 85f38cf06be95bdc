"""A secret that was put into any place where a secret can come from shows nowhere else.

Real processes against real servers: everything that they print, log, raise, dump, start or leave on the disk is
searched for the canary, as it is and as it travels (base64, percent-encoded).
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

import milvus_profiles as mp
from tests.support.command import Command
from tests.support.faults import http1_server, listener, never_accepting, refused_port
from tests.support.files import written
from tests.support.milvus import MilvusServer
from tests.support.scripted_grpc import not_milvus
from tests.support.secret_service import KeyringSession

pytestmark = pytest.mark.security

CANARY = "canary/Kq7 wZ+e3"
"""With characters that percent-encoding and base64 change."""


def leaks(text: str) -> list[str]:
    """The lines in which the canary shows."""
    forms = {CANARY, quote(CANARY), quote(CANARY, safe=""), json.dumps(CANARY)[1:-1], CANARY[::-1]}
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + CANARY.encode()).decode().rstrip("=")[(0, 2, 3)[shift] : -1]
        forms |= {encoded, encoded.replace("+", "-").replace("/", "_")}
    return [line for line in text.splitlines() if any(form in line for form in forms)]


def test_the_search_finds_every_form() -> None:
    for text in (
        CANARY,
        quote(CANARY, safe=""),
        base64.b64encode(CANARY.encode()).decode(),
        base64.b64encode(f"root:{CANARY}".encode()).decode(),
        base64.b64encode(f"a:{CANARY}b".encode()).decode(),
        json.dumps({"a": CANARY}),
        repr(CANARY),
    ):
        assert leaks(f"x\n..{text}..\n") == [f"..{text}.."]


# --- where a secret can come from ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """A place of a secret.

    Attributes:
        lines: what stands in the profile; `{directory}` has `secret` (the canary) and `get` (a program that prints it).
        env: variables; `{ALIAS}` is the alias, in capitals.
        family: the MILVUS_URI family declares the profile.
    """

    lines: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    family: bool = False


SOURCES = {
    "literal token": Source(f'token = "{CANARY}"'),
    "literal password": Source(f'user = "root"\npassword = "{CANARY}"'),
    "literal user and password": Source(f'token = "root:{CANARY}"'),
    "keyring": Source('user = "canary"'),
    "variable reference": Source('token = { env = "TEAM_TOKEN" }', {"TEAM_TOKEN": CANARY}),
    "file": Source('token = { file = "{directory}/secret" }'),
    "command": Source('token = { command = ["{directory}/get"] }'),
    "command with JSON": Source('user = "root"\npassword = { command = ["{directory}/get", "json"] }'),
    "command with its argument": Source(f'token = {{ command = ["echo", "{CANARY}"] }}'),
    "variable": Source("", {"MILVUS_PROFILES__{ALIAS}__TOKEN": CANARY}),
    "variable with a file": Source("", {"MILVUS_PROFILES__{ALIAS}__TOKEN_FILE": "{directory}/secret"}),
    "variable with a password": Source(
        "", {"MILVUS_PROFILES__{ALIAS}__USER": "root", "MILVUS_PROFILES__{ALIAS}__PASSWORD": CANARY}
    ),
    "MILVUS_TOKEN": Source(env={"MILVUS_TOKEN": CANARY}, family=True),
    "MILVUS_TOKEN_FILE": Source(env={"MILVUS_TOKEN_FILE": "{directory}/secret"}, family=True),
    "MILVUS_PASSWORD": Source(env={"MILVUS_USER": "root", "MILVUS_PASSWORD": CANARY}, family=True),
}

DEBUGGING = {"GRPC_VERBOSITY": "DEBUG", "PYTHONASYNCIODEBUG": "1"}


@dataclass
class Setting:
    """A home with a profile for each way to fail, all with the same source."""

    cli: Command
    env: dict[str, str | None]
    aliases: list[str]
    keyring: KeyringSession | None
    source: Source

    def told(self, *words: str) -> str:
        outcome = self.cli(*words, env=self.env, keyring=self.keyring)
        return f"{outcome.stdout}\n{outcome.stderr}"


@pytest.fixture
def ports(milvus_auth: MilvusServer) -> Iterator[dict[str, int]]:
    with (
        refused_port() as refused,
        not_milvus() as foreign,
        http1_server() as web,
        listener(lambda connection: None) as closing,
        never_accepting() as silent,
    ):
        yield {
            "wrong": milvus_auth.port,
            "refused": refused,
            "foreign": foreign.port,
            "web": web.port,
            "closing": closing.port,
            "silent": silent,
        }


@pytest.fixture(params=SOURCES, ids=[name.replace(" ", "-") for name in SOURCES])
def setting(
    request: pytest.FixtureRequest, cli: Command, tmp_path: Path, ports: dict[str, int], milvus_auth: MilvusServer
) -> Iterator[Setting]:
    source = SOURCES[request.param]
    directory = tmp_path / "sources"
    directory.mkdir()
    (directory / "secret").write_text(CANARY + "\n")
    quoted = CANARY.replace("'", "")
    written(
        directory / "get",
        f'#!/bin/sh\nif [ "$1" ]; then echo \'{{"token": "{quoted}"}}\'; else echo \'{quoted}\'; fi\n'
        "echo 'noise' >&2\n",
        0o755,
    )
    if source.family:
        ports = {"default": ports["wrong"]}
    texts, env = [], {"MILVUS_URI": f"http://127.0.0.1:{milvus_auth.port}"} if source.family else {}
    for alias, port in ports.items():
        lines = source.lines.replace("{directory}", str(directory))
        texts.append(f'[profiles.{alias}]\nuri = "http://127.0.0.1:{port}"\ntimeout = 0.7\n{lines}\n')
        for name, value in source.env.items():
            env[name.replace("{ALIAS}", alias.upper())] = value.replace("{directory}", str(directory))
    if not source.family:
        cli.own_file("\n".join(texts))
    keyring: KeyringSession | None = None
    if request.param == "keyring":
        keyring = request.getfixturevalue("keyring_session")
        for alias in ports:
            stored = cli("secret", "set", alias, input=CANARY, keyring=keyring, status=0)
            assert not leaks(stored.stdout + stored.stderr)
    yield Setting(cli, {**env, **DEBUGGING}, list(ports), keyring, source)
    if keyring is not None:
        keyring.clear("milvus-profiles")


# --- the command line ------------------------------------------------------------------------------------------------


def test_no_command_prints_it(setting: Setting) -> None:
    first = setting.aliases[0]
    xml, page = setting.cli.home / "report.xml", setting.cli.home / "report.html"
    for line in (
        "list", "list --json --verbose", f"show {first} --explain", f"show {first} --json", f"test {first} --verbose",
        f"test --all --json --verbose --junit {xml} --html {page}", f"watch {first} -c 1 --verbose", f"open {first}",
        "doctor --json --verbose", f"secret status {first}", "config validate --json",
        f"set {first} timeout=3 --dry-run", f"copy {first} other --dry-run --json", f"remove {first} --dry-run",
        f"export {first} --to env --json --verbose", f"exec {first} --verbose -- no-such-program",
        "import --from env --dry-run --json --verbose",
    ):  # fmt: skip
        assert not leaks(setting.told(*line.split())), line
    assert not leaks(xml.read_text() + page.read_text())
    # That it was at work: the servers were reached, and one said no to the secret.
    assert "auth" in setting.told("test", first)


def test_what_the_runs_leave_on_the_disk_does_not_hold_it(setting: Setting) -> None:
    first = setting.aliases[0]
    home = setting.cli.home

    def files() -> dict[Path, bytes]:
        return {
            path: path.read_bytes()
            for top in (home, setting.cli.cwd)
            for path in top.rglob("*")
            if path.is_file() and not path.is_symlink()
        }

    before = files()
    setting.told("profile", "test", first)
    setting.told("profile", "use", first)
    setting.told("profile", "use", first, "--project-file")
    setting.told("trust")
    left = {path: content for path, content in files().items() if before.get(path) != content}
    assert left
    own = home / ".config/milvus/milvus.toml"
    for path, content in left.items():
        text = content.decode(errors="replace")
        # The user's own file may hold it where the user wrote it there; nothing may be added to that.
        assert len(leaks(text)) == (len(leaks(before[own].decode())) if path == own and own in before else 0), path


# --- a program -------------------------------------------------------------------------------------------------------

# What error reporters would be told is searched in the program itself, and as a part of it.
REPORTERS = (Path(__file__).parent / "support/reporters.py").read_text()

PROGRAM = (
    REPORTERS
    + '''\
import logging
logging.basicConfig(level=logging.DEBUG)
import milvus_profiles as mp

def everything_about(error):
    print(all_told(error))

def everything_in(thing, seen, depth=0):
    """What can be had by walking through attributes, containers and their reprs."""
    if id(thing) in seen or depth > 8:
        return
    seen[id(thing)] = thing
    try:
        print(repr(thing), str(thing), format(thing))
    except Exception as error:
        print(type(error))
    inner = []
    if isinstance(thing, dict):
        inner += list(thing.items())
    elif isinstance(thing, (list, tuple, set, frozenset)):
        inner += list(thing)
    if type(thing).__module__.startswith("milvus_profiles"):
        inner += list(getattr(thing, "__dict__", {}).values())
        for kind in type(thing).__mro__:
            slots = getattr(kind, "__slots__", ())
            for name in [slots] if isinstance(slots, str) else slots:
                inner.append(getattr(thing, name, None))
    for other in inner:
        everything_in(other, seen, depth + 1)

def dumped(thing):
    for protocol in (0, 5):
        try:
            print(pickle.dumps(thing, protocol))
        except Exception as error:
            print("refused", type(error).__name__, error)

def diagnose(alias):
    try:
        report = mp.diagnose(alias, timeout=0.7)
    except mp.MilvusProfilesError as error:
        everything_about(error)
    else:
        everything_in(report, {})
        print(report.as_json(verbose=True))

def fail(alias):
    if alias in ("wrong", "default", "one"):  # the others fail before a secret has gone out, and cost time
        diagnose(alias)
    try:
        mp.connect(alias, timeout=0.7)
    except mp.MilvusProfilesError as error:
        print("FAILED", alias, type(error).__name__)
        everything_about(error)
    else:
        print("CONNECTED", alias)

for alias in sys.argv[1:]:
    fail(alias)
print("OBJECTS")
profiles = mp.load()
everything_in(profiles, {})
dumped(profiles)
for alias in sys.argv[1:]:
    profile = profiles[alias]
    everything_in(profile, {})
    print(vars(profile), profile.model_dump(), profile.model_dump(mode="json"), profile.model_dump_json())
    print(repr(copy.copy(profile)), repr(copy.deepcopy(profile)), profile.model_copy(update={"timeout": 3.0}))
    dumped(profile)
    everything_in(profiles.use(alias), {})
    everything_in(profile.credential, {})
'''
)


def program(cli: Command, tmp_path: Path, text: str) -> Command:
    path = tmp_path / "program.py"
    path.write_text(text)
    return Command([sys.executable, "-X", "dev", path], cli.home, cli.cwd)


def test_no_failure_log_or_dump_of_a_program_shows_it(setting: Setting, tmp_path: Path) -> None:
    run = program(setting.cli, tmp_path, PROGRAM)
    outcome = run(*setting.aliases, env=setting.env, keyring=setting.keyring, timeout=120)
    assert outcome.returncode == 0, outcome.stderr
    failures, _, objects = outcome.stdout.partition("OBJECTS\n")
    assert not leaks(failures)
    # A command keeps its arguments, as it has to; only their repr is hidden.
    assert not leaks(objects) or "echo" in setting.source.lines
    assert not leaks(outcome.stderr)
    failed = dict(line.split()[1:] for line in outcome.stdout.splitlines() if line.startswith("FAILED"))
    expected = {
        "wrong": "AuthenticationError",
        "default": "AuthenticationError",
        "refused": "UnreachableError",
        "foreign": "NotMilvusError",
        "web": "NotMilvusError",
    }
    assert {alias: failed[alias] for alias in setting.aliases if alias in expected} == {
        alias: error for alias, error in expected.items() if alias in setting.aliases
    }
    assert set(failed) == set(setting.aliases)


SUCCEEDING = (
    PROGRAM.split("for alias in sys.argv[1:]:\n    fail(alias)")[0]
    + """\
import grpc
from milvus_profiles.errors import ConnectionClosedError

def first():
    connection = mp.connect("good")
    everything_in(connection, {})
    dumped(connection)
    for copier in (copy.copy, copy.deepcopy):
        try:
            everything_in(copier(connection), {})
        except TypeError as error:
            print("refused", error)
    print(mp.list_connections(), connection.ping() > 0, connection.profile, connection.server_version)
    call = connection.channel.unary_unary("/milvus.proto.milvus.MilvusService/Nothing")
    try:
        call(b"")
    except grpc.RpcError as error:
        print("".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()))
        print(error, repr(error), vars(error))
    connection.close()
    for late in (connection.ping, lambda: call(b""), lambda: connection.client()):
        try:
            late()
        except ConnectionClosedError as error:
            print("FAILED", "closed", type(error).__name__)
            everything_about(error)

def unknown_database():
    for fields in ({"db_name": "nowhere"}, {"db_name": "nowhere", "dedicated": True}):
        try:
            mp.connect("good", **fields)
        except mp.DatabaseNotFoundError as error:
            print("FAILED", "database", type(error).__name__)
            everything_about(error)

first()
unknown_database()
"""
)


@pytest.fixture
def account(milvus_auth: MilvusServer) -> Iterator[str]:
    """A user of the server whose password is the canary."""
    with mp.connect(uri=milvus_auth.uri, token=milvus_auth.token, profiles=mp.load(env={})) as admin:
        admin.client().create_user("canary", CANARY)
        yield "canary"
        admin.client().drop_user("canary")


@pytest.mark.parametrize("form", ["password", "token"])
def test_an_open_connection_and_what_fails_on_it_do_not_show_it(
    cli: Command, tmp_path: Path, milvus_auth: MilvusServer, account: str, form: str
) -> None:
    lines = f'user = "{account}"\npassword = "{CANARY}"' if form == "password" else f'token = "{account}:{CANARY}"'
    cli.own_file(f'[profiles.good]\nuri = "{milvus_auth.uri}"\n{lines}\n')
    outcome = program(cli, tmp_path, SUCCEEDING)(env=DEBUGGING, timeout=120)
    assert outcome.returncode == 0, outcome.stderr
    assert not leaks(outcome.stdout)
    assert not leaks(outcome.stderr)
    failed = [line.split()[1] for line in outcome.stdout.splitlines() if line.startswith("FAILED")]
    assert failed == ["closed", "closed", "closed", "database", "database"]
    told = cli("profile", "test", "good", "--json", env=DEBUGGING, status=0)
    assert not leaks(told.stdout + told.stderr)


CALLED = (
    PROGRAM.split("for alias in sys.argv[1:]:\n    fail(alias)")[0]
    + """\
import pathlib
secret = lambda: pathlib.Path(sys.argv[1]).read_text()
wrong, refused = sys.argv[2:]
tries = [
    lambda: mp.connect(uri=wrong, token=secret()),
    lambda: mp.connect(uri=wrong, user="root", password=secret()),
    lambda: mp.connect(uri=refused, token=secret()),
    lambda: mp.connect(uri=refused, token=secret(), user="root", password=secret()),
    lambda: mp.connect(uri=refused, token=secret(), tokn="x"),
    lambda: mp.connect(uri="http://192.0.2.1", token=secret(), ssl=False, allow_insecure=False),
    lambda: mp.connect("nobody", token=secret()),
    lambda: mp.connect(uri=wrong, token=secret() + "\\n" + secret()),
]
# Where a secret does not belong: the caller's own arguments may show among the locals there, but no message may.
misplaced = [
    lambda: mp.connect(uri="https://root:" + secret() + "@host"),
    lambda: mp.connect(uri=wrong, tokn=secret()),
    lambda: mp.connect(uri=wrong, token={"keyring": secret()}),
    lambda: mp.connect(uri=wrong, token={"env": secret()}),
    lambda: mp.connect(uri=wrong, token=bytes(secret(), "utf-8")),
    lambda: mp.connect(uri=wrong, token=[secret()]),
    lambda: mp.connect(uri=wrong, ssl={"key": secret() + "\\0", "cert": "x"}),
    lambda: mp.connect(uri=wrong, retry=secret()),
]
for number, attempt in enumerate(tries + misplaced):
    try:
        attempt()
    except (mp.MilvusProfilesError, TypeError, ValueError) as error:
        print("FAILED", number, type(error).__name__)
        if number < len(tries):
            everything_about(error)
        else:
            print(error, repr(error), vars(error), "".join(traceback.format_exception(error)))
    else:
        print("CONNECTED", number)
"""
)


def test_a_secret_of_the_call_does_not_show_whatever_is_wrong(
    cli: Command, tmp_path: Path, milvus_auth: MilvusServer
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(CANARY)
    with refused_port() as port:
        run = program(cli, tmp_path, CALLED)
        outcome = run(secret, milvus_auth.uri, f"http://127.0.0.1:{port}", env=DEBUGGING, timeout=120)
    assert outcome.returncode == 0, outcome.stderr
    assert not leaks(outcome.stderr)
    assert not leaks(outcome.stdout)
    assert "CONNECTED" not in outcome.stdout


# --- what comes in by hand -------------------------------------------------------------------------------------------


def test_a_secret_on_standard_input_shows_nowhere_and_goes_into_the_keyring_alone(
    cli: Command, keyring_session: KeyringSession, milvus_auth: MilvusServer
) -> None:
    keyring_session.clear("milvus-profiles")
    words = ["profile", "add", "one", "--uri", milvus_auth.uri, "--user", "root", "--password-stdin", "--json"]
    texts = []
    for arguments in (words, ["secret", "set", "one", "--verbose"], [*words, "--force", "--test"]):
        process = cli.popen(*arguments, keyring=keyring_session, stdin=True, env=DEBUGGING)
        # While it waits for its input, for all to see:
        texts.append(Path(f"/proc/{process.pid}/cmdline").read_bytes().decode())
        stdout, stderr = process.communicate(CANARY, timeout=60)
        texts += [stdout, stderr]
    assert not leaks("\n".join(texts))
    account = f"plain|127.0.0.1|{milvus_auth.port}|root"
    assert keyring_session.get("milvus-profiles", account) == CANARY
    for path in (*cli.home.rglob("*"), *cli.cwd.rglob("*")):
        if path.is_file():
            assert not leaks(path.read_text(errors="replace")), path
    keyring_session.clear("milvus-profiles")


def test_a_secret_that_cannot_be_stored_is_not_told(cli: Command) -> None:
    cli.own_file('[profiles.one]\nuri = "https://db.example"\nuser = "root"\n')
    for words in (
        ["secret", "set", "one"],
        ["profile", "add", "two", "--uri", "https://db.example", "--token-stdin"],
        ["profile", "add", "three", "--uri", "https://db.example", "--user", "u", "--password-stdin", "--json"],
    ):
        for secret in (CANARY, f"{CANARY}\n{CANARY}", f"{CANARY}\x1b"):
            outcome = cli(*words, input=secret)
            assert outcome.returncode in (3, 4)
            assert not leaks(outcome.stdout + outcome.stderr)


IN_PLACE_OF_A_NAME = [
    "show", "use", "secret set", "copy one", "rename one", "profile add", "export one --to", "import --from", "explain",
    "completion", "config schema", "help", "config", "list --profile",
]  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        ["profile", "add", "x", "--uri", "localhost", "--token", CANARY],
        ["profile", "add", "x", "--uri", "localhost", f"--token={CANARY}"],
        ["profile", "add", "x", "--uri", "localhost", f"--password={CANARY}"],
        ["profile", "add", "x", "--uri", "localhost", "--token-stdin", CANARY],
        ["profile", "add", "x", "--uri", f"https://root:{CANARY}@db.example"],
        ["profile", "add", "x", "--uri", "localhost", "--token-env", CANARY],
        ["profile", "set", "one", f"token={CANARY}"],
        ["profile", "set", "one", f"password={CANARY}"],
        ["profile", "set", "one", f"tokn={CANARY}"],
        ["profile", "set", "one", CANARY],
        ["profile", "set", "one", f"uri=https://root:{CANARY}@db.example"],
        ["profile", "set", "one", f'token={{ env = "{CANARY}" }}'],
        ["secret", "set", "one", CANARY],
        *([*words.split(), f"root:{CANARY}"] for words in IN_PLACE_OF_A_NAME),
        [f"--root:{CANARY}"],
    ],
    ids=lambda words: " ".join(words[:2] + words[-1:])[:24],
)
def test_a_secret_in_the_wrong_argument_is_refused_and_not_repeated(cli: Command, words: list[str]) -> None:
    cli.own_file('[profiles.one]\nuri = "https://db.example"\nuser = "root"\n')
    for arguments in (words, [*words, "--json"]):
        outcome = cli(*arguments, input="")
        assert outcome.returncode in (2, 3), outcome.stderr
        assert not leaks(outcome.stdout + outcome.stderr)
    assert not leaks(cli.user_file.read_text())


@pytest.mark.parametrize(
    "text",
    [
        f'[profiles.one]\nuri = "https://root:{CANARY}@db.example"\n',
        f'[profiles.one]\nuri = "localhost"\ntokn = "{CANARY}"\n',
        f'[profiles.one]\nuri = "localhost"\ntoken = "{CANARY}\n',
        f'[profiles.one]\nuri = "localhost"\ntoken = {CANARY}\n',
        f'[profiles.one]\nuri = "localhost"\ntoken = "{CANARY}"\npassword = "{CANARY}"\n',
        f'[profiles.one]\nuri = "localhost"\ntoken = {{ keyring = "{CANARY}" }}\n',
        f'[profiles.one]\nuri = "localhost"\ntoken = {{ envv = "{CANARY}" }}\n',
        f'[profiles.one]\nuri = "localhost"\ntoken = ["{CANARY}"]\n',
        f'[profiles.one]\nuri = "localhost"\nuser = "root:{CANARY}"\n',
        f'[profiles.one]\nuri = "localhost"\nproxy = "http://root:{CANARY}@proxy:1"\n',
        f'[profiles.one]\nuri = "localhost"\nssl = {{ key = """-----BEGIN\n{CANARY}""", cert = "x" }}\n',
        f'token = "{CANARY}"\n[profiles.one]\nuri = "localhost"\n',
        f'[profiles]\none = "{CANARY}"\n',
        f'[profiles.one]\nuri = "localhost"\ntimeout = 1 # {CANARY}\ntimeout = 2 # {CANARY}\n',
        f'[profiles.one]\nuri = "localhost"\ntimeout = "a" # {CANARY}\n',
    ],
    ids=range(15),
)
def test_a_file_that_is_wrong_is_quoted_without_its_secrets(cli: Command, tmp_path: Path, text: str) -> None:
    cli.own_file(text)
    (cli.cwd / "milvus.toml").write_text(text)  # and as a project file, which `trust` shows
    lines = ["list", "list --json", "show one", "test one --json", "config validate", "config validate --json"]
    for line in (*lines, "set one timeout=3", "trust"):
        outcome = cli(*line.split())
        assert not leaks(outcome.stdout + outcome.stderr), line
    run = program(cli, tmp_path, PROGRAM.split('print("OBJECTS")')[0])
    outcome = run("one", env=DEBUGGING)
    assert "FAILED one" in outcome.stdout
    assert not leaks(outcome.stdout + outcome.stderr)


# --- children --------------------------------------------------------------------------------------------------------


def test_a_command_gets_no_secret_in_its_variables_and_nobody_sees_one_in_its_arguments(
    cli: Command, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    script = f'#!/bin/sh\ncat /proc/$$/environ /proc/$$/cmdline /proc/$PPID/cmdline > {seen}\necho "{CANARY}"\n'
    get = written(tmp_path / "get", script, 0o755)
    with refused_port() as port:
        cli.own_file(
            f'[profiles.one]\nuri = "http://127.0.0.1:{port}"\n'
            f'token = {{ command = ["{get}"], pass_env = ["WANTED"] }}\n'
            f'[profiles.two]\nuri = "http://127.0.0.1:{port}"\ntoken = "{CANARY}"\n',
        )
        env = {
            "MILVUS_TOKEN": CANARY,
            "MILVUS_PASSWORD": CANARY,
            "MILVUS_PROFILES__TWO__PASSWORD": CANARY,
            "AWS_SECRET_ACCESS_KEY": CANARY,
            "WANTED": "wanted",
        }
        outcome = cli.real("profile", "test", "one", env=env)
    assert outcome.returncode == 6
    child = seen.read_bytes().replace(b"\0", b"\n").decode()
    assert not leaks(child)
    assert "WANTED=wanted" in child
    names = {line.partition("=")[0] for line in child.splitlines() if "=" in line}
    assert names <= {"PATH", "HOME", "LANG", "WANTED", "PWD", "SHLVL", "_", "OLDPWD"}


def test_the_editors_copy_of_the_file_is_gone_when_it_ends(cli: Command, tmp_path: Path) -> None:
    cli.own_file(f'[profiles.one]\nuri = "https://db.example"\ntoken = "{CANARY}"\n')
    seen = tmp_path / "seen"
    editor = tmp_path / "editor"
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    written(editor, f'#!/bin/sh\nstat -c "%a" "$1" > {seen}\ntr "\\0" "\\n" < /proc/$$/cmdline >> {seen}\n', 0o755)
    env = {"EDITOR": str(editor), "TMPDIR": str(temporary)}
    screen = cli.tty("profile", "edit", "--user-file", env=env, status=0)
    assert seen.read_text().splitlines()[0] == "600"
    assert not leaks(seen.read_text() + screen.text)
    assert list(temporary.iterdir()) == []
