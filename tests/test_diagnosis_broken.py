"""What breaks inside of a test is a finding of the stage where it broke: never a traceback, never a claim unseen."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import milvus_profiles as mp
from milvus_profiles.diagnosis.certificates import describe_tls
from milvus_profiles.diagnosis.stages import ProfileTest, diagnose_declared
from milvus_profiles.diagnosis.test_run import StageDraft
from milvus_profiles.live.opening import secret_context
from milvus_profiles.masked import MaskedMapping
from milvus_profiles.probe.context import ConnectContext
from milvus_profiles.probe.tls import TLSOutcome
from tests.support import faults
from tests.support.certificates import Certificates
from tests.support.command import Command
from tests.support.scripted_grpc import milvus_answer, scripted_server

SECRET = "canary-77e0"

# Stacks that no machine has room for: Python starts no thread, while gRPC's own threads are not Python's.
NO_THREADS = "import threading\nthreading.stack_size(1 << 46)\n"


class Hostile(MaskedMapping):
    """An environment that breaks where a certain variable is looked up."""

    def __getitem__(self, key: str) -> str:
        if key == "no_proxy":
            raise ZeroDivisionError(SECRET)
        return super().__getitem__(key)


@pytest.fixture(scope="module")
def tls_port(certificates: Certificates) -> Iterator[int]:
    with scripted_server(milvus_answer, identity=certificates.server) as server:
        yield server.port


def variables(port: int, ca: Path) -> dict[str, str]:
    return {
        "MILVUS_PROFILES__PROD__URI": f"https://127.0.0.1:{port}",
        "MILVUS_PROFILES__PROD__SSL__CA": str(ca),
        "MILVUS_PROFILES__PROD__MANAGEMENT_PORT": "1",
    }


def stages(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {stage["name"]: stage for stage in report["stages"]}


@pytest.mark.parametrize(("stage", "kind"), [("dns", "ZeroDivisionError"), ("tls", "OverflowError")])
def test_an_error_that_nobody_raised_on_purpose_fails_its_stage_without_its_words(
    tls_port: int, certificates: Certificates, tmp_path: Path, stage: str, kind: str
) -> None:
    def no_clock() -> dt.datetime:
        raise OverflowError(SECRET)

    profiles = mp.load(env=variables(tls_port, certificates.ca), cwd=tmp_path)
    secrets = secret_context(profiles, "prod")
    if stage == "dns":
        test = ProfileTest(dataclasses.replace(secrets, env=Hostile({})))
    else:
        test = ProfileTest(secrets, now=no_clock)
    report = diagnose_declared(profiles, "prod", test)
    assert report.failure is not None
    assert (report.failure.name, report.failure.code, report.exit_code) == (stage, "internal", 1)
    assert report.failure.detail == f"the examination itself failed: {kind}"
    statuses = [one.status for one in report.stages]
    assert set(statuses[statuses.index("failed") + 1 :]) == {"skipped"}
    assert SECRET not in repr(report)


def test_an_error_of_the_callers_own_callback_is_the_callers(tmp_path: Path) -> None:
    def broken(stage: mp.Stage) -> None:
        raise KeyError(stage.name)

    profiles = mp.load(env={"MILVUS_PROFILES__PROD__URI": "http://127.0.0.1:1"}, cwd=tmp_path)
    with pytest.raises(KeyError, match="config"):
        mp.diagnose("prod", profiles=profiles, on_stage=broken)


def test_without_a_thread_the_stage_says_that_nobody_looked(
    cli: Command, tls_port: int, certificates: Certificates
) -> None:
    program = f"{NO_THREADS}import json, milvus_profiles as mp\nprint(json.dumps(mp.diagnose('prod').as_json()))"
    python = Command([sys.executable, "-W", "error", "-c", program], cli.home, cli.cwd)
    report = python(env=variables(tls_port, certificates.ca), status=0).json
    tls = stages(report)["tls"]
    assert (report["exit_code"], tls["status"]) == (0, "warning")
    assert "it could not be examined: no thread could be started" in tls["detail"]
    assert "verified" not in tls["detail"]
    assert stages(report)["database"]["status"] == "ok"


def test_roots_that_are_not_there_leave_the_verdict_to_grpc(cli: Command, tls_port: int) -> None:
    env = {
        "MILVUS_PROFILES__PROD__URI": f"https://127.0.0.1:{tls_port}",
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": "/nowhere/roots.pem",
    }
    done = cli("profile", "test", "prod", "--json", env=env)
    [report] = done.json
    assert (done.returncode, report["exit_code"], stages(report)["tls"]["status"]) == (7, 7, "failed")
    assert "Traceback" not in done.stderr


def test_no_more_files_can_be_opened(cli: Command) -> None:
    """The channel is there, and the sockets of the test are one too many."""
    program = """\
import json, resource
import milvus_profiles as mp
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
# Three: a number that another thread closes meanwhile is above it, and is not to be had again.
none_left = lambda stage: resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard)) if stage.name == "dns" else None
print(json.dumps(mp.diagnose("prod", on_stage=none_left).as_json()))
"""
    with faults.never_accepting() as port:
        done = Command([sys.executable, "-c", program], cli.home, cli.cwd)(
            env={"MILVUS_PROFILES__PROD__URI": f"http://127.0.0.1:{port}", "MILVUS_PROFILES__PROD__TIMEOUT": "1"}
        )
    report = json.loads(done.stdout)
    assert report["exit_code"] == 6, report
    assert "Too many open files" in stages(report)["tcp"]["detail"]


@pytest.mark.parametrize("status", ["closed", "silent", "plaintext", "unreachable", "refused", "unexamined"])
def test_a_certificate_that_nobody_saw_is_not_called_verified(
    status: str, certificates: Certificates, tmp_path: Path
) -> None:
    profile = mp.load(env=variables(1, certificates.ca), cwd=tmp_path)["prod"]
    draft = StageDraft()
    seen = TLSOutcome(status, detail="the words")  # type: ignore[arg-type]
    describe_tls(draft, seen, ConnectContext.of(profile), dt.datetime.now(dt.timezone.utc))
    assert draft.status == "warning"
    assert "could not be examined" in draft.detail
    assert "the words" in draft.detail
    assert "verified" not in draft.detail
