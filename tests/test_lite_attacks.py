"""A database that somebody else made, or that leads elsewhere, is not opened; one that was made from here is.

Every database here is a real one, opened (or not) by the real Milvus Lite.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import milvus_profiles
from milvus_profiles.channel.lite import acquire_lite
from milvus_profiles.channel.lite_directory import check_contents
from milvus_profiles.config.databases import SEAL
from milvus_profiles.errors import ConfigError
from milvus_profiles.files.held_directory import HeldDirectory
from tests.support.command import Command
from tests.support.faults import Recorder, recorder
from tests.support.obstacles import fifo, lay, unix_socket
from tests.support.requirements import need

pytestmark = pytest.mark.security

CANARY = "sk-canary-7Yq2Lw"
LOCAL = '[profiles.local]\nuri = "./milvus.db"\n'

MAKE = """\
import sys
import milvus_profiles as mp
from pymilvus import DataType, Function, FunctionType

path, address = sys.argv[1:]
with mp.connect(uri=path) as connection:
    client = connection.client()
    schema = client.create_schema(auto_id=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("text", DataType.VARCHAR, max_length=100)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=4)
    how = {"provider": "openai", "model_name": "text-embedding-3-small", "dimensions": 4, "base_url": address}
    schema.add_function(Function("f", FunctionType.TEXTEMBEDDING, ["text"], ["vector"], params=how))
    client.create_collection("docs", schema=schema)
"""
INSERT = """\
import milvus_profiles as mp

try:
    with mp.connect("local") as connection:
        connection.client().insert("docs", [{"id": 1, "text": "hello"}])
except mp.MilvusProfilesError as error:
    print(type(error).__name__, error.exit_status, error.hint)
except Exception as error:
    print(type(error).__name__)
"""
EVERY_WAY = """\
import asyncio, json
import milvus_profiles as mp
from milvus_profiles.live.opening import lite_of


async def awaited():
    async with mp.aio.connect("local"):
        pass


async def awaited_pool():
    async with mp.aio.ConnectionPool(mp.PoolSettings()) as pool:
        async with pool.lease("local"):
            pass


def pooled():
    with mp.ConnectionPool(mp.PoolSettings()) as pool, pool.lease("local"):
        pass


ways = {
    "connect": lambda: mp.connect("local"),
    "dedicated": lambda: mp.connect("local", dedicated=True),
    "another database of it": lambda: mp.connect("local", db_name="x"),
    "Profiles.connect": lambda: mp.load().connect("local"),
    "connection_args": lambda: mp.connection_args("local"),
    "aio": lambda: asyncio.run(awaited()),
    "pool": pooled,
    "aio pool": lambda: asyncio.run(awaited_pool()),
    "the profile itself": lambda: lite_of(mp.load()["local"]),
}
told = {}
for name, way in ways.items():
    try:
        way()
        told[name] = "opened"
    except mp.MilvusProfilesError as error:
        told[name] = type(error.__cause__ if type(error).__name__ == "ConnectFailedError" else error).__name__
told["diagnose"] = mp.diagnose("local").exit_code
print(json.dumps(told))
"""


def python(cli: Command, program: str, *arguments: object, env: dict[str, str] | None = None) -> str:
    done = Command([sys.executable, "-c", program], cli.home, cli.cwd)(*map(str, arguments), env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def make_database(cli: Command, path: Path, address: str = "http://127.0.0.1:9") -> Path:
    """A database as somebody else makes it, with a home of their own."""
    elsewhere = cli.home.parent / "somebody"
    elsewhere.mkdir(exist_ok=True)
    python(Command(cli.program, elsewhere, elsewhere), MAKE, path, address, env={"OPENAI_API_KEY": "theirs"})
    return path


@pytest.fixture(autouse=True)
def _local(project: Path) -> None:
    (project / "milvus.toml").write_text(LOCAL)


def status_of(cli: Command) -> int:
    return cli("profile", "test", "local").returncode


@pytest.fixture
def attacker() -> Iterator[Recorder]:
    with recorder(greets=False) as opened:
        yield opened


@pytest.fixture
def precious(cli: Command) -> Path:
    """A file of the user's that nothing may touch."""
    path = cli.home / "precious" / "thesis.txt"
    path.parent.mkdir()
    path.write_text("three years of work")
    return path


