// A gin server with a graceful shutdown, plus the drain middleware that answers a drain's notice. Short
// requests, slow ones and streams; it does not know that it runs in Kubernetes.
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

	"github.com/gin-gonic/gin"
)

func main() {
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.Use(gin.Recovery(), signed(), drain(router))
	router.GET("/", func(c *gin.Context) { c.String(http.StatusOK, "hello from version %s\n", os.Getenv("VERSION")) })
	router.POST("/", echo)
	router.POST("/slow", slow)
	router.GET("/stream", stream)
	router.GET("/healthz", func(c *gin.Context) { c.Status(http.StatusOK) })

	server := &http.Server{Addr: ":8080", Handler: router}
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
		log.Printf("shutdown: requests cut after %s", limit)
		return
	}
	log.Print("shutdown: clean")
}

// drain answers notify: POST when a drain begins, DELETE when it is cancelled. In between, every answer
// says "Connection: close", so that clients leave between two requests and never within one.
func drain(router *gin.Engine) gin.HandlerFunc {
	var draining atomic.Bool
	router.POST("/drain", func(*gin.Context) { draining.Store(true) })
	router.DELETE("/drain", func(*gin.Context) { draining.Store(false) })
	return func(c *gin.Context) {
		if draining.Load() {
			c.Header("Connection", "close")
		}
		c.Next()
	}
}

func echo(c *gin.Context) {
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, 1<<20))
	if err != nil {
		c.String(http.StatusBadRequest, err.Error())
		return
	}
	c.Data(http.StatusOK, "application/octet-stream", body)
}

// slow echoes what was posted, after 8 s or ?seconds=.
func slow(c *gin.Context) {
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, 1<<20))
	if err != nil {
		c.String(http.StatusBadRequest, err.Error())
		return
	}
	select {
	case <-time.After(seconds(c.Query("seconds"), 8*time.Second)):
		c.Data(http.StatusOK, "application/octet-stream", body)
	case <-c.Request.Context().Done():
	}
}

// stream sends a numbered line every 100 ms for 20 s or ?seconds=, and a last line "end".
func stream(c *gin.Context) {
	end := time.After(seconds(c.Query("seconds"), 20*time.Second))
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	n := 0
	c.Stream(func(w io.Writer) bool {
		fmt.Fprintln(w, n)
		n++
		select {
		case <-tick.C:
			return true
		case <-end:
			fmt.Fprintln(w, "end")
			return false
		}
	})
}

// signed names the pod in every answer.
func signed() gin.HandlerFunc {
	pod, _ := os.Hostname()
	return func(c *gin.Context) {
		c.Header("X-Pod", pod)
		c.Next()
	}
}

// seconds reads a number of seconds, 0 to 600, or returns the fallback.
func seconds(text string, fallback time.Duration) time.Duration {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || n > 600 {
		return fallback
	}
	return time.Duration(n * float64(time.Second))
}
