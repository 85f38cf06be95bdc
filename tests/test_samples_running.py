"""The samples that are programs run; manifests are read by the real parsers that are here, and their variables used."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import milvus_profiles as mp
from tests.support import faults, obstacles
from tests.support.certificates import Certificates
from tests.support.command import Command
from tests.support.environment import run_python
from tests.support.milvus import MilvusServer
from tests.support.requirements import unavailable

pytestmark = pytest.mark.docs

SAMPLES = Path(__file__).parents[1] / "sample_configs"
YAML = sorted(SAMPLES.rglob("*.y*ml"))

pytest_plugins = ["pytester"]


def test_there_is_one_of_each() -> None:
    there = {path.name for path in SAMPLES.iterdir()}
    assert there >= {"compose", "kubernetes", "systemd", "github-actions", "pytest", "fastapi", "celery", "container"}
    assert there >= {"dask", "ray", "spark"}  # which tests/engines runs
    assert "gateways" in there  # which tests/proxies runs
    assert len([path for path in YAML if path.parent.name != "gateways"]) == 3


def only_profile(env: Mapping[str, str], tmp_path: Path) -> mp.Profile:
    """The one profile that some variables declare."""
    profiles = mp.load(env={"HOME": str(tmp_path), **env}, cwd=tmp_path)
    [alias] = profiles
    assert profiles.findings(alias) == []
    return profiles[alias]


def test_compose(cli: Command, milvus_auth: MilvusServer, tmp_path: Path) -> None:
    manifest = yaml.safe_load((SAMPLES / "compose/compose.yaml").read_text())
    app = manifest["services"]["app"]
    assert set(app["secrets"]) <= set(manifest["secrets"])
    assert set(app["depends_on"]) <= set(manifest["services"])
    profile = only_profile(app["environment"], tmp_path)
    assert (profile.auth, profile.allow_insecure, profile.endpoint.uri) == ("file", True, "http://milvus:19530")
    # Its own variables, with the addresses of this machine.
    (tmp_path / "milvus-token").write_text("root:Milvus")
    places = {"http://milvus:19530": milvus_auth.uri, "/run/secrets": str(tmp_path)}
    cli("profile", "test", env=moved(app["environment"], places), status=0)
    kind, program, *words = app["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "milvus-profiles")
    assert cli(*words, env=moved(app["environment"], places), status=0).stdout == ""
    (tmp_path / "milvus-token").write_text("root:wrong")
    cli(*words, env=moved(app["environment"], places), status=9)


def moved(env: Mapping[str, str], places: Mapping[str, str]) -> dict[str, str]:
    found = dict(env)
    for old, new in places.items():
        found = {name: value.replace(old, new) for name, value in found.items()}
    return found


def test_kubernetes(cli: Command, milvus_tls: MilvusServer, certificates: Certificates, tmp_path: Path) -> None:
    deployment = yaml.safe_load((SAMPLES / "kubernetes/deployment.yaml").read_text())
    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert deployment["spec"]["selector"]["matchLabels"] == deployment["spec"]["template"]["metadata"]["labels"]
    [mount] = container["volumeMounts"]
    assert mount["name"] in {volume["name"] for volume in pod["volumes"]}
    env = {entry["name"]: entry["value"] for entry in container["env"]}
    for name, value in env.items():
        assert isinstance(value, str)
        assert not name.endswith(("_FILE", "__CA")) or value.startswith(mount["mountPath"] + "/")
    (tmp_path / "token").write_text("root:Milvus")
    shutil.copy(certificates.ca, tmp_path / "ca.pem")
    places = {"https://milvus.internal.example:19530": milvus_tls.uri, mount["mountPath"]: str(tmp_path)}
    assert pod["securityContext"]["runAsNonRoot"] is True
    guard = container["securityContext"]
    assert (guard["readOnlyRootFilesystem"], guard["allowPrivilegeEscalation"]) == (True, False)
    assert guard["capabilities"] == {"drop": ["ALL"]}
    [volume] = pod["volumes"]
    # As the volume shows the Secret to a user of that group, who is not its owner.
    mode, group = volume["secret"]["defaultMode"], pod["securityContext"]["fsGroup"]
    assert (mode, group) == (0o440, pod["securityContext"]["runAsGroup"])
    if os.geteuid() != 0:
        unavailable("needs root, for a user of another group")
    tmp_path.chmod(0o755)
    for path in (tmp_path / "token", tmp_path / "ca.pem"):
        os.chown(path, 0, group)
        path.chmod(mode)
    words = {tuple(container[f"{name}Probe"]["exec"]["command"]) for name in ("startup", "readiness", "liveness")}
    [(program, *probe)] = words
    assert program == "milvus-profiles"
    limit = float(probe[probe.index("--timeout") + 1])
    assert all(container[f"{name}Probe"]["timeoutSeconds"] > limit for name in ("startup", "readiness", "liveness"))
    # Nothing can be written, there is no home, and the user is nobody in particular.
    user = pod["securityContext"]["runAsUser"]
    variables = {**moved(env, places), "HOME": None}
    with obstacles.read_only_root(Path("/")) as seen, obstacles.reachable(tmp_path):
        prefix = [*seen.prefix, *obstacles.python_for_all(), "setpriv", f"--reuid={user}", f"--regid={group}"]
        inside = Command([*prefix, "--clear-groups", "--bounding-set=-all", *cli.program], cli.home, Path("/"))
        done = inside(*probe, env=variables, status=0)
        assert done.stdout == done.stderr == ""
        (tmp_path / "token").write_text("root:wrong")
        inside(*probe, env=variables, status=9)


def test_systemd(cli: Command, milvus_tls: MilvusServer, certificates: Certificates, tmp_path: Path) -> None:
    unit = SAMPLES / "systemd/films.service"
    env = dict(re.findall(r'^Environment="(\w+)=(.*)"$', unit.read_text(), re.MULTILINE))
    (tmp_path / "milvus-token").write_text("root:Milvus")
    assert re.search(r"^LoadCredentialEncrypted=milvus-token:", unit.read_text(), re.MULTILINE)
    places = {"https://milvus.internal.example:19530": milvus_tls.uri, "%d": str(tmp_path)}
    env = moved(env, places) | {"MILVUS_PROFILES__DEFAULT__SSL__CA": str(certificates.ca)}
    assert cli("profile", "test", env=env).returncode == 0
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze on this machine to verify the unit with")
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_github_actions(tmp_path: Path) -> None:
    workflow: dict[Any, Any] = yaml.safe_load((SAMPLES / "github-actions/test.yml").read_text())
    assert workflow[True] == ["push", "pull_request"]  # `on` is a boolean to YAML 1.1
    steps = workflow["jobs"]["test"]["steps"]
    for step in steps:
        assert ("uses" in step) != ("run" in step)
        if "run" in step:
            subprocess.run(["bash", "-n", "-c", step["run"]], check=True)
    [env] = [step["env"] for step in steps if "env" in step]
    values = {"vars.MILVUS_URI": "https://staging.example", "secrets.MILVUS_TOKEN": "t"}
    env = {name: values[re.fullmatch(r"\$\{\{ (.*) \}\}", text)[1]] for name, text in env.items()}  # type: ignore[index]
    assert only_profile(env, tmp_path).alias == "staging"


def test_pytest(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in (SAMPLES / "pytest").glob("*.py"):
        shutil.copy(path, pytester.path)
    pytester.runpytest_subprocess("--strict-markers").assert_outcomes(passed=1, skipped=1)


FASTAPI = """
from fastapi.testclient import TestClient
import milvus_profiles as mp
from app import app
with TestClient(app) as client:
    print(client.get("/collections").json(), client.get("/healthz").json()["seconds"] > 0)
    print({client.get("/collections").status_code for _ in range(1000)})
    mp.disconnect_all()
    print(client.get("/healthz").status_code)
