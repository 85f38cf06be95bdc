"""Formats that are read and not run: .env files and JSON."""

from __future__ import annotations

import json as json_module
from typing import Any

from ...errors import ConfigError
from ...masked import SecretText
from ...text import milvus_profiles
from ..variables import PREFIX, SECRET_LEAVES, variables
from . import environment as shared
from .plan import Exported, ExportPlan, FromFile, FromVariable
from .quoting import dotenv_obstacle

__all__ = ["dotenv", "json"]

_OWN_TOKEN = "only milvus-profiles reads {}: other programs need MILVUS_TOKEN in the environment"  # noqa: S105  # no token
_SECRETS = frozenset(PREFIX + leaf for leaf in SECRET_LEAVES)


def dotenv(plan: ExportPlan) -> Exported:
    """A .env file of bare values, which shells, containers, units and libraries read alike.

    Raises:
        ConfigError: a value needs quotes, which each reader takes in its own way, and a shell might run.
    """
    gaps = shared.gaps(plan)
    found = shared.environment(plan)
    lines = [f"# The profile {plan.alias} of milvus-profiles."]
    secret = plan.secret
    if isinstance(secret, SecretText):
        found |= dict(variables(plan.profile, plan.endpoint, secret))
    elif isinstance(secret, FromFile):
        found["MILVUS_TOKEN_FILE"] = secret.path
        gaps.append(_OWN_TOKEN.format("MILVUS_TOKEN_FILE"))
    elif isinstance(secret, FromVariable) and not plan.run_by_exec:
        # Not ${NAME}: half of the readers take that as it stands.
        found[shared.OWN_TOKEN_ENV] = secret.name
        gaps.append(_OWN_TOKEN.format(shared.OWN_TOKEN_ENV))
    for name, value in found.items():
        if (char := dotenv_obstacle(value)) is not None:
            # Not even one character of a secret is told.
            what = "a character" if name in _SECRETS else f"{char!a}"
            raise ConfigError(
                f"no .env file can hold {name}: {what} in it is read in another way by each of its readers",
                hint=f"run the program with {milvus_profiles('exec', plan.alias, '--', 'COMMAND')}, "
                "export it to `env`, `compose`, `k8s-secret` or `systemd`, "
                "or choose a value of letters, digits and `_./:@%+,=-`",
            )
        lines.append(f"{name}={value}")
    if plan.run_by_exec:
        lines.append("# MILVUS_TOKEN comes from the environment.")
    return Exported("\n".join(lines) + "\n", tuple(gaps))


def json(plan: ExportPlan) -> Exported:
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
