// An HTTP server on PostgreSQL. On SIGTERM it ends in order: requests first, then the pool that they use,
// so that no request finds it closed and the database sees each connection end as it should.
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
	mux.HandleFunc("/{$}", ask(pool, 0))
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
	if os.Getenv("LEAVE_POOL_OPEN") != "" {
		// To see what is on record of a program that forgets its pool. Yours has no such switch.
		log.Print("shutdown: pool left open")
		return
	}
	// After the requests: Close waits for every connection that one of them still has, then tells the
	// database goodbye on each.
	pool.Close()
	log.Print("shutdown: pool closed")
}

// ask answers what was posted, by way of the database, after a pause there or ?seconds=.
func ask(pool *pgxpool.Pool, pause time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		words, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		length := seconds(r.URL.Query().Get("seconds"), pause).Seconds()
		var answer string
		query := "SELECT $1::text FROM pg_sleep($2)"
		if err := pool.QueryRow(r.Context(), query, string(words), length).Scan(&answer); err != nil {
			log.Print(err)
			http.Error(w, "the database did not answer", http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, answer)
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