# --- what is in the directory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("trusted", [False, True], ids=["untrusted", "trusted"])
@pytest.mark.parametrize(
    "link", [".database-staging", "LOCK", "collections", "databases/d", "collections/c/schema.json"]
)
def test_a_committed_link_deletes_and_creates_nothing_elsewhere(
    cli: Command, precious: Path, link: str, trusted: bool
) -> None:
    place = cli.cwd / "milvus.db" / link
    place.parent.mkdir(parents=True)
    target = precious.parent if link != "LOCK" else cli.home / "made-by-the-link"
    place.symlink_to(os.path.relpath(target, place.parent))
    if trusted:
        assert cli("trust").returncode == 0
    outcome = cli("profile", "test", "local", "--json")
    assert outcome.returncode == (3 if trusted else 5), outcome.stdout
    assert [stage["status"] for stage in outcome.json[0]["stages"]].count("failed") == 1
    if trusted:
        assert "symbolic link" in outcome.stdout
    assert precious.read_text() == "three years of work"
    assert not (cli.home / "made-by-the-link").exists()
    assert place.is_symlink()


def symbolic_link(place: Path) -> None:
    place.symlink_to("/nowhere")


def hard_link(place: Path) -> None:
    other = place.parent.parent / "other-name"
    other.write_text("shared")
    os.link(other, place)


def device(place: Path) -> None:
    lay("device", place, place, b"")


OBSTACLES = {"a symbolic link": symbolic_link, "hard links": hard_link, "a FIFO": fifo, "a socket": unix_socket,
             "a device": device}  # fmt: skip


@pytest.mark.parametrize("words", OBSTACLES)
@pytest.mark.parametrize("where", [".", "databases/a/collections/b/partitions/_default/data"])
def test_a_database_of_the_users_own_is_not_opened_either_with_anything_but_files_in_it(
    tmp_path: Path, words: str, where: str
) -> None:
    directory = tmp_path / "x.db" / where
    directory.mkdir(parents=True)
    OBSTACLES[words](directory / "na\x1bme")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match=words) as caught:
        acquire_lite(str(tmp_path / "x.db"), None)
    assert "na\\x1bme" in caught.value.message
    assert caught.value.hint
    assert sorted(tmp_path.rglob("*")) == before


def test_a_database_too_large_or_too_deep_to_look_at_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "x.db/d/e").mkdir(parents=True)
    for name in ("a", "b", "c", "d/e/f"):
        (tmp_path / "x.db" / name).touch()
    with HeldDirectory(str(tmp_path / "x.db")) as held:
        check_contents(held, entries=6, depth=2)
        for limits in ({"entries": 5}, {"depth": 1}):
            with pytest.raises(ConfigError, match="too much in it"):
                check_contents(held, **limits)


def test_a_tree_deeper_than_the_stack_is_an_error(tmp_path: Path) -> None:
    place = tmp_path / "x.db"
    for _ in range(200):
        place /= "d"
    place.mkdir(parents=True)
    with pytest.raises(ConfigError, match="too much in it"):
        acquire_lite(str(tmp_path / "x.db"), None)


def test_links_on_the_way_to_a_database_are_the_users_own_business(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "name.db").symlink_to("link/x.db")
    lease = acquire_lite(str(tmp_path / "name.db"), None)
    lease.release()
    assert lease.directory == str(tmp_path / "real" / "x.db")
    assert (tmp_path / "real" / "x.db" / "LOCK").exists()


# --- whose database it is --------------------------------------------------------------------------------------------


def test_a_stored_embedding_function_gets_no_key_of_the_user(cli: Command, attacker: Recorder) -> None:
    make_database(cli, cli.cwd / "milvus.db", f"http://127.0.0.1:{attacker.port}/v1")
    env = {"OPENAI_API_KEY": CANARY}
    told = python(cli, INSERT, env=env)
    assert told.startswith("UntrustedError 5")
    assert "milvus-profiles trust" in told
    assert "MILVUS_PROFILES_FILE" in told
    assert not attacker.saw(CANARY)
    # The control: who trusts it has it sent.  The recorder never answers, so it is not waited for.
    trusting = Command([sys.executable, "-c", INSERT], cli.home, cli.cwd).popen(
        env={**env, "MILVUS_PROFILES_FILE": str(cli.cwd / "milvus.toml")}
    )
    try:
        deadline = 200
        while not attacker.saw(CANARY) and deadline:
            deadline -= 1
            with pytest.raises(subprocess.TimeoutExpired):
                trusting.wait(0.1)
        assert attacker.saw(CANARY)
    finally:
        trusting.kill()
        trusting.communicate()


