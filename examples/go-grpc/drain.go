package main

import (
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// door lets every connection in to the current server. GracefulStop is what sends GOAWAY, and it stops
// listening as well, while a late connection may still come: so the server is replaced.
type door struct {
	conns  chan net.Conn
	addr   net.Addr
	make   func(...grpc.ServerOption) *grpc.Server
	lock   sync.Mutex
	server *grpc.Server
	old    sync.WaitGroup // Servers before it, whose calls go on.
}

func open(listener net.Listener, make_ func(...grpc.ServerOption) *grpc.Server) *door {
	d := &door{conns: make(chan net.Conn), addr: listener.Addr(), make: make_}
	d.server = d.serve()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				log.Fatal(err)
			}
			d.conns <- conn
		}
	}()
	return d
}

func (d *door) serve(options ...grpc.ServerOption) *grpc.Server {
	server := d.make(options...)
	go func() {
		if err := server.Serve(&entrance{door: d, closed: make(chan struct{})}); err != nil {
			log.Print(err)
		}
	}()
	return server
}

// brief sends GOAWAY to each connection soon after it came: a node whose routes lag leads a client back here.
var brief = grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: 2 * time.Second})

// ServeHTTP answers notify: POST when a drain begins, DELETE when it is cancelled. Clients are sent
// elsewhere by GOAWAY, and their calls under way go on.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.lock.Lock()
	defer d.lock.Unlock()
	old := d.server
	if r.Method == http.MethodPost {
		d.server = d.serve(brief)
	} else {
		d.server = d.serve()
	}
	d.old.Go(old.GracefulStop)
}

// stop ends all servers, and says whether their calls ended by themselves.
func (d *door) stop(limit time.Duration) bool {
	d.lock.Lock()
	defer d.lock.Unlock()
	done := make(chan struct{})
	go func() {
		d.server.GracefulStop()
		d.old.Wait()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-time.After(limit):
		d.server.Stop()
		return false
	}
}

// entrance is the listener of one server: closed with it, while the door stays open.
type entrance struct {
	door   *door
	once   sync.Once
	closed chan struct{}
}

func (e *entrance) Accept() (net.Conn, error) {
	select {
	case conn := <-e.door.conns:
		return conn, nil
	case <-e.closed:
		return nil, net.ErrClosed
	}
}

func (e *entrance) Close() error {
	e.once.Do(func() { close(e.closed) })
	return nil
}

func (e *entrance) Addr() net.Addr { return e.door.addr }
