package main

import (
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc"
)

// door lets every connection in to the current server. GracefulStop is what sends GOAWAY, and it stops
// listening as well, while new connections may still come for a second: so the server is replaced.
type door struct {
	conns  chan net.Conn
	addr   net.Addr
	make   func() *grpc.Server
	lock   sync.Mutex
	server *grpc.Server
}

func open(listener net.Listener, make_ func() *grpc.Server) *door {
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

func (d *door) serve() *grpc.Server {
	server := d.make()
	go func() {
		if err := server.Serve(&entrance{door: d, closed: make(chan struct{})}); err != nil {
			log.Print(err)
		}
	}()
	return server
}

// ServeHTTP answers notify: POST when a drain begins, DELETE when it is cancelled. Clients are sent
// elsewhere by GOAWAY, their calls under way go on, and who comes back is served as before.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		return
	}
	d.lock.Lock()
	defer d.lock.Unlock()
	old := d.server
	d.server = d.serve()
	go old.GracefulStop()
}

// stop ends the current server, and says whether its calls ended by themselves.
func (d *door) stop(limit time.Duration) bool {
	d.lock.Lock()
	defer d.lock.Unlock()
	done := make(chan struct{})
	go func() {
		d.server.GracefulStop()
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
