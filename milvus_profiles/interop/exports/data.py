"""Formats that are read and not run: .env files and JSON."""

from __future__ import annotations

import json as json_module
from typing import Any

from ...errors import ConfigError
from ...text import milvus_profiles
from ..variables import PREFIX, SECRET_LEAVES
from .plan import OWN, Exported, ExportPlan, FromFile, FromVariable, exported
from .quoting import dotenv_obstacle

__all__ = ["dotenv", "json"]

_SECRETS = frozenset(PREFIX + leaf for leaf in SECRET_LEAVES)


def dotenv(plan: ExportPlan) -> Exported:
    """A .env file of bare values, which shells, containers, units and libraries read alike.

    Raises:
        ConfigError: a value needs quotes, which each reader takes in its own way, and a shell might run.
    """
    found, own = plan.environment(), {}
    if isinstance(plan.secret, FromFile):
        own = {"MILVUS_TOKEN_FILE": plan.secret.path}
    elif isinstance(plan.secret, FromVariable) and not plan.run_by_exec:
        # Not ${NAME}: half of the readers take that as it stands.
        own = {f"{OWN}TOKEN__ENV": plan.secret.name}
    lines = [f"# The profile {plan.alias} of milvus-profiles."]
    for name, value in {**found, **own}.items():
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
    only_here = (
        f"only milvus-profiles reads {name}: other programs need MILVUS_TOKEN in the environment" for name in own
    )
    return exported(lines, [*plan.gaps(), *only_here])


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
        "token": plan.secret_as(variable=lambda name: {"env": name}, file=lambda path: {"file": path}, literal=str),
        **{name: getattr(tls, name, None) for name in ("ca", "cert", "key", "server_name")},
        "proxy": profile.proxy,
        "timeout": profile.timeout,
        "management_port": profile.management_port,
    }
    return exported([json_module.dumps(record, indent=2)])
