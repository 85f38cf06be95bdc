"""A program for Java, ``io.milvus:milvus-sdk-java`` with its V2 client.

That client lets a database in the uri win over the parameter and takes 19530 for https without a port, so both are
always written.  One-way TLS is ``serverPemPath``, mutual TLS three paths (``io.milvus.v2.utils.ClientUtils``).
"""

from __future__ import annotations

import contextlib

from ...files.regular_file import PEM_LIMIT, FileFault, read_regular
from .plan import Exported, ExportPlan, FromFile, FromVariable, exported
from .quoting import java as quoted

__all__ = ["java"]


def java(plan: ExportPlan) -> Exported:
    """A ``MilvusProfile.java`` that lists the collections; ``java MilvusProfile.java`` runs it as it is."""
    profile = plan.profile
    gaps: list[str] = []
    options = [f".uri({quoted(plan.endpoint.uri)})"]
    imports = ["io.milvus.v2.client.ConnectConfig", "io.milvus.v2.client.MilvusClientV2"]
    body: list[str] = []
    if isinstance(plan.secret, FromVariable):
        body += [
            f"String token = System.getenv({quoted(plan.secret.name)});",
            "if (token == null || token.isEmpty()) {",
            f"    throw new IllegalStateException({quoted(f'the variable {plan.secret.name} is not set')});",
            "}",
        ]
    elif isinstance(plan.secret, FromFile):
        imports += ["java.nio.file.Files", "java.nio.file.Path"]
        body.append(
            f'String token = Files.readString(Path.of({quoted(plan.secret.path)})).replaceFirst("\\n\\\\z", "");'
        )
    token = plan.secret_as(variable=lambda _: "token", file=lambda _: "token", literal=quoted)
    if token is not None:
        options.append(f".token({token})")
    if profile.db_name is not None:
        options.append(f".dbName({quoted(profile.db_name)})")
    options.append(f".connectTimeoutMs({round(profile.timeout * 1000)}L)")
    options += _tls(plan, gaps)
    if profile.proxy is not None:
        options.append(f".proxyAddress({quoted(profile.proxy.removeprefix('http://').rstrip('/'))})")
    needs = "io.milvus:milvus-sdk-java and an SLF4J, such as org.slf4j:slf4j-nop, in lib/"
    lines = [
        *plan.header("//", needs, "java -cp 'lib/*' MilvusProfile.java"),
        *(f"import {name};" for name in sorted(imports)),
        "",
        "public class MilvusProfile {",
        "    public static void main(String[] args) throws Exception {",
        *(f"        {line}" for line in body),
        "        ConnectConfig config = ConnectConfig.builder()",
        *(f"                {option}" for option in options),
        "                .build();",
        "        MilvusClientV2 client = new MilvusClientV2(config);",
        "        System.out.println(client.listCollections().getCollectionNames());",
        "        client.close();",
        "    }",
        "}",
    ]
    return exported(lines, gaps)


def _tls(plan: ExportPlan, gaps: list[str]) -> list[str]:
    tls = plan.tls
    if tls is None:
        return []
    options = [".secure(true)"]
    if tls.cert is not None and tls.key is not None and tls.ca is not None:
        options += [
            f".caPemPath({quoted(tls.ca)})",
            f".clientPemPath({quoted(tls.cert)})",
            f".clientKeyPath({quoted(tls.key)})",
        ]
        if _is_traditional(tls.key):
            gaps.append(
                "the Java SDK reads private keys in PKCS#8 only: convert ssl.key with `openssl pkcs8 -topk8 -nocrypt`"
            )
    elif tls.cert is not None:
        gaps.append("the Java SDK takes a client certificate only together with a CA: set ssl.ca")
    elif tls.ca is not None:
        options.append(f".serverPemPath({quoted(tls.ca)})")
    if tls.server_name is not None:
        options.append(f".serverName({quoted(tls.server_name)})")
    elif tls.ca is not None and tls.cert is None:
        # With serverPemPath it is not optional: the client passes it on although it is null.
        options.append(f".serverName({quoted(plan.endpoint.host)})")
    return options


def _is_traditional(path: str) -> bool:
    """Whether a PEM file holds a key in the older forms of OpenSSL, such as ``BEGIN EC PRIVATE KEY``."""
    with contextlib.suppress(FileFault):
        content = read_regular(path, PEM_LIMIT).content
        return any(b"-----BEGIN " + kind + b" PRIVATE KEY-----" in content for kind in (b"RSA", b"EC", b"DSA"))
    return False
