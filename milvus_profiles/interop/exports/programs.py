"""Programs that list the collections, in the languages that have an SDK: Python, Node.js, Go and Java."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

from ...channel.pymilvus_client import client_arguments
from ...files.regular_file import PEM_LIMIT, FileFault, read_regular
from ...profile import SSL
from .plan import NO_IPV6, Exported, ExportPlan, FromFile, FromVariable, exported
from .quoting import go as in_go
from .quoting import java as in_java
from .quoting import javascript as in_js
from .quoting import python

# --- pymilvus, and LangChain, which takes pymilvus's arguments --------------------------------------------------------

# Of the channel's options those that say where the connection goes; how it is kept is left to pymilvus.
_PYMILVUS_OPTIONS = ("grpc.enable_http_proxy", "grpc.http_proxy", "grpc.default_authority")


def pymilvus(plan: ExportPlan) -> Exported:
    found, gaps = _python_arguments(plan)
    lines = [
        *_python(plan, "pymilvus"),
        "from pymilvus import MilvusClient",
        "",
        "client = MilvusClient(",
        *(f"    {name}={value}," for name, value in found.items()),
        ")",
        "print(client.list_collections())",
        "client.close()",
    ]
    return exported(lines, gaps)


def langchain(plan: ExportPlan) -> Exported:
    """A program with the ``connection_args`` of LangChain's vector store, and a store to try them with."""
    found, gaps = _python_arguments(plan)
    lines = [
        *_python(plan, "langchain-milvus"),
        "from langchain_core.embeddings import DeterministicFakeEmbedding",
        "from langchain_milvus import Milvus",
        "",
        "connection_args = {",
        *(f"    {python(name)}: {value}," for name, value in found.items()),
        "}",
        "# Your own embeddings in place of these.",
        "store = Milvus(",
        "    embedding_function=DeterministicFakeEmbedding(size=8),",
        "    connection_args=connection_args,",
        ")",
        "print(store.client.list_collections())",
    ]
    return exported(lines, gaps)


def _python(plan: ExportPlan, package: str) -> list[str]:
    """How a program begins."""
    lines = plan.header("#", f"pip install {package}", "python program.py")
    if isinstance(plan.secret, FromVariable):
        lines += ["import os", ""]
    elif isinstance(plan.secret, FromFile):
        lines += ["from pathlib import Path", ""]
    return lines


def _python_arguments(plan: ExportPlan) -> tuple[dict[str, str], list[str]]:
    gaps = []
    profile, reach = plan.profile, plan.endpoint
    if ":" in reach.host:
        gaps.append(NO_IPV6)
        reach = replace(reach, host="localhost")
    if isinstance(profile.ssl, SSL) and profile.ssl.cert is not None and profile.ssl.ca is None:
        gaps.append("pymilvus takes a client certificate only together with a CA: set ssl.ca")
        profile = profile.model_copy(update={"ssl": profile.ssl.model_copy(update={"cert": None, "key": None})})
    arguments: dict[str, Any] = client_arguments(profile, reach) | {"uri": plan.endpoint.uri}
    options = arguments.pop("grpc_options", {})
    if kept := {name: options[name] for name in _PYMILVUS_OPTIONS if name in options}:
        arguments["grpc_options"] = kept
    found = {name: python(value) for name, value in arguments.items()}
    token = plan.secret_as(
        variable=lambda name: f"os.environ[{python(name)}]",
        file=lambda path: f'Path({python(path)}).read_text(encoding="utf-8").removesuffix("\\n")',
        literal=python,
    )
    return {"uri": found.pop("uri"), **({} if token is None else {"token": token}), **found}, gaps


# --- Node.js, ``@zilliz/milvus2-sdk-node`` ----------------------------------------------------------------------------
#
# Its option ``tls`` takes the paths of PEM files; a path in the address is not read, so the database is a parameter.

_NODE_TLS = {"ca": "rootCertPath", "key": "privateKeyPath", "cert": "certChainPath", "server_name": "serverName"}


