// An Echo server with a graceful shutdown, plus the drain middleware that answers a drain's notice. Short
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

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
)

func main() {
	e := echo.New()
	e.HideBanner = true
	e.Use(middleware.Recover(), middleware.BodyLimit("1M"), signed(), drain(e))
	e.GET("/", func(c echo.Context) error {
		return c.String(http.StatusOK, fmt.Sprintf("hello from version %s\n", os.Getenv("VERSION")))
	})
	e.POST("/", back)
	e.POST("/slow", slow)
	e.GET("/stream", stream)
	e.GET("/healthz", func(c echo.Context) error { return c.NoContent(http.StatusOK) })

	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	failed := make(chan error, 1)
	go func() { failed <- e.Start(":8080") }()
	select {
	case err := <-failed:
		log.Fatal(err)
	case <-stop.Done():
	}

	limit := seconds(os.Getenv("SHUTDOWN_SECONDS"), 5*time.Second)
	ctx, done := context.WithTimeout(context.Background(), limit)
	defer done()
	if err := e.Shutdown(ctx); err != nil && !errors.Is(err, http.ErrServerClosed) {
		log.Printf("shutdown: requests cut after %s", limit)
		return
	}
	log.Print("shutdown: clean")
}

// drain answers notify: POST when a drain begins, DELETE when it is cancelled. In between, every answer
// says "Connection: close", so that clients leave between two requests and never within one.
func drain(e *echo.Echo) echo.MiddlewareFunc {
	var draining atomic.Bool
	e.Match([]string{http.MethodPost, http.MethodDelete}, "/drain", func(c echo.Context) error {
		draining.Store(c.Request().Method == http.MethodPost)
		return c.NoContent(http.StatusOK)
	})
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if draining.Load() {
				c.Response().Header().Set("Connection", "close")
			}
			return next(c)
		}
	}
}

// back sends back what was posted.
func back(c echo.Context) error {
	body, err := io.ReadAll(c.Request().Body)
	if err != nil {
		return err
	}
	return c.Blob(http.StatusOK, echo.MIMEOctetStream, body)
}

// slow sends back what was posted, after 8 s or ?seconds=.
func slow(c echo.Context) error {
	body, err := io.ReadAll(c.Request().Body)
	if err != nil {
		return err
	}
	select {
	case <-time.After(seconds(c.QueryParam("seconds"), 8*time.Second)):
		return c.Blob(http.StatusOK, echo.MIMEOctetStream, body)
	case <-c.Request().Context().Done():
		return c.Request().Context().Err()
	}
}

// stream sends a numbered line every 100 ms for 20 s or ?seconds=, and a last line "end".
func stream(c echo.Context) error {
	end := time.After(seconds(c.QueryParam("seconds"), 20*time.Second))
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		fmt.Fprintln(c.Response(), n)
		c.Response().Flush()
		select {
		case <-tick.C:
		case <-end:
			_, err := fmt.Fprintln(c.Response(), "end")
			return err
		case <-c.Request().Context().Done():
			return nil
		}
	}
}

// signed names the pod in every answer.
func signed() echo.MiddlewareFunc {
	pod, _ := os.Hostname()
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			c.Response().Header().Set("X-Pod", pod)
			return next(c)
		}
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
