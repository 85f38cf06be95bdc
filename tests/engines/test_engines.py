"""The samples of Dask, Ray and Spark, each with processes of its engine, on a real Milvus with authorization.

Run by `make test-engines`: the engines are some hundred megabytes, which are fetched beforehand, since in here there is
no network.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from pymilvus import MilvusException

import milvus_profiles as mp
from tests.engines import recorder
from tests.support import faults, layers
from tests.support.environment import nowhere
from tests.support.milvus import MilvusServer
from tests.support.requirements import need
from tests.support.waiting import until

pytestmark = pytest.mark.engines

PROJECT = Path(__file__).parents[2]
USER, PASSWORD = "engineer", "Canary-7391-of-the-engines"
TOKEN = f"{USER}:{PASSWORD}"


@dataclass(frozen=True)
class Engine:
    """An engine: the Debian tools it needs, the name of its own cloudpickle, and what keeps it on this machine."""

    pickler: str
    tools: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)


ENGINES = {
    "dask": Engine("cloudpickle"),
    "ray": Engine("ray.cloudpickle", env={"RAY_USAGE_STATS_ENABLED": "0"}),
    "spark": Engine("pyspark.cloudpickle", ("java",), {"SPARK_LOCAL_IP": "127.0.0.1"}),
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

    def may_create() -> bool:
        # Some time after the role was granted.
        with contextlib.suppress(MilvusException, grpc.RpcError):
            engineer.client().create_collection("probe", 2)
            return True
        return False

    nowhere_else = mp.load(env={})
    with mp.connect(uri=milvus_auth.uri, token=milvus_auth.token, profiles=nowhere_else) as conn:
        admin = conn.client()
        admin.create_user(USER, PASSWORD)
        admin.grant_role(USER, "admin")
        with mp.connect(uri=milvus_auth.uri, token=TOKEN, profiles=nowhere_else) as engineer:
            until(may_create)
        admin.drop_collection("probe")
        yield
        admin.drop_user(USER)


@pytest.fixture
def directory() -> Iterator[Path]:
    """Ray's sockets must have short names, so not the one of pytest."""
    with tempfile.TemporaryDirectory(prefix="engine-") as made:
        yield Path(made)


def environment(name: str, directory: Path, port: int) -> dict[str, str]:
    """The profile `vectors` in a file, its secret in another, and the engine's own settings."""
    (directory / "token").write_text(TOKEN)
    (directory / "token").chmod(0o600)
    (directory / "milvus.toml").write_text(
        f'[profiles.vectors]\nuri = "http://127.0.0.1:{port}"\ntoken = {{ file = "{directory}/token" }}\n'
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
        said = run(env, PROJECT / f"sample_configs/{name}/vectors.py", "vectors")
        assert said.splitlines()[-1] == "2 processes inserted 1000 vectors and found 1000"
        assert proxy.connections == 3  # of each process one, and the program's own
        assert proxy.wait_until_idle()
    records = [path.read_bytes() for path in pickled.iterdir()]
    everything = b"".join(records)
    assert len(records) >= 3, "the processes pickle their answers"
    assert b"vectors" in everything
    for secret in (TOKEN, PASSWORD, base64.b64encode(TOKEN.encode()).decode()):
        assert secret.encode() not in everything


PICKLE = """
import pickle, sys
import {pickler} as pickler
import milvus_profiles as mp

profile = mp.load()["vectors"]
print({password!r}.encode() in pickler.dumps(profile), pickle.loads(pickler.dumps(profile)) == profile)
with mp.connect(profile) as connection, mp.ConnectionPool() as pool:
    client = connection.client()
    for thing in (connection, connection.channel, client, pool):
        for sent in (thing, lambda: thing.close()):
            try:
                pickler.dumps(sent)
            except TypeError as error:
                print("by name" in str(error) or "by that name" in str(error) or str(error))
"""


@pytest.mark.usefixtures("login")
def test_what_an_engine_pickles_is_a_profile_and_never_a_connection(
    name: str, directory: Path, milvus_auth: MilvusServer
) -> None:
    """By the engine's own pickler, as a value and in a function: a profile goes without the secret that it names."""
    env = environment(name, directory, milvus_auth.port)
    said = run(env, "-c", PICKLE.format(pickler=ENGINES[name].pickler, password=PASSWORD))
    assert said.splitlines() == ["False True", *["True"] * 8]
