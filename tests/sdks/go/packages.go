// What an exported program may import, and the server of test_keepalive.py: building this fills the caches, so that
// they build without a network.
package main

import (
	_ "crypto/tls"
	_ "crypto/x509"
	_ "fmt"
	_ "log"
	_ "net"
	_ "os"
	_ "time"

	_ "github.com/milvus-io/milvus/client/v2/milvusclient"
	_ "google.golang.org/grpc"
	_ "google.golang.org/grpc/credentials"
	_ "google.golang.org/grpc/keepalive"
	_ "google.golang.org/grpc/peer"
	_ "google.golang.org/protobuf/types/known/emptypb"
	_ "google.golang.org/protobuf/types/known/wrapperspb"
)

func main() {}
