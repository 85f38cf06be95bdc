"""What the server's HTTP API says, on the port that gRPC uses: information, whatever comes.

The token goes along, to the very place that gRPC has just sent it to, and under the same verification of TLS.
"""

from __future__ import annotations

from ..deadline import Deadline
from ..errors import MilvusProfilesError
from ..live.opening import Started
from ..probe.http import HTTPAnswer, http_get
from ..probe.sockets import Address
from ..probe.tls_context import verifying_context
from ..profile import Profile
from .test_run import Course, Draft, Patience

__all__ = ["ask_rest"]

_PATIENCE = 1.0
# Milvus 2.4 and later; 2.3.  Both list the collections.
_PATHS = {"v2": "/v2/vectordb/collections/list", "v1": "/v1/vector/collections"}


def ask_rest(course: Course, profile: Profile, started: Started, address: Address, patience: Patience) -> None:
    """Look whether the HTTP API answers.

    Args:
        course: the test, in which everything else has passed.
        profile: the profile.
        started: its channel, which has connected.
        address: where that leads.
        patience: how long the test takes.
    """
    with course.stage("rest") as draft:
        if profile.endpoint.kind == "lite":
            draft.skip("Milvus Lite has none")
            return
        deadline = patience.rest(_PATIENCE)
        for version, path in _PATHS.items():
            answer = _get(started, address, path, deadline)
            if _settled(draft, version, answer):
                return
        draft.skip("no HTTP API here: neither the path of v2 nor that of v1 is known")


def _get(started: Started, address: Address, path: str, deadline: Deadline) -> HTTPAnswer:
    attempt = started.attempt
    try:
        tls = None if attempt.tls is None else verifying_context(attempt.tls, protocol="http/1.1")
    except MilvusProfilesError as error:  # a file has changed since the handshake
        return HTTPAnswer(0, failure=error.message)
    return http_get(
        address, path, deadline, authority=attempt.endpoint.authority or "localhost",
        tls=tls, server_name=attempt.host, token=started.core.holder.token,
    )  # fmt: skip


def _settled(draft: Draft, version: str, answer: HTTPAnswer) -> bool:
    """Say what an answer means; False if the next path has to be asked."""
    if not answer.status:
        draft.skip(f"no HTTP API here: {answer.failure}")
    elif answer.status == 401:
        draft.detail = f"{version} answers"
        draft.warn(
            "it does not let this profile in, though gRPC does (HTTP status 401)",
            "the HTTP API takes user:password or an API key as a bearer token",
        )
    elif answer.status == 403:
        draft.detail = f"{version} answers; this user may not list collections"
    elif answer.status == 404:
        return False
    elif answer.status < 300 or answer.status == 405:  # 405: it is there, for another method
        draft.detail = f"{version} answers"
    else:
        draft.skip(f"no HTTP API here: {version} answers with HTTP status {answer.status}")
    return True