print(mp.list_connections())
"""


def test_fastapi(cli: Command, milvus_plain: MilvusServer) -> None:
    """By Starlette's own client, a thousand requests; the lifespan runs as under a server."""
    with faults.tcp_proxy(milvus_plain.port) as proxy:
        env = cli.environment({"MILVUS_URI": f"http://127.0.0.1:{proxy.port}", "PYTHONPATH": str(SAMPLES / "fastapi")})
        done = run_python(FASTAPI, env=env, cwd=cli.cwd)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == ["[] True", "{200}", "503", "[]"]
        assert proxy.connections == 1


CELERY = """
import worker
jobs = [worker.process_and_version.delay() for _ in range(8)]
found = [job.get(timeout=60) for job in jobs]
print(len({pid for pid, _ in found}), {version.split("-")[0] for _, version in found})
found = worker.collections.chunks([()] * 1000, 125).delay().get(timeout=60)
print(sum(map(len, found)))
"""


def test_celery(cli: Command, milvus_plain: MilvusServer, tmp_path: Path) -> None:
    """A real worker with two forked processes and a thousand calls; the broker is a directory."""
    for name in ("queue", "results"):
        (tmp_path / name).mkdir()
    (tmp_path / "broker.py").write_text(
        "import worker\n"
        f"folder = {str(tmp_path / 'queue')!r}\n"
        "worker.app.conf.broker_transport_options = dict.fromkeys("
        "('data_folder_in', 'data_folder_out', 'control_folder'), folder)\n"
        "app = worker.app\n"
    )
    with faults.tcp_proxy(milvus_plain.port) as proxy:
        env = cli.environment(
            {
                "MILVUS_URI": f"http://127.0.0.1:{proxy.port}",
                "CELERY_BROKER": "filesystem://",
                "CELERY_RESULTS": f"file://{tmp_path}/results",
                "PYTHONPATH": f"{tmp_path}:{SAMPLES / 'celery'}",
            }
        )
        words = ["--app", "broker", "worker", "--concurrency", "2", "--without-gossip", "--without-mingle"]
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", *words, "--without-heartbeat", "--loglevel", "warning"],
            env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            done = run_python(f"import broker\n{CELERY}", env=env, cwd=tmp_path)
        finally:
            process.terminate()
            log, _ = process.communicate(timeout=30)
        connections = proxy.connections
    assert done.returncode == 0, f"{done.stderr}\n{log}"
    versions, calls = done.stdout.splitlines()
    assert versions.endswith("{'v2.3.5'}"), log
    assert calls == "1000"
    assert connections == 2  # of each process one
