"""Where services get their settings: a Secret of Kubernetes, a Compose file, a unit of systemd.

Without the secret itself a manifest names a mounted file, in ``MILVUS_TOKEN_FILE``, and says how that file is made; a
unit has it as a credential (systemd.exec(5), since version 250).
"""

from __future__ import annotations

from ...masked import SecretText
from ...profile import fold_alias
from .plan import OWN, Exported, ExportPlan, FromFile, FromVariable, exported
from .quoting import shell, systemd_bare
from .quoting import systemd as assignment
from .quoting import yaml as quoted

__all__ = ["compose", "k8s_secret", "systemd"]


def k8s_secret(plan: ExportPlan) -> Exported:
    """A Secret whose keys are variables, for ``envFrom``; files are keys of a second one, mounted."""
    # Kubernetes takes lower case and dashes.
    name = f"milvus-{fold_alias(plan.alias).replace('_', '-')}"
    mount = f"/run/secrets/{name}"
    found = plan.environment(lambda setting, _: f"{mount}/{setting}.pem")
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
    found = plan.environment(lambda setting, _: f"/run/secrets/milvus-{setting}")
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
