// A queue worker on a Redis list: it takes jobs while it may, and finishes what it took. A job that it
// does not finish stays in its own list of jobs under way, for others to take up. With -push it is a
// client that adds jobs and counts which were done.
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
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	waiting = "jobs"
	done    = "done"
	// What a worker took and has not finished: "doing:" and its pod's name.
	doing = "doing:"
)

func main() {
	push := flag.Int("push", 0, "add so many jobs, or fewer until SIGTERM, and count those that are left behind")
	flag.Parse()
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	store := redis.NewClient(&redis.Options{Addr: env("REDIS", "redis:6379")})
	defer store.Close()
	if *push > 0 {
		add(stop, store, *push)
		return
	}

	w := &worker{store: store, name: env("HOSTNAME", "worker")}
	http.HandleFunc("/drain", w.drain)
	http.HandleFunc("GET /metrics", w.metrics)
	http.HandleFunc("GET /idle", w.idle)
	go func() { log.Fatal(http.ListenAndServe(":8080", nil)) }()

	hands, _ := strconv.Atoi(env("HANDS", "32"))
	work, abandon := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for range max(hands, 1) {
		all.Go(func() { w.work(stop, work) })
	}
	<-stop.Done()
	limit := time.AfterFunc(seconds(os.Getenv("SHUTDOWN_SECONDS"), 5*time.Second), func() {
		log.Printf("shutdown: %d jobs cut", w.running.Load())
		abandon()
	})
	all.Wait()
	if limit.Stop() {
		log.Print("shutdown: clean")
	}
}

type worker struct {
	store    *redis.Client
	name     string
	draining atomic.Bool
	running  atomic.Int64
}

// drain answers notify: POST when a drain begins, DELETE when it is cancelled.
func (w *worker) drain(_ http.ResponseWriter, r *http.Request) {
	w.draining.Store(r.Method == http.MethodPost)
}

// metrics says how many jobs run, for `metric`. A job counts from before it is taken, so that none is
// on its way while this says 0.
func (w *worker) metrics(out http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(out, "# TYPE worker_jobs_running gauge\nworker_jobs_running{queue=%q} %d\n", waiting, w.running.Load())
}

// idle says the same by its status, for `httpGet`.
func (w *worker) idle(out http.ResponseWriter, _ *http.Request) {
	if w.running.Load() > 0 {
		out.WriteHeader(http.StatusServiceUnavailable)
	}
}

// work takes one job after another until stop.
func (w *worker) work(stop, work context.Context) {
	for stop.Err() == nil {
		if w.draining.Load() || !w.one(work) {
			pause(stop, 100*time.Millisecond)
		}
	}
}

// one takes a job if there is one, and does it. A job is a name and its milliseconds: "42 1500".
func (w *worker) one(work context.Context) bool {
	w.running.Add(1)
	defer w.running.Add(-1)
	if w.draining.Load() {
		return false // Told between the question above and the count.
	}
	// Not bound to stop: an answer that nobody waits for would be a job taken and forgotten.
	job, err := w.store.LMove(context.Background(), waiting, doing+w.name, "RIGHT", "LEFT").Result()
	if err != nil {
		if !errors.Is(err, redis.Nil) {
			log.Print(err)
		}
		return false
	}
	var name string
	var millis int
	if _, err := fmt.Sscan(job, &name, &millis); err != nil {
		log.Printf("job %q: %v", job, err)
	}
	pause(work, time.Duration(millis)*time.Millisecond)
	if work.Err() != nil {
		return true
	}
	_, err = w.store.TxPipelined(context.Background(), func(all redis.Pipeliner) error {
		all.LRem(context.Background(), doing+w.name, 1, job)
		all.RPush(context.Background(), done, job)
		return nil
	})
	if err != nil {
		log.Print(err)
	}
	return true
}

// add pushes jobs of 0.2 and 8 s, ten a second, and exits 1 where one was left behind or done twice.
func add(stop context.Context, store *redis.Client, most int) {
	ctx, count := context.Background(), 0
	for ; count < most && stop.Err() == nil; count++ {
		millis := 200
		if count%2 == 0 {
			millis = 8000
		}
		if err := store.LPush(ctx, waiting, fmt.Sprintf("%d %d", count, millis)).Err(); err != nil {
			log.Fatal(err)
		}
		pause(stop, 100*time.Millisecond)
	}
	// What was not done for longer than any job takes was left behind.
	for n, since := int64(0), time.Now(); n < int64(count) && time.Since(since) < 12*time.Second; {
		pause(ctx, 100*time.Millisecond)
		if all := store.LLen(ctx, done).Val(); all > n {
			n, since = all, time.Now()
		}
	}
	finished := map[string]bool{}
	all, err := store.LRange(ctx, done, 0, -1).Result()
	if err != nil {
		log.Fatal(err)
	}
	for _, job := range all {
		finished[job] = true
	}
	log.Printf("jobs %d, lost %d, twice %d", count, count-len(finished), len(all)-len(finished))
	if len(finished) < count || len(all) > len(finished) {
		os.Exit(1)
	}
}

func pause(ctx context.Context, length time.Duration) {
	select {
	case <-time.After(length):
	case <-ctx.Done():
	}
}

func env(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}

// seconds reads a number of seconds, 0 to 600, or returns the fallback.
func seconds(text string, fallback time.Duration) time.Duration {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || n > 600 {
		return fallback
	}
	return time.Duration(n * float64(time.Second))
}
