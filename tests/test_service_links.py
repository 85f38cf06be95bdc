"""Variables that Kubernetes sets for its services, which nobody meant for this program: they mean nothing anywhere."""

from __future__ import annotations

import json

import pytest

import milvus_profiles as mp
from milvus_profiles.config.aliases import is_service_link
from tests.support.command import Command


def links(service: str, host: str = "10.0.171.239", port: int = 19530) -> dict[str, str]:
    """As the kubelet makes them of a service (pkg/kubelet/envvars)."""
    name = service.upper().replace("-", "_")
    shown = f"[{host}]" if ":" in host else host
    return {
        f"{name}_SERVICE_HOST": host,
        f"{name}_SERVICE_PORT": str(port),
        f"{name}_SERVICE_PORT_GRPC_API": str(port),
        f"{name}_PORT": f"tcp://{shown}:{port}",
        f"{name}_PORT_{port}_TCP": f"tcp://{shown}:{port}",
        f"{name}_PORT_{port}_TCP_PROTO": "tcp",
        f"{name}_PORT_{port}_TCP_PORT": str(port),
        f"{name}_PORT_{port}_TCP_ADDR": host,
    }


SERVICES = [
    "milvus", "milvus-profiles", "milvus-profile", "milvus-profiles-file", "milvus-profiles--prod",
    "milvus-profiles--prod--uri", "milvus-uri", "milvus-db",
]  # fmt: skip
ALL = {name: value for service in SERVICES for name, value in links(service).items()} | links("milvus-v6", "fd00::1")


def test_every_command_passes_over_them(cli: Command, project: object) -> None:
    cli.own_file('default_profile = "a"\n[profiles.a]\nuri = "http://127.0.0.1:1"\n')
    rows = cli("profile", "list", "--json", env=ALL, status=0).json
    assert [row["alias"] for row in rows] == ["a"]
    assert cli("config", "validate", env=ALL, status=0).stderr == ""
    show = ("profile", "show", "a", "--explain")
    assert cli(*show, env=ALL, status=0).stdout == cli(*show).stdout
    assert cli("profile", "test", "a", env=ALL).returncode == 6
    found = cli("doctor", "--json", env=ALL).json
    said = [finding for finding in found["findings"] if finding["name"] == "variables"]
    assert [(finding["status"], finding["detail"]) for finding in said] == [("ok", "none is set")]
    completed = cli(env={**ALL, "_MILVUS_PROFILES_COMPLETE": "complete_bash", "COMP_WORDS": "milvus-profiles exec ",
                         "COMP_CWORD": "2"})  # fmt: skip
    assert completed.stdout.split() == ["a"]


def test_they_are_no_port_beside_a_host_that_is_imported(cli: Command) -> None:
    env = {"MILVUS_HOST": "h.example", **ALL}
    imported = cli("import", "--from", "env", "--dry-run", "--json", env=env, status=0)
    assert json.loads(imported.stdout)["profiles"][0]["uri"] == "http://h.example:19530"


def test_profiles_of_the_environment_are_still_found_beside_them() -> None:
    profiles = mp.load(env={**ALL, "MILVUS_PROFILES__PROD__URI": "https://h.example", "MILVUS_URI": "http://x.example"})
    assert sorted(profiles) == ["default", "prod"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MILVUS_PROFILES_PORT", "19530"),
        ("MILVUS_PROFILES_PORT", "http://10.0.0.1:80"),
        ("MILVUS_PROFILES_SERVICE_HOST", "milvus.example"),
        ("MILVUS_PROFILES__A__PORT", "tcp://10.0.0.1:80"),
        ("MILVUS_PROFILES__A__SERVICE_HOST", "10.0.0.1"),
        ("MILVUS_PROFILES_PROT", "tcp://10.0.0.1:80"),
    ],
)
def test_what_only_looks_like_one_is_still_an_error(name: str, value: str) -> None:
    assert not is_service_link(name, value)
    with pytest.raises(mp.ConfigError) as caught:
        mp.load(env={name: value})
    assert str(caught.value.location) == name
