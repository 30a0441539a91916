// An ordinary net/http server that shuts down as the manual says, plus ten lines (drain, below) that
// answer a drain's notice. It does not know that it runs in Kubernetes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

var inFlight atomic.Int64

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", hello)
	mux.HandleFunc("POST /{$}", echo)
	mux.HandleFunc("POST /slow", slow)
	mux.HandleFunc("GET /stream", stream)
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})

	server := &http.Server{Addr: ":8080", Handler: signed(drain(mux))}

	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		log.Fatal(err)
	case <-stop.Done():
	}

	limit := seconds(os.Getenv("SHUTDOWN_SECONDS"), 5*time.Second)
	ctx, done := context.WithTimeout(context.Background(), limit)
	defer done()
	if err := server.Shutdown(ctx); err != nil && !errors.Is(err, http.ErrServerClosed) {
		log.Printf("shutdown: %d requests cut after %s", inFlight.Load(), limit)
		return
	}
	log.Print("shutdown: clean")
}

// drain answers notify: POST when a drain begins, DELETE when it is cancelled. In between, every answer
// says "Connection: close", so that clients leave between two requests and never within one.
// (SetKeepAlivesEnabled(false) would close idle connections at once, with a request on its way now
// and then: the very race that this avoids.)
func drain(next http.Handler) http.Handler {
	var draining atomic.Bool
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/drain" {
			draining.Store(r.Method == http.MethodPost)
			return
		}
		if draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

func hello(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, "hello from version %s\n", os.Getenv("VERSION"))
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = w.Write(body)
}

// slow echoes what was posted, after 8 s or ?seconds=.
func slow(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	select {
	case <-time.After(seconds(r.FormValue("seconds"), 8*time.Second)):
		_, _ = w.Write(body)
	case <-r.Context().Done():
	}
}

// stream sends a numbered line every 100 ms for 20 s or ?seconds=, and a last line "end".
func stream(w http.ResponseWriter, r *http.Request) {
	end := time.After(seconds(r.FormValue("seconds"), 20*time.Second))
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		fmt.Fprintln(w, n)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-tick.C:
		case <-end:
			fmt.Fprintln(w, "end")
			return
		case <-r.Context().Done():
			return
		}
	}
}

// signed counts requests in flight and names the pod in every answer.
func signed(next http.Handler) http.Handler {
	pod, _ := os.Hostname()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inFlight.Add(1)
		defer inFlight.Add(-1)
		w.Header().Set("X-Pod", pod)
		next.ServeHTTP(w, r)
	})
}

// seconds reads a number of seconds, 0 to 600, or returns the fallback.
func seconds(text string, fallback time.Duration) time.Duration {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || n > 600 {
		return fallback
	}
	return time.Duration(n * float64(time.Second))
}