def test_no_way_of_opening_leads_around_the_question(cli: Command) -> None:
    make_database(cli, cli.cwd / "milvus.db")
    before = sorted((cli.cwd / "milvus.db").rglob("*"))
    told = json.loads(python(cli, EVERY_WAY))
    assert told.pop("diagnose") == 5
    assert set(told.values()) == {"UntrustedError"}, told
    for line in ("test local", "exec local -- true", "connect -a local", "ping local"):
        cli(*line.split(), status=5)
    assert sorted((cli.cwd / "milvus.db").rglob("*")) == before


def test_only_one_module_knows_milvus_lite() -> None:
    package = Path(milvus_profiles.__file__).parent
    found = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("milvus_lite."):
                found.add(path.relative_to(package).as_posix())
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
                assert not [name for name in names if name.split(".")[0] == "milvus_lite"]
    assert found == {"channel/lite.py"}


def test_a_database_that_was_made_from_here_needs_no_trust(cli: Command) -> None:
    for _ in range(2):
        assert status_of(cli) == 0
    state = cli.home / ".local/state/milvus/databases.json"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert json.loads(cli("trust", "--json").stdout)["databases"] == {}
    told = json.loads(python(cli, EVERY_WAY))
    assert told.pop("diagnose") == 0
    assert told.pop("another database of it") == "DatabaseNotFoundError"
    assert set(told.values()) == {"opened"}, told


def test_a_database_made_by_a_call_is_known_to_the_project(cli: Command) -> None:
    python(cli, "import milvus_profiles as mp; mp.connect(uri='./milvus.db').close()")
    assert status_of(cli) == 0


def test_an_empty_directory_is_nobodys_data(cli: Command) -> None:
    (cli.cwd / "milvus.db").mkdir()
    assert [status_of(cli), status_of(cli)] == [0, 0]


def test_a_database_in_the_place_of_one_that_was_made_from_here_needs_trust(cli: Command) -> None:
    own = cli.cwd / "milvus.db"
    assert status_of(cli) == 0
    theirs = make_database(cli, cli.home / "theirs.db")
    kept = own.rename(cli.home / "kept.db")
    # Another one altogether, with the seal of its own maker, with none, with this user's own, and a copy of this one.
    shutil.copytree(theirs, own)
    assert status_of(cli) == 5
    (own / SEAL).unlink()
    assert status_of(cli) == 5
    shutil.copy(kept / SEAL, own / SEAL)
    assert status_of(cli) == 5
    shutil.rmtree(own)
    shutil.copytree(kept, own)
    assert status_of(cli) == 5
    shutil.rmtree(own)
    kept.rename(own)
    assert status_of(cli) == 0


@pytest.mark.parametrize("obstacle", [symbolic_link, fifo, Path.mkdir])
def test_a_seal_that_is_no_file_is_none(cli: Command, obstacle: Callable[[Path], None]) -> None:
    assert status_of(cli) == 0
    (cli.cwd / "milvus.db" / SEAL).unlink()
    obstacle(cli.cwd / "milvus.db" / SEAL)
    assert status_of(cli) == 5


def test_what_git_puts_into_a_database_needs_trust(cli: Command) -> None:
    need("git")
    shutil.rmtree(cli.cwd / ".git")

    def git(*words: str) -> None:
        who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", *who, *words], cwd=cli.cwd, check=True, capture_output=True, env=cli.environment())

    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-qm", "inert")
    git("checkout", "-q", "-b", "evil")
    planted = cli.cwd / "milvus.db" / "collections" / "planted" / "schema.json"
    planted.parent.mkdir(parents=True)
    planted.write_text("{}")
    git("add", ".")
    git("commit", "-qm", "evil")
    git("checkout", "-q", "main")
    assert [status_of(cli), status_of(cli)] == [0, 0]
    git("merge", "-q", "evil")
    assert planted.exists()
    outcome = cli("profile", "test", "local", "--json", status=5)
    assert "git tracks files in it" in outcome.stdout
    assert list(json.loads(cli("trust", "--json").stdout)["databases"]) == ["local"]


