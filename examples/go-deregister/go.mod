module graceful.dev/examples/go-deregister

go 1.26.0
