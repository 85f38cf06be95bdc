"""A program for Go, ``github.com/milvus-io/milvus/client/v2``.

The client's own TLS switch trusts the system's certificates only; anything else is a dial option of gRPC, which comes
after the client's and wins.
"""

from __future__ import annotations

from ...masked import SecretText
from .plan import Exported, ExportPlan, FromFile, FromVariable
from .quoting import go as quoted

__all__ = ["go"]


def go(plan: ExportPlan) -> Exported:
    """A ``main.go`` that lists the collections."""
    secret, tls = plan.secret, plan.tls
    needs_tls = tls is not None and (tls.ca, tls.cert, tls.server_name) != (None, None, None)
    imports = ['"context"', '"fmt"', '"log"', '"time"']
    body: list[str] = []
    if isinstance(secret, FromVariable):
        imports.append('"os"')
        body += [f"token := os.Getenv({quoted(secret.name)})", 'if token == "" {']
        body += [f"\tlog.Fatal({quoted(f'the variable {secret.name} is not set')})", "}"]
    elif isinstance(secret, FromFile):
        imports += ['"os"', '"strings"']
        body += [f"content, err := os.ReadFile({quoted(secret.path)})", *_FATAL]
        body.append('token := strings.TrimSuffix(string(content), "\\n")')
    gaps = []
    # Appended to a copy: the client's own list is shared.
    body.append("options := append([]grpc.DialOption{}, milvusclient.DefaultGrpcOpts...)")
    if plan.profile.proxy is None:
        body.append("options = append(options, grpc.WithNoProxy())")
    else:
        gaps.append("the Go client has no option for a proxy: gRPC reads the variable HTTPS_PROXY")
    if needs_tls:
        imports.append('"crypto/tls"')
        body += _tls(plan, imports)
    fields = {"Address": quoted(plan.endpoint.authority)}
    if plan.endpoint.tls:
        fields["EnableTLSAuth"] = "true"
    if isinstance(secret, SecretText):
        fields["APIKey"] = quoted(secret.reveal())
    elif secret is not None:
        fields["APIKey"] = "token"  # sent as it is, so it may be user:password as well
    if plan.profile.db_name is not None:
        fields["DBName"] = quoted(plan.profile.db_name)
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
    return Exported("\n".join(lines) + "\n", tuple(gaps))


_FATAL = ["if err != nil {", "\tlog.Fatal(err)", "}"]


def _tls(plan: ExportPlan, imports: list[str]) -> list[str]:
    tls = plan.tls
    assert tls is not None
    body = [f"secure := &tls.Config{{ServerName: {quoted(tls.server_name or plan.endpoint.host)}}}"]
    if tls.ca is not None:
        imports.append('"crypto/x509"')
        if '"os"' not in imports:
            imports.append('"os"')
        body += [f"authority, err := os.ReadFile({quoted(tls.ca)})", *_FATAL]
        body += ["secure.RootCAs = x509.NewCertPool()", "if !secure.RootCAs.AppendCertsFromPEM(authority) {"]
        body += [f"\tlog.Fatal({quoted('no certificate in ' + tls.ca)})", "}"]
    if tls.cert is not None and tls.key is not None:
        body += [f"pair, err := tls.LoadX509KeyPair({quoted(tls.cert)}, {quoted(tls.key)})", *_FATAL]
        body.append("secure.Certificates = []tls.Certificate{pair}")
    body.append("options = append(options, grpc.WithTransportCredentials(credentials.NewTLS(secure)))")
    return body
