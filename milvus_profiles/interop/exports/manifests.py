"""Where containers get their settings: a Secret of Kubernetes, a Compose file.

Without the secret itself the manifest names a mounted file, in ``MILVUS_TOKEN_FILE``, and says how that file is made.
"""

from __future__ import annotations

from ...masked import SecretText
from ...profile import fold_alias
from ..variables import variables
from . import environment as shared
from .plan import Exported, ExportPlan, FromFile, FromVariable
from .quoting import shell
from .quoting import yaml as quoted

__all__ = ["compose", "k8s_secret"]


def k8s_secret(plan: ExportPlan) -> Exported:
    """A Secret whose keys are variables, for ``envFrom``; files are keys of a second one, mounted."""
    name = f"milvus-{_dashed(plan)}"
    mount = f"/run/secrets/{name}"
    found = shared.environment(plan, lambda setting, _: f"{mount}/{setting}.pem")
    files = [f"--from-file={setting}.pem={shell(path)}" for setting, path in _files(plan).items()]
    pipe = ""
    secret = plan.secret
    if isinstance(secret, SecretText):
        found |= dict(variables(plan.profile, plan.endpoint, secret))
    elif secret is not None:
        found["MILVUS_TOKEN_FILE"] = f"{mount}/token"
        if isinstance(secret, FromFile):
            files.append(f"--from-file=token={shell(secret.path)}")
        else:
            files.append("--from-file=token=/dev/stdin")
            pipe = _printing(plan)
    lines = [f"# Every key is a variable: `envFrom: [{{secretRef: {{name: {name}}}}}]`."]
    if files:
        lines += [
            f"# Files are in a Secret of their own, mounted at {mount}; this makes it:",
            f"#   {pipe}kubectl create secret generic {name}-files {' '.join(files)}",
        ]
    lines += ["apiVersion: v1", "kind: Secret", "metadata:", f"  name: {name}", "type: Opaque", "stringData:"]
    lines += [f"  {key}: {quoted(value)}" for key, value in found.items()]
    return Exported("\n".join(lines) + "\n", (*shared.gaps(plan), *_loopback(plan, "a pod")))


def compose(plan: ExportPlan) -> Exported:
    """A Compose file with a service that tests the connection; files are secrets of Compose."""
    found = shared.environment(plan, lambda setting, _: f"/run/secrets/milvus-{setting}")
    secrets = {f"milvus-{setting}": ("file", path) for setting, path in _files(plan).items()}
    secret = plan.secret
    if isinstance(secret, SecretText):
        found |= dict(variables(plan.profile, plan.endpoint, secret))
    elif secret is not None:
        found["MILVUS_TOKEN_FILE"] = "/run/secrets/milvus-token"  # noqa: S105  # a path
        secrets["milvus-token"] = (
            ("file", secret.path) if isinstance(secret, FromFile) else ("environment", secret.name)
        )
    lines = []
    if isinstance(secret, FromVariable) and plan.run_by_exec:
        lines.append(f"# milvus-profiles exec {plan.alias} --only {secret.name} -- docker compose up")
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
    return Exported("\n".join(lines) + "\n", (*shared.gaps(plan), *_loopback(plan, "a container")))


def _files(plan: ExportPlan) -> dict[str, str]:
    tls = plan.tls
    return {} if tls is None else {name: path for name in shared.TLS_FILES if (path := getattr(tls, name)) is not None}


def _dashed(plan: ExportPlan) -> str:
    # Kubernetes takes lower case and dashes.
    return fold_alias(plan.alias).replace("_", "-")


def _uninterpolated(value: str) -> str:
    return quoted(value.replace("$", "$$"))


def _printing(plan: ExportPlan) -> str:
    """A command that prints the token into a pipe."""
    secret = plan.secret
    assert isinstance(secret, FromVariable)
    printing = f"sh -c 'printf %s \"${secret.name}\"' | "
    return f"milvus-profiles exec {plan.alias} --only {secret.name} -- {printing}" if plan.run_by_exec else printing


def _loopback(plan: ExportPlan, where: str) -> list[str]:
    if not plan.endpoint.is_loopback:
        return []
    return [f"{plan.endpoint.authority} leads {where} to itself, not to this machine"]
