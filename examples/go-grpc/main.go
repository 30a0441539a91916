// A gRPC server that shuts down as grpc-go's manual says, and answers a drain's notice with GOAWAY (drain.go).
// It serves grpc-go's own test service, so that no code has to be generated here. With -call it is a
// client: one connection, calls and streams on it, and a count of what failed.
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
)

func main() {
	address := flag.String("call", "", "be a client of this address until SIGTERM")
	flag.Parse()
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	if *address != "" {
		call(stop, *address)
		return
	}

	listener, err := net.Listen("tcp", ":8080")
	if err != nil {
		log.Fatal(err)
	}
	ready := health.NewServer()
	door := open(listener, func(options ...grpc.ServerOption) *grpc.Server {
		server := grpc.NewServer(options...)
		testpb.RegisterTestServiceServer(server, service{})
		grpc_health_v1.RegisterHealthServer(server, ready)
		return server
	})
	http.Handle("/drain", door)
	go func() { log.Fatal(http.ListenAndServe(":9000", nil)) }()

	<-stop.Done()
	ready.Shutdown() // NOT_SERVING, for those that balance by it.
	limit := seconds(os.Getenv("SHUTDOWN_SECONDS"), 5*time.Second)
	if door.stop(limit) {
		log.Print("shutdown: clean")
	} else {
		log.Printf("shutdown: calls cut after %s", limit)
	}
}

type service struct {
	testpb.UnimplementedTestServiceServer
}

func (service) EmptyCall(context.Context, *testpb.Empty) (*testpb.Empty, error) {
	return &testpb.Empty{}, nil
}

func (service) UnaryCall(_ context.Context, r *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	return &testpb.SimpleResponse{Payload: r.GetPayload()}, nil
}

// StreamingOutputCall sends as many messages as were asked for, each after its own pause.
func (service) StreamingOutputCall(
	r *testpb.StreamingOutputCallRequest,
	stream grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse],
) error {
	for _, each := range r.GetResponseParameters() {
		select {
		case <-time.After(time.Duration(each.GetIntervalUs()) * time.Microsecond):
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
		payload := &testpb.Payload{Body: make([]byte, max(0, min(each.GetSize(), 1<<20)))}
		if err := stream.Send(&testpb.StreamingOutputCallResponse{Payload: payload}); err != nil {
			return err
		}
	}
	return nil
}

// seconds reads a number of seconds, 0 to 600, or returns the fallback.
func seconds(text string, fallback time.Duration) time.Duration {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || n > 600 {
		return fallback
	}
	return time.Duration(n * float64(time.Second))
}
