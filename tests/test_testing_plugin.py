"""`milvus_profiles.testing` as a project uses it: pytest runs its tests in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.milvus import MilvusServer

pytestmark = pytest.mark.programs

pytest_plugins = ["pytester"]

LITE = """
import os
import pytest
import milvus_profiles as mp
seen = []

@pytest.mark.parametrize("time", range(2))
def test_fresh_each_time(milvus_profile, time):
    assert milvus_profile.alias == "test"
    assert milvus_profile.uri not in seen
    seen.append(milvus_profile.uri)
    with mp.connect() as conn:                     # what the program under test does
        assert conn.alias == "test"
        assert "milvus_lite" in conn.server_version
        client = conn.client()
        assert client.list_collections() == []
        client.create_collection("films", dimension=4)
        assert client.list_collections() == ["films"]
    with milvus_profile.connect(dedicated=True) as conn:
        conn.ping()

def test_closed_afterwards():
    assert mp.list_connections() == []
    assert "MILVUS_PROFILES_FILE" not in os.environ
    assert os.environ["MILVUS_URI"] == "http://127.0.0.1:1"

@pytest.mark.parametrize("milvus_profile", ["prod.eu"], indirect=True)
def test_by_the_name_that_the_program_asks_for(milvus_profile):
    assert list(mp.load()) == ["prod.eu"]
    with mp.connect("prod.eu") as conn:
        conn.ping()
"""

KEYRING = """
import keyring
import pytest
import milvus_profiles as mp
from milvus_profiles.errors import SecretUnavailableError
from milvus_profiles.secrets.os_keyring import OSKeyring
from milvus_profiles.masked import SecretText

def test_a_secret_is_kept_in_memory(milvus_keyring, monkeypatch):
    ring = OSKeyring()
    assert ring.get("plain|127.0.0.1|1|root") is None
    ring.set("plain|127.0.0.1|1|root", SecretText("hush"))
    assert milvus_keyring.get_password("milvus-profiles", "plain|127.0.0.1|1|root") == "hush"
    assert "hush" not in repr(milvus_keyring)
    assert keyring.get_keyring() is milvus_keyring
    monkeypatch.setenv("MILVUS_PROFILES__A__URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MILVUS_PROFILES__A__USER", "root")
    assert mp.connection_args("a")["token"] == "root:hush"
    assert ring.delete("plain|127.0.0.1|1|root") is True

def test_and_gone_with_the_test(milvus_keyring):
    assert OSKeyring().get("plain|127.0.0.1|1|root") is None

def test_elsewhere_it_is_not_allowed(milvus_keyring, request):
    from milvus_profiles.secrets import os_keyring
    os_keyring._allowed_here.clear()
    with pytest.raises(SecretUnavailableError, match="not one of the operating system"):
        OSKeyring().get("x")
"""

SERVER = """
import pytest
import milvus_profiles as mp

@pytest.mark.milvus_server("real")
def test_real(milvus_profile):
    assert milvus_profile.alias == "real"
    with mp.connect() as conn:
        assert conn.server_version.startswith("v2.3.5")

@pytest.mark.milvus_server("gone")
def test_gone(milvus_profile):
    raise AssertionError("not reached")

@pytest.mark.milvus_server("nobody")
def test_nobody():
    raise AssertionError("not reached")
"""


@pytest.fixture
def own(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.Pytester:
    """A project of its own, with a home of its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    return pytester


def test_milvus_lite_in_a_fresh_directory(own: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILVUS_URI", "http://127.0.0.1:1")  # of the developer's shell: not for the tests
    own.makepyfile(LITE)
    own.runpytest_subprocess("--strict-markers").assert_outcomes(passed=4)


def test_a_keyring_in_memory(own: pytest.Pytester) -> None:
    own.makepyfile(KEYRING)
    own.runpytest_subprocess().assert_outcomes(passed=3)


def test_marks_run_on_a_real_server_or_say_why_not(
    own: pytest.Pytester, milvus_plain: MilvusServer, tmp_path: Path
) -> None:
    path = tmp_path / ".config/milvus/milvus.toml"
    path.parent.mkdir(parents=True)
    path.write_text(f'[profiles.real]\nuri = "{milvus_plain.uri}"\n[profiles.gone]\nuri = "127.0.0.1:1"\n')
    own.makepyfile(SERVER)
    skipping = own.runpytest_subprocess("--strict-markers", "-rs")
    skipping.assert_outcomes(passed=1, skipped=2)
    skipping.stdout.fnmatch_lines(["*needs the Milvus of the profile gone: *", "*profile nobody: there is no profile*"])
    own.runpytest_subprocess("--require-milvus").assert_outcomes(passed=1, errors=2)
    own.makepyfile('import pytest\n@pytest.mark.milvus_server("a", "b")\ndef test_x(): pass\n')
    assert own.runpytest_subprocess().ret != 0


def test_a_project_that_uses_none_of_it_loads_none_of_it(own: pytest.Pytester) -> None:
    own.makepyfile(
        "import sys\n"
        "def test_nothing_heavy():\n"
        "    assert 'milvus_profiles.testing' in sys.modules\n"
        "    assert not {'grpc', 'keyring', 'pydantic', 'pymilvus', 'typer'} & set(sys.modules)\n"
    )
    own.runpytest_subprocess().assert_outcomes(passed=1)
