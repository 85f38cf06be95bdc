"""A profile as the environment of a program: what .env files, units and manifests have in common.

The variables that all tools read have no name for certificates; for those there are the ones that this package reads
beside ``MILVUS_URI``, whose profile is called ``default``.
"""

from __future__ import annotations

from collections.abc import Callable

from ..variables import unsaid, variables
from .plan import ExportPlan

__all__ = ["OWN_TOKEN_ENV", "TLS_FILES", "beyond_the_family", "environment", "gaps"]

_OWN = "MILVUS_PROFILES__DEFAULT__"

OWN_TOKEN_ENV = f"{_OWN}TOKEN__ENV"
"""The variable that names the variable of the token."""

TLS_FILES = ("ca", "cert", "key")
"""The settings of ``ssl`` that name files."""


def _where_it_is(_: str, path: str) -> str:
    return path


def environment(plan: ExportPlan, place: Callable[[str, str], str] = _where_it_is) -> dict[str, str]:
    """The variables without the secret, in the order in which people read them.

    Args:
        plan: what is exported.
        place: from a setting's name (``ca``, ``cert``, ``key``) and its path to where the program finds the file.
    """
    found = dict(variables(plan.profile, plan.endpoint, None))
    if plan.profile.allow_insecure and plan.secret is not None and not plan.endpoint.tls:
        found["MILVUS_ALLOW_INSECURE"] = "true"
    return found | beyond_the_family(plan, place)


def beyond_the_family(plan: ExportPlan, place: Callable[[str, str], str]) -> dict[str, str]:
    """The variables that only this package reads."""
    found = {}
    if (tls := plan.tls) is not None:
        for name in TLS_FILES:
            if (path := getattr(tls, name)) is not None:
                found[f"{_OWN}SSL__{name.upper()}"] = place(name, path)
        if tls.server_name is not None:
            found[f"{_OWN}SSL__SERVER_NAME"] = tls.server_name
    if plan.profile.proxy is not None:
        found[f"{_OWN}PROXY"] = plan.profile.proxy
    return found


def gaps(plan: ExportPlan) -> list[str]:
    """What programs other than this package's will not learn from these variables."""
    found = []
    if names := unsaid(plan.profile):
        found.append(
            f"only milvus-profiles has variables for {', '.join(names)}: other programs need their own options"
        )
    if plan.endpoint.kind == "lite":
        found.append(
            "pymilvus's `connections` cannot be imported while MILVUS_URI is a path: `milvus-profiles exec` serves it"
        )
    return found
