"""Every file of sample_configs/ is loaded, and every profile in it is valid."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import milvus_profiles as mp
from tests.support.certificates import Certificates
from tests.support.command import Command

SAMPLES = Path(__file__).parents[1] / "sample_configs"
FILES = sorted(path for path in SAMPLES.rglob("*.toml"))


def test_there_are_samples() -> None:
    assert {path.name for path in FILES} >= {"milvus.toml", "user.toml", "inheritance.toml", "mutual-tls.toml"}


@pytest.fixture
def samples(tmp_path: Path, certificates: Certificates) -> Path:
    """The samples, with the certificates beside them that one of them names."""
    directory = tmp_path / "samples"
    shutil.copytree(SAMPLES, directory)
    (directory / "certs").mkdir()
    shutil.copy(certificates.ca, directory / "certs/ca.pem")
    shutil.copy(certificates.client.cert, directory / "certs/client.pem")
    shutil.copy(certificates.client.key, directory / "certs/client.key")
    return directory


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SAMPLES)))
def test_sample_is_valid_as_a_whole_and_holds_no_secret(samples: Path, path: Path) -> None:
    profiles = mp.load(samples / path.relative_to(SAMPLES), env={"HOME": "/nowhere"})
    assert len(profiles) > 0
    for alias in profiles:
        assert profiles.findings(alias) == []
        assert not {("token",), ("password",)} & profiles.raw(alias).values.keys()


def test_inheritance_gives_what_it_says(samples: Path) -> None:
    profiles = mp.load(samples / "inheritance.toml", env={})
    assert profiles["base"].is_template
    assert (profiles["eu"].db_name, profiles["eu"].auth, profiles["eu"].timeout) == ("analytics", "keyring", 5)
    archive = profiles["us-archive"]
    assert (archive.db_name, archive.endpoint.uri) == ("archive", "https://us.milvus.example:443")


def test_the_variables_of_a_container_declare_profiles_without_a_file(cli: Command, tmp_path: Path) -> None:
    lines = (SAMPLES / "container/variables.env").read_text().splitlines()
    env = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    rows = {row["alias"]: row for row in cli("profile", "list", "--json", env=env).json}
    assert rows["default"]["db_name"] == "analytics"
    assert rows["default"]["auth"] == "file"
    assert rows["default"]["default"] is True
    assert rows["archive"]["uri"] == "https://archive.internal.example:19530"
    assert rows["archive"]["origin"] == "env"
