"""A program for Node.js, ``@zilliz/milvus2-sdk-node``.

Its option ``tls`` takes the paths of PEM files; a path in the address is not read, so the database is a parameter.
"""

from __future__ import annotations

from ...masked import SecretText
from .plan import Exported, ExportPlan, FromFile, FromVariable
from .quoting import javascript as quoted

__all__ = ["node"]

_TLS = {"ca": "rootCertPath", "key": "privateKeyPath", "cert": "certChainPath", "server_name": "serverName"}


def node(plan: ExportPlan) -> Exported:
    """An ECMAScript module that lists the collections."""
    profile, endpoint, tls = plan.profile, plan.endpoint, plan.tls
    options = {"address": quoted(endpoint.authority), "ssl": "true" if endpoint.tls else "false"}
    secret = plan.secret
    if isinstance(secret, FromVariable):
        options["token"] = f"process.env[{quoted(secret.name)}]"
    elif isinstance(secret, FromFile):
        options["token"] = f'readFileSync({quoted(secret.path)}, "utf8").replace(/\\n$/, "")'
    elif isinstance(secret, SecretText):
        options["token"] = quoted(secret.reveal())
    if profile.db_name is not None:
        options["database"] = quoted(profile.db_name)
    options["timeout"] = str(round(profile.timeout * 1000))
    if tls is not None and (table := {name: getattr(tls, name) for name in _TLS if getattr(tls, name) is not None}):
        inner = ", ".join(f"{_TLS[name]}: {quoted(value)}" for name, value in table.items())
        options["tls"] = f"{{ {inner} }}"
    # Without a proxy in the profile there is none, whatever the environment says.
    options["channelOptions"] = '{ "grpc.enable_http_proxy": 0 }'
    gaps = []
    if profile.proxy is not None:
        gaps.append("the Node.js SDK has no option for a proxy: its gRPC reads the variable grpc_proxy")
        del options["channelOptions"]
    lines = [
        *plan.header("//", "npm install @zilliz/milvus2-sdk-node", "node program.mjs"),
        *(['import { readFileSync } from "node:fs";'] if isinstance(secret, FromFile) else []),
        'import { MilvusClient } from "@zilliz/milvus2-sdk-node";',
        "",
        *_check(secret),
        "const client = new MilvusClient({",
        *(f"  {name}: {value}," for name, value in options.items()),
        "});",
        "await client.connectPromise;",
        "const response = await client.showCollections();",
        "if (response.status.code || response.status.error_code !== 'Success') {",
        "  throw new Error(response.status.reason);",
        "}",
        "console.log(response.data.map((collection) => collection.name));",
        "await client.closeConnection();",
    ]
    return Exported("\n".join(lines) + "\n", tuple(gaps))


def _check(secret: object) -> list[str]:
    # An undefined token would connect without one.
    if not isinstance(secret, FromVariable):
        return []
    return [
        f"if (!process.env[{quoted(secret.name)}]) {{",
        f"  throw new Error({quoted(f'the variable {secret.name} is not set')});",
        "}",
    ]
