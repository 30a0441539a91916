// An HTTP server on PostgreSQL. On SIGTERM it ends in order: requests first, then the pool that they use,
// so that no request finds it closed and the database sees each connection end as it should.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

func main() {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	pool, err := pgxpool.New(context.Background(), os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", ask(pool, 0))
	mux.HandleFunc("POST /slow", ask(pool, 8*time.Second))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		if err := pool.Ping(r.Context()); err != nil {
			http.Error(w, "no database", http.StatusServiceUnavailable)
		}
	})
	server := &http.Server{Addr: ":8080", Handler: drain(mux)}
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
		log.Printf("shutdown: requests cut after %s", limit)
		_ = server.Close()
	}
	// After the requests: Close waits for every connection that one of them still has, then tells the
	// database goodbye on each.
	pool.Close()
	log.Print("shutdown: pool closed")
}

// ask answers from the database, after a pause there or ?seconds=.
func ask(pool *pgxpool.Pool, pause time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		length := seconds(r.FormValue("seconds"), pause).Seconds()
		var at time.Time
		err := pool.QueryRow(r.Context(), "SELECT now() FROM pg_sleep($1)", length).Scan(&at)
		if err != nil {
			log.Print(err)
			http.Error(w, "the database did not answer", http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, at.Format(time.RFC3339))
	}
}

// drain answers notify, as in go-net-http.
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

// seconds reads a number of seconds, 0 to 600, or returns the fallback.
func seconds(text string, fallback time.Duration) time.Duration {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || n > 600 {
		return fallback
	}
	return time.Duration(n * float64(time.Second))
}
