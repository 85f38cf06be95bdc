"""What a server says by HTTP, on the port that gRPC uses and on its management port: information, whatever comes.

To the first the token goes along, to the very place that gRPC has just sent it to, and under the same verification of
TLS.  The management port has neither TLS nor authentication, and no secret is sent to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from ..background import Deadline
from ..errors import MilvusProfilesError
from ..live.opening import OpenedChannel
from ..masked import SecretText, server_text
from ..probe.http import HTTPAnswer, http_get
from ..probe.results import reach
from ..probe.sockets import SocketAddress, route_to
from ..probe.tls_context import verifying_context
from ..profile import Profile
from .test_run import RetryBudget, StageDraft, TestRun

__all__ = ["ask_management", "ask_rest"]

_SHARE = 1.0
"""Seconds at most for each of the two."""
# Milvus 2.4 and later; 2.3.  Both list the collections.
_PATHS = {"v2": "/v2/vectordb/collections/list", "v1": "/v1/vector/collections"}
_LONGEST_METRICS = 2 << 20
"""Bytes of the metrics that are read; a busy server has some hundred kilobytes of them."""
# milvus_build_info{built="…",git_commit="…",version="…"} 1: Milvus 2.4 and later.
_BUILD_INFO = re.compile(rb'^milvus_build_info\{[^}\n]*\bversion="([^"\n]{1,100})"', re.MULTILINE)


def ask_rest(
    run: TestRun, profile: Profile, opened: OpenedChannel, address: SocketAddress | None, budget: RetryBudget
) -> None:
    """Look whether the HTTP API answers."""
    with run.stage("rest") as stage:
        if address is None:
            stage.skip("gRPC alone knows the server's address")
            return
        if profile.endpoint.kind == "lite":
            stage.skip("Milvus Lite has none")
            return
        deadline, context = budget.rest(_SHARE), opened.context
        try:
            tls = None if context.tls is None else verifying_context(context.tls, protocol="http/1.1")
        except MilvusProfilesError as error:  # a file has changed since the handshake
            stage.skip(f"no HTTP API here: {error.message}")
            return
        for version, path in _PATHS.items():
            answer = http_get(
                address, path, deadline, authority=context.endpoint.authority or "localhost",
                tls=tls, server_name=context.host, token=opened.core.holder.token,
            )  # fmt: skip
            if _settled(stage, version, answer):
                return
        stage.skip("no HTTP API here: neither the path of v2 nor that of v1 is known")


def _settled(stage: StageDraft, version: str, answer: HTTPAnswer) -> bool:
    """Say what an answer means; False if the next path has to be asked."""
    if not answer.status:
        stage.skip(f"no HTTP API here: {answer.failure}")
    elif answer.status == 401:
        stage.detail = f"{version} answers"
        stage.warn(
            "it does not let this profile in, though gRPC does (HTTP status 401)",
            "the HTTP API takes user:password or an API key as a bearer token",
        )
    elif answer.status == 403:
        stage.detail = f"{version} answers; this user may not list collections"
    elif answer.status == 404:
        return False
    elif answer.status < 300 or answer.status == 405:  # 405: it is there, for another method
        stage.detail = f"{version} answers"
    else:
        stage.skip(f"no HTTP API here: {version} answers with HTTP status {answer.status}")
    return True


def ask_management(
    run: TestRun, profile: Profile, token: SecretText | None, env: Mapping[str, str], budget: RetryBudget
) -> None:
    """Look at ``/healthz`` and ``/metrics``; the token is for masking: a server that was sent it could say it here."""
    with run.stage("management") as stage:
        if profile.endpoint.kind != "tcp":
            stage.skip("there is none: the endpoint is no host")
            return
        endpoint = replace(profile.endpoint, port=profile.management_port, tls=False)
        deadline = budget.rest(_SHARE)
        reached = reach(route_to(endpoint, proxy=profile.proxy, env=env), deadline)
        if (address := reached.address) is None:
            why = reached.attempts[-1].words if reached.attempts else "the host name cannot be resolved"
            stage.skip(f"{endpoint.authority} does not answer: {why}")
            return
        stage.notes.append(f"http://{address}/healthz")
        health = http_get(address, "/healthz", deadline, authority=endpoint.authority)
        if not health.status or health.status == 404:
            why = health.failure or "it does not know /healthz"
            stage.skip(f"{endpoint.authority} is no management port: {why}")
            return
        if health.status == 200:
            stage.detail = "healthy"
        else:
            line = server_text(_decoded(health.body.strip().split(b"\n", 1)[0]), token, longest=100) or "nothing"
            stage.warn(f"/healthz says {line} (HTTP status {health.status})", "see what the server's log says")
        if (version := _version(address, endpoint.authority, budget.rest(_SHARE))) is not None:
            stage.detail += f", version {server_text(version, token)}"


def _version(address: SocketAddress, authority: str, deadline: Deadline) -> str | None:
    answer = http_get(address, "/metrics", deadline, authority=authority, longest=_LONGEST_METRICS)
    found = _BUILD_INFO.search(answer.body) if answer.status == 200 else None
    return None if found is None else _decoded(found[1])


def _decoded(said: bytes) -> str:
    return said.decode("utf-8", "replace")
