"""Which web console there is for a server: Zilliz Cloud's own, Attu beside it, or Milvus's WebUI.

They are known by the titles of their pages: ``Attu``, and ``Milvus WebUI`` or ``Milvus Management`` from Milvus 2.5 on
(``internal/http/webui/index.html`` of its sources), below ``/webui/`` of the management port.  Attu listens on 3000,
and its documentation has Docker publish that as 8000.  Nothing of an answer goes on from here, and the addresses are
made of the host of the profile and what stands below.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ..background import Deadline
from ..endpoint import is_zilliz_cloud
from ..profile import Profile
from .http import http_get
from .results import reach
from .sockets import route_to

__all__ = ["NAMES", "Console", "ConsoleName", "find_consoles", "zilliz_cloud"]

ConsoleName = Literal["zilliz", "attu", "webui"]

NAMES: dict[ConsoleName, str] = {"zilliz": "Zilliz Cloud", "attu": "Attu", "webui": "Milvus WebUI"}
"""What each is called, for people."""

_ATTU_PORTS = (8000, 3000)
_TITLES: dict[ConsoleName, re.Pattern[bytes]] = {
    "attu": re.compile(rb"<title>\s{0,40}attu\b", re.IGNORECASE),
    "webui": re.compile(rb"<title>\s{0,40}milvus\b", re.IGNORECASE),
}
_SHARE = 1.0
"""Seconds at most for each of them."""

_CLOUD, _CLOUD_OF_CHINA = "https://cloud.zilliz.com/", "https://cloud.zilliz.com.cn/"


@dataclass(frozen=True, slots=True)
class Console:
    """A place where a console was looked for.

    Attributes:
        name: which.
        url: its address; holds no secret.
        found: whether it is there.
        detail: what was seen there, in words.
    """

    name: ConsoleName
    url: str
    found: bool
    detail: str


def zilliz_cloud(host: str) -> str | None:
    """The console of Zilliz Cloud for one of its clusters; None for any other host."""
    if not is_zilliz_cloud(host):
        return None
    return _CLOUD_OF_CHINA if host.endswith(".cn") else _CLOUD


def find_consoles(profile: Profile, env: Mapping[str, str]) -> tuple[Console, ...]:
    """Look for each console that the server of a profile may have, the one for people to use first.

    No secret is sent.  Each look has a second at most; Zilliz Cloud's console is known without one.
    """
    endpoint = profile.endpoint
    if endpoint.kind != "tcp":
        return ()
    if (cloud := zilliz_cloud(endpoint.host)) is not None:
        return (Console("zilliz", cloud, True, "the address is one of Zilliz Cloud"),)
    places: list[tuple[ConsoleName, int, str]] = [("attu", port, "/") for port in _ATTU_PORTS]
    places.append(("webui", profile.management_port, "/webui/"))
    return tuple(_look(profile, env, *place) for place in places)


def _look(profile: Profile, env: Mapping[str, str], name: ConsoleName, port: int, path: str) -> Console:
    endpoint = replace(profile.endpoint, port=port, tls=False)
    url, deadline = f"{endpoint.uri}{path}", Deadline.after(_SHARE)
    reached = reach(route_to(endpoint, proxy=profile.proxy, env=env), deadline)
    if reached.address is None:
        said = reached.attempts[-1].words if reached.attempts else "the host name cannot be resolved"
        return Console(name, url, False, said)
    answer = http_get(reached.address, path, deadline, authority=endpoint.authority)
    if answer.status == 200 and _TITLES[name].search(answer.body):
        return Console(name, url, True, "answers")
    if not answer.status:
        return Console(name, url, False, answer.failure)
    other = "a page of something else" if answer.status == 200 else f"HTTP status {answer.status}"
    return Console(name, url, False, f"{other}; Milvus has it from 2.5 on" if name == "webui" else other)
