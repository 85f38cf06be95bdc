// A gRPC server with the policy on pings that grpc-go has by default, only so many times faster.
//
// It prints its port. Whatever is called with a number of seconds is answered after them, with the address of the client.
package main

import (
	"fmt"
	"log"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func hold(_ any, stream grpc.ServerStream) error {
	var seconds wrapperspb.DoubleValue
	if err := stream.RecvMsg(&seconds); err != nil {
		return err
	}
	time.Sleep(time.Duration(seconds.GetValue() * float64(time.Second)))
	client, _ := peer.FromContext(stream.Context())
	return stream.SendMsg(wrapperspb.String(client.Addr.String()))
}

func main() {
	shortest, err := time.ParseDuration(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	policy := keepalive.EnforcementPolicy{MinTime: shortest}
	server := grpc.NewServer(grpc.KeepaliveEnforcementPolicy(policy), grpc.UnknownServiceHandler(hold))
	log.Fatal(server.Serve(listener))
}
