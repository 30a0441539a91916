// A pod that is known by something outside the cluster, here a balancer with a list of its own. This file
// is the app. With -register it is the controller that keeps the balancer's list (register.go, the part to
// copy), with -balance a balancer (balance.go, in place of the one that you have).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	register := flag.Bool("register", false, "be the controller: keep the balancer's list and set the pods' condition")
	balance := flag.String("balance", "", "be a balancer: clients at this address")
	list := flag.String("list", ":8082", "where the balancer's list is, as HTTP")
	lag := flag.Duration("lag", 10*time.Second, "how long the balancer sends more after it was told to stop")
	flag.Parse()
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	switch {
	case *register:
		keepList(stop)
	case *balance != "":
		log.Fatal(newBalancer(*lag).serve(*balance, *list))
	default:
		serve(stop)
	}
}

// serve answers until SIGTERM, and then finishes what is under way.
func serve(stop context.Context) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, env("HOSTNAME", "app"))
	})
	server := &http.Server{Addr: ":8080", Handler: mux}
	go func() {
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			log.Fatal(err)
		}
	}()
	<-stop.Done()
	limit, _ := strconv.Atoi(env("SHUTDOWN_SECONDS", "5"))
	ctx, done := context.WithTimeout(context.Background(), time.Duration(limit)*time.Second)
	defer done()
	if err := server.Shutdown(ctx); err != nil {
		log.Print("shutdown: ", err)
	}
}

func env(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}
