// What an exported program may import: building this fills the caches, so that the programs build without a network.
package main

import (
	_ "crypto/tls"
	_ "crypto/x509"
	_ "fmt"
	_ "log"

	_ "github.com/milvus-io/milvus/client/v2/milvusclient"
	_ "google.golang.org/grpc"
	_ "google.golang.org/grpc/credentials"
)

func main() {}
