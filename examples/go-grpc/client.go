package main

import (
	"context"
	"io"
	"log"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
)

// call keeps four kinds of callers busy on one connection until stop, and exits 1 where a call failed.
func call(stop context.Context, address string) {
	conn, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		log.Fatal(err)
	}
	client := testpb.NewTestServiceClient(conn)
	var calls, streams tally
	var callers sync.WaitGroup
	each := func(seen *tally, pause time.Duration, work func(context.Context) error) {
		callers.Go(func() {
			for stop.Err() == nil {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				seen.made.Add(1)
				if err := work(ctx); err != nil {
					seen.lost.Add(1)
					log.Print(err)
				}
				cancel()
				time.Sleep(pause)
			}
		})
	}
	for range 4 {
		each(&calls, 50*time.Millisecond, func(ctx context.Context) error {
			_, err := client.EmptyCall(ctx, &testpb.Empty{})
			return err
		})
	}
	each(&calls, 100*time.Millisecond, func(ctx context.Context) error {
		_, err := client.UnaryCall(ctx, &testpb.SimpleRequest{Payload: &testpb.Payload{Body: make([]byte, 20_000)}})
		return err
	})
	each(&calls, 0, func(ctx context.Context) error { return stream(ctx, client, 1, 4*time.Second) })
	each(&streams, 0, func(ctx context.Context) error { return stream(ctx, client, 200, 100*time.Millisecond) })
	callers.Wait()
	log.Printf("calls %d, calls lost %d, streams %d, streams lost %d",
		calls.made.Load(), calls.lost.Load(), streams.made.Load(), streams.lost.Load())
	if calls.lost.Load()+streams.lost.Load() > 0 {
		os.Exit(1)
	}
}

type tally struct{ made, lost atomic.Int64 }

// stream asks for so many messages, each after the pause, and reads them to the end.
func stream(ctx context.Context, client testpb.TestServiceClient, messages int, pause time.Duration) error {
	request := &testpb.StreamingOutputCallRequest{}
	for range messages {
		request.ResponseParameters = append(request.ResponseParameters,
			&testpb.ResponseParameters{Size: 100, IntervalUs: int32(pause.Microseconds())})
	}
	answers, err := client.StreamingOutputCall(ctx, request)
	if err != nil {
		return err
	}
	for seen := 0; ; seen++ {
		switch _, err := answers.Recv(); {
		case err == io.EOF && seen == messages:
			return nil
		case err == io.EOF:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
}