def node(plan: ExportPlan) -> Exported:
    profile, endpoint = plan.profile, plan.endpoint
    options = {"address": in_js(endpoint.authority), "ssl": "true" if endpoint.tls else "false"}
    token = plan.secret_as(
        variable=lambda name: f"process.env[{in_js(name)}]",
        file=lambda path: f'readFileSync({in_js(path)}, "utf8").replace(/\\n$/, "")',
        literal=in_js,
    )
    if token is not None:
        options["token"] = token
    if profile.db_name is not None:
        options["database"] = in_js(profile.db_name)
    options["timeout"] = str(round(profile.timeout * 1000))
    settings = {name: getattr(plan.tls, setting, None) for setting, name in _NODE_TLS.items()}
    if tls := [f"{name}: {in_js(value)}" for name, value in settings.items() if value is not None]:
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
            f"  throw new Error({in_js(f'the variable {plan.secret.name} is not set')});",
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


# --- Go, ``github.com/milvus-io/milvus/client/v2`` --------------------------------------------------------------------
#
# The client's own TLS switch trusts the system's certificates only; anything else is a dial option of gRPC, which comes
# after the client's and wins.


def go(plan: ExportPlan) -> Exported:
    tls = plan.tls
    needs_tls = tls is not None and (tls.ca, tls.cert, tls.server_name) != (None, None, None)
    imports = {'"context"', '"fmt"', '"log"', '"time"'}
    body: list[str] = []
    if isinstance(plan.secret, FromVariable):
        imports.add('"os"')
        body += [f"token := os.Getenv({in_go(plan.secret.name)})", 'if token == "" {']
        body += [f"\tlog.Fatal({in_go(f'the variable {plan.secret.name} is not set')})", "}"]
    elif isinstance(plan.secret, FromFile):
        imports |= {'"os"', '"strings"'}
        body += [f"content, err := os.ReadFile({in_go(plan.secret.path)})", *_FATAL]
        body.append('token := strings.TrimSuffix(string(content), "\\n")')
    gaps = []
    # Appended to a copy: the client's own list is shared.
    body.append("options := append([]grpc.DialOption{}, milvusclient.DefaultGrpcOpts...)")
    if plan.profile.proxy is None:
        body.append("options = append(options, grpc.WithNoProxy())")
    else:
        gaps.append("the Go client has no option for a proxy: gRPC reads the variable HTTPS_PROXY")
    if needs_tls:
        imports.add('"crypto/tls"')
        body += _go_tls(plan, imports)
    fields = {"Address": in_go(plan.endpoint.authority)}
    if plan.endpoint.tls:
        fields["EnableTLSAuth"] = "true"
    # Sent as it is, so it may be user:password as well.
    token = plan.secret_as(variable=lambda _: "token", file=lambda _: "token", literal=in_go)
    if token is not None:
        fields["APIKey"] = token
    if plan.profile.db_name is not None:
        fields["DBName"] = in_go(plan.profile.db_name)
    fields["DialOptions"] = "options"
    milliseconds = round(plan.profile.timeout * 1000)
    body += [
        f"ctx, cancel := context.WithTimeout(context.Background(), {milliseconds}*time.Millisecond)",
        "defer cancel()",
        "client, err := milvusclient.New(ctx, &milvusclient.ClientConfig{",
        *(f"\t{name}: {value}," for name, value in fields.items()),
        "})",
        *_FATAL,
        "defer client.Close(context.Background())",
        "names, err := client.ListCollections(ctx, milvusclient.NewListCollectionOption())",
        *_FATAL,
        "fmt.Println(names)",
    ]
    modules = ['"github.com/milvus-io/milvus/client/v2/milvusclient"', '"google.golang.org/grpc"']
    if needs_tls:
        modules.append('"google.golang.org/grpc/credentials"')
    lines = [
        *plan.header("//", "go get github.com/milvus-io/milvus/client/v2", "go run ."),
        "package main",
        "",
        "import (",
        *(f"\t{name}" for name in sorted(imports)),
        "",
        *(f"\t{name}" for name in modules),
        ")",
        "",
        "func main() {",
        *(f"\t{line}" for line in body),
        "}",
    ]
    return exported(lines, gaps)


_FATAL = ["if err != nil {", "\tlog.Fatal(err)", "}"]


