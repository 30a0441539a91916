module graceful.dev/xtask/tools/pause

go 1.26.0