def test_trust_shows_the_database_and_covers_it(cli: Command) -> None:
    make_database(cli, cli.cwd / "milvus.db")
    outcome = cli("trust")
    assert "local brings the database" in outcome.stdout
    assert "milvus.db" in outcome.stdout
    assert "API key" in outcome.stderr.replace("\n", " ")
    assert status_of(cli) == 0
    cli("untrust")
    assert status_of(cli) == 5
    shown = cli("trust", "--json").json
    assert shown["databases"] == {"local": str(cli.cwd / "milvus.db")}


@pytest.mark.parametrize("layer", ["named", "user", "environment", "call"])
def test_what_the_user_names_is_opened_whoever_made_it(cli: Command, layer: str) -> None:
    path = make_database(cli, cli.cwd / "milvus.db")
    cli.own_file(f'[profiles.mine]\nuri = "{path}"\n')
    if layer == "call":
        python(cli, "import sys, milvus_profiles as mp; mp.connect('local', uri=sys.argv[1]).close()", path)
        return
    words, env = ["local"], {}
    if layer == "named":
        env = {"MILVUS_PROFILES_FILE": str(cli.cwd / "milvus.toml")}
    elif layer == "user":
        words = ["mine"]
    else:
        env = {"MILVUS_PROFILES__LOCAL__URI": str(path)}
    assert cli("profile", "test", *words, env=env).returncode == 0


@pytest.mark.parametrize("uri", ["./link/x.db", "./x.db", "./a/link/x.db"])
def test_no_part_of_the_path_below_an_untrusted_project_is_a_link(cli: Command, uri: str) -> None:
    (cli.cwd / "real" / "x.db").mkdir(parents=True)
    (cli.cwd / "a").mkdir()
    (cli.cwd / "link").symlink_to("real")
    (cli.cwd / "a" / "link").symlink_to("../real")
    (cli.cwd / "x.db").symlink_to("real/x.db")
    (cli.cwd / "milvus.toml").write_text(f'[profiles.local]\nuri = "{uri}"\n')
    outcome = cli("profile", "test", "local", "--json", status=5)
    assert "leads through the link" in outcome.stdout
    assert list((cli.cwd / "real" / "x.db").iterdir()) == []
    assert cli("trust").returncode == 0
    assert status_of(cli) == 0


def test_a_project_that_one_reaches_by_a_link_is_the_same_project(cli: Command) -> None:
    (cli.home / "link").symlink_to(cli.cwd)
    assert cli("profile", "test", "local", cwd=cli.home / "link", env={"PWD": str(cli.home / "link")}).returncode == 0
    assert status_of(cli) == 0


# --- the state -------------------------------------------------------------------------------------------------------


def test_without_a_place_to_remember_it_is_made_and_then_needs_trust(cli: Command) -> None:
    (cli.home / "file").touch()
    env = {"XDG_STATE_HOME": str(cli.home / "file")}
    first = cli("profile", "test", "local", env=env, status=0)
    assert "cannot be remembered" in first.stderr
    assert "MILVUS_PROFILES_FILE" in first.stderr
    assert cli("profile", "test", "local", env=env).returncode == 5
    named = {**env, "MILVUS_PROFILES_FILE": str(cli.cwd / "milvus.toml")}
    assert cli("profile", "test", "local", env=named).returncode == 0


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"databases": {"key": 7}}', b'{"databases": {"key": "00"}}', b"[" * 9000]
)
def test_a_state_file_that_says_nothing_knows_no_database(cli: Command, content: bytes) -> None:
    assert status_of(cli) == 0
    (cli.home / ".local/state/milvus/databases.json").write_bytes(content)
    assert status_of(cli) == 5


def test_a_state_file_that_others_could_have_written_is_not_believed(cli: Command) -> None:
    assert status_of(cli) == 0
    state = cli.home / ".local/state/milvus/databases.json"
    state.chmod(0o666)
    assert status_of(cli) == 5
    state.chmod(0o600)
    assert status_of(cli) == 0
