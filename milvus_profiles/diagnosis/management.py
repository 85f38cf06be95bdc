"""What the server's management port says, where it can be reached: information, whatever comes.

The port has neither TLS nor authentication, and no secret is sent to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from ..deadline import Deadline
from ..live.opening import OpenedChannel
from ..masked import SecretText
from ..probe.http import HTTPAnswer, http_get
from ..probe.sockets import SocketAddress, connect_first, resolve, route_to
from ..profile import Profile
from ..server_text import server_text
from .test_run import RetryBudget, TestRun

__all__ = ["ask_management"]

_PATIENCE = 1.0
_LONGEST_METRICS = 2 << 20
"""Bytes of the metrics that are read; a busy server has some hundred kilobytes of them."""
# milvus_build_info{built="…",git_commit="…",version="…"} 1: Milvus 2.4 and later.
_BUILD_INFO = re.compile(rb'^milvus_build_info\{[^}\n]*\bversion="([^"\n]{1,100})"', re.MULTILINE)


def ask_management(
    run: TestRun, profile: Profile, started: OpenedChannel, env: Mapping[str, str], budget: RetryBudget
) -> None:
    """Look at ``/healthz`` and ``/metrics``.

    Args:
        run: the test, in which everything else has passed.
        profile: whose ``management_port`` is asked.
        started: its channel; a server that was sent the token there could say it here.
        env: where ``no_proxy`` is looked up.
        budget: how long the test takes.
    """
    token = started.core.holder.token
    with run.stage("management") as stage:
        if profile.endpoint.kind != "tcp":
            stage.skip("there is none: the endpoint is no host")
            return
        endpoint = replace(profile.endpoint, port=profile.management_port, tls=False)
        deadline = budget.rest(_PATIENCE)
        outcomes = connect_first(
            resolve(route_to(endpoint, proxy=profile.proxy, env=env), deadline).addresses, deadline
        )
        if not outcomes or not outcomes[-1].is_connected:
            why = (outcomes[-1].detail or outcomes[-1].status) if outcomes else "the host name cannot be resolved"
            stage.skip(f"{endpoint.authority} does not answer: {why}")
            return
        address = outcomes[-1].address
        stage.notes.append(f"http://{address}/healthz")
        health = http_get(address, "/healthz", deadline, authority=endpoint.authority)
        if not health.status or health.status == 404:
            why = health.failure or "it does not know /healthz"
            stage.skip(f"{endpoint.authority} is no management port: {why}")
            return
        if health.status == 200:
            stage.detail = "healthy"
        else:
            stage.warn(
                f"/healthz says {_first_line(health, token)} (HTTP status {health.status})",
                "see what the server's log says",
            )
        if (version := _version(address, endpoint.authority, token, budget.rest(_PATIENCE))) is not None:
            stage.detail += f", version {version}"


def _version(address: SocketAddress, authority: str, token: SecretText | None, deadline: Deadline) -> str | None:
    answer = http_get(address, "/metrics", deadline, authority=authority, longest=_LONGEST_METRICS)
    found = _BUILD_INFO.search(answer.body) if answer.status == 200 else None
    return server_text(found[1].decode("utf-8", "replace"), token) if found else None


def _first_line(answer: HTTPAnswer, token: SecretText | None) -> str:
    line = answer.body.strip().split(b"\n", 1)[0].decode("utf-8", "replace")
    return server_text(line, token, longest=100) or "nothing"
