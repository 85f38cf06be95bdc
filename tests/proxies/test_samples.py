"""The gateways of sample_configs/, which the documentation shows, in front of a real Milvus."""

from __future__ import annotations

from pathlib import Path

import pytest

import milvus_profiles as mp
from tests.proxies.test_gateways import LONG
from tests.support import gateways
from tests.support.certificates import Certificates
from tests.support.command import Command
from tests.support.milvus import MilvusServer
from tests.support.reaper import Reaper

pytestmark = pytest.mark.proxies


def variables(port: int, certificates: Certificates) -> dict[str, str]:
    return {
        "MILVUS_PROFILES__BEHIND__URI": f"https://127.0.0.1:{port}",
        "MILVUS_PROFILES__BEHIND__SSL__CA": str(certificates.ca),
        "MILVUS_PROFILES__BEHIND__TOKEN": "root:Milvus",
    }


def test_every_sample_is_run() -> None:
    assert {path.name.partition(".")[0].partition("-")[0] for path in gateways.SAMPLES.iterdir()} == {
        "nginx", "haproxy", "envoy", "traefik",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["nginx", "haproxy", "envoy", "traefik"])
def test_a_gateway_as_it_is_documented_leads_to_milvus(
    name: str, cli: Command, milvus_auth: MilvusServer, certificates: Certificates, reaper: Reaper, tmp_path: Path
) -> None:
    """The test of a profile passes, a large insert and a long key come through, and Milvus's refusals stay its own."""
    (directory := tmp_path / name).mkdir()
    with gateways.sample(reaper, directory, name, certificates.server, milvus_auth.port) as port:
        env = variables(port, certificates)
        cli("profile", "test", "behind", env=env, status=0)
        for wrong in ("root:wrong", f"root:{'x' * LONG}"):
            refused = cli("profile", "test", "behind", env={**env, "MILVUS_PROFILES__BEHIND__TOKEN": wrong}, status=9)
            assert "does not accept the user and the password" in refused.stdout
        profiles = mp.load(env=env, cwd=tmp_path)
        with mp.connect("behind", profiles=profiles) as connection:
            client = connection.client()
            client.create_collection("behind", dimension=512)
            try:
                rows = [{"id": number, "vector": [float(number)] * 512} for number in range(1024)]  # 2 MiB
                assert client.insert("behind", rows)["insert_count"] == len(rows)
            finally:
                client.drop_collection("behind")


# What is said where the client shows no certificate, or one of another CA: nginx answers with a page of its own.
NONE_SHOWN = {"nginx": (8, "HTTP status 400"), "haproxy": (7, "client cert"), "envoy": (7, "client cert")}
NONE_SHOWN["traefik"] = NONE_SHOWN["envoy"]


@pytest.mark.parametrize("name", NONE_SHOWN)
def test_mutual_tls_as_it_is_documented(
    name: str, cli: Command, milvus_auth: MilvusServer, certificates: Certificates, reaper: Reaper, tmp_path: Path
) -> None:
    """With a client's certificate a profile leads to Milvus; without one, and with a foreign one, its test says so."""
    (directory := tmp_path / name).mkdir()
    with gateways.sample(reaper, directory, name, certificates.server, milvus_auth.port, certificates.ca) as port:
        env = variables(port, certificates)
        status, said = NONE_SHOWN[name]
        for client, wanted in ((None, status), (certificates.foreign_client, status), (certificates.client, 0)):
            shown = {} if client is None else {
                "MILVUS_PROFILES__BEHIND__SSL__CERT": str(client.cert),
                "MILVUS_PROFILES__BEHIND__SSL__KEY": str(client.key),
            }  # fmt: skip
            done = cli("profile", "test", "behind", env={**env, **shown}, status=wanted)
            if wanted:
                assert said in done.stdout
                assert "SSL__CERT" in done.stdout
            else:
                profiles = mp.load(env=env | shown, cwd=tmp_path)
                with mp.connect("behind", profiles=profiles) as connection:
                    assert connection.client().list_collections() is not None
