"""The samples of Dask, Ray and Spark, each with processes of its engine, on a real Milvus with authorization.

Run by `make test-engines`: the engines are some hundred megabytes, which are fetched beforehand, since in here there is
no network.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.engines import recorder
from tests.support import faults, layers
from tests.support.environment import nowhere
from tests.support.milvus import MilvusServer
from tests.support.requirements import need
from tests.support.users import administrator

pytestmark = pytest.mark.engines

PROJECT = Path(__file__).parents[2]
USER, PASSWORD = "engineer", "Canary-7391-of-the-engines"
TOKEN = f"{USER}:{PASSWORD}"


@dataclass(frozen=True)
class Engine:
    """An engine: the line that imports what it pickles with, the tools it needs, and its own settings."""

    dumps: str
    tools: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)


ENGINES = {
    "dask": Engine("from distributed.protocol.pickle import dumps"),
    "ray": Engine("from ray.cloudpickle import dumps", env={"RAY_USAGE_STATS_ENABLED": "0"}),
    "spark": Engine(
        "from pyspark.serializers import CloudPickleSerializer; dumps = CloudPickleSerializer().dumps",
        tools=("java",),
        env={"SPARK_LOCAL_IP": "127.0.0.1"},
    ),
}


@pytest.fixture(params=ENGINES)
def name(request: pytest.FixtureRequest) -> str:
    engine: str = request.param
    need(*ENGINES[engine].tools)
    layers.need_layer(engine)
    return engine


@pytest.fixture(scope="module")
def login(milvus_auth: MilvusServer) -> Iterator[None]:
    """A user of the server whose password is met nowhere by chance."""
    with administrator(milvus_auth, USER, PASSWORD):
        yield


@pytest.fixture
def directory() -> Iterator[Path]:
    """Ray's sockets must have short names, so not the one of pytest."""
    with tempfile.TemporaryDirectory(prefix="engine-", ignore_cleanup_errors=True) as made:
        yield Path(made)


def environment(name: str, directory: Path, port: int) -> dict[str, str]:
    """The profile `films` in a file, its secret in another, and the engine's own settings."""
    (directory / "token").write_text(TOKEN)
    (directory / "token").chmod(0o600)
    (directory / "milvus.toml").write_text(
        f'[profiles.films]\nuri = "http://127.0.0.1:{port}"\ntoken = {{ file = "{directory}/token" }}\n'
    )
    return {
        "PATH": f"{layers.interpreter(name).parent}:{os.environ['PATH']}",
        "HOME": str(directory),
        "TMPDIR": str(directory),
        "RAY_TMPDIR": str(directory),
        "PYTHONPATH": str(PROJECT),
        "MILVUS_PROFILES_FILE": str(directory / "milvus.toml"),
        **nowhere(directory),
        **ENGINES[name].env,
    }


def left_with(secret: str, directory: Path) -> list[str]:
    """The files there that hold a secret: an engine leaves logs and more."""
    found = []
    for path in directory.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # an engine that ends tidies up
            if path.is_file() and not path.is_symlink() and secret.encode() in path.read_bytes():
                found.append(path.name)
    return found


def run(env: dict[str, str], *words: str | Path) -> str:
    done = subprocess.run(
        ["python", *words], env=env, cwd=env["HOME"], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert PASSWORD not in done.stdout + done.stderr
    return done.stdout


@pytest.mark.usefixtures("login")
def test_each_process_of_an_engine_opens_one_connection_by_name(
    name: str, directory: Path, milvus_auth: MilvusServer
) -> None:
    """A thousand vectors go in and are found; the secret is in nothing that was pickled on the way."""
    pickled = directory / "pickled"
    pickled.mkdir()
    shutil.copy(recorder.__file__, directory / "sitecustomize.py")
    with faults.tcp_proxy(milvus_auth.port) as proxy:
        env = environment(name, directory, proxy.port)
        env |= {"PYTHONPATH": f"{directory}:{PROJECT}", "TEST_PICKLED": str(pickled)}
        said = run(env, PROJECT / f"sample_configs/{name}/vectors.py", "films")
        told = re.fullmatch(r"(\d+) processes inserted 1000 vectors and found 1000", said.splitlines()[-1])
        assert told, said
        assert int(told[1]) >= 2
        assert proxy.connections == int(told[1]) + 1  # of each process one, and the program's own
        assert proxy.wait_until_idle()
    records = [path.read_bytes() for path in pickled.iterdir()]
    everything = b"".join(records)
    assert len(records) >= 3, "the processes pickle their answers"
    assert f"vectors_of_{name}".encode() in everything, "functions are pickled with what they name"
    assert left_with(PASSWORD, directory) == ["token"]
    for secret in (TOKEN, PASSWORD, base64.b64encode(TOKEN.encode()).decode()):
        assert secret.encode() not in everything


PICKLE = """
import pickle, traceback
{dumps}
import milvus_profiles as mp
from tests.support.sockets import connections_to

profile = mp.load()["films"]
sent = dumps(profile)
twin = pickle.loads(sent)
print({password!r}.encode() in sent, twin == profile)
with mp.connect("films") as connection, mp.connect(twin) as same, mp.ConnectionPool() as pool:
    print(connection.client().list_collections() == same.client().list_collections(), connections_to({port}))
    literal = mp.Profile(alias="literal", uri=profile.uri, token={token!r})
    for thing in (connection, connection.channel, connection.client(), pool, literal):
        for sent in (thing, lambda: thing.alias):
            try:
                dumps(sent)
            except Exception:
                print(traceback.format_exc().count("TypeError: ") > 0, end=" ")
                print(any(words in traceback.format_exc() for words in ("by name", "by that name", "is not pickled")))
"""


@pytest.mark.usefixtures("login")
def test_an_engine_pickles_a_profile_without_its_secret_and_never_a_connection(
    name: str, directory: Path, milvus_auth: MilvusServer
) -> None:
    """With what the engine pickles with, as a value and in a function; elsewhere the profile leads to the connection
    of its name, and who sends a connection reads what to do instead."""
    env = environment(name, directory, milvus_auth.port)
    program = PICKLE.format(dumps=ENGINES[name].dumps, password=PASSWORD, token=TOKEN, port=milvus_auth.port)
    said = run(env, "-c", program)
    assert said.splitlines() == ["False True", "True 1", *["True True"] * 10]
