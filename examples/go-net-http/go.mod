module graceful.dev/examples/go-net-http

go 1.24
