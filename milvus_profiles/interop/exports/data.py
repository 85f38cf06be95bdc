"""Formats that are read and not run: .env files and JSON."""

from __future__ import annotations

import json as json_module
from typing import Any

from ...masked import SecretText
from ..variables import variables
from . import environment as shared
from .plan import Exported, FromFile, FromVariable, Plan
from .quoting import dotenv as quoted
from .quoting import dotenv_expands

__all__ = ["dotenv", "json"]


def dotenv(plan: Plan) -> Exported:
    """A .env file, in what python-dotenv, Compose and Node's dotenv agree on."""
    gaps = shared.gaps(plan)
    found = shared.environment(plan)
    lines = [f"# The profile {plan.alias} of milvus-profiles."]
    secret = plan.secret
    if isinstance(secret, SecretText):
        found |= dict(variables(plan.profile, plan.endpoint, secret))
    elif isinstance(secret, FromFile):
        found["MILVUS_TOKEN_FILE"] = secret.path
        gaps.append("only milvus-profiles reads MILVUS_TOKEN_FILE: other programs need MILVUS_TOKEN in the environment")
    for name, value in found.items():
        lines.append(f"{name}={quoted(value)}")
        if dotenv_expands(value):
            gaps.append(f"readers of .env files put something else in place of the $ in {name}")
    if isinstance(secret, FromVariable):
        if plan.run_by_exec:
            lines.append("# MILVUS_TOKEN comes from the environment.")
        else:
            lines.append(f"MILVUS_TOKEN=${{{secret.name}}}")
    return Exported("\n".join(lines) + "\n", tuple(gaps))


def json(plan: Plan) -> Exported:
    """One JSON object, for programs that bring their own client."""
    profile, endpoint, tls = plan.profile, plan.endpoint, plan.tls
    record: dict[str, Any] = {
        "alias": plan.alias,
        "uri": endpoint.uri,
        "host": endpoint.host or None,
        "port": endpoint.port or None,
        "path": endpoint.path or None,
        "tls": endpoint.tls,
        "db_name": profile.db_name,
        "user": profile.credential.user if profile.credential is not None else None,
        "token": None,
        "ca": None if tls is None else tls.ca,
        "cert": None if tls is None else tls.cert,
        "key": None if tls is None else tls.key,
        "server_name": None if tls is None else tls.server_name,
        "proxy": profile.proxy,
        "timeout": profile.timeout,
        "management_port": profile.management_port,
    }
    secret = plan.secret
    if isinstance(secret, FromVariable):
        record["token"] = {"env": secret.name}
    elif isinstance(secret, FromFile):
        record["token"] = {"file": secret.path}
    elif isinstance(secret, SecretText):
        record["token"] = secret.reveal()
    return Exported(json_module.dumps(record, indent=2) + "\n")
