"""A unit of systemd: variables, and files as its credentials (systemd.exec(5), since version 250)."""

from __future__ import annotations

from ...masked import SecretText
from ...profile import fold_alias
from . import environment as shared
from .plan import Exported, ExportPlan, FromFile, FromVariable
from .quoting import systemd as assignment
from .quoting import systemd_bare

__all__ = ["systemd"]

_CREDENTIAL = "milvus-token"


def systemd(plan: ExportPlan) -> Exported:
    """A service that tests the connection, with the token as a credential that no other service can read."""
    secret, tls = plan.secret, plan.tls
    credentials: list[str] = []
    placed: list[str] = []  # %d is the directory of credentials, and must not be escaped
    if tls is not None:
        for name in shared.TLS_FILES:
            if (path := getattr(tls, name)) is not None:
                # The service's user need not be able to read the file itself.
                credentials.append(f"LoadCredential=milvus-{name}:{systemd_bare(path)}")
                placed.append(f'Environment="MILVUS_PROFILES__DEFAULT__SSL__{name.upper()}=%d/milvus-{name}"')
    found = shared.environment(plan)
    lines = []
    if isinstance(secret, SecretText):
        credentials.append(f"SetCredential={_CREDENTIAL}:{systemd_bare(secret.reveal())}")
    elif isinstance(secret, FromFile):
        credentials.append(f"LoadCredential={_CREDENTIAL}:{systemd_bare(secret.path)}")
    elif isinstance(secret, FromVariable):
        store = f"/etc/credstore.encrypted/milvus-{fold_alias(plan.alias)}"
        credentials.append(f"LoadCredentialEncrypted={_CREDENTIAL}:{store}")
        run = f"milvus-profiles exec {plan.alias} --only {secret.name} -- " if plan.run_by_exec else ""
        lines += [
            "# This stores the token, so that only this machine can read it:",
            f"#   {run}sh -c 'printf %s \"${secret.name}\"' | systemd-creds encrypt --name={_CREDENTIAL} - {store}",
        ]
    if secret is not None:
        placed.append(f'Environment="MILVUS_TOKEN_FILE=%d/{_CREDENTIAL}"')
    plain = [name for name in found if not name.startswith("MILVUS_PROFILES__DEFAULT__SSL__") or "SERVER" in name]
    lines += [
        "[Unit]",
        f"Description=A program with the Milvus profile {plan.alias}",
        "Wants=network-online.target",
        "After=network-online.target",
        "",
        "[Service]",
        "Type=oneshot",
        "DynamicUser=yes",
        *(f"Environment={assignment(name, found[name])}" for name in plain),
        *placed,
        *credentials,
        "# Your own program in place of this one.",
        "ExecStart=/usr/bin/env milvus-profiles profile test",
    ]
    gaps = shared.gaps(plan)
    if secret is not None:
        gaps.append(
            "only milvus-profiles reads MILVUS_TOKEN_FILE: other programs read the credential's file themselves"
        )
    return Exported("\n".join(lines) + "\n", tuple(gaps))
