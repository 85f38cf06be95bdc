"""gRPC's resolver and the system's need not agree: what either finds connects, and the diagnosis names the difference.

A real Milvus behind a real nginx on 127.0.0.1 alone; /etc/hosts and a real name server of the test's own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support import gateways
from tests.support.certificates import OTHER_HOST, Certificates
from tests.support.command import Command, asking
from tests.support.gateways import Site
from tests.support.milvus import MilvusServer
from tests.support.reaper import Reaper

pytestmark = pytest.mark.proxies

# Of a name that stands in two lines, each of them with another name before it, gRPC takes the first; of addresses of
# both families, IPv6.
HOSTS = f"""\
127.0.0.1 localhost
127.0.0.8 dead.test two.test
127.0.0.1 two.test live.test
::5 families.test
127.0.0.1 families.test
127.0.0.8 dead.test {OTHER_HOST}
127.0.0.1 {OTHER_HOST} live.test
"""
RECORDS = ("one.dns.test,127.0.0.1",)


class Names:
    """A home with a profile for each name, and what was found of them with some files in the place of those in /etc."""

    def __init__(self, directory: Path, ports: dict[str, int], certificates: Certificates) -> None:
        home, cwd = directory / "home", directory / "cwd"
        home.mkdir()
        (cwd / ".git").mkdir(parents=True)
        self._cli = Command([], home, cwd)
        self._directory = directory
        hosts = ("two", "families", "stale", "nowhere", "dead", "one.dns")
        profiles = [
            f'[profiles.{host.replace(".", "-")}]\nuri = "http://{host}.test:{ports["h2c"]}"\n' for host in hosts
        ]
        profiles.append(
            f'[profiles.secured]\nuri = "https://{OTHER_HOST}:{ports["h2"]}"\nssl = {{ ca = "{certificates.ca}" }}\n'
        )
        self._cli.own_file("".join(f"{profile}timeout = 5\n" for profile in profiles))

    def ask(self, *aliases: str, **files: str) -> dict[str, Any]:
        files = {"hosts": HOSTS, "resolv_conf": "nameserver 127.0.0.53\n", **files}
        program = [*gateways.with_names(self._directory, **files), *asking(self._cli.home, self._cli.cwd).program]
        found: dict[str, Any] = Command(program, self._cli.home, self._cli.cwd)(*aliases, status=0).json
        return found


@pytest.fixture(scope="module")
def names(
    tmp_path_factory: pytest.TempPathFactory, milvus_plain: MilvusServer, certificates: Certificates, reaper: Reaper
) -> Any:
    directory = tmp_path_factory.mktemp("names")
    to_milvus = f"location / {{ grpc_pass grpc://{milvus_plain.address}; }}"
    sites = {"h2c": Site(to_milvus), "h2": Site(to_milvus, certificates.other_host_server)}
    with gateways.nginx(reaper, directory, sites) as ports, gateways.dnsmasq(reaper, directory, *RECORDS):
        yield Names(directory, ports, certificates)


@pytest.fixture(scope="module")
def found(names: Names) -> dict[str, Any]:
    return names.ask("two", "families", "secured", "one-dns", "nowhere", "dead")


def outcomes(found: dict[str, Any], alias: str) -> tuple[str, str, int]:
    return found[alias]["connect"][0], found[alias]["aio"][0], found[alias]["report"]["exit_code"]


def stages(found: dict[str, Any], alias: str) -> dict[str, dict[str, Any]]:
    return {stage["name"]: stage for stage in found[alias]["report"]["stages"]}


@pytest.mark.parametrize(("alias", "address"), [("two", "127.0.0.8"), ("families", "::5"), ("secured", "127.0.0.8")])
def test_where_only_the_systems_resolver_leads_to_the_server(found: dict[str, Any], alias: str, address: str) -> None:
    assert outcomes(found, alias) == ("ok", "ok", 0)
    grpc = stages(found, alias)["grpc"]
    assert grpc["status"] == "warning"
    assert f"gRPC's own resolver finds only {address}" in grpc["detail"]
    assert "the system's finds 127.0.0.1" in grpc["detail"]
    assert "/etc/hosts" in grpc["hint"]


def test_where_only_grpcs_resolver_leads_to_the_server(names: Names) -> None:
    # Without this file, or with these words in it, the system takes the first of several lines.
    found = names.ask("stale", hosts="127.0.0.8 stale.test\n127.0.0.1 stale.test\n", host_conf="multi off\n")
    assert outcomes(found, "stale") == ("ok", "ok", 0)
    tcp = stages(found, "stale")["tcp"]
    assert tcp["status"] == "warning"
    assert "127.0.0.8" in tcp["detail"]
    assert "gRPC's own resolver leads to a server" in tcp["detail"]


def test_where_the_system_knows_no_such_name(names: Names) -> None:
    # The module that nsswitch.conf names is not installed, as after systemd-resolved was removed.
    found = names.ask("one-dns", nsswitch_conf="hosts: resolve [!UNAVAIL=return]\n")
    assert outcomes(found, "one-dns") == ("ok", "ok", 0)
    dns = stages(found, "one-dns")["dns"]
    assert dns["status"] == "warning"
    assert "the system's resolver does not know the name" in dns["detail"]
    assert "/etc/nsswitch.conf" in dns["hint"]


def test_where_both_agree_nothing_is_said(found: dict[str, Any]) -> None:
    assert outcomes(found, "one-dns")[0] == "ok"
    statuses = {name: stage["status"] for name, stage in stages(found, "one-dns").items()}
    assert (statuses["dns"], statuses["tcp"], statuses["grpc"]) == ("ok", "ok", "ok")
    for alias, stage in (("nowhere", "dns"), ("dead", "tcp")):
        assert outcomes(found, alias)[:2] == ("unreachable", "unreachable")
        assert stages(found, alias)[stage]["status"] == "failed"
