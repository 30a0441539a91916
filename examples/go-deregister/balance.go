package main

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

// newBalancer is a balancer as clouds have them: it has a list of its own, does not know what a pod is, and
// sends more to a backend for some time after it was told to stop.
func newBalancer(lag time.Duration) *balancer {
	return &balancer{lag: lag, backends: map[string]*backend{}}
}

type balancer struct {
	lag time.Duration

	mu       sync.Mutex
	backends map[string]*backend
	turn     int
}

type backend struct {
	address string
	leaving time.Time // Zero while it is wanted.
	flight  int
}

func (b *balancer) serve(clients, list string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /backends", b.names)
	mux.HandleFunc("PUT /backends/{name}", b.put)
	mux.HandleFunc("DELETE /backends/{name}", b.remove)
	failed := make(chan error, 2)
	go func() { failed <- http.ListenAndServe(list, mux) }()
	go func() { failed <- http.ListenAndServe(clients, http.HandlerFunc(b.forward)) }()
	return <-failed
}

// forward sends a request to the next backend, and says nothing of how that went but to the client.
func (b *balancer) forward(w http.ResponseWriter, r *http.Request) {
	to := b.next()
	if to == nil {
		http.Error(w, "no backend", http.StatusServiceUnavailable)
		return
	}
	defer b.done(to)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: to.address})
	proxy.Transport = transport
	proxy.ServeHTTP(w, r)
}

// A connection for each request: the balancer's own are not what this example is about.
var transport = &http.Transport{DisableKeepAlives: true}

func (b *balancer) next() *backend {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []*backend
	for _, one := range b.backends {
		if one.leaving.IsZero() || time.Since(one.leaving) < b.lag {
			all = append(all, one)
		}
	}
	if len(all) == 0 {
		return nil
	}
	b.turn++
	to := all[b.turn%len(all)]
	to.flight++
	return to
}

func (b *balancer) done(one *backend) {
	b.mu.Lock()
	defer b.mu.Unlock()
	one.flight--
}

func (b *balancer) names(w http.ResponseWriter, _ *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	names := []string{}
	for name := range b.backends {
		names = append(names, name)
	}
	_ = json.NewEncoder(w).Encode(names)
}

func (b *balancer) put(w http.ResponseWriter, r *http.Request) {
	address, err := io.ReadAll(io.LimitReader(r.Body, 100))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	one := b.backends[r.PathValue("name")]
	if one == nil || one.address != string(address) {
		one = &backend{address: string(address)}
		b.backends[r.PathValue("name")] = one
	}
	one.leaving = time.Time{}
}

// remove is 202 as long as the backend may get something or has something under way, and then 404.
func (b *balancer) remove(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	name := r.PathValue("name")
	one := b.backends[name]
	switch {
	case one == nil:
		w.WriteHeader(http.StatusNotFound)
	case one.leaving.IsZero():
		one.leaving = time.Now()
		w.WriteHeader(http.StatusAccepted)
	case time.Since(one.leaving) < b.lag || one.flight > 0:
		w.WriteHeader(http.StatusAccepted)
	default:
		log.Printf("%s: off the list", name)
		delete(b.backends, name)
		w.WriteHeader(http.StatusNotFound)
	}
}