def _go_tls(plan: ExportPlan, imports: set[str]) -> list[str]:
    tls = plan.tls
    assert tls is not None
    body = [f"secure := &tls.Config{{ServerName: {in_go(tls.server_name or plan.endpoint.host)}}}"]
    if tls.ca is not None:
        imports |= {'"crypto/x509"', '"os"'}
        body += [f"authority, err := os.ReadFile({in_go(tls.ca)})", *_FATAL]
        body += ["secure.RootCAs = x509.NewCertPool()", "if !secure.RootCAs.AppendCertsFromPEM(authority) {"]
        body += [f"\tlog.Fatal({in_go('no certificate in ' + tls.ca)})", "}"]
    if tls.cert is not None and tls.key is not None:
        body += [f"pair, err := tls.LoadX509KeyPair({in_go(tls.cert)}, {in_go(tls.key)})", *_FATAL]
        body.append("secure.Certificates = []tls.Certificate{pair}")
    body.append("options = append(options, grpc.WithTransportCredentials(credentials.NewTLS(secure)))")
    return body


# --- Java, ``io.milvus:milvus-sdk-java`` with its V2 client -----------------------------------------------------------
#
# That client lets a database in the uri win over the parameter and takes 19530 for https without a port, so both are
# always written.  One-way TLS is ``serverPemPath``, mutual TLS three paths (``io.milvus.v2.utils.ClientUtils``).


def java(plan: ExportPlan) -> Exported:
    """A ``MilvusProfile.java`` that lists the collections; ``java MilvusProfile.java`` runs it as it is."""
    profile = plan.profile
    gaps: list[str] = []
    options = [f".uri({in_java(plan.endpoint.uri)})"]
    imports = ["io.milvus.v2.client.ConnectConfig", "io.milvus.v2.client.MilvusClientV2"]
    body: list[str] = []
    if isinstance(plan.secret, FromVariable):
        body += [
            f"String token = System.getenv({in_java(plan.secret.name)});",
            "if (token == null || token.isEmpty()) {",
            f"    throw new IllegalStateException({in_java(f'the variable {plan.secret.name} is not set')});",
            "}",
        ]
    elif isinstance(plan.secret, FromFile):
        imports += ["java.nio.file.Files", "java.nio.file.Path"]
        body.append(
            f'String token = Files.readString(Path.of({in_java(plan.secret.path)})).replaceFirst("\\n\\\\z", "");'
        )
    token = plan.secret_as(variable=lambda _: "token", file=lambda _: "token", literal=in_java)
    if token is not None:
        options.append(f".token({token})")
    if profile.db_name is not None:
        options.append(f".dbName({in_java(profile.db_name)})")
    options.append(f".connectTimeoutMs({round(profile.timeout * 1000)}L)")
    options += _java_tls(plan, gaps)
    if profile.proxy is not None:
        options.append(f".proxyAddress({in_java(profile.proxy.removeprefix('http://').rstrip('/'))})")
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


def _java_tls(plan: ExportPlan, gaps: list[str]) -> list[str]:
    tls = plan.tls
    if tls is None:
        return []
    options = [".secure(true)"]
    if tls.cert is not None and tls.key is not None and tls.ca is not None:
        options += [
            f".caPemPath({in_java(tls.ca)})",
            f".clientPemPath({in_java(tls.cert)})",
            f".clientKeyPath({in_java(tls.key)})",
        ]
        if _is_traditional(tls.key):
            gaps.append(
                "the Java SDK reads private keys in PKCS#8 only: convert ssl.key with `openssl pkcs8 -topk8 -nocrypt`"
            )
    elif tls.cert is not None:
        gaps.append("the Java SDK takes a client certificate only together with a CA: set ssl.ca")
    elif tls.ca is not None:
        options.append(f".serverPemPath({in_java(tls.ca)})")
    if tls.server_name is not None:
        options.append(f".serverName({in_java(tls.server_name)})")
    elif tls.ca is not None and tls.cert is None:
        # With serverPemPath it is not optional: the client passes it on although it is null.
        options.append(f".serverName({in_java(plan.endpoint.host)})")
    return options


def _is_traditional(path: str) -> bool:
    """Whether a PEM file holds a key in the older forms of OpenSSL, such as ``BEGIN EC PRIVATE KEY``."""
    with contextlib.suppress(FileFault):
        content = read_regular(path, PEM_LIMIT).content
        return any(b"-----BEGIN " + kind + b" PRIVATE KEY-----" in content for kind in (b"RSA", b"EC", b"DSA"))
    return False
