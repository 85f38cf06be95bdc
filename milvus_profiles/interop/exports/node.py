"""A program for Node.js, ``@zilliz/milvus2-sdk-node``.

Its option ``tls`` takes the paths of PEM files; a path in the address is not read, so the database is a parameter.
"""

from __future__ import annotations

from .plan import Exported, ExportPlan, FromFile, FromVariable, exported
from .quoting import javascript as quoted

__all__ = ["node"]

_TLS = {"ca": "rootCertPath", "key": "privateKeyPath", "cert": "certChainPath", "server_name": "serverName"}


def node(plan: ExportPlan) -> Exported:
    """An ECMAScript module that lists the collections."""
    profile, endpoint = plan.profile, plan.endpoint
    options = {"address": quoted(endpoint.authority), "ssl": "true" if endpoint.tls else "false"}
    token = plan.secret_as(
        variable=lambda name: f"process.env[{quoted(name)}]",
        file=lambda path: f'readFileSync({quoted(path)}, "utf8").replace(/\\n$/, "")',
        literal=quoted,
    )
    if token is not None:
        options["token"] = token
    if profile.db_name is not None:
        options["database"] = quoted(profile.db_name)
    options["timeout"] = str(round(profile.timeout * 1000))
    if tls := [
        f"{_TLS[name]}: {quoted(value)}" for name in _TLS if (value := getattr(plan.tls, name, None)) is not None
    ]:
        options["tls"] = f"{{ {', '.join(tls)} }}"
    gaps = []
    if profile.proxy is None:
        # Without a proxy in the profile there is none, whatever the environment says.
        options["channelOptions"] = '{ "grpc.enable_http_proxy": 0 }'
    else:
        gaps.append("the Node.js SDK has no option for a proxy: its gRPC reads the variable grpc_proxy")
    check = []
    if isinstance(plan.secret, FromVariable):
        # An undefined token would connect without one.
        check += [
            f"if (!{token}) {{",
            f"  throw new Error({quoted(f'the variable {plan.secret.name} is not set')});",
            "}",
        ]
    lines = [
        *plan.header("//", "npm install @zilliz/milvus2-sdk-node", "node program.mjs"),
        *(['import { readFileSync } from "node:fs";'] if isinstance(plan.secret, FromFile) else []),
        'import { MilvusClient } from "@zilliz/milvus2-sdk-node";',
        "",
        *check,
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
    return exported(lines, gaps)
