"""What the server's HTTP API says, on the port that gRPC uses: information, whatever comes.

The token goes along, to the very place that gRPC has just sent it to, and under the same verification of TLS.
"""

from __future__ import annotations

from ..deadline import Deadline
from ..errors import MilvusProfilesError
from ..live.opening import OpenedChannel
from ..probe.http import HTTPAnswer, http_get
from ..probe.sockets import SocketAddress
from ..probe.tls_context import verifying_context
from ..profile import Profile
from .test_run import RetryBudget, StageDraft, TestRun

__all__ = ["ask_rest"]

_PATIENCE = 1.0
# Milvus 2.4 and later; 2.3.  Both list the collections.
_PATHS = {"v2": "/v2/vectordb/collections/list", "v1": "/v1/vector/collections"}


def ask_rest(
    run: TestRun, profile: Profile, started: OpenedChannel, address: SocketAddress, budget: RetryBudget
) -> None:
    """Look whether the HTTP API answers.

    Args:
        run: the test, in which everything else has passed.
        profile: the profile.
        started: its channel, which has connected.
        address: where that leads.
        budget: how long the test takes.
    """
    with run.stage("rest") as stage:
        if profile.endpoint.kind == "lite":
            stage.skip("Milvus Lite has none")
            return
        deadline = budget.rest(_PATIENCE)
        for version, path in _PATHS.items():
            answer = _get(started, address, path, deadline)
            if _settled(stage, version, answer):
                return
        stage.skip("no HTTP API here: neither the path of v2 nor that of v1 is known")


def _get(started: OpenedChannel, address: SocketAddress, path: str, deadline: Deadline) -> HTTPAnswer:
    context = started.context
    try:
        tls = None if context.tls is None else verifying_context(context.tls, protocol="http/1.1")
    except MilvusProfilesError as error:  # a file has changed since the handshake
        return HTTPAnswer(0, failure=error.message)
    return http_get(
        address, path, deadline, authority=context.endpoint.authority or "localhost",
        tls=tls, server_name=context.host, token=started.core.holder.token,
    )  # fmt: skip


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
