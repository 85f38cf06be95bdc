"""A program for Go, ``github.com/milvus-io/milvus/client/v2``.

The client's own TLS switch trusts the system's certificates only; anything else is a dial option of gRPC, which comes
after the client's and wins.
"""

from __future__ import annotations

from .plan import Exported, ExportPlan, FromFile, FromVariable, exported
from .quoting import go as quoted

__all__ = ["go"]


def go(plan: ExportPlan) -> Exported:
    """A ``main.go`` that lists the collections."""
    tls = plan.tls
    needs_tls = tls is not None and (tls.ca, tls.cert, tls.server_name) != (None, None, None)
    imports = {'"context"', '"fmt"', '"log"', '"time"'}
    body: list[str] = []
    if isinstance(plan.secret, FromVariable):
        imports.add('"os"')
        body += [f"token := os.Getenv({quoted(plan.secret.name)})", 'if token == "" {']
        body += [f"\tlog.Fatal({quoted(f'the variable {plan.secret.name} is not set')})", "}"]
    elif isinstance(plan.secret, FromFile):
        imports |= {'"os"', '"strings"'}
        body += [f"content, err := os.ReadFile({quoted(plan.secret.path)})", *_FATAL]
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
        body += _tls(plan, imports)
    fields = {"Address": quoted(plan.endpoint.authority)}
    if plan.endpoint.tls:
        fields["EnableTLSAuth"] = "true"
    # Sent as it is, so it may be user:password as well.
    token = plan.secret_as(variable=lambda _: "token", file=lambda _: "token", literal=quoted)
    if token is not None:
        fields["APIKey"] = token
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
    return exported(lines, gaps)


_FATAL = ["if err != nil {", "\tlog.Fatal(err)", "}"]


def _tls(plan: ExportPlan, imports: set[str]) -> list[str]:
    tls = plan.tls
    assert tls is not None
    body = [f"secure := &tls.Config{{ServerName: {quoted(tls.server_name or plan.endpoint.host)}}}"]
    if tls.ca is not None:
        imports |= {'"crypto/x509"', '"os"'}
        body += [f"authority, err := os.ReadFile({quoted(tls.ca)})", *_FATAL]
        body += ["secure.RootCAs = x509.NewCertPool()", "if !secure.RootCAs.AppendCertsFromPEM(authority) {"]
        body += [f"\tlog.Fatal({quoted('no certificate in ' + tls.ca)})", "}"]
    if tls.cert is not None and tls.key is not None:
        body += [f"pair, err := tls.LoadX509KeyPair({quoted(tls.cert)}, {quoted(tls.key)})", *_FATAL]
        body.append("secure.Certificates = []tls.Certificate{pair}")
    body.append("options = append(options, grpc.WithTransportCredentials(credentials.NewTLS(secure)))")
    return body
